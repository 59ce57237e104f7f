#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mgmt-server/compile/world.h"
#include "mgmt-server/invariants/invariant.h"
#include "mgmt-server/invariants/touched.h"
#include "mgmt-server/services/invariants.h"

namespace weir::server {

// Judges writes on the intent that they lead to. It keeps a World of its own beside the pushed one, which is always
// behind, and brings it along by what differs between the state that it has seen and the one that it is asked about: a
// write costs what it changes, whoever wrote before. While no Invariant is stored it keeps nothing and costs nothing.
class InvariantGuard final : public services::InvariantGuard {
 public:
  // Reads all of a state in advance, which else the first write after the start would wait for.
  void Prepare(const store::View& view);

  std::vector<services::BrokenInvariant> Judge(const Question& question) override;

  // Resources and workloads that it read so far, and Invariants that it judged: a write costs what it changes.
  size_t followed() const { return followed_; }
  size_t judged() const { return judged_; }

 private:
  // One that a change may break.
  struct Concerned {
    invariants::Invariant invariant;
    std::optional<invariants::Invariant> before;  // As it was; nullopt = it did not refuse anything.
    bool same = false;                            // It asks for what it asked for.
    std::vector<invariants::Breach> breaches;
  };
  void Follow(const store::View& view);
  void FollowFacts(const store::View& view);
  void Put(const store::ResourcePtr& before, const store::ResourcePtr& after);
  std::optional<Concerned> Consider(const Question& question, const store::StoredResource& stored,
                                    const invariants::Touched& touched);
  std::vector<services::BrokenInvariant> Worsened(const Question& question, std::vector<Concerned> broken,
                                                  const std::set<std::string>& changed,
                                                  const invariants::Touched& touched) const;
  const invariants::Invariant* Read(const store::ResourcePtr& stored);

  compile::World world_;
  std::optional<store::View> at_;  // What `world_` shows.
  struct Parsed {
    store::ResourcePtr resource;
    std::optional<invariants::Invariant> invariant;
  };
  std::map<std::string, Parsed> parsed_;  // By FQN.
  size_t followed_ = 0, judged_ = 0;
};

}  // namespace weir::server
