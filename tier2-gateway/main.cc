#include "tier2-gateway/role.h"
#include "libs/gateway/gateway.h"

int main(int argc, char** argv) { return weir::gateway::Main(weir::tier2::Tier2Role(), argc, argv); }
