#include "mgmt-server/fleet/facts_intake.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <set>
#include <utility>

#include "libs/base/text.h"
#include "libs/facts/check.h"

namespace weir::fleet {
namespace {

constexpr size_t kMostName = 128;
constexpr size_t kMostWhy = 512;
constexpr size_t kMostHash = 64;  // SHA-256 in hex.

// Maps sorted, so that equal facts are equal bytes and change nothing in the store.
std::string Serialize(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

store::ClusterFactsPtr FactsOf(const store::View& view, const std::string& cluster) {
  const store::ResourcePtr resource = view.Get(cluster);
  return resource == nullptr ? nullptr : view.Facts(resource->uid);
}

std::string Sentence(const std::vector<FieldViolation>& violations) {
  std::string text;
  for (const FieldViolation& violation : violations) {
    if (text.size() > kMostWhy) break;
    text += (text.empty() ? "" : "; ") + violation.field + ": " + violation.description;
  }
  return CleanText(text, kMostWhy);
}

using Stored = PersistentMap<std::string, std::string>;

// One kind of facts, workloads or services.
class Sieve {
 public:
  Sieve(const char* kind, size_t most, const Stored& stored, RefusedFacts& refused)
      : kind_(kind), most_(most), stored_(stored), refused_(refused) {}

  template <typename Items>
  void Take(facts::Checker& checker, const Items& items) {
    for (const auto& item : items) {
      const std::string key = facts::KeyOf(item);
      const std::vector<FieldViolation> violations = checker.Check(item, "");
      if (violations.empty()) {
        good[key] = Serialize(item);
        refused_.Remove(Name(key));
        continue;
      }
      refused_.Add(Name(key), Sentence(violations));
      if (stored_.Contains(key)) kept_.insert(key);
    }
  }
  template <typename Keys>
  void Remove(const Keys& keys) {
    for (const std::string& key : keys) {
      refused_.Remove(Name(key));
      if (!good.contains(key) && stored_.Contains(key)) gone.insert(key);
    }
  }
  void RemoveAllOthers() {
    stored_.VisitAll([&](const std::string& key, const std::string&) {
      if (!good.contains(key) && !kept_.contains(key)) gone.insert(key);
      return true;
    });
  }
  // New ones beyond the bound are left out, the last by name first.
  void Bound() {
    size_t count = stored_.size() - gone.size();
    for (auto at = good.begin(); at != good.end();) {
      if (stored_.Contains(at->first) || count++ < most_) {
        ++at;
        continue;
      }
      refused_.Add(Name(at->first), fmt::format("a cluster may have {} {}s; this is one more", most_, kind_));
      at = good.erase(at);
    }
  }

  std::map<std::string, std::string> good;
  std::set<std::string> gone;

 private:
  std::string Name(const std::string& key) const { return fmt::format("{} {}", kind_, CleanText(key, kMostName)); }

  const char* const kind_;
  const size_t most_;
  const Stored& stored_;
  RefusedFacts& refused_;
  std::set<std::string> kept_;  // Refused now, good as stored.
};

}  // namespace

void RefusedFacts::Clear() {
  why_.clear();
  more_ = 0;
}

void RefusedFacts::Add(const std::string& fact, const std::string& why) {
  const auto known = why_.find(fact);
  if (known != why_.end())
    known->second = why;
  else if (why_.size() < kMost)
    why_.emplace(fact, why);
  else
    ++more_;
}

void RefusedFacts::Remove(const std::string& fact) { why_.erase(fact); }

void RefusedFacts::AddProblems(std::vector<v2::ClusterProblem>& out) const {
  size_t told = 0;
  for (const auto& [fact, why] : why_) {
    if (told++ == kMostTold) break;
    v2::ClusterProblem& problem = out.emplace_back();
    problem.set_source("facts");
    problem.set_text(fmt::format("{}: {}", fact, why));
  }
  if (size() <= kMostTold) return;
  v2::ClusterProblem& problem = out.emplace_back();
  problem.set_source("facts");
  problem.set_text(fmt::format("{} facts are refused in all", size()));
}

agent::v1::ServerMessage FactsStateOf(const store::View& view, const std::string& cluster) {
  agent::v1::ServerMessage message;
  auto* state = message.mutable_state();
  if (const auto facts = FactsOf(view, cluster)) {
    state->set_sequence(facts->agent_sequence);
    state->set_hash(facts->hash);
  }
  return message;
}

FactsVerdict JudgeDelta(const store::View& view, const std::string& cluster, uint64_t last_sequence,
                        const agent::v1::FactsDelta& delta) {
  if (!delta.full()) {
    return last_sequence != 0 && delta.sequence() != last_sequence + 1 ? FactsVerdict::kGap : FactsVerdict::kTake;
  }
  const bool empty = delta.workloads().empty() && delta.services().empty();
  if (!empty || delta.empty_is_proven()) return FactsVerdict::kTake;
  const auto facts = FactsOf(view, cluster);
  const bool had = facts != nullptr && (facts->workloads.size() > 0 || facts->services.size() > 0);
  return had ? FactsVerdict::kUnprovenEmpty : FactsVerdict::kTake;
}

store::FactsChange TakeGoodFacts(const store::ClusterFacts* stored, const agent::v1::FactsDelta& delta,
                                 RefusedFacts& refused) {
  static const store::ClusterFacts kNothing;
  if (stored == nullptr) stored = &kNothing;
  if (delta.full()) refused.Clear();
  facts::Checker checker;
  Sieve workloads("workload", facts::kMaxWorkloads, stored->workloads, refused);
  Sieve services("service", facts::kMaxServices, stored->services, refused);
  workloads.Take(checker, delta.workloads());
  services.Take(checker, delta.services());
  if (delta.full()) {
    workloads.RemoveAllOthers();
    services.RemoveAllOthers();
  } else {
    workloads.Remove(delta.removed_workloads());
    services.Remove(delta.removed_services());
  }
  workloads.Bound();
  services.Bound();
  store::FactsChange change;
  change.workloads = std::move(workloads.good);
  change.services = std::move(services.good);
  change.removed_workloads.assign(workloads.gone.begin(), workloads.gone.end());
  change.removed_services.assign(services.gone.begin(), services.gone.end());
  change.agent_sequence = delta.sequence();
  // With one refused the two sides do not have the same facts: the next stream says everything, and it is named again.
  if (refused.empty()) change.hash = delta.hash().substr(0, kMostHash);
  return change;
}

Result<bool> FactsParts::Complete(agent::v1::FactsDelta& delta) {
  if (bytes_ > 0 && held_.sequence() != delta.sequence()) *this = {};  // Its end never came.
  if (bytes_ == 0 && !delta.more()) return true;
  bytes_ += delta.ByteSizeLong();
  if (bytes_ > kMostBytes) {
    return ResourceExhausted("FACTS_TOO_LARGE", "the facts of a cluster may have {} bytes in all", kMostBytes);
  }
  held_.MergeFrom(delta);
  if (delta.more()) return false;
  held_.clear_more();
  delta = std::exchange(*this, {}).held_;
  return true;
}

std::vector<store::FactsChange> Slices(store::FactsChange change, size_t most) {
  std::vector<store::FactsChange> slices;
  size_t in_slice = most;  // Of the last one.
  const auto room = [&]() -> store::FactsChange& {
    if (in_slice >= most) {
      slices.emplace_back();
      slices.back().agent_sequence = change.agent_sequence;
      in_slice = 0;
    }
    ++in_slice;
    return slices.back();
  };
  for (auto& [key, bytes] : change.workloads) room().workloads.emplace(key, std::move(bytes));
  for (auto& [key, bytes] : change.services) room().services.emplace(key, std::move(bytes));
  for (auto& key : change.removed_workloads) room().removed_workloads.push_back(std::move(key));
  for (auto& key : change.removed_services) room().removed_services.push_back(std::move(key));
  if (slices.empty()) room();
  slices.back().hash = change.hash;
  return slices;
}

}  // namespace weir::fleet
