#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.h"
#include "tests/support/fleet.h"
#include "tests/support/load.h"
#include "tests/support/timeline.h"

namespace weir::demo {

struct DemoOptions {
  std::string bin_dir = "build/release/bin";
  std::string folder = "build/demo";      // State, logs, report.json.
  std::string documents = "deploy/demo";  // Where the YAML lies.
  uint64_t requests_per_phase = 12'000;   // At least 10,000.
  unsigned workers = 2;                   // Of each gateway.
};

// What `report.json` holds.
struct DemoReport {
  uint64_t requests = 0;
  uint64_t failed = 0;
  std::map<std::string, double> share_before;
  std::map<std::string, double> share_after_kill;  // Counted from full success.
  uint64_t failed_in_kill = 0;
  double seconds_to_full_success = 0;  // From the kill to the end of the last failure; 0 = nothing failed.
  std::map<std::string, double> share_after_return;
  double seconds_to_return = 0;  // From the restart of the processes to the end of the first 2 s within 2 points.
  std::map<std::string, double> share_after_change;
  double seconds_to_new_share = 0;
  std::string status;

  std::string ToJson() const;
};

using Weights = std::map<std::string, double>;  // Shares that are asked for, 0..1.
constexpr char kHost[] = "servicea.example.com";
const std::vector<test::Target>& Tier1s();
// A line on the screen with the seconds since the start; a bar of 40 characters.
void Say(const std::string& line);
std::string Bar(double share);

// Ok when each cluster's count is within `allowed` requests of its share, and nobody else answered.
Status CheckShares(const test::LoadReport& load, const Weights& weights, double allowed);

// What a killed cluster may cost (failover of "Truth and survival"): Ok, or which bar was missed and by how much.
Status CheckSurvival(const DemoReport& report);

// The demo's folder, for one demo at a time. FAILED_PRECONDITION DEMO_RUNNING names who holds it; FOLDER_NOT_OURS when
// it holds what no demo has made.
class DemoFolder {
 public:
  // `leftover`: the state of an earlier demo was found and removed.
  static Result<std::unique_ptr<DemoFolder>> Take(const std::string& folder, bool* leftover);
  ~DemoFolder();

 private:
  explicit DemoFolder(int lock) : lock_(lock) {}
  const int lock_;
};

// The clusters, addresses and programs of the demo.
test::FleetOptions DemoFleet(const DemoOptions& options);

// From nothing to the measured splits, a killed cluster in between, and report.json.
class Demo {
 public:
  explicit Demo(DemoOptions options);

  Status Run();  // All steps; an Error says what to do.
  void PrintHowToGoOn() const;
  test::Fleet& fleet() { return fleet_; }

 private:
  Status BringUp();
  Status ApplyFounding();
  Status MeasureBefore();
  Status KillCluster();
  Status BringClusterBack();
  Status ChangeWeights();
  Status MeasureAfter();
  Status WaitReady();
  Status WaitSplit();
  Status Finish();
  test::LoadReport Drive(const Weights& weights, double tolerance = 0);
  // Lets traffic_ run for so long and shows each second of it.
  void Watch(double seconds);
  std::vector<std::string> ProcessesOf(const std::string& cluster) const;
  // Version of each endpoint resource that every worker of a T1 serves, by address and name.
  std::map<std::string, std::string> ServedEndpoints() const;
  std::string File(const std::string& name) const { return options_.documents + "/" + name; }

  const DemoOptions options_;
  std::unique_ptr<DemoFolder> folder_;
  test::Fleet fleet_;
  std::unique_ptr<test::Traffic> traffic_;  // From before the kill to after the return.
  double killed_ = 0;                       // When, on its clock.
  double shown_ = 0;                        // Up to when it was shown.
  DemoReport report_;
  Status shares_;  // What is off, if anything is.
};

}  // namespace weir::demo
