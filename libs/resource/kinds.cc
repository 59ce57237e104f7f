#include "libs/resource/kinds.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/kind.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "libs/base/text.h"

namespace weir::resource {

#define WEIR_KIND(name) KindRules name##Rules();
WEIR_KINDS(WEIR_KIND)
#undef WEIR_KIND

namespace {

KindInfo MakeInfo(Kind kind, KindRules rules, const std::vector<KindInfo>& before) {
  const v2::Kind& option = rules.descriptor->options().GetExtension(v2::kind);
  KindInfo info;
  info.kind = kind;
  info.name = rules.descriptor->name();
  info.api_group = option.group() + ".weir.dev";
  if (option.tsb_kind() != "-") {
    info.tsb_group = option.group() + ".tsb.tetrate.io";
    info.tsb_kind = option.tsb_kind().empty() ? info.name : option.tsb_kind();
  }
  info.collection = option.collection();
  for (const KindInfo& parent : before) {
    if (parent.name != option.parent()) continue;
    info.above = parent.above;
    info.above.push_back(parent.kind);
  }
  info.short_names.assign(option.short_names().begin(), option.short_names().end());
  info.one_per_parent = option.one_per_parent();
  info.rules = std::move(rules);
  return info;
}

// In the order of the numbers of Kind. Lives until the program ends.
const std::vector<KindInfo>& All() {
  static const auto& kinds = *[] {
    auto* made = new std::vector<KindInfo>;
#define WEIR_KIND(name) made->push_back(MakeInfo(Kind::k##name, name##Rules(), *made));
    WEIR_KINDS(WEIR_KIND)
#undef WEIR_KIND
    return made;
  }();
  return kinds;
}

constexpr std::string_view kRegistered = "Service";  // Of no dialect: nobody writes one.

// Kinds of TSB that are not served, and what does the same.
std::string InsteadOf(std::string_view kind) {
  struct Foreign {
    std::string_view kind;
    std::string_view instead;
  };
  static constexpr std::string_view kNothing = "nothing does it yet";
  static constexpr Foreign kForeign[] = {
      {"SecuritySetting", kNothing},
      {"ServiceSecuritySetting", kNothing},
      {"TrafficSetting", "failoverSettings of OrganizationSetting, TenantSetting or WorkspaceSetting for the failover"},
      {"ServiceTrafficSetting", kNothing},
      {"ServiceRoute", "the rules of a Gateway for what comes from outside of the cluster"},
      {"EgressGateway", kNothing},
      {"Application", "a Workspace with its groups"},
      {"API", "a Gateway"},
      {"WasmExtension", kNothing},
      {"Profile", "OrganizationSetting, TenantSetting and WorkspaceSetting"},
      {"InstallGateway", "weir-tier1 or weir-tier2 on a machine of the cluster"},
      {"ControlPlane", "weir cluster token NAME, and weir-agent on a machine of the cluster"},
      {"ManagementPlane", "weir-server"},
  };
  for (const Foreign& each : kForeign) {
    if (each.kind == kind) return std::string(each.instead);
  }
  return "";
}

Error WrittenByNobody() {
  Error error = InvalidArgument("UNKNOWN_KIND", "a {} is written by nobody", kRegistered);
  const std::string why = "is what agents report, and written by nobody: weir get services shows them";
  error.violations = {{"kind", fmt::format("\"{}\" {}", kRegistered, why), 0, 0}};
  return error;
}

bool IsCalled(const KindInfo& info, const std::string& wanted) {
  const std::string name = AsciiLower(info.name);
  if (name == wanted || name + "s" == wanted || info.collection == wanted) return true;
  return std::any_of(info.short_names.begin(), info.short_names.end(),
                     [&](const std::string& each) { return each == wanted || each + "s" == wanted; });
}

}  // namespace

std::string KindInfo::ApiVersion() const { return api_group + "/v2"; }

std::span<const KindInfo> Kinds() { return All(); }
const KindInfo& Info(Kind kind) { return All()[static_cast<size_t>(kind)]; }

const KindInfo* FindKind(std::string_view name) {
  for (const KindInfo& info : All()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}
const KindInfo* FindCollection(std::optional<Kind> parent, std::string_view collection) {
  for (const KindInfo& info : All()) {
    if (info.collection == collection && info.parent() == parent) return &info;
  }
  return nullptr;
}
const KindInfo* KindOf(const google::protobuf::Message& message) {
  const auto* descriptor = message.GetDescriptor();
  for (const KindInfo& info : All()) {
    if (info.rules.descriptor == descriptor) return &info;
  }
  return nullptr;
}
const KindInfo* FindLoosely(std::string_view text) {
  const std::string wanted = AsciiLower(text);
  for (const KindInfo& info : All()) {
    if (IsCalled(info, wanted)) return &info;
  }
  return nullptr;
}

Result<const KindInfo*> ResolveDocument(std::string_view api_version, std::string_view kind) {
  bool version_known = false;
  std::string kinds;
  std::set<std::string> versions;
  for (const KindInfo& info : All()) {
    versions.insert(info.ApiVersion());
    const bool native = api_version == info.ApiVersion();
    const bool tsb = !info.tsb_group.empty() && api_version == info.tsb_group + "/v2";
    if (!native && !tsb) continue;
    const std::string& name = native ? info.name : info.tsb_kind;
    if (kind == name) return &info;
    version_known = true;
    kinds += (kinds.empty() ? "" : ", ") + name;
  }
  if (kind == kRegistered) return WrittenByNobody();
  if (const std::string instead = InsteadOf(kind); !instead.empty() && api_version.find("tetrate.io/") != kind.npos) {
    Error error = InvalidArgument("UNKNOWN_KIND", "no kind \"{}\" is served in {}", kind, api_version);
    error.violations = {
        {"kind", fmt::format("\"{}\" is not served yet, and nothing was stored; instead: {}", kind, instead), 0, 0}};
    return error;
  }
  if (version_known) {
    Error error = InvalidArgument("UNKNOWN_KIND", "no kind \"{}\" is served in {}", kind, api_version);
    error.violations = {
        {"kind", fmt::format("\"{}\" is not served in {}; served: {}", kind, api_version, kinds), 0, 0}};
    return error;
  }
  std::string known;
  for (const std::string& version : versions) known += (known.empty() ? "" : ", ") + version;
  Error error = InvalidArgument("UNKNOWN_API_VERSION", "apiVersion \"{}\" is not known", api_version);
  error.violations = {{"apiVersion",
                       fmt::format("\"{}\" is not known; known: {} and the same of tsb.tetrate.io", api_version, known),
                       0, 0}};
  return error;
}

std::unique_ptr<google::protobuf::Message> NewMessage(Kind kind) {
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  return std::unique_ptr<google::protobuf::Message>(factory->GetPrototype(&Info(kind).descriptor())->New());
}

std::string NotServedText(const google::protobuf::Descriptor& message, std::string_view field) {
  for (const KindInfo& info : All()) {
    for (const NotServed& each : info.rules.not_served) {
      if (each.message != message.name()) continue;
      if (std::find(each.fields.begin(), each.fields.end(), field) == each.fields.end()) continue;
      if (each.instead.empty()) {
        return fmt::format("not served yet, and nothing was stored; take {} away only if the rest is right without it",
                           field);
      }
      return fmt::format("not served yet, and nothing was stored; instead of {}: {}", field, each.instead);
    }
  }
  return "";
}

const v2::Metadata& MetadataOf(const google::protobuf::Message& resource) {
  const auto* field = resource.GetDescriptor()->FindFieldByName("metadata");
  return static_cast<const v2::Metadata&>(resource.GetReflection()->GetMessage(resource, field));
}
v2::Metadata& MutableMetadataOf(google::protobuf::Message& resource) {
  const auto* field = resource.GetDescriptor()->FindFieldByName("metadata");
  return static_cast<v2::Metadata&>(*resource.GetReflection()->MutableMessage(&resource, field));
}

}  // namespace weir::resource
