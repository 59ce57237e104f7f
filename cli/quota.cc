#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/quota.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {
namespace {

std::string Text(const v2::Quota::Use& use) { return fmt::format("{} of {}", use.used(), use.limit()); }

Result<int> Quota(const Flags& flags) {
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  std::vector<std::string> tenants;
  for (const std::string& word : flags.words) {
    WEIR_ASSIGN(tenants.emplace_back(), FqnArgument(session, word, resource::Kind::kTenant));
  }
  if (tenants.empty()) {
    WEIR_ASSIGN(const auto all, ListResources(client, session, resource::Info(resource::Kind::kTenant), {}));
    for (const ResourceMessage& tenant : all) tenants.push_back(resource::MetadataOf(*tenant).fqn());
  }
  std::vector<std::vector<std::string>> rows = {{"TENANT", "OBJECTS", "WATCHES"}};
  for (const std::string& tenant : tenants) {
    v2::GetQuotaRequest request;
    request.set_fqn(tenant);
    v2::Quota quota;
    WEIR_TRY(client.Call("Quotas/GetQuota", request, quota));
    rows.push_back({std::string(resource::LastName(tenant)), Text(quota.objects()), Text(quota.watches())});
  }
  std::cout << Table(rows);
  return kExitOk;
}

}  // namespace

Command QuotaCommand() {
  return {"quota",
          "what tenants take of the server, and may",
          R"(Usage: weir quota [TENANT…]

What each tenant takes of the server, and how much it may. Administrators of the organization set that, in the
OrganizationSetting: spec.tenantQuota for all, spec.tenantQuotas for single tenants.

  weir quota
  weir quota payments
)",
          {{}, {}, {}},
          Quota};
}

}  // namespace weir::cli
