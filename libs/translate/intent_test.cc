#include "libs/translate/intent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/translate/bytes.h"
#include "libs/xds/protocol/types.h"

namespace weir::translate {
namespace {

using ::testing::HasSubstr;

const std::string kType = std::string(xds::kMeshTypePrefix) + "ServiceEndpoints";

void Add(mesh::v1::ServiceEndpoints* set, const std::string& address, uint32_t port, const std::string& id) {
  auto* endpoint = set->add_endpoints();
  endpoint->set_address(address);
  endpoint->set_port(port);
  endpoint->set_spiffe_id(id);
  endpoint->set_workload("t2/gw");
}

TEST(Intent, LeavesOutTheEndpointThatCannotBeConnectedToAndKeepsItsSet) {
  const std::string id = "spiffe://c1.acme/ns/t2/sa/t2";
  const std::tuple<std::string, uint32_t, std::string> bad[] = {{"not-an-ip", 15443, id},
                                                                {"", 15443, id},
                                                                {"127.0.0.1\n", 15443, id},
                                                                {"/tmp/x", 15443, id},
                                                                {"127.0.0.1", 0, id},
                                                                {"127.0.0.1", 70'000, id},
                                                                {std::string(100'000, '1'), 1, id},
                                                                {"127.0.0.1", 15443, "not an id"},
                                                                {"0.0.0.0", 15443, id}};
  for (const auto& [address, port, spiffe_id] : bad) {
    mesh::v1::ServiceEndpoints set;
    set.set_name("c1/t/shop.example");
    for (int i = 0; i < 10; ++i) {
      Add(&set, "127.0.2.10", 15443, id);
      if (i == 5) Add(&set, address, port, spiffe_id);
    }
    Intent intent;
    ASSERT_TRUE(UpsertIntent(kType, set.name(), "1", Bytes(set), &intent).ok());
    EXPECT_EQ(intent.endpoints.at(set.name()).message->endpoints_size(), 10);
    ASSERT_EQ(intent.problems.size(), 1u);
    const std::string& problem = intent.problems.at(set.name());
    EXPECT_THAT(problem, HasSubstr("t2/gw"));
    EXPECT_LT(problem.size(), 300u);
    EXPECT_EQ(problem.find('\n'), std::string::npos);

    set.mutable_endpoints()->DeleteSubrange(6, 1);  // Cured: the problem goes with it.
    ASSERT_TRUE(UpsertIntent(kType, set.name(), "2", Bytes(set), &intent).ok());
    EXPECT_EQ(intent.endpoints.at(set.name()).message->endpoints_size(), 10);
    EXPECT_TRUE(intent.problems.empty());
  }
}

TEST(Intent, ForgetsTheProblemWithItsPiece) {
  mesh::v1::ServiceEndpoints set;
  set.set_name("c1/t/shop.example");
  Add(&set, "", 0, "");
  Add(&set, "x", 0, "");
  Intent intent;
  ASSERT_TRUE(UpsertIntent(kType, set.name(), "1", Bytes(set), &intent).ok());
  EXPECT_THAT(intent.problems.at(set.name()), HasSubstr("and 1 more"));
  RemoveIntent(kType, set.name(), &intent);
  EXPECT_TRUE(intent.problems.empty());
}

}  // namespace
}  // namespace weir::translate
