#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/plan/question.h"

namespace weir::plan {

// How much of a piece of intent somebody sees.
enum class Sight : uint8_t {
  kNone,
  kName,  // That it is there and changes: it is made of what he may not read, too.
  kWhole,
};

// What a cluster is told, before and after.
class ClusterChange {
 public:
  struct Piece {
    const compile::Resource* before = nullptr;  // Null: there is none.
    std::optional<compile::Resource> after;
    Sight sight = Sight::kNone;
  };

  ClusterChange(const Question& question, std::string cluster, const std::set<compile::Key>& keys);
  ClusterChange(ClusterChange&&) = delete;

  const std::string& cluster() const { return cluster_; }
  const compile::ClusterIntent& before() const { return *before_; }
  const std::map<compile::Key, Piece>& pieces() const { return pieces_; }  // Those that differ.
  // One of all that it is told; nullptr = there is none.
  const compile::Resource* Before(const compile::Key& key) const;
  const compile::Resource* After(const compile::Key& key) const;
  // Of any piece, whether it differs or not.
  Sight SightOf(const compile::Key& key) const;
  bool all_whole() const { return all_whole_; }  // Of the pieces that differ.

 private:
  const Question& question_;
  const std::string cluster_;
  compile::ClusterIntent compiled_;
  const compile::ClusterIntent* before_;
  std::map<compile::Key, Piece> pieces_;
  bool all_whole_ = true;
};

}  // namespace weir::plan
