#include "libs/translate/intent.h"

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/text.h"
#include "libs/facts/check.h"
#include "libs/identity/spiffe_id.h"
#include "libs/xds/protocol/types.h"

namespace weir::translate {
namespace {

constexpr size_t kMaxQuoted = 64;

bool CanBeReached(const mesh::v1::ImportedEndpoint& endpoint) {
  return facts::IsAddress(endpoint.address()) && facts::IsPort(endpoint.port()) &&
         identity::SpiffeId::Parse(endpoint.spiffe_id()).ok();
}

// What is left out; "" = nothing.
std::string KeepReachable(mesh::v1::ServiceEndpoints* set) {
  std::string problem;
  int left_out = 0;
  auto* endpoints = set->mutable_endpoints();
  for (int i = 0; i < endpoints->size();) {
    const mesh::v1::ImportedEndpoint& endpoint = endpoints->at(i);
    if (CanBeReached(endpoint)) {
      ++i;
      continue;
    }
    if (left_out++ == 0) {
      problem = fmt::format("\"{}\" port {} of {}", CleanText(endpoint.address(), kMaxQuoted), endpoint.port(),
                            CleanText(endpoint.workload(), kMaxQuoted));
    }
    endpoints->DeleteSubrange(i, 1);
  }
  if (left_out > 1) problem += fmt::format(" and {} more", left_out - 1);
  return problem.empty() ? problem : set->name() + ": left out, cannot be connected to: " + problem;
}

void LeaveOut(mesh::v1::ServiceEndpoints* set, Intent* intent) {
  std::string problem = KeepReachable(set);
  if (problem.empty())
    intent->problems.erase(set->name());
  else
    intent->problems[set->name()] = std::move(problem);
}
template <typename Message>
void LeaveOut(Message*, Intent*) {}

template <typename Message>
Status Upsert(const std::string& name, const std::string& version, std::string_view bytes, Intent* intent,
              std::map<std::string, Piece<Message>>* pieces) {
  auto message = std::make_shared<Message>();
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return InvalidArgument("INTENT_UNREADABLE", "{} {}: the bytes are not such a message",
                           Message::descriptor()->name(), name);
  }
  if (message->name() != name) {
    return InvalidArgument("INTENT_NAME", "{} {}: the message is named \"{}\"", Message::descriptor()->name(), name,
                           message->name());
  }
  LeaveOut(message.get(), intent);
  (*pieces)[name] = {std::move(message), version};
  return {};
}

// Calls `use` with the map that holds resources of this type, if there is one.
template <typename Use>
void WithPieces(std::string_view type_url, Intent* intent, Use use) {
  if (!type_url.starts_with(xds::kMeshTypePrefix)) return;
  const std::string_view type = type_url.substr(xds::kMeshTypePrefix.size());
  if (type == "Listener")
    use(&intent->listeners);
  else if (type == "Host")
    use(&intent->hosts);
  else if (type == "DestinationSet")
    use(&intent->destination_sets);
  else if (type == "ServiceEndpoints")
    use(&intent->endpoints);
  else if (type == "TrustBundle")
    use(&intent->trust_bundles);
}

}  // namespace

Status UpsertIntent(std::string_view type_url, const std::string& name, const std::string& version,
                    std::string_view bytes, Intent* intent) {
  Status status;
  WithPieces(type_url, intent, [&](auto* pieces) { status = Upsert(name, version, bytes, intent, pieces); });
  return status;
}

void RemoveIntent(std::string_view type_url, const std::string& name, Intent* intent) {
  WithPieces(type_url, intent, [&](auto* pieces) { pieces->erase(name); });
  if (type_url.ends_with(".ServiceEndpoints")) intent->problems.erase(name);
}

}  // namespace weir::translate
