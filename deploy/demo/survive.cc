#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <thread>

#include "deploy/demo/demo.h"

// The middle of the demo: a whole cluster dies under load and comes back.
namespace weir::demo {
namespace {

using test::Milliseconds;

constexpr char kVictim[] = "cluster1";
constexpr char kOther[] = "cluster2";
constexpr double kRate = 400;  // Requests per second beside the counted ones.
constexpr double kWatched = 6;
constexpr double kTolerance = 0.02;
constexpr double kFullSuccessWithin = 5;
constexpr double kReturnWithin = 30;

const Weights& Founding() {
  static const Weights weights{{kVictim, 0.75}, {kOther, 0.25}};
  return weights;
}

double ShareOf(const Weights& shares, const std::string& cluster) {
  const auto found = shares.find(cluster);
  return found == shares.end() ? 0 : found->second;
}

}  // namespace

Status CheckSurvival(const DemoReport& report) {
  const auto missed = [](const std::string& what) { return FailedPrecondition("BAR_MISSED", "{}", what); };
  if (report.failed_in_kill > 0)
    return missed(fmt::format("{} GETs failed when {} was killed; none may", report.failed_in_kill, kVictim));
  if (report.seconds_to_full_success > kFullSuccessWithin) {
    return missed(fmt::format("full success came {:.1f} s after the kill; {:g} s are allowed",
                              report.seconds_to_full_success, kFullSuccessWithin));
  }
  if (ShareOf(report.share_after_kill, kVictim) > 0)
    return missed(fmt::format("{} was dead and answered nevertheless", kVictim));
  if (report.seconds_to_return > kReturnWithin) {
    return missed(fmt::format("the weights were back {:.1f} s after the restart; {:g} s are allowed",
                              report.seconds_to_return, kReturnWithin));
  }
  for (const auto& [cluster, weight] : Founding()) {
    const double share = ShareOf(report.share_after_return, cluster);
    if (std::abs(share - weight) > kTolerance)
      return missed(
          fmt::format("after its return {} had {:.1f} %, asked for {:g} %", cluster, share * 100, weight * 100));
  }
  return {};
}

std::vector<std::string> Demo::ProcessesOf(const std::string& cluster) const {
  std::vector<std::string> out;
  for (const std::string& name : fleet_.Names()) {
    if (name == "agent/" + cluster || name.find("/" + cluster + "/") != std::string::npos) out.push_back(name);
  }
  return out;
}

void Demo::Watch(double seconds) {
  for (const double end = traffic_->Now() + seconds; shown_ + 1 <= end;) {
    traffic_->RunUntil(shown_ + 1);
    const test::Span second = traffic_->timeline().Between(shown_, shown_ + 1);
    shown_ += 1;
    const double share = second.Share(kVictim);
    fmt::print("             {} {} {:5.1f} %   {} {:5.1f} %   {} requests, {} failed\n", kVictim, Bar(share),
               share * 100, kOther, second.Share(kOther) * 100, second.requests, second.failed);
    std::fflush(stdout);
  }
}

Status Demo::KillCluster() {
  test::LoadOptions load;
  load.targets = Tier1s();
  load.host = kHost;
  load.connections = 32;
  load.rate = kRate;
  traffic_ = std::make_unique<test::Traffic>(std::move(load));
  Say(fmt::format("{:g} GETs a second go on from here; each line is one second", kRate));
  Watch(2);
  const std::vector<std::string> processes = ProcessesOf(kVictim);
  Say(fmt::format("kill -9 of every process of {} ({}: agent, gateway, pods and apps)", kVictim, processes.size()));
  killed_ = traffic_->Now();
  for (const std::string& name : processes) fleet_.Find(name)->Signal(SIGKILL);
  for (const std::string& name : processes) fleet_.Find(name)->Kill();
  Watch(kWatched);
  const test::LoadReport dead = Drive({{kVictim, 0}, {kOther, 1}});
  report_.share_after_kill = {{kVictim, dead.Share(kVictim)}, {kOther, dead.Share(kOther)}};
  report_.failed_in_kill += dead.failed;
  return {};
}

Status Demo::BringClusterBack() {
  Say(fmt::format("every process of {} is started again; it must prove itself, then its share grows back", kVictim));
  const double restarted = traffic_->Now();
  shown_ = std::floor(restarted);
  for (const std::string& name : ProcessesOf(kVictim)) WEIR_TRY(fleet_.Restart(name));
  std::optional<double> back;
  while (!(back = traffic_->timeline().SharesReached(Founding(), restarted, kTolerance)) &&
         traffic_->Now() < restarted + 2 * kReturnWithin) {
    Watch(1);
  }
  report_.seconds_to_return = back.value_or(traffic_->Now()) - restarted;
  traffic_->Stop();
  const test::Span since = traffic_->timeline().Between(killed_);
  const test::Span all = traffic_->timeline().Between(0);
  const auto last = traffic_->timeline().LastFailure(killed_);
  report_.seconds_to_full_success = last ? *last - killed_ : 0;
  report_.failed_in_kill += since.failed;
  report_.requests += all.requests;
  report_.failed += all.failed;
  Say(fmt::format("since the kill: {} requests, {} failed, the slowest took {:.2f} s; 75/25 again after {:.1f} s",
                  since.requests, since.failed, since.slowest, report_.seconds_to_return));
  for (const auto& [error, count] : since.errors) fmt::print("             {} x {}\n", count, error);
  const test::LoadReport load = Drive(Founding(), kTolerance);
  for (const auto& [cluster, unused] : Founding()) report_.share_after_return[cluster] = load.Share(cluster);
  report_.failed_in_kill += load.failed;
  WEIR_TRY(WaitReady());
  return fleet_.CheckRunning();
}

}  // namespace weir::demo
