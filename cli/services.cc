#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/service.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/output.h"

namespace weir::cli {
namespace {

std::string HealthOf(const v2::ServiceInCluster& one) {
  std::string text = one.health() == v2::SERVING       ? "serving"
                     : one.health() == v2::NOT_SERVING ? "not serving: " + one.reason()
                                                       : "";
  if (!one.connected()) text += (text.empty() ? "" : ", ") + std::string("agent not connected");
  return text;
}

std::string TableOf(const std::vector<v2::Service>& services, bool wide) {
  std::vector<std::vector<std::string>> rows = {{"NAMESPACE", "NAME", "CLUSTER", "PORTS", "ENDPOINTS", "HEALTH"}};
  if (wide) rows.front().emplace_back("HOST");
  for (const v2::Service& service : services) {
    const std::string& name = service.metadata().name();
    for (const auto& one : service.state().clusters()) {
      std::vector<std::string> row = {service.state().namespace_(),
                                      name.substr(0, name.find('.')),
                                      one.cluster(),
                                      fmt::format("{}", fmt::join(one.ports(), ",")),
                                      std::to_string(one.endpoints()),
                                      HealthOf(one)};
      if (wide) row.push_back(one.host());
      rows.push_back(std::move(row));
    }
  }
  return Table(rows);
}

Result<std::vector<v2::Service>> ListAll(Client& client, const Session& session, const Flags& flags) {
  v2::ListServicesRequest request;
  request.set_parent(session.OrganizationFqn());
  request.set_page_size(1000);
  request.set_filter(flags.Get("filter"));
  request.set_order_by(flags.Get("sort-by"));
  std::vector<v2::Service> services;
  do {
    v2::ListServicesResponse page;
    WEIR_TRY(client.Call("Services/ListServices", request, page));
    for (v2::Service& service : *page.mutable_items()) services.push_back(std::move(service));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return services;
}

Result<v2::Service> GetOne(Client& client, const Session& session, const std::string& word) {
  v2::GetServiceRequest request;
  request.set_fqn(word.find('/') != std::string::npos ? word : session.OrganizationFqn() + "/services/" + word);
  v2::Service service;
  WEIR_TRY(client.Call("Services/GetService", request, service));
  return service;
}

void Print(const std::vector<v2::Service>& services, const std::string& format, bool single) {
  if (format == "name") {
    for (const v2::Service& service : services) std::cout << service.metadata().fqn() << "\n";
  } else if (format == "yaml" || format == "json") {
    v2::ListServicesResponse all;
    for (const v2::Service& service : services) *all.add_items() = service;
    const google::protobuf::Message* shown = &all;
    if (single) shown = &all.items(0);
    std::cout << (format == "json" ? document::ToJson(*shown, true) : document::ToYaml(*shown));
  } else if (services.empty()) {
    std::cerr << "No service that you may see is reported; `weir status` says whether agents are connected.\n";
  } else {
    std::cout << TableOf(services, format == "wide");
  }
}

Result<int> GetServices(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "wide" && format != "name" && format != "yaml" && format != "json") {
    return Usage("-o is table, wide, name, yaml or json");
  }
  for (const auto& [flag, why] : {std::pair("selector", "has no labels, --filter asks for what it has"),
                                  {"as-of", "is as agents report it now, nothing of it is kept"},
                                  {"watch", "is not watched, ask again"}}) {
    if (flags.Has(flag)) return Usage(fmt::format("--{}: a service {}", flag, why));
  }
  if (!flags.words.empty() && (flags.Has("filter") || flags.Has("sort-by"))) {
    return Usage("--filter and --sort-by are for lists; leave the names out");
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  std::vector<v2::Service> services;
  if (flags.words.empty()) {
    WEIR_ASSIGN(services, ListAll(client, session, flags));
  }
  for (const std::string& word : flags.words) {
    WEIR_ASSIGN(v2::Service service, GetOne(client, session, word));
    services.push_back(std::move(service));
  }
  Print(services, format, flags.words.size() == 1);
  return kExitOk;
}

}  // namespace

Command GetServicesCommand() {
  return {
      "get services",
      "what agents report as services",
      R"(Usage: weir get services [NAME.NAMESPACE…] [-o table|wide|name|yaml|json] [--filter FILTER] [--sort-by FIELDS]

The registry of services, one line per service and cluster: what the agents report under one name and namespace. Nobody
writes it. Readers of the organization see all of it, readers of a workspace what runs in its namespaces.

ENDPOINTS   workloads that the service selects there
HEALTH      what the tier-2 gateways that route to it find; nothing where none does

It has no labels, no history and no watch: -l, --as-of and -w of `weir get` are refused.

  --filter    a subset of AIP-160: 'state.namespace = shop AND state.health = NOT_SERVING', 'state.clusters.cluster:east'
  --sort-by   'state.endpoints desc, metadata.name'

  weir get services
  weir get services web.shop -o yaml
)",
      {{"output", "filter", "sort-by", "selector", "as-of"},
       {"watch"},
       {{'o', "output"}, {'l', "selector"}, {'w', "watch"}}},
      GetServices};
}

}  // namespace weir::cli
