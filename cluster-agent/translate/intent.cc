#include "cluster-agent/translate/intent.h"

#include "api/weir/mesh/v1/intent.pb.h"

namespace weir::agent {
namespace {

template <typename Message>
Status Upsert(const std::string& name, const std::string& version, std::string_view bytes,
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
  (*pieces)[name] = {std::move(message), version};
  return {};
}

// Calls `use` with the map that holds resources of this type, if there is one.
template <typename Use>
void WithPieces(std::string_view type_url, Intent* intent, Use use) {
  if (!type_url.starts_with(kMeshTypePrefix)) return;
  const std::string_view type = type_url.substr(kMeshTypePrefix.size());
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
  WithPieces(type_url, intent, [&](auto* pieces) { status = Upsert(name, version, bytes, pieces); });
  return status;
}

void RemoveIntent(std::string_view type_url, const std::string& name, Intent* intent) {
  WithPieces(type_url, intent, [&](auto* pieces) { pieces->erase(name); });
}

}  // namespace weir::agent
