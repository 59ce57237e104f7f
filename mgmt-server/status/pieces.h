#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "mgmt-server/compile/compile.h"

namespace weir::status {

// Compiled intent of all clusters, to look pieces up in. Not thread-safe.
class Pieces {
 public:
  virtual ~Pieces() = default;
  virtual const compile::World& world() const = 0;
  // What the pieces of a cluster are made of: another world than that while a rollout tells it something else.
  virtual const compile::World& WorldOf(const std::string& cluster) const = 0;
  // What a cluster (FQN) is told under this key; nullptr = nothing.
  virtual const compile::Resource* Find(const std::string& cluster, const compile::Key& key) = 0;
};

// As it is pushed. `ahead`: with the world of those clusters that are told what a rollout brings.
class PushedPieces final : public Pieces {
 public:
  explicit PushedPieces(const compile::Compilation& compilation, bool ahead = false)
      : compilation_(compilation), ahead_(ahead) {}
  const compile::World& world() const override { return ahead_ ? compilation_.world_ahead() : compilation_.world(); }
  const compile::World& WorldOf(const std::string& cluster) const override { return compilation_.WorldOf(cluster); }
  const compile::Resource* Find(const std::string& cluster, const compile::Key& key) override {
    const compile::ClusterIntent& intent = compilation_.Of(cluster);
    const auto found = intent.find(key);
    return found == intent.end() ? nullptr : &found->second;
  }

 private:
  const compile::Compilation& compilation_;
  const bool ahead_;
};

// Of a world that nobody has compiled: piece by piece, when it is asked for.
class PiecesOnDemand final : public Pieces {
 public:
  explicit PiecesOnDemand(compile::World world) : world_(std::move(world)) {}
  const compile::World& world() const override { return world_; }
  const compile::World& WorldOf(const std::string&) const override { return world_; }
  const compile::Resource* Find(const std::string& cluster, const compile::Key& key) override {
    const auto [known, first] = known_.try_emplace({cluster, key});
    if (first) known->second = compile::CompileKey(world_, cluster, key);
    return known->second ? &*known->second : nullptr;
  }

 private:
  const compile::World world_;
  std::map<std::pair<std::string, compile::Key>, std::optional<compile::Resource>> known_;
};

}  // namespace weir::status
