#include "libs/gateway/gateway.h"
#include "pod-proxy/role.h"

int main(int argc, char** argv) { return weir::gateway::Main(*weir::podproxy::NewPodProxyRole(), argc, argv); }
