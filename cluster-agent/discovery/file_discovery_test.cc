#include "cluster-agent/discovery/file_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/discovery/stored_facts.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "tests/support/real_time.h"

namespace weir::agent {
namespace {

constexpr char kGood[] = R"(
workloads:
- name: web
  namespace: shop
  addresses: [127.0.2.21]
  labels: {app: web}
  ports: {80: 8080}
services:
- name: web
  namespace: shop
  ports: [80]
  selector: {app: web}
)";

TEST(ReadDiscovery, FillsTheDefaults) {
  const auto facts = ReadDiscovery(kGood, false);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->workloads.at("shop/web")->service_account(), "default");
  EXPECT_EQ(facts->services.at("shop/web")->host(), "web.shop.svc.cluster.local");
  EXPECT_EQ(translate::BoundPort(*facts->workloads.at("shop/web"), 80), 8080u);
}

TEST(ReadDiscovery, NamesEveryViolationWithItsLine) {
  const auto facts = ReadDiscovery(R"(
workloads:
- name: Web
  namespace: shop
  addresses: [somewhere]
services:
- name: web
  namespace: shop
  ports: [70000]
)",
                                   false);
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().violations.size(), 4u);
  for (const FieldViolation& violation : facts.error().violations) EXPECT_GT(violation.line, 0) << violation.field;
}

TEST(ReadDiscovery, AsksForProofBeforeItBelievesInNothing) {
  EXPECT_FALSE(ReadDiscovery("", true).ok());
  EXPECT_FALSE(ReadDiscovery("workloads: []\n", true).ok());
  EXPECT_TRUE(ReadDiscovery("workloads: []\nservices: []\n", true).ok());
  EXPECT_TRUE(ReadDiscovery("", false).ok());  // The first reading may be empty.
}

TEST(ReadDiscovery, TakesACutTextForWhatItIs) {
  const std::string text(kGood);
  const std::string cut = text.substr(0, text.find("7.0.2.21") + 7);  // 127.0.2.2: valid, and wrong.
  EXPECT_EQ(ReadDiscovery(cut, true).error().reason, "DISCOVERY_CUT");
  EXPECT_TRUE(ReadDiscovery(text + "...\n", true).ok());
  EXPECT_TRUE(IsSealed(text + "...\n"));
  const std::string shorter = text.substr(0, text.find("services:"));  // Between two lines.
  EXPECT_TRUE(ReadDiscovery(shorter, true).ok());
  EXPECT_EQ(ReadDiscovery(shorter, true, true).error().reason, "DISCOVERY_CUT");
}

class FileDiscoveryTest : public testing::Test {
 protected:
  FileDiscoveryTest()
      : folder_(testing::TempDir() + "weir-discovery-" + RandomHex(4)), path_(folder_ + "/discovery.yaml") {
    EXPECT_TRUE(MakeFolders(folder_).ok());
    SetToPresent(clock_);
  }
  ~FileDiscoveryTest() override { std::filesystem::remove_all(folder_); }

  FileDiscoveryOptions Options(Duration poll, bool keeps = true) const {
    FileDiscoveryOptions options;
    options.path = path_;
    options.poll = poll;
    if (keeps) options.last_good_path = folder_ + "/facts";
    options.owner = "edge.test";
    options.clock = &clock_;
    return options;
  }
  void Start(FileDiscovery* discovery) {
    ASSERT_TRUE(discovery
                    ->Start([this](const translate::Facts& facts) {
                      MutexLock lock(mutex_);
                      readings_.push_back(facts);
                      wake_.NotifyAll();
                    })
                    .ok());
  }
  bool WaitFor(size_t count) {
    MutexLock lock(mutex_);
    return wake_.WaitRealTime(mutex_, std::chrono::seconds(10),
                              [&]() WEIR_REQUIRES(mutex_) { return readings_.size() >= count; });
  }
  std::vector<translate::Facts> Readings() {
    MutexLock lock(mutex_);
    return readings_;
  }
  void Forget() {
    MutexLock lock(mutex_);
    readings_.clear();
  }

  std::string folder_, path_;
  ManualClock clock_;
  Mutex mutex_;
  CondVar wake_;
  std::vector<translate::Facts> readings_ WEIR_GUARDED_BY(mutex_);
};

TEST_F(FileDiscoveryTest, SeesARenameOverTheFileAtOnce) {
  FileDiscovery discovery(Options(std::chrono::hours(1), false));
  Start(&discovery);
  EXPECT_FALSE(discovery.State().has_reading);
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());
  ASSERT_TRUE(WaitFor(1));
  EXPECT_TRUE(discovery.State().has_reading);
}

TEST_F(FileDiscoveryTest, NeverLetsABrokenOrEmptyFileReplaceAGoodOne) {
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());
  FileDiscovery discovery(Options(std::chrono::milliseconds(20), false));
  Start(&discovery);
  ASSERT_TRUE(WaitFor(1));
  for (const char* bad : {"workloads: [", "", "workloads:\n- name: x\n"}) {
    const uint64_t refused = discovery.State().refused;
    ASSERT_TRUE(WriteFileAtomic(path_, bad).ok());
    EXPECT_TRUE(Eventually([&] { return discovery.State().refused > refused; })) << bad;
  }
  EXPECT_EQ(Readings().size(), 1u);
  ASSERT_TRUE(WriteFileAtomic(path_, "workloads: []\nservices: []\n").ok());
  ASSERT_TRUE(WaitFor(2));
  EXPECT_EQ(discovery.State().last_refusal.code, Code::kOk);
}

TEST_F(FileDiscoveryTest, KeepsTheGoodReadingAcrossARestart) {
  const FileDiscoveryOptions options = Options(std::chrono::milliseconds(20));
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());
  {
    FileDiscovery discovery(options);
    Start(&discovery);
    ASSERT_EQ(Readings().size(), 1u);
  }
  for (const char* bad : {"workloads: [\n", "", "workloads:\n- name: x\n"}) {
    Forget();
    SetToPresent(clock_);
    ASSERT_TRUE(WriteFileAtomic(path_, bad).ok());
    FileDiscovery discovery(options);
    Start(&discovery);
    ASSERT_EQ(Readings().size(), 1u) << bad;
    EXPECT_EQ(Readings()[0].services.size(), 1u);
    EXPECT_EQ(Readings()[0].workloads.at("shop/web")->addresses(0), "127.0.2.21");
    EXPECT_EQ(discovery.State().started_from, "generation 1 of last-good");
    EXPECT_EQ(discovery.State().refused, 0u) << bad;
    clock_.Advance(std::chrono::seconds(2));  // It has rested.
    EXPECT_TRUE(Eventually([&] { return discovery.State().refused == 1; })) << bad;
    EXPECT_EQ(Readings().size(), 1u);
  }
  std::filesystem::remove(path_);
  Forget();
  FileDiscovery discovery(options);
  Start(&discovery);
  EXPECT_EQ(Readings().size(), 1u);
  EXPECT_EQ(discovery.State().last_refusal.reason, "FILE_MISSING");
}

TEST_F(FileDiscoveryTest, RemembersTheSealAcrossARestart) {
  const FileDiscoveryOptions options = Options(std::chrono::milliseconds(20));
  const std::string whole =
      std::string(kGood) + "- name: second\n  namespace: shop\n  ports: [81]\n  selector: {app: web}\n";
  ASSERT_TRUE(WriteFileAtomic(path_, whole + "...\n").ok());
  {
    FileDiscovery discovery(options);
    Start(&discovery);
    ASSERT_EQ(Readings().size(), 1u);
    EXPECT_EQ(Readings()[0].services.size(), 2u);
  }
  Forget();
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());  // Cut between two lines: valid, and shorter.
  FileDiscovery discovery(options);
  Start(&discovery);
  clock_.Advance(std::chrono::seconds(2));
  ASSERT_TRUE(Eventually([&] { return discovery.State().refused > 0; }));
  EXPECT_EQ(discovery.State().last_refusal.reason, "DISCOVERY_CUT");
  ASSERT_EQ(Readings().size(), 1u);
  EXPECT_EQ(Readings()[0].services.size(), 2u);
}

// The facts are the same, but from now on a file without the seal may be cut.
TEST_F(FileDiscoveryTest, RemembersASealThatCameWithoutAChange) {
  const FileDiscoveryOptions options{path_, std::chrono::milliseconds(20), folder_ + "/facts", "edge.test"};
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());
  {
    FileDiscovery discovery(options);
    Start(&discovery);
    ASSERT_TRUE(WriteFileAtomic(path_, std::string(kGood) + "...\n").ok());
    for (int i = 0; i < 500 && discovery.State().accepted < 2; ++i) usleep(10'000);
    ASSERT_EQ(discovery.State().accepted, 2u);
  }
  ASSERT_EQ(Readings().size(), 1u);
  ASSERT_TRUE(WriteFileAtomic(path_, std::string(kGood) + "- {name: more, namespace: shop, ports: [81]}\n").ok());
  FileDiscovery discovery(options);
  Start(&discovery);
  for (int i = 0; i < 500 && discovery.State().refused == 0; ++i) usleep(10'000);
  EXPECT_EQ(discovery.State().last_refusal.reason, "DISCOVERY_CUT");
}

TEST_F(FileDiscoveryTest, ForgetsARefusedKeptReadingOnceAGoodOneIsKept) {
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/facts.1", "weir-facts 1\nsha").ok());
  FileDiscovery discovery(Options(std::chrono::milliseconds(20)));
  Start(&discovery);
  ASSERT_EQ(discovery.State().kept_refused.size(), 1u);
  ASSERT_TRUE(WriteFileAtomic(path_, kGood).ok());
  ASSERT_TRUE(WaitFor(1));
  EXPECT_TRUE(Eventually([&] { return discovery.State().kept_refused.empty(); }));
}

TEST_F(FileDiscoveryTest, RefusesDamagedKeptFactsAndThoseOfAnotherCluster) {
  ASSERT_TRUE(SaveFacts(folder_ + "/facts", *ReadDiscovery(kGood, false), false, "edge.test").ok());
  EXPECT_EQ(LoadFacts(folder_ + "/facts", "other.test").error().reason, "LAST_GOOD_OWNER");
  ASSERT_TRUE(SaveFacts(folder_ + "/facts", translate::Facts{}, false, "edge.test").ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/facts.1", "weir-facts 1\nsha").ok());
  FileDiscovery discovery(Options(std::chrono::hours(1)));
  Start(&discovery);
  ASSERT_EQ(Readings().size(), 1u);
  EXPECT_EQ(Readings()[0].workloads.size(), 1u);
  EXPECT_EQ(discovery.State().started_from, "generation 2 of last-good");
  ASSERT_EQ(discovery.State().kept_refused.size(), 1u);
  EXPECT_NE(discovery.State().kept_refused[0].find("LAST_GOOD_CUT"), std::string::npos);
}

}  // namespace
}  // namespace weir::agent
