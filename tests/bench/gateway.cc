// weir-bench-gateway: weir-tier1, but for its rule that it calls nobody without TLS. No role of Weir goes from plain
// to plain, and with it the same engine can be measured against peers that do.
#include "libs/gateway/gateway.h"

#include "tier1-gateway/role.h"

int main(int argc, char** argv) {
  weir::gateway::Role role = weir::tier1::Tier1Role();
  role.checks = {};
  return weir::gateway::Main(role, argc, argv);
}
