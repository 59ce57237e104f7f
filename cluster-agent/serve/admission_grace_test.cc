#include "cluster-agent/serve/admission_grace.h"

#include <gtest/gtest.h>

namespace weir::agent {
namespace {

using std::chrono::seconds;

TEST(AdmissionGrace, LetsInForAWhileWhoRoutesThereNoMore) {
  AdmissionGrace grace;
  const MonoTime start{};
  grace.Note("pod", {{"a", {"t2", "t3"}}, {"b", {"t2"}}}, {{"a", {"t3"}}}, start);
  EXPECT_EQ(grace.Of("pod", start), (translate::Admitted{{"a", {"t2"}}, {"b", {"t2"}}}));
  EXPECT_EQ(grace.Of("other", start), translate::Admitted{});
  EXPECT_FALSE(grace.Due(start + seconds(9)));
  EXPECT_EQ(grace.Of("pod", start + seconds(9)).size(), 2u);
  EXPECT_TRUE(grace.Due(start + AdmissionGrace::kFor));
  EXPECT_EQ(grace.Of("pod", start + AdmissionGrace::kFor), translate::Admitted{});
  EXPECT_FALSE(grace.Due(start + seconds(60)));  // It was told.
}

TEST(AdmissionGrace, TimeRunsFromTheDayItTurnedAwayAndNoLonger) {
  AdmissionGrace grace;
  const MonoTime start{};
  grace.Note("pod", {{"a", {"t2"}}}, {}, start);
  // Other changes of the node do not lengthen it.
  grace.Note("pod", {{"b", {"t2"}}}, {{"b", {"t2"}}}, start + seconds(5));
  EXPECT_EQ(grace.Of("pod", start + AdmissionGrace::kFor), translate::Admitted{});
  grace.Note("pod", {{"a", {"t2"}}}, {}, start + seconds(20));
  grace.Note("pod", {}, {{"a", {"t2"}}}, start + seconds(21));  // It is back.
  EXPECT_EQ(grace.Of("pod", start + seconds(22)), translate::Admitted{});
}

}  // namespace
}  // namespace weir::agent
