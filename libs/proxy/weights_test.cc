#include "libs/proxy/engine_test_peers.h"

namespace weir::proxy {
namespace {

// A weight that changes each second, with fewer requests between two changes than the small cluster waits for its turn:
// what it is owed is not forgotten.
TEST_F(EngineTest, WhatAClusterIsOwedOutlivesEachChangeOfWeights) {
  Echo large("large"), small("small");
  const auto config = [&](uint32_t weight) {
    return Config({At("c1", weight, {large.backend.port}), At("c2", 100 - weight, {small.backend.port})});
  };
  Config first = config(98);
  Start(first);
  Conn conn = Conn::To(port);
  int served = 0;
  double owed = 0;
  constexpr int kChanges = 40, kBetween = 16;
  for (int change = 0; change < kChanges; ++change) {
    const uint32_t weight = change % 2 == 0 ? 98 : 97;
    Config next = config(weight);
    const Status applied = ApplyAndWait(engine, next.Build());
    ASSERT_TRUE(applied.ok()) << applied.error().ToString();
    for (int i = 0; i < kBetween; ++i) {
      conn.Send(kGet);
      served += Response(conn).second == "small" ? 1 : 0;
    }
    owed += kBetween * (100 - weight) / 100.0;
    EXPECT_LE(std::abs(served - owed), 1.0) << "after change " << change;
  }
  EXPECT_NEAR(served, 16, 1);
}

}  // namespace
}  // namespace weir::proxy
