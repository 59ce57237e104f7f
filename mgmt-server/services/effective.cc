#include <google/protobuf/message.h>

#include <algorithm>
#include <map>

#include "api/weir/v2/effective.pb.h"
#include "libs/resource/gateways.h"
#include "libs/resource/inheritance.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

using google::protobuf::Message;
using resource::InheritedField;
using resource::KindInfo;
using store::ResourcePtr;

// A setting, or the gateway object of a server, as it is stored, and what it says.
struct Source {
  ResourcePtr stored;
  std::shared_ptr<const Message> message;
};

// Whether a kind says any inherited field of what it stands in.
bool IsSetting(const KindInfo& kind) {
  const auto* spec = kind.descriptor().FindFieldByName("spec");
  const auto& fields = resource::InheritedFields();
  return kind.one_per_parent && spec != nullptr &&
         std::any_of(fields.begin(), fields.end(), [&](const InheritedField& field) {
           return spec->message_type()->FindFieldByName(field.name) != nullptr;
         });
}

// The settings of a place and of everything above it, nearest first.
Result<std::vector<Source>> SettingsAbove(const store::View& view, const resource::Fqn& place) {
  std::vector<Source> found;
  for (std::string at = place.text; !at.empty(); at = resource::ParentFqn(at)) {
    WEIR_ASSIGN(const resource::Fqn owner, resource::ParseFqn(at));
    for (const KindInfo& kind : resource::Kinds()) {
      if (!IsSetting(kind) || kind.parent() != owner.kind) continue;
      ResourcePtr first;  // As compile takes it.
      view.ForEach(at, kind.name, [&](const ResourcePtr& setting) {
        first = setting;
        return false;
      });
      if (first == nullptr) continue;
      WEIR_ASSIGN(MessagePtr message, ToMessage(*first));
      found.push_back({std::move(first), std::move(message)});
    }
  }
  return found;
}

constexpr size_t kMostValueBytes = 1u << 20;  // As effective.proto says.

class Answering {
 public:
  Answering(const store::View& view, const authn::Principal& principal, std::vector<Source> above,
            v2::EffectiveSettings& answer)
      : view_(view), principal_(principal), above_(std::move(above)), answer_(answer) {}

  // `own`: the server of the object `of`; null = the place is no gateway.
  void Say(const InheritedField& field, const Message* own, const ResourcePtr& of, const std::string& server) {
    std::vector<resource::Setter> setters;
    std::map<std::string, ResourcePtr> stored;
    const auto add = [&](const ResourcePtr& source, const Message& by) {
      setters.push_back({source->fqn, &by});
      stored[source->fqn] = source;
    };
    if (own != nullptr) add(of, *own);
    for (const Source& source : above_) add(source.stored, *source.message);
    v2::EffectiveField& told = *answer_.add_fields();
    told.set_field(field.json_name);
    told.set_server(server);
    told.set_rule(field.rule);
    told.set_default_text(field.default_text);
    bool first = true;
    for (const resource::Setter& setter : resource::InOrder(field, std::move(setters))) {
      v2::EffectiveSetter& is = first ? *told.mutable_set_by() : *told.add_overridden();
      Fill(field, setter, *stored[setter.fqn], is);
      if (first && is.has_value()) *told.mutable_value() = is.value();
      first = false;
    }
  }

 private:
  void Fill(const InheritedField& field, const resource::Setter& setter, const store::StoredResource& stored,
            v2::EffectiveSetter& is) {
    if (!authz::Allowed(view_, principal_, authz::Right::kRead, stored)) return is.set_hidden(true);
    is.set_fqn(stored.fqn);
    is.set_uid(stored.uid);
    is.set_revision(stored.revision);
    const auto* to = v2::EffectiveValue::descriptor()->FindFieldByName(field.name);
    const Message* said = resource::Said(*setter.by, field);
    const size_t size = said == nullptr ? 0 : said->ByteSizeLong() + 1;
    if (to == nullptr || said == nullptr || size > room_) return;
    room_ -= size;
    v2::EffectiveValue& value = *is.mutable_value();
    value.GetReflection()->MutableMessage(&value, to)->CopyFrom(*said);
  }

  const store::View& view_;
  const authn::Principal& principal_;
  const std::vector<Source> above_;
  v2::EffectiveSettings& answer_;
  // A gateway of ten thousand servers below large settings says each of them ten thousand times.
  size_t room_ = kMostValueBytes;
};

// Whether anything at or above the place can say the field: what a tenant cannot be asked for is not told of it.
bool Reaches(const InheritedField& field, const resource::Fqn& place) {
  const std::vector<resource::Kind>& above = resource::Info(place.kind).above;
  return std::any_of(resource::Kinds().begin(), resource::Kinds().end(), [&](const KindInfo& kind) {
    const auto* spec = kind.descriptor().FindFieldByName("spec");
    if (!kind.parent() || spec == nullptr || spec->message_type()->FindFieldByName(field.name) == nullptr) return false;
    return *kind.parent() == place.kind || std::find(above.begin(), above.end(), *kind.parent()) != above.end();
  });
}

Result<v2::EffectiveSettings> Get(const Backends& backends, CallContext& call,
                                  const v2::GetEffectiveSettingsRequest& request) {
  WEIR_ASSIGN(const resource::Fqn place, resource::ParseFqn(request.fqn()));
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, place.text));
  const ResourcePtr stored = view->Get(place.text);
  if (stored == nullptr) return authz::Missing(place.text);
  WEIR_ASSIGN(MessagePtr read, ToMessage(*stored));
  const std::shared_ptr<const Message> message = std::move(read);
  v2::EffectiveSettings answer;
  answer.set_fqn(place.text);
  answer.set_revision(view->revision());
  WEIR_ASSIGN(std::vector<Source> above, SettingsAbove(*view, place));
  Answering answering(*view, call.principal, std::move(above), answer);
  const resource::GatewayForm form = resource::FormOf(message);
  for (const InheritedField& field : resource::InheritedFields()) {
    if (!Reaches(field, place)) continue;
    if (form.gateway == nullptr || !field.of_servers) {
      answering.Say(field, nullptr, nullptr, "");
      continue;
    }
    for (const v2::HttpServer& server : form.gateway->spec().http()) {
      answering.Say(field, &server, stored, server.name());
    }
  }
  return answer;
}

}  // namespace

void AddEffective(MethodTable& table, const Backends& backends) {
  table.Add<v2::GetEffectiveSettingsRequest, v2::EffectiveSettings>(
      "weir.v2.Effective.GetEffectiveSettings",
      [&backends](CallContext& call, const v2::GetEffectiveSettingsRequest& request) {
        return Get(backends, call, request);
      });
}

}  // namespace weir::services
