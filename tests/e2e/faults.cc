#include "tests/e2e/faults.h"

#include <fmt/format.h>

namespace weir::e2e {

using test::Milliseconds;

Scene* FaultTest::scene_ = nullptr;

Status FaultTest::BringUp(SceneOptions options) {
  options.agent_flags = {"--minimum-hold", "1s", "--slow-return", "1s"};
  scene_ = new Scene(std::move(options));
  WEIR_TRY(scene_->BringUp());
  return scene_->SetWeights({75, 25});
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
}

void FaultTest::TearDown() {
  if (traffic_ == nullptr) return;
  traffic_->Stop();
  if (!what_.empty()) fmt::print("  {}: {}\n", what_, Since().ToString());
  traffic_.reset();
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

void FaultTest::Mark(const std::string& what) {
  what_ = what;
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
