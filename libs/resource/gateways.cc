#include "libs/resource/gateways.h"

#include <fmt/format.h>

#include <algorithm>

#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {

std::string GatewayForm::Field(int server, std::string_view name) const {
  return fmt::format("{}[{}]{}{}", rules->servers, server, name.empty() ? "" : ".", name);
}
std::string GatewayForm::RuleOf(int server, int rule) const {
  return Field(server, rules->rule.empty() ? "" : fmt::format(fmt::runtime(rules->rule), rule));
}
std::string GatewayForm::ClustersOf(int server, int rule) const {
  return Field(server, fmt::format(fmt::runtime(rules->clusters), rule));
}
std::string GatewayForm::ServiceOf(int server, int rule) const {
  return Field(server, fmt::format(fmt::runtime(rules->service), rule));
}

GatewayForm FormOf(const std::shared_ptr<const google::protobuf::Message>& resource) {
  const KindInfo* info = resource == nullptr ? nullptr : KindOf(*resource);
  if (info == nullptr || info->rules.effect != Effect::kGateway) return {};
  GatewayForm form{nullptr, &info->rules};
  if (info->rules.as_gateway) {
    form.gateway = std::make_shared<const v2::Gateway>(info->rules.as_gateway(*resource));
  } else {
    form.gateway = std::static_pointer_cast<const v2::Gateway>(resource);
  }
  return form;
}

bool GoesToClusters(const v2::HttpServer& server) {
  const auto& rules = server.routing().rules();
  return std::any_of(rules.begin(), rules.end(),
                     [](const auto& rule) { return rule.route().has_cluster_destination(); });
}
bool GoesToServices(const v2::HttpServer& server) {
  const auto& rules = server.routing().rules();
  return std::any_of(rules.begin(), rules.end(),
                     [](const auto& rule) { return rule.route().has_service_destination(); });
}
bool IsTier1(const v2::Gateway& gateway) {
  return std::any_of(gateway.spec().http().begin(), gateway.spec().http().end(), GoesToClusters);
}

}  // namespace weir::resource
