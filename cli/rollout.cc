#include "cli/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "api/weir/v2/status.pb.h"
#include "cli/exit_codes.h"
#include "cli/traffic.h"
#include "cli/verdict.h"
#include "libs/base/clock.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

constexpr std::chrono::seconds kPause(1);
constexpr std::chrono::seconds kBeyond(60);  // The server ends it at its deadline.

Error Misused(const std::string& text) { return InvalidArgument("USAGE", "{}", text); }

// "c1,c2", "region=eu", "label=ring=1"; several of the latter two by commas.
Status ReadWave(const std::string& text, v2::RolloutWave& wave) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    begin = end + 1;
    if (part.starts_with("region=")) {
      wave.set_region(part.substr(7));
    } else if (part.starts_with("label=")) {
      const size_t equals = part.find('=', 6);
      if (equals == std::string::npos) return Misused("--wave label wants label=KEY=VALUE");
      (*wave.mutable_labels())[part.substr(6, equals - 6)] = part.substr(equals + 1);
    } else if (part.empty() || part.find('=') != std::string::npos) {
      return Misused("--wave wants names of clusters (c1,c2), region=REGION or label=KEY=VALUE");
    } else {
      wave.add_clusters(part);
    }
  }
  return {};
}

Status ReadGate(const Flags& flags, v2::WaveGate& gate) {
  if (flags.Has("min-success")) {
    const std::string text = flags.Get("min-success");
    char* end = nullptr;
    gate.set_min_success_rate(std::strtod(text.c_str(), &end));
    if (text.empty() || *end != '\0' || !(gate.min_success_rate() > 0))
      return Misused("--min-success wants percent, as 99.5");
  }
  if (flags.Has("min-requests")) {
    WEIR_ASSIGN(const int requests, ParseNumber("min-requests", flags.Get("min-requests"), 1, 1'000'000'000));
    gate.set_min_requests(requests);
  }
  if (flags.Has("bake")) {
    WEIR_ASSIGN(const int64_t seconds, ParseDuration("bake", flags.Get("bake"), 86'400));
    gate.mutable_bake_time()->set_seconds(seconds);
  }
  if (flags.Has("ready-timeout")) {
    WEIR_ASSIGN(const int64_t seconds, ParseDuration("ready-timeout", flags.Get("ready-timeout"), 3'600));
    gate.mutable_ready_timeout()->set_seconds(seconds);
  }
  gate.set_without_traffic(flags.Has("without-traffic"));
  return {};
}

std::string LineOf(const v2::ChangeSet& set, int number) {
  const v2::WaveProgress& wave = set.rollout().waves(number);
  std::string line = fmt::format("  wave {} {}", number + 1, v2::WaveProgress::State_Name(wave.state()));
  for (int i = 0; i < wave.clusters_size(); ++i) line += (i == 0 ? ": " : ", ") + Printable(wave.clusters(i));
  if (wave.requests() > 0) line += fmt::format("; {} of {} requests failed", wave.errors(), wave.requests());
  return line;
}

// What changes from one step to the next; not every request.
std::string StepOf(const v2::ChangeSet& set) {
  std::string step = v2::ChangeSet::State_Name(set.state());
  for (const v2::WaveProgress& wave : set.rollout().waves()) step += " " + v2::WaveProgress::State_Name(wave.state());
  return step;
}

}  // namespace

Status SetWaves(const Flags& flags, v2::ChangeSet& set) {
  for (const std::string& text : flags.All("wave")) {
    v2::RolloutWave& wave = *set.add_waves();
    WEIR_TRY(ReadWave(text, wave));
    WEIR_TRY(ReadGate(flags, *wave.mutable_gate()));
  }
  if (set.waves_size() > 0) return {};
  for (const char* flag : {"min-success", "min-requests", "bake", "ready-timeout", "without-traffic"}) {
    if (flags.Has(flag)) return Misused(fmt::format("--{} is of waves; name them with --wave", flag));
  }
  return {};
}

void PrintRollout(const v2::ChangeSet& set) {
  const v2::Rollout& rollout = set.rollout();
  for (int i = 0; i < rollout.waves_size(); ++i) {
    std::cout << LineOf(set, i) << "\n";
    const bool failed = rollout.waves(i).state() == v2::WaveProgress::FAILED;
    for (int j = 0; failed && j < rollout.waves(i).evidence_size() && j < 5; ++j) {
      const v2::WaveEvidence& evidence = rollout.waves(i).evidence(j);
      std::cout << "    " << Printable(evidence.cluster()) << " " << Printable(evidence.host()) << " by "
                << Printable(evidence.gateway());
      if (evidence.requests() > 0)
        std::cout << fmt::format(": {} of {} failed", evidence.errors(), evidence.requests());
      if (!evidence.text().empty()) std::cout << ": " << Printable(evidence.text());
      std::cout << "\n";
    }
  }
  if (rollout.reason() == v2::Rollout::REASON_UNSPECIFIED) return;
  std::cout << "  reverted: " << v2::Rollout::Reason_Name(rollout.reason())
            << (rollout.message().empty() ? "" : ": " + Printable(rollout.message())) << "\n";
}

Result<int> FollowRollout(Client& client, v2::ChangeSet set, int seconds) {
  const weir::Clock& clock = weir::Clock::Real();
  Duration most = std::chrono::seconds(seconds);
  if (seconds == 0) {
    const auto left = std::chrono::system_clock::from_time_t(set.rollout().deadline().seconds()) - clock.Wall();
    most = std::chrono::duration_cast<Duration>(left) + kBeyond;
  }
  const MonoTime end = clock.Now() + most;
  std::string shown;
  while (true) {
    if (StepOf(set) != shown) {
      shown = StepOf(set);
      const int wave = set.rollout().wave();
      if (set.state() == v2::ChangeSet::ROLLING_OUT && wave > 0) std::cout << LineOf(set, wave - 1) << std::endl;
    }
    if (set.state() != v2::ChangeSet::ROLLING_OUT) break;
    if (clock.Now() >= end) {
      std::cerr << "It goes on; weir changeset get --watch shows how.\n";
      return kExitTimedOut;
    }
    std::this_thread::sleep_for(kPause);
    v2::GetChangeSetRequest request;
    request.set_fqn(set.fqn());
    v2::ChangeSet now;
    const Status asked = client.Call("ChangeSets/GetChangeSet", request, now);
    if (asked.ok()) {
      set = std::move(now);
    } else if (asked.error().code != Code::kUnavailable && asked.error().code != Code::kDeadlineExceeded) {
      return asked.error();  // A server that is away goes on with it when it is back.
    }
  }
  std::cout << v2::ChangeSet::State_Name(set.state())
            << (set.revision() > 0 ? fmt::format(", revision {}", set.revision()) : "") << "\n";
  PrintRollout(set);
  return set.state() == v2::ChangeSet::COMMITTED ? kExitOk : kExitRefused;
}

Result<int> WaitUntilServed(Client& client, const v2::ChangeSet& set, int seconds) {
  const weir::Clock& clock = weir::Clock::Real();
  const MonoTime deadline = clock.Now() + std::chrono::seconds(seconds);
  Verdict verdict;
  for (const v2::PlannedDocument& item : set.items()) {
    const bool written =
        item.outcome() == v2::PlannedDocument::CREATED || item.outcome() == v2::PlannedDocument::UPDATED;
    if (!written || item.kind() == "AccessBindings") continue;
    const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - clock.Now()).count();
    v2::GetStatusRequest request;
    request.set_fqn(item.fqn());
    request.set_wait("applied");
    request.set_wait_seconds(std::max(1, static_cast<int>(left)));
    v2::ResourceStatus status;
    const Status asked = client.Call("Statuses/GetStatus", request, status, request.wait_seconds() + 30);
    if (!asked.ok() && asked.error().code == Code::kNotFound) continue;  // Somebody deleted it since.
    WEIR_TRY(asked);
    verdict.Add(status);
  }
  return verdict.ExitCode();
}

}  // namespace weir::cli
