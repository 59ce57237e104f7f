#include "mgmt-server/invariants/facts.h"

#include <functional>

#include "mgmt-server/invariants/test_invariants.h"
#include "mgmt-server/status/test_health.h"

namespace weir::invariants {
namespace {

using compile::ClusterName;
using compile::World;
using status::Reported;
using status::Voice;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Judgement Judge(const World& world, const Reported& health, const std::string& spec) {
  const compile::Compilation compilation(world);
  status::PushedPieces pieces(compilation);
  return JudgeFacts(pieces, health, Make(spec));
}

struct Served {
  const char* what;
  std::function<void(World&, Reported&)> spoil;
  std::string broken, unknown;  // Parts; "" = it is not.
};
const Served kServed[] = {
    {"as it is pushed", [](World&, Reported&) {}, "", ""},
    {"one says that c2 cannot", [](World&, Reported& health) { health.Say("t1/gw-a", "c2", "gateways_down"); },
     "of gateway t1/gw-a of edge, 1 of 2 clusters can serve x.test: c2 cannot (GATEWAYS_DOWN", ""},
    {"not found out yet",
     [](World&, Reported& health) {
       health.voices["t1/gw-a"] = Voice::kHeard;
       health.Say("t1/gw-a", "c1", "");
       health.Say("t1/gw-a", "c2", "", true);
     },
     "c2 cannot (it is not found out yet)", ""},
    {"heard of both",
     [](World&, Reported& health) {
       for (const char* gateway : {"t1/gw-a", "t1/gw-b"}) {
         health.voices[gateway] = Voice::kHeard;
         for (const char* cluster : {"c1", "c2"}) health.Say(gateway, cluster, "");
       }
     },
     "", ""},
    {"no gateway of c2", [](World& world, Reported&) { world.RemoveWorkload(ClusterName("c2"), "t2/gw"); },
     "c2 cannot (NO_RECEIVER", ""},
    {"no service in c2", [](World& world, Reported&) { world.RemoveService(ClusterName("c2"), "app/web"); },
     "c2 cannot (SERVICE_MISSING", ""},
    {"on standby: intent says why",
     [](World& world, Reported&) {
       world.Put(ClusterName("c2"), compile::From<v2::Cluster>("spec { admin_state: STANDBY }"));
     },
     "1 of 2 clusters can serve x.test: c2 is STANDBY", ""},
    {"nobody is heard", [](World&, Reported& health) { health.voice = Voice::kAway; }, "", "gateway t1/gw-a: "},
    {"one is heard, and it holds", [](World&, Reported& health) { health.voices["t1/gw-a"] = Voice::kAway; }, "", ""},
    {"one is heard, and it does not",
     [](World&, Reported& health) {
       health.voices["t1/gw-a"] = Voice::kAway;
       health.Say("t1/gw-b", "c1", "no_endpoint");
     },
     "of gateway t1/gw-b of edge", ""},
    {"what is not heard is not believed",
     [](World&, Reported& health) {
       health.voices["t1/gw-a"] = Voice::kAgentAway;
       health.Say("t1/gw-a", "c1", "no_endpoint");
     },
     "", ""},
    {"none stands",
     [](World& world, Reported&) {
       for (const char* name : {"t1/gw-a", "t1/gw-b"}) world.RemoveWorkload(ClusterName("edge"), name);
     },
     "no tier-1 gateway that serves x.test is there", ""},
};

TEST(CanServe, CountsWhomGatewaysSayTheyCan) {
  for (const Served& each : kServed) {
    World world = status::Whole();
    Reported health;
    each.spoil(world, health);
    const Judgement said = Judge(world, health, "min_clusters { host: 'x.test' count: 2 can_serve: true }");
    EXPECT_EQ(said.breaches.empty(), each.broken.empty()) << each.what;
    EXPECT_THAT(Messages(said.breaches), HasSubstr(each.broken)) << each.what;
    EXPECT_EQ(said.unknown.empty(), each.unknown.empty()) << each.what << said.unknown;
    EXPECT_THAT(said.unknown, HasSubstr(each.unknown)) << each.what;
  }
  Reported health;
  health.Say("t1/gw-a", "c2", "gateways_down");
  EXPECT_THAT(Judge(status::Whole(), health, "min_clusters { host: 'x.test' count: 2 }").breaches, IsEmpty())
      << "it did not ask who can serve";
}

// What is pushed, with every set of addresses spoiled.
class Spoiled final : public status::Pieces {
 public:
  Spoiled(const compile::Compilation& compilation, std::function<void(mesh::v1::ServiceEndpoints&)> spoil)
      : compilation_(compilation), spoil_(std::move(spoil)) {}
  const World& world() const override { return compilation_.world(); }
  const World& WorldOf(const std::string&) const override { return compilation_.world(); }
  const compile::Resource* Find(const std::string& cluster, const compile::Key& key) override {
    const auto found = compilation_.Of(cluster).find(key);
    if (found == compilation_.Of(cluster).end()) return nullptr;
    mesh::v1::ServiceEndpoints endpoints;
    EXPECT_TRUE(endpoints.ParseFromString(found->second.bytes));
    spoil_(endpoints);
    last_ = found->second;
    last_.bytes = endpoints.SerializeAsString();
    return &last_;
  }

 private:
  const compile::Compilation& compilation_;
  const std::function<void(mesh::v1::ServiceEndpoints&)> spoil_;
  compile::Resource last_;
};

TEST(MutualTls, LooksAtEveryAddressThatIsPushed) {
  const compile::Compilation compilation(status::Whole());
  const auto judge = [&](std::function<void(mesh::v1::ServiceEndpoints&)> spoil) {
    Spoiled pieces(compilation, std::move(spoil));
    return Messages(JudgeFacts(pieces, Reported(), Make("mutual_tls_between_clusters {}")).breaches);
  };
  EXPECT_EQ(judge([](auto&) {}), "");
  EXPECT_THAT(judge([](auto& endpoints) { endpoints.mutable_endpoints(0)->set_port(80); }),
              HasSubstr("would go to c1/t/x.test without mutual TLS: t2/gw is to be called on port 80"));
  EXPECT_THAT(judge([](auto& endpoints) { endpoints.mutable_endpoints(0)->clear_spiffe_id(); }),
              HasSubstr("t2/gw has no identity of its cluster"));
  EXPECT_THAT(judge([](auto& endpoints) {
                endpoints.mutable_endpoints(0)->set_spiffe_id("spiffe://edge.o.test/ns/t2/sa/sa-gw");
              }),
              HasSubstr("has no identity of its cluster"));
  EXPECT_THAT(judge([](auto& endpoints) { endpoints.set_trust_domain("elsewhere.test"); }),
              HasSubstr("the trust domain is not that of the cluster"));
}

}  // namespace
}  // namespace weir::invariants
