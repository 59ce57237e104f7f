#include "pod-proxy/role.h"
#include "libs/gateway/gateway.h"

int main(int argc, char** argv) { return weir::gateway::Main(weir::podproxy::PodProxyRole(), argc, argv); }
