#pragma once

#include <compare>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::mesh::v1 {
class Listener;
class Host;
class DestinationSet;
class ServiceEndpoints;
class TrustBundle;
}  // namespace weir::mesh::v1

namespace weir::translate {

// One piece of intent by short type name ("Host"), resource name and the version the server gave it.
struct IntentRef {
  std::string type;
  std::string name;
  std::string version;
  auto operator<=>(const IntentRef&) const = default;
};

template <typename Message>
struct Piece {
  std::shared_ptr<const Message> message;
  std::string version;

  bool operator==(const Piece&) const = default;  // Messages never change: the same pointer is the same content.
};

// All the server said for this cluster, by resource name. Copies share the messages.
struct Intent {
  std::map<std::string, Piece<mesh::v1::Listener>> listeners;
  std::map<std::string, Piece<mesh::v1::Host>> hosts;
  std::map<std::string, Piece<mesh::v1::DestinationSet>> destination_sets;
  std::map<std::string, Piece<mesh::v1::ServiceEndpoints>> endpoints;
  std::map<std::string, Piece<mesh::v1::TrustBundle>> trust_bundles;
  // What was left out of a piece, by the name of the piece: one endpoint that cannot be connected to takes no other
  // along.
  std::map<std::string, std::string> problems;
};

// Takes one resource in. INVALID_ARGUMENT INTENT_{UNREADABLE,NAME} when the bytes are no such message or name another
// resource: the answer is a NACK and the old piece stays. Types this agent does not know are ignored. Of
// ServiceEndpoints only what can be connected to is kept; the rest stands in `problems`.
Status UpsertIntent(std::string_view type_url, const std::string& name, const std::string& version,
                    std::string_view bytes, Intent* intent);
void RemoveIntent(std::string_view type_url, const std::string& name, Intent* intent);

}  // namespace weir::translate
