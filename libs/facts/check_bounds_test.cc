#include <gtest/gtest.h>

#include <functional>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/facts/check.h"

// Both sides of every bound of a fact.

namespace weir::facts {
namespace {

using agent::v1::Service;
using agent::v1::Workload;

// The field of the first violation; "" = none.
std::string FaultOf(const std::function<void(Workload&)>& change) {
  Workload workload;
  workload.set_name("web");
  workload.set_namespace_("shop");
  workload.add_addresses("127.0.2.21");
  change(workload);
  Checker checker;
  const auto violations = checker.Check(workload, "");
  return violations.empty() ? "" : violations.front().field;
}
std::string ServiceFault(const std::function<void(Service&)>& change) {
  Service service;
  service.set_name("web");
  service.set_namespace_("shop");
  service.add_ports(80);
  (*service.mutable_selector())["app"] = "web";
  change(service);
  Checker checker;
  const auto violations = checker.Check(service, "");
  return violations.empty() ? "" : violations.front().field;
}

TEST(FactBounds, ALabelIsOne) {
  for (const std::string& good : {std::string("a"), std::string("a-z"), std::string("z09"), std::string(63, 'a')}) {
    EXPECT_TRUE(IsLabel(good)) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("-a"), std::string("a-"), std::string("A"), std::string("a."), std::string("a{"),
        std::string("a`"), std::string("a/"), std::string("a:"), std::string(64, 'a'), std::string("\xc3\xa9")}) {
    EXPECT_FALSE(IsLabel(bad)) << bad;
  }
}

TEST(FactBounds, ADnsNameIsLabelsWithDots) {
  const std::string label(62, 'a');
  const std::string most = label + "." + label + "." + label + "." + label + ".a";  // 253.
  ASSERT_EQ(most.size(), 253u);
  EXPECT_TRUE(IsDnsName(most));
  EXPECT_FALSE(IsDnsName(most + "a"));
  EXPECT_TRUE(IsDnsName("a.b-c.d"));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.-b", "a_b"}) EXPECT_FALSE(IsDnsName(bad)) << bad;
}

TEST(FactBounds, AnAddressCanBeConnectedTo) {
  for (const char* good : {"127.0.0.1", "1.2.3.4", "223.255.255.255", "240.0.0.1", "::1", "fe80::1",
                           "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.254"}) {
    EXPECT_EQ(IsAddress(good), std::string_view(good).substr(0, 2) != "ff") << good;  // ff..: multicast.
  }
  for (const char* bad : {"", "0.0.0.0", "255.255.255.255", "224.0.0.0", "239.255.255.255", "::", "ff02::1", "1.2.3",
                          "1.2.3.4 ", "01.2.3.4x", "fe80::1%lo", "2001:db8::g"}) {
    EXPECT_FALSE(IsAddress(bad)) << bad;
  }
}

TEST(FactBounds, LabelsOfAWorkload) {
  const auto labels = [](int count) {
    return FaultOf([&](Workload& w) {
      for (int i = 0; i < count; ++i) (*w.mutable_labels())["k" + std::to_string(i)] = "";
    });
  };
  EXPECT_EQ(labels(kMaxLabels), "");
  EXPECT_EQ(labels(kMaxLabels + 1), ".labels");
  const auto label = [](const std::string& key, const std::string& value) {
    return FaultOf([&](Workload& w) { (*w.mutable_labels())[key] = value; });
  };
  EXPECT_EQ(label(std::string(kMaxLabelKey, 'k'), std::string(kMaxLabelValue, 'v')), "");
  EXPECT_EQ(label(std::string(kMaxLabelKey + 1, 'k'), ""), ".labels");
  EXPECT_EQ(label("k", std::string(kMaxLabelValue + 1, 'v')), ".labels");
  EXPECT_EQ(label("k\n", ""), ".labels");
  EXPECT_EQ(label("k", "v\x7f"), ".labels");
  EXPECT_EQ(ServiceFault([](Service& s) { (*s.mutable_selector())["k\n"] = ""; }), ".selector");
}

TEST(FactBounds, AddressesPortsAndAccount) {
  const auto addresses = [](int count) {
    return FaultOf([&](Workload& w) {
      while (w.addresses_size() < count) w.add_addresses("127.0.0.1");
    });
  };
  EXPECT_EQ(addresses(kMaxAddresses), "");
  EXPECT_EQ(addresses(kMaxAddresses + 1), ".addresses");
  const auto ports = [](uint32_t count) {
    return FaultOf([&](Workload& w) {
      for (uint32_t p = 1; p <= count; ++p) (*w.mutable_ports())[p] = p;
    });
  };
  EXPECT_EQ(ports(kMaxPorts), "");
  EXPECT_EQ(ports(kMaxPorts + 1), ".ports");
  EXPECT_EQ(FaultOf([](Workload& w) { (*w.mutable_ports())[65'535] = 65'535; }), "");
  EXPECT_EQ(FaultOf([](Workload& w) { (*w.mutable_ports())[65'536] = 1; }), ".ports");
  EXPECT_EQ(FaultOf([](Workload& w) { (*w.mutable_ports())[0] = 1; }), ".ports");
  EXPECT_TRUE(FaultOf([](Workload& w) {
                (*w.mutable_ports())[80] = 8080;
                (*w.mutable_ports())[81] = 8080;
              }).starts_with(".ports[8"));
  EXPECT_EQ(FaultOf([](Workload& w) { w.set_service_account("sa-1"); }), "");
  EXPECT_EQ(FaultOf([](Workload& w) { w.set_service_account("sa_1"); }), ".serviceAccount");
}

TEST(FactBounds, PortsOfAService) {
  const auto ports = [](int count) {
    return ServiceFault([&](Service& s) {
      s.clear_ports();
      for (int p = 1; p <= count; ++p) s.add_ports(static_cast<uint32_t>(p));
    });
  };
  EXPECT_EQ(ports(kMaxPorts), "");
  EXPECT_EQ(ports(kMaxPorts + 1), ".ports");
  EXPECT_EQ(ServiceFault([](Service& s) { s.add_ports(80); }), ".ports[1]");
  EXPECT_EQ(ServiceFault([](Service& s) { s.add_ports(0); }), ".ports[1]");
}

TEST(FactBounds, HowAServiceIsChecked) {
  const auto path = [](const std::string& text) {
    return ServiceFault([&](Service& s) { s.mutable_health_check()->set_path(text); });
  };
  EXPECT_EQ(path(""), "");
  EXPECT_EQ(path("/" + std::string(kMaxPath - 1, 'a')), "");
  EXPECT_EQ(path("/" + std::string(kMaxPath, 'a')), ".healthCheck.path");
  EXPECT_EQ(path("healthz"), ".healthCheck.path");
  EXPECT_EQ(path("/a b"), ".healthCheck.path");
  EXPECT_EQ(path("/a\x01"), ".healthCheck.path");
  const auto port = [](uint32_t number) {
    return ServiceFault([&](Service& s) { s.mutable_health_check()->set_port(number); });
  };
  EXPECT_EQ(port(0), "");
  EXPECT_EQ(port(65'535), "");
  EXPECT_EQ(port(65'536), ".healthCheck.port");
}

TEST(FactBounds, ANameIsOnePerNamespace) {
  Checker checker;
  Workload workload;
  workload.set_name("web");
  workload.add_addresses("127.0.2.21");
  for (const char* space : {"shop", "other"}) {
    workload.set_namespace_(space);
    EXPECT_TRUE(checker.Check(workload, "").empty()) << space;
  }
  EXPECT_EQ(checker.Check(workload, "").size(), 1u);
  workload.set_name("");  // What has no name is not called a double too.
  EXPECT_EQ(checker.Check(workload, "").size(), 1u);
  EXPECT_EQ(checker.Check(workload, "").size(), 1u);
}

TEST(FactBounds, AReadingHasSoManyServices) {
  agent::v1::Discovery discovery;
  for (size_t i = 0; i <= kMaxServices; ++i) discovery.add_services();
  const auto violations = CheckAll(discovery);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field, "services");
  discovery.mutable_services()->DeleteSubrange(1, static_cast<int>(kMaxServices));
  EXPECT_GT(CheckAll(discovery).size(), 1u);  // Few enough to be looked at.
}

}  // namespace
}  // namespace weir::facts
