#include "mgmt-server/ca/generations.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "api/weir/v2/cluster.pb.h"

namespace weir::ca {
namespace {

constexpr std::string_view kClusterKind = "Cluster";

std::string Serialize(const v2::Cluster& cluster) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  cluster.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

uint64_t GenerationOf(const store::StoredResource& cluster) {
  v2::Cluster message;
  return message.ParseFromString(cluster.body) ? message.state().generation() : 0;
}

bool IsRevoked(const store::StoredResource& cluster) {
  v2::Cluster message;
  return message.ParseFromString(cluster.body) && message.state().revoked();
}

Result<store::ResourcePtr> SetGeneration(store::Txn& txn, const store::StoredResource& cluster, uint64_t generation,
                                         bool revoked) {
  v2::Cluster message;
  if (!message.ParseFromString(cluster.body)) return DataLoss("BAD_BODY", "{} cannot be read", cluster.fqn);
  message.mutable_state()->set_generation(generation);
  message.mutable_state()->set_revoked(revoked);
  return txn.Put({.kind = cluster.kind,
                  .fqn = cluster.fqn,
                  .body = Serialize(message),
                  .field_owners = cluster.field_owners,
                  .expected_etag = cluster.etag});
}

Result<store::ResourcePtr> ClusterOf(const store::View& view, const identity::ClusterGeneration& peer) {
  const store::ResourcePtr cluster = view.GetByUid(peer.uid);
  if (cluster == nullptr || cluster->kind != kClusterKind) {
    return PermissionDenied("CLUSTER_UNKNOWN",
                            "the cluster that this agent joined (uid {}) does not exist any more; join again with a "
                            "token of `weir cluster rejoin`",
                            peer.uid);
  }
  const uint64_t lowest = GenerationOf(*cluster);
  if (peer.generation < lowest) {
    return PermissionDenied("MEMBERSHIP_ENDED",
                            "generation {} of {} has ended: another agent joined since, or it was revoked (from {} on "
                            "it counts); join again with a token of `weir cluster rejoin`",
                            peer.generation, cluster->fqn, lowest);
  }
  return cluster;
}

}  // namespace weir::ca
