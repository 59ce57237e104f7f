#include "libs/gateway/gateway.h"
#include "tier1-gateway/role.h"

int main(int argc, char** argv) { return weir::gateway::Main(*weir::tier1::NewTier1Role(), argc, argv); }
