#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/inheritance.pb.h"

namespace google::protobuf {
class Message;
}

// Settings inherit: organization, tenant, workspace, group, object. Compile and Effective.GetEffectiveSettings ask
// here, so what is told is what is done. Pure.
namespace weir::resource {

// A field with the option (weir.v2.inherited), once for all settings that have it.
struct InheritedField {
  std::string name;       // "failover_settings"
  std::string json_name;  // "failoverSettings"
  v2::Inheritance rule;
  std::string default_text;
  bool of_servers = false;  // A server of a gateway can set it, too.
};
const std::vector<InheritedField>& InheritedFields();
const InheritedField* FindInherited(std::string_view name);  // nullptr = none.

// What a setting (or a server of a gateway) says of it; nullptr = nothing. Lives as long as that.
const google::protobuf::Message* Said(const google::protobuf::Message& by, const InheritedField& field);

struct Setter {
  std::string fqn;
  const google::protobuf::Message* by;  // A setting or a server.
};
// Of these, given nearest first, those that say something: first the one that counts, then who would if it did not.
std::vector<Setter> InOrder(const InheritedField& field, std::vector<Setter> nearest_first);

}  // namespace weir::resource
