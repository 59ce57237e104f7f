#include "libs/net/tls.h"

#include <gtest/gtest.h>

namespace weir::net {
namespace {

constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1";

TEST(TlsPeerRule, AnExactIdIsThatIdAndNoOther) {
  TlsPeerRule rule;
  rule.exact = {kT1, "spiffe://edge.acme/ns/t1/sa/t2"};
  EXPECT_TRUE(rule.Accepts(kT1));
  EXPECT_TRUE(rule.Accepts("spiffe://edge.acme/ns/t1/sa/t2"));
  for (const char* other :
       {"spiffe://edge.acme/ns/t1/sa/t10", "spiffe://edge.acme/ns/t1/sa/t", "spiffe://edge.acme/ns/t1/sa/t1/",
        "spiffe://edge.acme/ns/t1/sa/t1/x", "spiffe://edge.acme/ns/t10/sa/t1", "spiffe://edge.acme/ns/T1/sa/t1",
        "spiffe://Edge.acme/ns/t1/sa/t1", "SPIFFE://edge.acme/ns/t1/sa/t1", "spiffe://edge.acme2/ns/t1/sa/t1",
        "spiffe://edge.acm/ns/t1/sa/t1", "spiffe://c1.acme/ns/t1/sa/t1", "xspiffe://edge.acme/ns/t1/sa/t1",
        "spiffe://edge.acme", "spiffe://edge.acme/weir-agent", " spiffe://edge.acme/ns/t1/sa/t1", "x", ""}) {
    EXPECT_FALSE(rule.Accepts(other)) << other;
  }
}

TEST(TlsPeerRule, APrefixStandsAtTheBeginningAndIsWhole) {
  TlsPeerRule rule;
  rule.prefixes = {"spiffe://edge.acme/"};
  EXPECT_TRUE(rule.Accepts(kT1));
  for (const char* other : {"spiffe://edge.acme", "spiffe://edge.acme2/ns/t1/sa/t1", "spiffe://x.edge.acme/ns/t1/sa/t1",
                            "spiffe://Edge.acme/ns/t1/sa/t1", "x:spiffe://edge.acme/ns/t1/sa/t1", ""}) {
    EXPECT_FALSE(rule.Accepts(other)) << other;
  }
}

TEST(TlsPeerRule, WhoeverIsDemandedByNameMustHaveOne) {
  TlsPeerRule rule;
  EXPECT_TRUE(rule.Accepts(""));  // Nobody is asked who he is.
  EXPECT_TRUE(rule.Accepts(kT1));
  rule.exact = {kT1};
  EXPECT_FALSE(rule.Accepts(""));
  rule = {};
  rule.require_certificate = true;
  EXPECT_FALSE(rule.Accepts(""));
  EXPECT_TRUE(rule.Accepts(kT1));
}

}  // namespace
}  // namespace weir::net
