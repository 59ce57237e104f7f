#include "mgmt-server/fleet/facts_intake.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace weir::fleet {
namespace {

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

template <typename Items>
Status Collect(const Items& items, std::map<std::string, std::string>* out) {
  for (const auto& item : items) {
    if (item.name().empty() || item.namespace_().empty()) {
      return InvalidArgument("FACT_UNNAMED", "a workload or service has no name or namespace");
    }
    (*out)[item.namespace_() + "/" + item.name()] = Serialize(item);
  }
  return {};
}

}  // namespace

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

Status ApplyDelta(store::Txn& txn, const std::string& cluster, const agent::v1::FactsDelta& delta) {
  const store::ResourcePtr resource = txn.Get(cluster);
  if (resource == nullptr) return NotFound("CLUSTER_UNKNOWN", "{} does not exist any more", cluster);
  store::FactsChange change;
  change.cluster_uid = resource->uid;
  change.full = delta.full();
  WEIR_TRY(Collect(delta.workloads(), &change.workloads));
  WEIR_TRY(Collect(delta.services(), &change.services));
  change.removed_workloads.assign(delta.removed_workloads().begin(), delta.removed_workloads().end());
  change.removed_services.assign(delta.removed_services().begin(), delta.removed_services().end());
  change.agent_sequence = delta.sequence();
  change.hash = delta.hash();
  return txn.ApplyFacts(change);
}

}  // namespace weir::fleet
