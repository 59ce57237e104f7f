#include "tier2-gateway/role.h"

#include <gtest/gtest.h>

#include "libs/proxy/snapshot.h"

namespace weir::tier2 {
namespace {

TEST(Tier2Role, LetsOnlyNamedCallersIn) {
  proxy::Listener listener;
  listener.name = "15443";
  listener.port = 15443;
  proxy::FilterChain& chain = listener.chains.emplace_back();
  const auto check = [&] { return NewTier2Role()->CheckListener(listener); };
  EXPECT_FALSE(check().ok());
  chain.tls.emplace();
  EXPECT_FALSE(check().ok());
  chain.tls->require_client_certificate = true;
  EXPECT_FALSE(check().ok());
  chain.tls->allowed_uris = {{"spiffe://edge.acme/ns/edge/sa/t1", false}};
  EXPECT_TRUE(check().ok());
}

}  // namespace
}  // namespace weir::tier2
