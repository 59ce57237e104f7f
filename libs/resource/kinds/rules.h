#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/base/result.h"

namespace weir::v2 {
class InvariantSpec;
}

// What a kind has to say for itself. Everything that treats resources alike (validation, documents, services, compile,
// the command line, OpenAPI) reads it from here; nothing else asks which kind a resource is to know its rules.
namespace weir::resource {

class Checker;

// What a change of a resource may change at gateways.
enum class Effect : uint8_t {
  kNone,
  kGateway,       // It is a gateway object itself.
  kBelow,         // The gateway objects that lie in it.
  kOrganization,  // All that clusters of its organization have.
  kDefaults,      // What gateway objects of its parent's subtree leave to defaults.
  kCluster,       // Its own gateways, and those that send to it.
};

// A field that keeps its first value.
struct Immutable {
  std::string path;  // "spec.domain"
  std::string why;   // "identities are made of it"
};

// Where a TSB document says what ours say elsewhere. What stands at `from` moves to `to`, unless that is set already.
struct Moved {
  std::string from;  // "spec.displayName"
  std::string to;    // "metadata.displayName"
};

// What a TSB document may say because it is always so here; any other value is refused.
struct Always {
  std::string path;                 // "spec.sourceType"
  std::vector<std::string> values;  // "MANUAL"
};

// Fields that documents of TSB may carry in a message and that are not served.
struct NotServed {
  std::string message;              // "TenantSpec"
  std::vector<std::string> fields;  // "profiles"
  std::string instead;              // What to use; "" = nothing does it yet.
};

// Profiles of TSB are defaults and mandates for what lies below.
inline constexpr std::string_view kInsteadOfProfiles = "OrganizationSetting, TenantSetting and WorkspaceSetting";

struct KindRules {
  const google::protobuf::Descriptor* descriptor = nullptr;
  // How a table shows one: what a person looks for first, in parts.
  std::function<std::vector<std::string>(const google::protobuf::Message&)> summary;
  // Fills in what may be left out; idempotent.
  std::function<void(google::protobuf::Message&)> fill_in;
  // Brings what only the server sets to what it is when this is written over `stored` (null = it is new) at that time.
  std::function<void(const google::protobuf::Message* stored, const google::protobuf::Timestamp& now,
                     google::protobuf::Message& wanted)>
      stamp;
  // Everything that can be said of the resource by itself.
  std::function<void(const google::protobuf::Message&, Checker&)> check;
  // What is stored all the same but does not do what it seems to.
  std::function<std::vector<FieldViolation>(const google::protobuf::Message&)> warnings;
  std::vector<Immutable> immutable;
  std::vector<std::string> output_only;    // Paths that only the server sets, beside those of the metadata.
  std::vector<std::string> keep_if_unset;  // Paths that a write leaves as they are stored when it does not name them.
  std::vector<Moved> moved;                // Beside those that all kinds have.
  std::vector<Always> always;
  std::vector<NotServed> not_served;
  bool at_top_in_tsb = false;  // Documents of TSB say no organization of it: it is the caller's.

  Effect effect = Effect::kNone;
  // Of a gateway: itself in the form of a Gateway, server by server, and where its servers stand ("spec.http").
  std::function<v2::Gateway(const google::protobuf::Message&)> as_gateway;
  std::string servers;
  // Below a server, {} for the rule: where a rule stands ("" = the server itself is one), and where the clusters of a
  // rule stand, and its service. "" = it has none.
  std::string rule;
  std::string clusters;
  std::string service;
  // Of what owns or narrows namespaces; whether an empty selector stands for all of the parent's.
  std::function<const v2::NamespaceSelector&(const google::protobuf::Message&)> namespaces;
  bool all_namespaces_if_empty = false;
  // Of an Invariant: what must hold of all that lies where it does.
  std::function<const v2::InvariantSpec&(const google::protobuf::Message&)> invariant;
};

// The same with functions of the kind's own message, as each kind writes it. A function that is null has nothing to
// say.
template <typename T>
struct RulesOf {
  std::vector<std::string> (*summary)(const T&) = nullptr;
  void (*fill_in)(T&) = nullptr;
  void (*stamp)(const T* stored, const google::protobuf::Timestamp& now, T& wanted) = nullptr;
  void (*check)(const T&, Checker&) = nullptr;
  std::vector<FieldViolation> (*warnings)(const T&) = nullptr;
  std::vector<Immutable> immutable = {};
  std::vector<std::string> output_only = {};
  std::vector<std::string> keep_if_unset = {};
  std::vector<Moved> moved = {};
  std::vector<Always> always = {};
  std::vector<NotServed> not_served = {};
  bool at_top_in_tsb = false;
  Effect effect = Effect::kNone;
  v2::Gateway (*as_gateway)(const T&) = nullptr;
  std::string servers = {};
  std::string rule = {};
  std::string clusters = {};
  std::string service = {};
  const v2::NamespaceSelector& (*namespaces)(const T&) = nullptr;
  bool all_namespaces_if_empty = false;
  const v2::InvariantSpec& (*invariant)(const T&) = nullptr;

  KindRules Rules() const {
    using google::protobuf::Message;
    KindRules rules;
    rules.descriptor = T::descriptor();
    const auto adapt = [](auto function) {
      return [function](const Message& message, auto&... more) -> decltype(auto) {
        return function(static_cast<const T&>(message), more...);
      };
    };
    if (summary != nullptr) rules.summary = adapt(summary);
    if (fill_in != nullptr) rules.fill_in = [f = fill_in](Message& message) { f(static_cast<T&>(message)); };
    if (stamp != nullptr) {
      rules.stamp = [f = stamp](const Message* stored, const google::protobuf::Timestamp& now, Message& wanted) {
        f(static_cast<const T*>(stored), now, static_cast<T&>(wanted));
      };
    }
    if (check != nullptr) rules.check = adapt(check);
    if (warnings != nullptr) rules.warnings = adapt(warnings);
    if (as_gateway != nullptr) rules.as_gateway = adapt(as_gateway);
    if (namespaces != nullptr) rules.namespaces = adapt(namespaces);
    if (invariant != nullptr) rules.invariant = adapt(invariant);
    rules.immutable = immutable;
    rules.output_only = output_only;
    rules.keep_if_unset = keep_if_unset;
    rules.moved = moved;
    rules.always = always;
    rules.not_served = not_served;
    rules.at_top_in_tsb = at_top_in_tsb;
    rules.effect = effect;
    rules.servers = servers;
    rules.rule = rule;
    rules.clusters = clusters;
    rules.service = service;
    rules.all_namespaces_if_empty = all_namespaces_if_empty;
    return rules;
  }
};

}  // namespace weir::resource
