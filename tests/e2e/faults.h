#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/posts.h"
#include "tests/e2e/scene.h"
#include "tests/support/downloads.h"
#include "tests/support/timeline.h"

namespace weir::e2e {

#if defined(WEIR_SANITIZE_ADDRESS) || defined(WEIR_SANITIZE_THREAD)
constexpr double kSlowdown = 3;  // Sanitizers: everything that computes takes longer.
#else
constexpr double kSlowdown = 1;
#endif

// A frozen or silent cluster is judged dead 2.5 s later at most; what waited for it is answered by another one then.
constexpr double kSlowest = 3.0 * kSlowdown;
// From the end of a fault to the old shares; hold and slow return are short here.
constexpr double kBack = 20.0 * kSlowdown;
constexpr double kRate = 200;  // Requests per second, open loop.

// What a fault may break, and nothing else.
struct Harm {
  std::set<std::string> clusters;  // Whose programs died or were cut off: what they had under way may break.
  unsigned times = 1;              // That it happens.
  bool nobody = false;             // For a time nobody could serve: anything may fail, with a reason.
};

// One scene for all faults of a binary: two clusters at 75/25 behind two T1s, and requests that never stop. Hold and
// slow return are shortened to 1 s; the demo shows the real ones. Beside the GETs, whose shares are counted, there are
// POSTs, long answers and callers that read slowly, of another host, through the second T1, which no test kills.
class FaultTest : public testing::Test {
 protected:
  static Status BringUp(SceneOptions options);
  static void TearDownTestSuite();
  static Scene* scene_;

  void SetUp() override;     // Traffic runs and is split 75/25.
  void TearDown() override;  // Says what the fault has cost, and whether it was more than it may.

  test::Fleet& fleet() { return scene_->fleet(); }
  test::Process& Program(const std::string& name);
  // Everything that makes a cluster, its agent too.
  std::vector<std::string> AllOf(const std::string& cluster) const;
  void Kill(const std::vector<std::string>& names);
  void Restart(const std::vector<std::string>& names);

  // The moment of the fault: what counts is counted from here.
  void Mark(const std::string& what, Harm harm = {});
  // Since the mark no request failed and none was slower than kSlowest.
  void ExpectNothingLost();
  // Within `seconds` from now, one second long, every answer comes from `cluster`.
  void ExpectOnly(const std::string& cluster, double seconds = kSlowest);
  // Within `seconds` from now 75/25 is delivered again, to two points.
  void ExpectSharesBack(double seconds = kBack);
  test::Span Since() const { return traffic_->timeline().Between(mark_); }

  const std::map<std::string, double> shares_{{"c1", 0.75}, {"c2", 0.25}};
  std::unique_ptr<test::Traffic> traffic_;
  std::unique_ptr<Posts> posts_;
  std::unique_ptr<test::Downloads> downloads_, slow_readers_;
  double mark_ = 0;
  std::string what_;
  Harm harm_;

 private:
  void ExpectWhole(const std::vector<test::Download>& downloads, const char* which) const;
};

}  // namespace weir::e2e
