#include "mgmt-server/compile/named_service.h"

#include "libs/resource/kinds.h"
#include "libs/resource/references.h"

namespace weir::compile {

bool MayServe(const World& world, const GatewayShape& shape, std::string_view cluster, std::string_view host) {
  const v2::Workspace* workspace = world.workspace(shape.workspace);
  const size_t slash = host.find('/');
  return workspace != nullptr && slash != std::string_view::npos &&
         resource::MayServe(*workspace, resource::LastName(cluster), host.substr(0, slash));
}

NamedService FindNamedService(const World& world, const GatewayShape& shape, std::string_view cluster,
                              const std::string& host) {
  if (!MayServe(world, shape, cluster, host)) return {.outside = true, .service = nullptr};
  const Facts* facts = world.facts(cluster);
  return {.outside = false, .service = facts == nullptr ? nullptr : facts->FindService(host)};
}

}  // namespace weir::compile
