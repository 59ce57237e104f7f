#include "mgmt-server/plan/preview.h"

#include <google/protobuf/message.h>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/sha256.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/plan/budget.h"
#include "mgmt-server/plan/capacity.h"
#include "mgmt-server/plan/changes.h"
#include "mgmt-server/plan/findings.h"
#include "mgmt-server/plan/gateways.h"
#include "mgmt-server/plan/losses.h"

namespace weir::plan {
namespace {

constexpr size_t kBytesOfIntent = 400u << 10;
constexpr size_t kBytesOfGateways = 400u << 10;
constexpr int kMostListed = 200;  // Losses; findings.

template <typename Message>
document::Differences CompareAs(const compile::Resource& before, const compile::Resource& after) {
  Message a, b;
  if (!a.ParseFromString(before.bytes) || !b.ParseFromString(after.bytes)) return {};
  return document::Compare(a, b, kFieldsOfResource);
}
document::Differences CompareResources(const compile::Resource& a, const compile::Resource& b) {
  if (a.type == "Listener") return CompareAs<mesh::v1::Listener>(a, b);
  if (a.type == "Host") return CompareAs<mesh::v1::Host>(a, b);
  if (a.type == "DestinationSet") return CompareAs<mesh::v1::DestinationSet>(a, b);
  if (a.type == "ServiceEndpoints") return CompareAs<mesh::v1::ServiceEndpoints>(a, b);
  if (a.type == "TrustBundle") return CompareAs<mesh::v1::TrustBundle>(a, b);
  return {};
}

void AddIntent(const ClusterChange& change, Budget& budget, v2::PlannedCluster& out, std::string& digested) {
  for (const auto& [key, piece] : change.pieces()) {
    if (piece.sight == Sight::kNone) continue;
    const bool whole = piece.sight == Sight::kWhole;
    const auto kind = KindOf(piece.before != nullptr, piece.after.has_value());
    CountIn(kind, &out);
    digested += fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n", change.cluster(), key.type, key.name, static_cast<int>(kind),
                            whole && piece.before != nullptr ? Sha256Hex(piece.before->bytes) : "",
                            whole && piece.after ? Sha256Hex(piece.after->bytes) : "");
    if (budget.spent()) continue;
    v2::PlannedResource resource;
    resource.set_type(key.type);
    resource.set_name(key.name);
    resource.set_change(kind);
    resource.set_hidden(!whole);
    if (whole && kind == v2::PlannedResource::CHANGED)
      SetFields(CompareResources(*piece.before, *piece.after), &resource);
    if (budget.Take(resource.ByteSizeLong() + 8)) *out.add_intent() = std::move(resource);
  }
}

template <typename List, typename To>
int32_t AddListed(List list, To* to) {
  int32_t more = 0;
  for (auto& one : list) {
    if (to->size() < kMostListed)
      *to->Add() = std::move(one);
    else
      ++more;
  }
  return more;
}

}  // namespace

Result<Preview> PreviewOf(const Question& question) {
  Preview preview;
  std::string digested;
  Budget intents(kBytesOfIntent), gateways(kBytesOfGateways);
  std::vector<v2::PlannedLoss> losses;
  for (const auto& [cluster, keys] : compile::Affected(question.before, question.after, question.change)) {
    WEIR_TRY(question.go_on());
    const ClusterChange change(question, cluster, keys);
    v2::PlannedCluster planned;
    planned.set_cluster(std::string(resource::LastName(cluster)));
    AddIntent(change, intents, planned, digested);
    if (planned.added() + planned.changed() + planned.removed() == 0) continue;
    for (v2::PlannedLoss& loss : LossesOf(question, change)) losses.push_back(std::move(loss));
    WEIR_TRY(AddGateways(question, change, gateways, planned));
    *preview.seen.add_clusters() = std::move(planned);
  }
  preview.seen.set_more_losses(AddListed(std::move(losses), preview.seen.mutable_losses()));
  std::vector<v2::Finding> findings;
  for (const std::string& fqn : question.documents) {
    for (v2::Finding& finding : FindingsOf(question.after, fqn)) findings.push_back(std::move(finding));
  }
  WEIR_ASSIGN(std::vector<v2::Finding> of_capacity, CapacityFindings(question));
  for (v2::Finding& finding : of_capacity) findings.push_back(std::move(finding));
  preview.seen.set_more_findings(AddListed(std::move(findings), preview.seen.mutable_findings()));
  preview.digest = Sha256Hex(digested);
  return preview;
}

}  // namespace weir::plan
