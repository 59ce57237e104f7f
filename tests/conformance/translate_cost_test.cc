// One change of a tier-2 gateway's routes among very many services of one namespace: counted, not timed.
#include <gtest/gtest.h>

#include <cstdio>

#include "libs/translate/xds/samples.h"
#include "tests/conformance/counted_heap.h"

namespace weir::translate {
namespace {

using namespace samples;  // NOLINT

constexpr int kMeasured = 10;

struct Cost {
  double built, read;         // Pieces made and messages read, per change.
  double allocations, bytes;  // Per change and service.
};

void PutSet(int host, int service, Intent* intent) {
  Put<mesh::v1::DestinationSet>(fmt::format("name: 'set-{0}' hostname: 'h{0}.example' service {{ namespace: 'shop' "
                                            "host: 's{1}.shop.svc.cluster.local' port: 80 }}",
                                            host, service),
                                intent);
}

// A gateway with a host for each service, and a pod behind each.
struct Many {
  explicit Many(int count) : services(count) {
    std::string text = R"(workloads { name: "t2" namespace: "in" labels { key: "app" value: "t2" }
                                      addresses: "127.0.2.10" service_account: "t2" })";
    Put<mesh::v1::Listener>(R"(name: "in/app=t2/80" port: 80 tier: TIER2
                               selector { namespace: "in" labels { key: "app" value: "t2" } })",
                            &intent);
    for (int i = 0; i < count; ++i) {
      text += fmt::format(
          R"(workloads {{ name: "p{0}" namespace: "shop" labels {{ key: "app" value: "s{0}" }}
                          addresses: "127.1.{1}.{2}" }}
             services {{ name: "s{0}" namespace: "shop" ports: 80 selector {{ key: "app" value: "s{0}" }} }})",
          i, i / 250, 1 + i % 250);
      Put<mesh::v1::Host>(
          fmt::format("name: 'in/app=t2/80/h{0}.example' hostname: 'h{0}.example' listener: 'in/app=t2/80' on_mesh: "
                      "true allowed_callers: 'spiffe://edge.weir/ns/edge/sa/default' routes {{ name: 'web/0' "
                      "destination_set: 'set-{0}' }}",
                      i),
          &intent);
      PutSet(i, i, &intent);
    }
    facts = std::make_shared<const Facts>(MakeFacts(text));
  }

  // The first host turns from one service to the next; the others are what they were.
  Cost Measure() {
    Translator translator(Identity("c1"));
    Intent now = intent;
    const auto turn = [&](int to) {
      PutSet(0, to, &now);
      const auto given = std::make_shared<const Intent>(now);
      heap.counts = true;
      const auto config = translator.Translate(given, facts, "in/t2", kOurs);
      heap.counts = false;
      EXPECT_EQ(config->types.at(std::string(xds::kVirtualHost)).size(), static_cast<size_t>(services));
    };
    turn(0);
    turn(1);  // Whatever is made once is made.
    const uint64_t built = translator.built(), read = translator.read();
    heap = {};
    for (int i = 0; i < kMeasured; ++i) turn(2 + i);
    const double each = static_cast<double>(kMeasured) * services;
    return {static_cast<double>(translator.built() - built) / kMeasured,
            static_cast<double>(translator.read() - read) / kMeasured, static_cast<double>(heap.calls) / each,
            static_cast<double>(heap.bytes) / each};
  }

  const int services;
  Intent intent;
  std::shared_ptr<const Facts> facts;
};

TEST(TranslateCost, OneChangeDoesTheSameWorkPerServiceAmongTwoThousandAsAmongAHundred) {
  const Cost small = Many(100).Measure();
  const Cost large = Many(2'000).Measure();
  for (const auto& [name, cost] : {std::pair("100", small), std::pair("2,000", large)}) {
    std::printf("%6s services: %.1f pieces, %.1f messages read; per service %.1f allocations, %.0f bytes\n", name,
                cost.built, cost.read, cost.allocations, cost.bytes);
  }
  EXPECT_EQ(large.built, small.built);
  EXPECT_EQ(large.read, small.read);
  // Every piece is looked at, none is looked for: a search among all services for each of them would be twenty times as
  // dear. What one change costs by itself is spread over the services.
  EXPECT_LE(large.allocations, small.allocations * 1.1);
  EXPECT_LE(large.bytes, small.bytes * 1.1);
}

}  // namespace
}  // namespace weir::translate
