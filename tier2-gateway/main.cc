#include "libs/gateway/gateway.h"
#include "tier2-gateway/role.h"

int main(int argc, char** argv) { return weir::gateway::Main(*weir::tier2::NewTier2Role(), argc, argv); }
