#include "libs/resource/inheritance.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "api/weir/v2/gateway.pb.h"
#include "libs/resource/kinds.h"

namespace weir::resource {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

const Descriptor* SpecOf(const Descriptor& kind) {
  const FieldDescriptor* spec = kind.FindFieldByName("spec");
  return spec == nullptr ? nullptr : spec->message_type();
}

}  // namespace

const std::vector<InheritedField>& InheritedFields() {
  static const auto& fields = *[] {
    auto* made = new std::vector<InheritedField>;
    for (const KindInfo& kind : Kinds()) {
      const Descriptor* spec = SpecOf(kind.descriptor());
      for (int i = 0; spec != nullptr && i < spec->field_count(); ++i) {
        const FieldDescriptor& field = *spec->field(i);
        if (!field.options().HasExtension(v2::inherited)) continue;
        if (std::any_of(made->begin(), made->end(), [&](const auto& each) { return each.name == field.name(); }))
          continue;
        const v2::Inherited& option = field.options().GetExtension(v2::inherited);
        made->push_back({field.name(), field.json_name(), option.rule(), option.default_text(),
                         v2::HttpServer::descriptor()->FindFieldByName(field.name()) != nullptr});
      }
    }
    return made;
  }();
  return fields;
}

const InheritedField* FindInherited(std::string_view name) {
  for (const InheritedField& field : InheritedFields()) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

const google::protobuf::Message* Said(const google::protobuf::Message& by, const InheritedField& field) {
  const google::protobuf::Message* at = &by;
  const FieldDescriptor* spec = by.GetDescriptor()->FindFieldByName("spec");
  if (spec != nullptr) at = &by.GetReflection()->GetMessage(by, spec);
  const FieldDescriptor* found = at->GetDescriptor()->FindFieldByName(field.name);
  if (found == nullptr || !at->GetReflection()->HasField(*at, found)) return nullptr;
  return &at->GetReflection()->GetMessage(*at, found);
}

std::vector<Setter> InOrder(const InheritedField& field, std::vector<Setter> nearest_first) {
  std::erase_if(nearest_first, [&](const Setter& setter) { return Said(*setter.by, field) == nullptr; });
  return nearest_first;  // NEAREST_WINS, the one rule that there is.
}

}  // namespace weir::resource
