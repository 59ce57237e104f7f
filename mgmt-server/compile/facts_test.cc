#include "mgmt-server/compile/facts.h"

#include <gtest/gtest.h>

#include <random>

#include "libs/facts/check.h"

namespace weir::compile {
namespace {

std::shared_ptr<const agent::v1::Service> Named(const std::string& name, const std::string& host = "") {
  auto service = std::make_shared<agent::v1::Service>();
  service->set_namespace_("app");
  service->set_name(name);
  service->set_host(host);
  return service;
}

TEST(Facts, FindsAServiceByTheHostThatRoutesName) {
  Facts facts;
  facts.PutService(Named("web"));
  facts.PutService(Named("shop", "shop.example.com"));
  ASSERT_NE(facts.FindService("app/web.app.svc.cluster.local"), nullptr);
  EXPECT_EQ(facts.FindService("app/shop.example.com")->name(), "shop");
  EXPECT_EQ(facts.FindService("app/shop"), nullptr);
  EXPECT_EQ(facts.FindService("other/shop.example.com"), nullptr);
  const Facts copy = facts;
  facts.PutService(Named("shop", "new.example.com"));
  facts.RemoveService("app/web");
  facts.RemoveService("app/never-was");
  EXPECT_EQ(facts.FindService("app/shop.example.com"), nullptr);
  EXPECT_EQ(facts.FindService("app/web.app.svc.cluster.local"), nullptr);
  EXPECT_NE(facts.FindService("app/new.example.com"), nullptr);
  EXPECT_NE(copy.FindService("app/shop.example.com"), nullptr) << "a copy is a value";
}

// An oracle that looks at every service, over random changes in which hosts wander between services. Whole changes
// leave each host with one service, as facts are checked before they come here; their order is any.
TEST(Facts, TheIndexIsWhatAWalkWouldFind) {
  std::mt19937 random(7);
  const std::string names[] = {"a", "b", "c", "d"};
  Facts facts;
  std::map<std::string, std::string> hosts;  // By name.
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> pool = {"h0", "h1", "h2", "h3", "h4"};
    std::shuffle(pool.begin(), pool.end(), random);
    std::vector<std::string> order(std::begin(names), std::end(names));
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i = 0; i < order.size(); ++i) {
      if (random() % 3 == 0) {
        facts.RemoveService("app/" + order[i]);
        hosts.erase(order[i]);
      } else {
        facts.PutService(Named(order[i], pool[i]));
        hosts[order[i]] = pool[i];
      }
    }
    for (const std::string& host : pool) {
      const auto owner = std::find_if(hosts.begin(), hosts.end(), [&](const auto& one) { return one.second == host; });
      const agent::v1::Service* found = facts.FindService("app/" + host);
      ASSERT_EQ(found == nullptr ? "" : found->name(), owner == hosts.end() ? "" : owner->first) << round << host;
    }
  }
}

}  // namespace
}  // namespace weir::compile
