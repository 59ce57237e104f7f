#include "tests/e2e/faults.h"

#include <fmt/format.h>

namespace weir::e2e {

using test::Milliseconds;

Scene* FaultTest::scene_ = nullptr;

Status FaultTest::BringUp(SceneOptions options) {
  options.agent_flags = {"--minimum-hold", "1s", "--slow-return", "1s"};
  scene_ = new Scene(std::move(options));
  WEIR_TRY(scene_->BringUp());
  WEIR_TRY(scene_->SetWeights({75, 25}));
  return AddOrders(*scene_);
}

void FaultTest::TearDownTestSuite() {
  delete scene_;
  scene_ = nullptr;
}

void FaultTest::SetUp() {
  ASSERT_NE(scene_, nullptr);
  test::LoadOptions load = scene_->Load(0);
  load.rate = kRate;
  load.connections = 32;
  traffic_ = std::make_unique<test::Traffic>(std::move(load));
  const Status alive = fleet().CheckRunning();
  ASSERT_TRUE(alive.ok()) << alive.error().message;
  ExpectSharesBack();
  ASSERT_FALSE(HasFailure());
  what_.clear();
  mark_ = traffic_->Now();
  const std::vector<test::Target> tier1{{scene_->Tier1(2), kPort}};
  posts_ = std::make_unique<Posts>(*scene_, tier1);
  downloads_ = std::make_unique<test::Downloads>(
      test::DownloadOptions{.targets = tier1, .host = kOrders, .bytes = 400'000, .served_rate = 250'000});
  slow_readers_ = std::make_unique<test::Downloads>(test::DownloadOptions{
      .targets = tier1, .host = kOrders, .connections = 2, .bytes = 64'000'000, .read_rate = 64'000});
}

void FaultTest::TearDown() {
  if (traffic_ == nullptr) return;
  traffic_->Stop();
  if (!what_.empty()) fmt::print("  {}: {}\n", what_, Since().ToString());
  traffic_.reset();
  if (posts_ == nullptr) return;
  const PostVerdict posts = posts_->Judge(
      {.failed = harm_.clusters.empty() ? 0 : harm_.times * Posts::Connections(), .nobody = harm_.nobody});
  fmt::print("  {}\n", posts.ToString());
  EXPECT_EQ(posts.wrong, "");
  EXPECT_GT(posts.sent, 0u);
  ExpectWhole(downloads_->Finish(), "download");
  ExpectWhole(slow_readers_->Abandon(), "slow reader");
  posts_.reset();
  downloads_.reset();
  slow_readers_.reset();
}

// An answer is cut only when whoever gave it has died.
void FaultTest::ExpectWhole(const std::vector<test::Download>& downloads, const char* which) const {
  EXPECT_FALSE(downloads.empty());
  uint64_t cut = 0;
  for (const test::Download& download : downloads) {
    if (download.error.empty()) continue;
    ++cut;
    const bool may = harm_.nobody || harm_.clusters.contains(download.backend);
    EXPECT_TRUE(may) << which << " from '" << download.backend << "': " << download.error;
  }
  fmt::print("  {} {}s, {} cut\n", downloads.size(), which, cut);
}

test::Process& FaultTest::Program(const std::string& name) {
  test::Process* process = fleet().Find(name);
  EXPECT_NE(process, nullptr) << name;
  return *process;
}

std::vector<std::string> FaultTest::AllOf(const std::string& cluster) const {
  std::vector<std::string> out;
  for (const std::string& name : scene_->fleet().Names()) {
    if (name == "agent/" + cluster || name.find("/" + cluster + "/") != std::string::npos) out.push_back(name);
  }
  return out;
}

void FaultTest::Kill(const std::vector<std::string>& names) {
  for (const std::string& name : names) Program(name).Signal(SIGKILL);
  for (const std::string& name : names) Program(name).Kill();
}

void FaultTest::Restart(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Status started = fleet().Restart(name);
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
}

void FaultTest::Mark(const std::string& what, Harm harm) {
  what_ = what;
  harm_ = std::move(harm);
  mark_ = traffic_->Now();
}

void FaultTest::ExpectNothingLost() {
  const test::Span span = Since();
  EXPECT_GT(span.requests, 0u);
  EXPECT_EQ(span.failed, 0u) << span.ToString();
  EXPECT_LE(span.slowest, kSlowest) << span.ToString();
}

void FaultTest::ExpectOnly(const std::string& cluster, double seconds) {
  const double from = traffic_->Now();
  const Status reached = test::WaitUntil(
      "every answer from " + cluster, Milliseconds(static_cast<int>((seconds + 1) * 1000)), nullptr,
      [&] { return traffic_->timeline().SharesReached({{cluster, 1.0}}, from, 0.0, 1.0, 20).has_value(); });
  EXPECT_TRUE(reached.ok()) << reached.error().message << "\n" << Since().ToString();
}

void FaultTest::ExpectSharesBack(double seconds) {
  const double from = traffic_->Now();
  const Status reached =
      test::WaitUntil("the old shares", Milliseconds(static_cast<int>(seconds * 1000)), nullptr,
                      [&] { return traffic_->timeline().SharesReached(shares_, from, 0.02, 1.0, 50).has_value(); });
  if (reached.ok()) return;
  std::string why;
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"explain", "health", kHost}, std::vector<std::string>{"get", "traffic"}}) {
    const auto said = fleet().Weir(command);
    if (said.ok()) why += said->out + said->err;
  }
  ADD_FAILURE() << reached.error().message << "\n" << traffic_->timeline().Between(from).ToString() << "\n" << why;
}

}  // namespace weir::e2e
