#include "libs/facts/check.h"

#include <gtest/gtest.h>

#include <functional>

#include "api/weir/agent/v1/discovery.pb.h"

namespace weir::facts {
namespace {

using agent::v1::Service;
using agent::v1::Workload;

Workload GoodWorkload() {
  Workload workload;
  workload.set_name("web");
  workload.set_namespace_("shop");
  workload.add_addresses("127.0.2.21");
  (*workload.mutable_labels())["app.kubernetes.io/name"] = "web";
  (*workload.mutable_ports())[80] = 8080;
  return workload;
}
Service GoodService() {
  Service service;
  service.set_name("web");
  service.set_namespace_("shop");
  service.add_ports(80);
  (*service.mutable_selector())["app"] = "web";
  service.mutable_health_check()->set_path("/healthz?deep=1");
  return service;
}

TEST(Facts, TakesWhatCanBeConnectedTo) {
  Checker checker;
  EXPECT_TRUE(checker.Check(GoodWorkload(), "").empty());
  EXPECT_TRUE(checker.Check(GoodService(), "").empty());
}

TEST(Facts, RefuseEveryFormThatIsNone) {
  const std::vector<std::pair<std::string, std::function<void(Workload&)>>> bad = {
      {".name", [](Workload& w) { w.set_name("a/b"); }},
      {".name", [](Workload& w) { w.set_name(std::string("a\0b", 3)); }},
      {".name", [](Workload& w) { w.set_name(""); }},
      {".name", [](Workload& w) { w.set_name(std::string(100'000, 'a')); }},
      {".namespace", [](Workload& w) { w.set_namespace_("UPPER"); }},
      {".serviceAccount", [](Workload& w) { w.set_service_account("../x"); }},
      {".addresses", [](Workload& w) { w.clear_addresses(); }},
      {".addresses",
       [](Workload& w) {
         for (int i = 0; i < 100; ++i) w.add_addresses("127.0.0.1");
       }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, ""); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "not-an-ip"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "\n"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "/tmp/x"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, std::string(100'000, '1')); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, std::string("127.0.0.1\0x", 11)); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "0.0.0.0"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "224.0.0.1"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "::"); }},
      {".addresses[0]", [](Workload& w) { w.set_addresses(0, "ff02::1"); }},
      {".ports", [](Workload& w) { (*w.mutable_ports())[70'000] = 1; }},
      {".ports[80]", [](Workload& w) { (*w.mutable_ports())[80] = 0; }},
      {".ports[80]", [](Workload& w) { (*w.mutable_ports())[80] = 70'000; }},
      {".ports",
       [](Workload& w) {
         for (uint32_t p = 1; p <= 1000; ++p) (*w.mutable_ports())[p] = p;
       }},
      {".labels", [](Workload& w) { (*w.mutable_labels())[""] = "x"; }},
      {".labels", [](Workload& w) { (*w.mutable_labels())["a"] = std::string(1'000'000, 'x'); }},
      {".labels", [](Workload& w) { (*w.mutable_labels())["a"] = "\x1b[31m"; }},
      {".labels",
       [](Workload& w) {
         for (int i = 0; i < 100; ++i) (*w.mutable_labels())[std::to_string(i)] = "x";
       }},
  };
  for (const auto& [field, spoil] : bad) {
    Workload workload = GoodWorkload();
    spoil(workload);
    Checker checker;
    const auto violations = checker.Check(workload, "");
    ASSERT_FALSE(violations.empty()) << field;
    EXPECT_EQ(violations.front().field, field);
    for (const FieldViolation& violation : violations) {
      EXPECT_LT(violation.description.size(), 300u);
      EXPECT_EQ(violation.description.find_first_of("\n\x1b"), std::string::npos);
    }
  }
  const std::vector<std::pair<std::string, std::function<void(Service&)>>> bad_services = {
      {".name", [](Service& s) { s.set_name("a_b"); }},
      {".host", [](Service& s) { s.set_host("a..b"); }},
      {".host", [](Service& s) { s.set_host("*.shop"); }},
      {".ports", [](Service& s) { s.clear_ports(); }},
      {".ports[0]", [](Service& s) { s.set_ports(0, 70'000); }},
      {".selector", [](Service& s) { s.clear_selector(); }},
      {".healthCheck.path", [](Service& s) { s.mutable_health_check()->set_path("x"); }},
      {".healthCheck.path", [](Service& s) { s.mutable_health_check()->set_path("/ HTTP/1.1\r\nHost: x"); }},
      {".healthCheck.port", [](Service& s) { s.mutable_health_check()->set_port(65'536); }},
  };
  for (const auto& [field, spoil] : bad_services) {
    Service service = GoodService();
    spoil(service);
    Checker checker;
    const auto violations = checker.Check(service, "");
    ASSERT_FALSE(violations.empty()) << field;
    EXPECT_EQ(violations.front().field, field);
  }
}

TEST(Facts, FindsWhatIsDeclaredTwice) {
  Checker checker;
  EXPECT_TRUE(checker.Check(GoodWorkload(), "").empty());
  EXPECT_EQ(checker.Check(GoodWorkload(), "").size(), 1u);
  EXPECT_TRUE(checker.Check(GoodService(), "").empty());
  Service same_host = GoodService();
  same_host.set_name("other");
  same_host.set_host("web.shop.svc.cluster.local");
  EXPECT_EQ(checker.Check(same_host, "").size(), 1u);
}

TEST(Facts, BoundsAWholeReading) {
  agent::v1::Discovery discovery;
  for (size_t i = 0; i <= kMaxWorkloads; ++i) *discovery.add_workloads() = GoodWorkload();
  const auto violations = CheckAll(discovery);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field, "workloads");
}

}  // namespace
}  // namespace weir::facts
