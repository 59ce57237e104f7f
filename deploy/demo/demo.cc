#include "deploy/demo/demo.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "libs/base/file.h"
#include "libs/document/document.h"
#include "tests/support/http_client.h"

namespace weir::demo {
namespace {

using Steady = std::chrono::steady_clock;
using test::Milliseconds;

constexpr uint16_t kAdminPort = 15000;
constexpr char kEndpointsType[] = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const Steady::time_point kBegin = Steady::now();
double Since(Steady::time_point from) { return std::chrono::duration<double>(Steady::now() - from).count(); }

// One line that is written over on a terminal, and left out elsewhere.
void Progress(const std::string& line) {
  static const bool terminal = isatty(1) == 1;
  if (!terminal) return;
  fmt::print("\r           {}\033[K", line);
  std::fflush(stdout);
}

}  // namespace

const std::vector<test::Target>& Tier1s() {
  static const std::vector<test::Target> targets{{"127.0.1.10", 18080}, {"127.0.1.11", 18080}};
  return targets;
}

void Say(const std::string& line) {
  fmt::print("[{:6.1f} s] {}\n", Since(kBegin), line);
  std::fflush(stdout);
}

std::string Bar(double share) {
  std::string out;
  for (int i = 0; i < 40; ++i) out += i < static_cast<int>(std::lround(share * 40)) ? "█" : "·";
  return out;
}

Demo::Demo(DemoOptions options)
    : options_(std::move(options)), fleet_([this] {
        test::FleetOptions fleet = DemoFleet(options_);
        fleet.say = [](const std::string& line) { Say("starting " + line); };
        return fleet;
      }()) {}

Status Demo::Run() {
  bool leftover = false;
  WEIR_ASSIGN(folder_, DemoFolder::Take(options_.folder, &leftover));
  if (leftover) Say("removed the state of an earlier demo in " + options_.folder);
  WEIR_TRY(BringUp());
  WEIR_TRY(ApplyFounding());
  WEIR_TRY(MeasureBefore());
  WEIR_TRY(KillCluster());
  WEIR_TRY(BringClusterBack());
  WEIR_TRY(ChangeWeights());
  WEIR_TRY(MeasureAfter());
  return Finish();
}

Status Demo::BringUp() {
  // An earlier demo's processes may be dying still: their death follows its own.
  Status ports = fleet_.CheckPorts();
  for (const auto end = Steady::now() + Milliseconds(3'000); !ports.ok() && Steady::now() < end;
       ports = fleet_.CheckPorts()) {
    std::this_thread::sleep_for(Milliseconds(100));
  }
  if (!ports.ok()) {
    Error error = std::move(ports).error();
    error.message += "\nIs another demo or another Weir running? `ss -ltnp` shows who listens there.";
    return error;
  }
  WEIR_TRY(fleet_.StartServer());
  WEIR_TRY(fleet_.Login());
  Say("weir apply -f " + File("base.yaml"));
  WEIR_ASSIGN(const std::string applied, fleet_.WeirOk({"apply", "-f", File("base.yaml")}));
  WEIR_TRY(fleet_.StartAgents());
  WEIR_TRY(fleet_.StartWorkloads());
  return fleet_.WaitForMesh();
}

Status Demo::ApplyFounding() {
  Say("weir apply --wait -f " + File("founding-tier1gateway.yaml"));
  const auto begin = Steady::now();
  WEIR_ASSIGN(const std::string applied, fleet_.WeirOk({"apply", "--wait", "-f", File("founding-tier1gateway.yaml")}));
  Say(fmt::format("every gateway acknowledged after {:.2f} s", Since(begin)));
  // READY of one object is not all: the T2s must have learnt which T1s may call them, the pods must be there.
  WEIR_TRY(WaitReady());
  WEIR_TRY(WaitSplit());
  return fleet_.CheckRunning();
}

// READY speaks of configuration; a T1 also wants to hear from each cluster that its pods answer before it sends it its
// whole share. That takes the first seconds of a cluster's life. The requests until then ask whether it is so; they are
// not in the report.
Status Demo::WaitSplit() {
  std::string last;
  const Status split = test::WaitUntil("the first exact split", Milliseconds(30'000), nullptr, [&] {
    test::LoadOptions load;
    load.targets = Tier1s();
    load.host = kHost;
    load.requests = 400;
    const test::LoadReport report = test::RunLoad(load);
    const Status exact = CheckShares(report, {{"cluster1", 0.75}, {"cluster2", 0.25}},
                                     options_.workers * static_cast<double>(Tier1s().size()));
    last = report.failed > 0 ? report.first_error : exact.ok() ? "" : exact.error().message;
    return last.empty();
  });
  if (split.ok()) Say("both clusters answer for their pods");
  return split.ok() ? split : FailedPrecondition("NOT_SERVING", "{}: {}", split.error().message, last);
}

// Until every resource is READY; leaves its state in the report.
Status Demo::WaitReady() {
  std::string last;
  const Status ready = test::WaitUntil("every resource to be READY", Milliseconds(30'000), nullptr, [&] {
    const auto status = fleet_.WeirOk({"status", "organizations/demo-org", "-o", "json"});
    last = status.ok() ? *status : status.error().message;
    const auto root = document::ParseOne(last, {}, document::Syntax::kJson);
    const auto* worst = root.ok() ? root->Find("worst") : nullptr;
    report_.status = worst == nullptr ? "UNKNOWN" : worst->text;
    return report_.status == "READY";
  });
  if (ready.ok()) return {};
  return FailedPrecondition("NOT_READY",
                            "the resources are {} and not READY; `weir status organizations/demo-org` said:\n{}",
                            report_.status, last);
}

test::LoadReport Demo::Drive(const Weights& weights, double tolerance) {
  test::LoadOptions load;
  load.targets = Tier1s();
  load.host = kHost;
  load.connections = 16;
  load.requests = options_.requests_per_phase;
  load.progress = [&](uint64_t done) { Progress(fmt::format("{} of {} requests", done, options_.requests_per_phase)); };
  const test::LoadReport report = test::RunLoad(load);
  Progress("");
  fmt::print("\r");
  Say(fmt::format("{} GETs to http://{} through both T1s in {:.1f} s, {} failed, p50 {:.2f} ms, p99 {:.2f} ms",
                  report.requests, kHost, report.seconds, report.failed, report.p50_ms, report.p99_ms));
  for (const auto& [cluster, weight] : weights) {
    const double share = report.Share(cluster);
    const auto count = report.by_backend.contains(cluster) ? report.by_backend.at(cluster) : 0;
    fmt::print("             {}  {} {:7.3f} %  ({} requests, asked for {:g} %)\n", cluster, Bar(share), share * 100,
               count, weight * 100);
  }
  if (report.failed > 0) fmt::print("             first failure: {}\n", report.first_error);
  report_.requests += report.requests;
  report_.failed += report.failed;
  const double allowed = options_.workers * static_cast<double>(Tier1s().size());
  const Status exact =
      CheckShares(report, weights, std::max(allowed, tolerance * static_cast<double>(report.requests)));
  if (!exact.ok()) fmt::print("             {}\n", exact.error().message);
  if (!exact.ok() && shares_.ok()) shares_ = exact;
  return report;
}

Status Demo::MeasureBefore() {
  const Weights weights{{"cluster1", 0.75}, {"cluster2", 0.25}};
  const test::LoadReport load = Drive(weights);
  for (const auto& [cluster, unused] : weights) report_.share_before[cluster] = load.Share(cluster);
  return fleet_.CheckRunning();
}

// What a T1 acknowledged is what all its workers serve: the versions are those of its admin door.
std::map<std::string, std::string> Demo::ServedEndpoints() const {
  std::map<std::string, std::string> out;
  for (const auto& [address, port] : Tier1s()) {
    const auto answer = test::HttpClient(address, kAdminPort, Milliseconds(2'000)).Get("127.0.0.1", "/config_dump");
    if (!answer.ok() || answer->status != 200) continue;
    const auto root = document::ParseOne(answer->body, {}, document::Syntax::kJson);
    const auto* resources = root.ok() ? root->Find("resources") : nullptr;
    const auto* endpoints = resources == nullptr ? nullptr : resources->Find(kEndpointsType);
    if (endpoints == nullptr) continue;
    for (const auto& version : endpoints->members) out[address + " " + version.key] = version.value.text;
  }
  return out;
}

Status Demo::ChangeWeights() {
  const auto before = ServedEndpoints();
  // Traffic goes on while the weights move: a change must not lose a request.
  std::atomic<bool> stop{false};
  test::LoadReport during;
  std::thread traffic([&] {
    test::LoadOptions load;
    load.targets = Tier1s();
    load.host = kHost;
    load.connections = 2;
    load.requests = 0;
    load.stop = [&] { return stop.load(); };
    during = test::RunLoad(load);
  });
  Say("weir apply -f " + File("even-split.yaml"));
  const auto outcome = [&]() -> Status {
    WEIR_ASSIGN(const std::string applied, fleet_.WeirOk({"apply", "-f", File("even-split.yaml")}));
    const auto answered = Steady::now();
    WEIR_TRY(test::WaitUntil("every worker of every T1 to serve the new weights", Milliseconds(30'000), nullptr, [&] {
      const auto now = ServedEndpoints();
      return now.size() == before.size() && !now.empty() && std::all_of(now.begin(), now.end(), [&](const auto& entry) {
               return before.contains(entry.first) && before.at(entry.first) != entry.second;
             });
    }));
    report_.seconds_to_new_share = Since(answered);
    return {};
  }();
  stop = true;
  traffic.join();
  WEIR_TRY(outcome);
  report_.requests += during.requests;
  report_.failed += during.failed;
  Say(fmt::format(
      "every worker of both T1s serves the new weights {:.0f} ms after the answer; {} requests meanwhile, {} failed",
      report_.seconds_to_new_share * 1000, during.requests, during.failed));
  if (during.failed > 0) fmt::print("             first failure: {}\n", during.first_error);
  return {};
}

Status Demo::MeasureAfter() {
  const Weights weights{{"cluster1", 0.5}, {"cluster2", 0.5}};
  const test::LoadReport load = Drive(weights);
  for (const auto& [cluster, unused] : weights) report_.share_after_change[cluster] = load.Share(cluster);
  return fleet_.CheckRunning();
}

Status Demo::Finish() {
  const Status ready = WaitReady();
  const std::string path = options_.folder + "/report.json";
  WEIR_TRY(WriteFileAtomic(path, report_.ToJson()));
  Say(fmt::format("status of all resources: {}; report in {}", report_.status, path));
  if (report_.failed > 0)
    return FailedPrecondition("REQUESTS_FAILED", "{} of {} requests failed", report_.failed, report_.requests);
  WEIR_TRY(CheckSurvival(report_));
  WEIR_TRY(shares_);
  return ready;
}

void Demo::PrintHowToGoOn() const {
  fmt::print("\nIt runs. Go on in another terminal, in this folder:\n\n  export PATH={}:$PATH",
             fleet_.options().bin_dir);
  for (const std::string& line : fleet_.CliEnvironment()) fmt::print(" \\\n         {}", line);
  fmt::print(
      "\n  curl -s -H 'Host: {}' http://{}:{}/\n  weir get tier1gateways\n  weir status\n"
      "  weir apply --wait -f {}\n\n"
      "REST: https://{}:{} (trust {}/server-anchor.pem; user admin, password in {}/admin-password)\nLogs: {}/logs\n\n"
      "Ctrl-C ends all of it.\n",
      kHost, Tier1s()[0].address, Tier1s()[0].port, File("founding-tier1gateway.yaml"), fleet_.options().server_address,
      fleet_.options().rest_port, fleet_.ServerState(), fleet_.ServerState(), fleet_.options().folder);
  std::fflush(stdout);
}

}  // namespace weir::demo
