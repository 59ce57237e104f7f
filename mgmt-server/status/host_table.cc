#include "mgmt-server/status/host_table.h"

#include <memory>

#include "mgmt-server/compile/keys.h"

namespace weir::status {
namespace {

std::shared_ptr<const traffic::VirtualHost> Rules(const mesh::v1::Host& host) {
  auto out = std::make_shared<traffic::VirtualHost>();
  out->name = host.name();
  out->domains = {host.hostname()};
  for (int i = 0; i < host.routes_size(); ++i) {
    const auto action = static_cast<uint32_t>(i);
    if (host.routes(i).match().empty()) out->rules.push_back({traffic::PathKind::kPrefix, "/", action});
    for (const mesh::v1::RouteMatch& match : host.routes(i).match()) {
      if (match.has_exact())
        out->rules.push_back({traffic::PathKind::kExact, match.exact(), action});
      else
        out->rules.push_back({traffic::PathKind::kPrefix, match.has_prefix() ? match.prefix() : "/", action});
    }
  }
  return out;
}

}  // namespace

HostTable::HostTable(Pieces& pieces, const std::string& cluster, const std::set<std::string>& names) {
  std::set<std::string> taken;
  std::vector<std::shared_ptr<const traffic::VirtualHost>> table;
  for (const std::string& name : names) {
    const compile::Resource* piece = pieces.Find(cluster, {std::string(compile::kHost), name});
    mesh::v1::Host host;
    if (piece == nullptr || !host.ParseFromString(piece->bytes) || !taken.insert(host.hostname()).second) continue;
    table.push_back(Rules(host));
    hosts_.push_back(std::move(host));
    origins_.push_back(piece->provenance);
  }
  auto built = traffic::RouteTable::Build(std::move(table));
  if (built.ok()) table_ = std::move(built).value();
}

HostTable::Taken HostTable::Match(const std::string& authority, const std::string& target) const {
  const traffic::RouteTable::Found found = table_.Match(authority, target);
  Taken taken;
  if (found.host == nullptr) return taken;
  taken.host = &hosts_[found.host_index];
  taken.origins = &origins_[found.host_index];
  if (found.rule == nullptr) return taken;
  taken.number = static_cast<int>(found.rule->action);
  taken.route = &taken.host->routes(taken.number);
  const bool every = found.rule->kind == traffic::PathKind::kPrefix && found.rule->path == "/";
  taken.match = every ? "every path"
                      : fmt::format("{} {}", found.rule->kind == traffic::PathKind::kExact ? "exact" : "prefix",
                                    found.rule->path);
  return taken;
}

}  // namespace weir::status
