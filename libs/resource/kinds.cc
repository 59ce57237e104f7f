#include "libs/resource/kinds.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <array>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/tenant.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/user.pb.h"
#include "api/weir/v2/workspace.pb.h"

namespace weir::resource {
namespace {

template <typename T>
const google::protobuf::Descriptor& DescriptorOf() {
  return *T::descriptor();
}

constexpr std::string_view kApi = "api.weir.dev";
constexpr std::string_view kGatewayApi = "gateway.weir.dev";
constexpr std::string_view kRbac = "rbac.weir.dev";
constexpr std::string_view kTsbApi = "api.tsb.tetrate.io";
constexpr std::string_view kTsbGateway = "gateway.tsb.tetrate.io";
constexpr std::string_view kTsbRbac = "rbac.tsb.tetrate.io";

// In the order of the numbers of Kind.
const std::array<KindInfo, 10> kKinds = {{
    {Kind::kOrganization, "Organization", kApi, kTsbApi, "Organization", "organizations", std::nullopt,
     DescriptorOf<v2::Organization>},
    {Kind::kTenant, "Tenant", kApi, kTsbApi, "Tenant", "tenants", Kind::kOrganization, DescriptorOf<v2::Tenant>},
    {Kind::kWorkspace, "Workspace", kApi, kTsbApi, "Workspace", "workspaces", Kind::kTenant,
     DescriptorOf<v2::Workspace>},
    {Kind::kGatewayGroup, "GatewayGroup", kGatewayApi, kTsbGateway, "Group", "gatewaygroups", Kind::kWorkspace,
     DescriptorOf<v2::GatewayGroup>},
    {Kind::kCluster, "Cluster", kApi, kTsbApi, "Cluster", "clusters", Kind::kOrganization, DescriptorOf<v2::Cluster>},
    {Kind::kUser, "User", kApi, kTsbApi, "User", "users", Kind::kOrganization, DescriptorOf<v2::User>},
    {Kind::kAccessBindings, "AccessBindings", kRbac, kTsbRbac, "AccessBindings", "accessbindings", std::nullopt,
     DescriptorOf<v2::AccessBindings>},
    {Kind::kTier1Gateway, "Tier1Gateway", kGatewayApi, kTsbGateway, "Tier1Gateway", "tier1gateways",
     Kind::kGatewayGroup, DescriptorOf<v2::Tier1Gateway>},
    {Kind::kGateway, "Gateway", kGatewayApi, kTsbGateway, "Gateway", "gateways", Kind::kGatewayGroup,
     DescriptorOf<v2::Gateway>},
    {Kind::kOrganizationSetting, "OrganizationSetting", kApi, kTsbApi, "OrganizationSetting", "settings",
     Kind::kOrganization, DescriptorOf<v2::OrganizationSetting>},
}};

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Fields of the other dialect's messages that we know and do not serve, by our message's name.
struct Foreign {
  std::string_view message;
  std::string_view fields;  // Separated by blanks.
};
constexpr Foreign kForeign[] = {
    {"OrganizationSpec", "displayName deletionProtectionEnabled configGenerationMetadata systemNamespaces"},
    {"OrganizationSettingSpec",
     "displayName networkSettings regionalFailover defaultTrafficSetting defaultSecuritySetting "
     "configGenerationMetadata"},
    {"FailoverSettings", "topologyChoice"},
    {"TenantSpec", "displayName securityDomain deletionProtectionEnabled configGenerationMetadata profiles"},
    {"WorkspaceSpec",
     "displayName isolationBoundary securityDomain deletionProtectionEnabled configGenerationMetadata "
     "profiles"},
    {"GatewayGroupSpec", "displayName deletionProtectionEnabled configGenerationMetadata securityDomain profiles"},
    {"ClusterSpec",
     "displayName tokenTtl namespaceScope namespaces serviceAccount installTemplate trustDomain "
     "labels state namespaceScoping configGenerationMetadata"},
    {"Locality", "subzone"},
    {"UserSpec", "displayName firstName lastName loginName sourceType"},
    {"Subject", "team serviceAccount"},
    {"Tier1GatewaySpec",
     "internalServers passthroughServers tcpExternalServers tcpInternalServers waf extension configGenerationMetadata"},
    {"Tier1ExternalServer", "redirect authentication authorization rateLimiting"},
    {"ClusterDestination", "labels network"},
    {"GatewaySpec", "tls tcp egressAuthorization waf wasmPlugins configGenerationMetadata"},
    {"HttpServer",
     "trafficMode authentication authorization rateLimiting openapi xxxOldAuthentication xxxOldAuthorization"},
    {"HttpRouting", "corsPolicy"},
    {"HttpRule", "modify disableExternalAuthorization name"},
    {"HttpMatch", "name scheme authority headers port method queryParams"},
    {"StringMatch", "regex"},
    {"HttpRoute", "stickySession"},
    {"ServiceDestination", "tls"},
    {"HttpRedirect", "scheme port"},
    {"ServerTls", "secretName files caCertificates subjectAltNames minProtocolVersion maxProtocolVersion cipherSuites"},
    {"NamespaceSelector", "labels"},
};

}  // namespace

std::string KindInfo::ApiVersion() const { return std::string(api_group) + "/v2"; }

std::span<const KindInfo> Kinds() { return kKinds; }
const KindInfo& Info(Kind kind) { return kKinds[static_cast<size_t>(kind)]; }

const KindInfo* FindKind(std::string_view name) {
  for (const KindInfo& info : kKinds) {
    if (info.name == name) return &info;
  }
  return nullptr;
}
const KindInfo* FindCollection(std::string_view collection) {
  for (const KindInfo& info : kKinds) {
    if (info.collection == collection) return &info;
  }
  return nullptr;
}
const KindInfo* KindOf(const google::protobuf::Message& message) {
  for (const KindInfo& info : kKinds) {
    if (&info.descriptor() == message.GetDescriptor()) return &info;
  }
  return nullptr;
}
const KindInfo* FindLoosely(std::string_view text) {
  const std::string wanted = Lower(text);
  for (const KindInfo& info : kKinds) {
    const std::string name = Lower(info.name);
    if (name == wanted || name + "s" == wanted || info.collection == wanted) return &info;
  }
  if (wanted == "group" || wanted == "groups") return &Info(Kind::kGatewayGroup);
  if (wanted == "setting") return &Info(Kind::kOrganizationSetting);
  if (wanted == "org" || wanted == "orgs") return &Info(Kind::kOrganization);
  return nullptr;
}

Result<const KindInfo*> ResolveDocument(std::string_view api_version, std::string_view kind) {
  bool version_known = false;
  std::string kinds;
  for (const KindInfo& info : kKinds) {
    const bool native = api_version == info.ApiVersion();
    const bool tsb = api_version == std::string(info.tsb_group) + "/v2";
    if (!native && !tsb) continue;
    const std::string_view name = native ? info.name : info.tsb_kind;
    if (kind == name) return &info;
    version_known = true;
    kinds += (kinds.empty() ? "" : ", ") + std::string(name);
  }
  Error error;
  if (version_known) {
    error = InvalidArgument("UNKNOWN_KIND", "no kind \"{}\" is served in {}", kind, api_version);
    error.violations = {
        {"kind", fmt::format("\"{}\" is not served in {}; served: {}", kind, api_version, kinds), 0, 0}};
  } else {
    error = InvalidArgument("UNKNOWN_API_VERSION", "apiVersion \"{}\" is not known", api_version);
    error.violations = {{"apiVersion",
                         fmt::format("\"{}\" is not known; known: {}/v2, {}/v2, {}/v2 and the same of tsb.tetrate.io",
                                     api_version, kApi, kGatewayApi, kRbac),
                         0, 0}};
  }
  return error;
}

std::unique_ptr<google::protobuf::Message> NewMessage(Kind kind) {
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  return std::unique_ptr<google::protobuf::Message>(factory->GetPrototype(&Info(kind).descriptor())->New());
}

std::string NotServed(const google::protobuf::Descriptor& message, std::string_view field) {
  for (const Foreign& foreign : kForeign) {
    if (foreign.message != message.name()) continue;
    const std::string padded = " " + std::string(foreign.fields) + " ";
    if (padded.find(" " + std::string(field) + " ") != std::string::npos) {
      return fmt::format("not served yet: remove {}; nothing was stored", field);
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
