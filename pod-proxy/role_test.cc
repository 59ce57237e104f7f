#include "pod-proxy/role.h"

#include <gtest/gtest.h>

#include "libs/proxy/snapshot.h"

namespace weir::podproxy {
namespace {

TEST(PodProxyRole, SendsPlainBytesToItsOwnWorkloadOnly) {
  proxy::Listener listener;
  listener.address = "10.0.0.7";
  proxy::FilterChain& chain = listener.chains.emplace_back();
  chain.tls = proxy::DownstreamTls{true, {{"spiffe://c1.acme/", true}}};
  proxy::DestinationSet destination;
  destination.localities.emplace_back().endpoints.emplace_back();
  const auto role = NewPodProxyRole();
  const auto check = [&](const char* address) {
    destination.localities[0].endpoints[0].address = address;
    return role->CheckDestinationSet(destination, {"10.0.0.7"});
  };
  EXPECT_TRUE(role->CheckListener(listener).ok());
  EXPECT_TRUE(check("10.0.0.7").ok());
  EXPECT_TRUE(check("127.0.0.1").ok());
  EXPECT_EQ(check("10.0.0.8").error().reason, "PEER_IDENTITY");
  chain.tls.reset();
  EXPECT_FALSE(role->CheckListener(listener).ok());
}

}  // namespace
}  // namespace weir::podproxy
