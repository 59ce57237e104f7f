#include "mgmt-server/http/watch_fixture.h"
#include "mgmt-server/services/quotas.h"
#include "mgmt-server/services/watch_steps.h"
#include "tests/support/real_time.h"

namespace weir::edge {
namespace {

using services::Outflow;

// Watches by a clock that a test turns.
class ClockWatch : public WatchTest {
 protected:
  void SetUp() override {
    WatchTest::SetUp();
    backends_by_hand_ =
        std::make_unique<services::Backends>(*store_, *authn_, fleet_, invariants_, stopping_, "", clock_);
    watches_ = std::make_shared<services::Watches>(*backends_by_hand_, std::make_shared<services::WatchQuota>());
  }
  void TearDown() override {
    watches_->Stop();
    WatchTest::TearDown();
  }
  std::shared_ptr<Outflow> Start(const std::string& token, const v2::WatchRequest& request) {
    services::CallContext call;
    call.token = token;
    call.principal = PrincipalOf(token);
    EXPECT_TRUE(watches_->Start(call, request).ok());
    return call.stream;
  }

  ManualClock clock_;
  std::unique_ptr<services::Backends> backends_by_hand_;
  std::shared_ptr<services::Watches> watches_;
};

// The next piece; waits for it while the clock runs, how long it took by the clock is in `passed`.
Outflow::Piece NextOf(Outflow& outflow, ManualClock& clock, Duration* passed) {
  std::atomic<bool> there{false};
  Outflow::Piece next;
  outflow.Next([&](Outflow::Piece piece) {
    next = std::move(piece);
    there = true;
  });
  *passed = Duration(0);
  EXPECT_TRUE(Eventually([&] {
    if (there) return true;
    clock.Advance(std::chrono::milliseconds(200));
    *passed += std::chrono::milliseconds(200);
    return false;
  }));
  return next;
}

TEST_F(ClockWatch, BookmarksKeepAnIdleWatchOneThatCanGoOn) {
  MakeTenant("hers");
  MakeTenant("others");
  const std::string ann = NewUser("ann");
  Grant("organizations/demo-org/tenants/hers", User("ann"));
  const auto outflow = Start(ann, Everything(false));
  Duration passed{0};
  for (int i = 0; i < 3; ++i) {
    Rename("others", std::to_string(i));  // Which ann does not learn of, nor that there was something.
    const Outflow::Piece piece = NextOf(*outflow, clock_, &passed);
    ASSERT_EQ(piece.items.size(), 1u);
    EXPECT_EQ(piece.items[0].said->type(), "BOOKMARK");
    EXPECT_EQ(piece.items[0].said->Json(), R"({"type":"BOOKMARK"})");
    EXPECT_EQ(piece.items[0].position.size(), 104u) << "as long as any other";
    EXPECT_GE(passed, i > 0 ? std::chrono::seconds(10) : Duration(0));
    v2::WatchRequest request;
    request.set_after(piece.items[0].position);
    const auto again = Start(ann, request);
    const Outflow::Piece first = NextOf(*again, clock_, &passed);
    EXPECT_EQ(first.items[0].said->type(), "BOOKMARK") << "nothing of hers changed";
    again->Leave();
  }
}

TEST_F(ClockWatch, WhoTakesNothingAndIsBehindIsCut) {
  MakeTenant("t");
  const auto outflow = Start(admin_, Everything());
  std::atomic<bool> cut{false};
  outflow->OnCut([&] { cut = true; });
  Duration passed{0};
  NextOf(*outflow, clock_, &passed);
  for (size_t i = 0; i < services::Watches::kSteps + 2; ++i) {
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Result<store::ResourcePtr> {
                      store::PutResource put{.kind = "Tenant",
                                             .fqn = "organizations/demo-org/tenants/t",
                                             .body = txn.Get("organizations/demo-org/tenants/t")->body,
                                             .field_owners = {{"x", std::to_string(i)}},
                                             .expected_etag = std::nullopt};
                      return txn.Put(std::move(put));
                    })
                    .ok());
  }
  EXPECT_FALSE(cut);
  Duration waited{0};
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(std::chrono::seconds(1));
    waited += std::chrono::seconds(1);
    return cut.load();
  }));
  EXPECT_GE(waited, services::Watches::kPatience - std::chrono::seconds(2));
}

// What happened while somebody had the right is not shown once he has it no more: not even if he is told late.
TEST_F(ClockWatch, ABodyIsShownByTheRightsOfNowToo) {
  MakeTenant("t");
  const std::string ann = NewUser("ann");
  Grant("organizations/demo-org/tenants/t", User("ann"));
  v2::WatchRequest request;
  const services::Watching watching{services::WatchScope::Read(request).value(), PrincipalOf(ann)};
  const store::ViewPtr before = store_->Read();
  Rename("t", "A");
  const store::ViewPtr after = store_->Read();
  Grant("organizations/demo-org/tenants/t", User("ann"), false);
  const store::ViewPtr now = store_->Read();
  const std::string fqn = "organizations/demo-org/tenants/t";
  const auto told = [&](const store::View& present) {
    services::Delta delta(before->Get(fqn), after->Get(fqn), 1);
    std::vector<Outflow::Item> items;
    services::Tell(watching, *before, *after, present, delta, items);
    return items.size();
  };
  EXPECT_EQ(told(*after), 1u);
  EXPECT_EQ(told(*now), 0u);
}

}  // namespace
}  // namespace weir::edge
