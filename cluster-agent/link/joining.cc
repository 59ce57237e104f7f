#include "cluster-agent/link/joining.h"

#include <optional>
#include <thread>
#include <utility>

#include "libs/base/file.h"
#include "libs/identity/certificates.h"
#include "libs/identity/token.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"

namespace weir::agent {
namespace {

constexpr std::string_view kClockBehind = "CLOCK_BEHIND";

// Which token made the membership that is held: its hash. A token that stays in its file is not taken for a new one.
std::string UsedTokenPath(const JoiningOptions& options) { return options.membership_path + ".token"; }

struct GivenToken {
  std::string text;
  identity::JoinToken token;
  bool used = false;  // By this agent.
};
// Nothing when none is given.
Result<std::optional<GivenToken>> ReadToken(const JoiningOptions& options) {
  if (options.token_file.empty()) return std::optional<GivenToken>();
  GivenToken given;
  WEIR_ASSIGN(given.text, ReadFile(options.token_file, 64 << 10));
  WEIR_ASSIGN(given.token, identity::JoinToken::Parse(given.text));
  const auto used = ReadFile(UsedTokenPath(options), 4096);
  given.used = used.ok() && *used == given.token.SecretHash();
  return std::optional(std::move(given));
}

Result<StoredMembership> JoinOnce(const JoiningOptions& options, const GivenToken& given, const Clock& clock) {
  WEIR_ASSIGN(Membership joined, Join(options.server, given.text, clock));
  WEIR_TRY(SaveMembership(options.membership_path, joined));
  WEIR_TRY(WriteFileAtomic(UsedTokenPath(options), given.token.SecretHash(), 0600));
  obs::Log(obs::Level::kInfo, "joined", {{"cluster", joined.cluster}, {"trust_domain", joined.trust_domain}});
  StoredMembership stored;
  stored.membership = std::move(joined);
  stored.joined_now = true;
  return stored;
}

bool MayComeBack(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded ||
         error.code == Code::kResourceExhausted;
}

// Joins, for as long as the server cannot be reached, until `give_up`.
Result<StoredMembership> KeepJoining(const JoiningOptions& options, const GivenToken& given,
                                     const std::atomic<bool>& stop, MonoTime give_up, const Clock& clock) {
  process::Backoff backoff({.first = std::chrono::milliseconds(200), .most = std::chrono::seconds(5)});
  for (;;) {
    auto joined = JoinOnce(options, given, clock);
    if (joined.ok() || !MayComeBack(joined.error()) || clock.Now() >= give_up) return joined;
    obs::Log(obs::Level::kWarn, "the server cannot be reached; trying again", {{"error", joined.error().ToString()}});
    // A signal's handler sets `stop` and cannot wake us.
    for (const MonoTime until = clock.Now() + backoff.Next(); clock.Now() < until && !stop;) {
      std::this_thread::sleep_for(clock.MaxSleep(std::chrono::milliseconds(50)));
    }
    if (stop) return Cancelled("STOPPED", "stopped before the agent had joined");
  }
}

// "" = it is of the installation that the membership is of.
std::string OtherInstallation(const Membership& membership, const identity::JoinToken& token) {
  const auto anchor = identity::CertificateSha256(membership.anchor_pem);
  return anchor.ok() && *anchor == token.anchor_sha256 ? "" : " of another installation (its server anchor is another)";
}

// A member that is given a token: uses it only when the token says so, and says why not. While it cannot be used, what
// is held goes on: the data plane must not wait.
Result<StoredMembership> MemberWithToken(const JoiningOptions& options, StoredMembership stored,
                                         const GivenToken& given, const std::atomic<bool>& stop, const Clock& clock) {
  constexpr std::chrono::seconds kRejoinWithin{20};
  if (given.used) return stored;
  const std::string token = fmt::format("the join token in {}, for cluster {}{}", options.token_file,
                                        given.token.cluster(), OtherInstallation(stored.membership, given.token));
  if (!given.token.rejoin) {
    stored.unused_token = fmt::format(
        "{} is not used: this agent is the member of cluster {} already; to use one give it a token of `weir cluster "
        "rejoin {}`, which ends the membership that it has",
        token, stored.membership.cluster, given.token.cluster());
    return stored;
  }
  auto joined = KeepJoining(options, given, stop, clock.Now() + kRejoinWithin, clock);
  if (joined.ok()) return joined;
  if (stop) return std::move(joined).error();
  stored.unused_token = fmt::format(
      "{} could not be used, the membership of cluster {} goes on: {}; start again, with "
      "a new token of `weir cluster rejoin {}` unless the server was only out of reach",
      token, stored.membership.cluster, joined.error().ToString(), given.token.cluster());
  return stored;
}

// `refusal`: why there is no membership, or the one that is stored cannot be used.
Result<StoredMembership> JoinFirst(const JoiningOptions& options, Error refusal,
                                   const Result<std::optional<GivenToken>>& given, const std::atomic<bool>& stop,
                                   const Clock& clock) {
  if (refusal.reason == kClockBehind) return refusal;  // Another membership would begin later still.
  if (refusal.code != Code::kNotFound) {
    if (options.token_file.empty()) {
      if (refusal.reason.starts_with("LAST_GOOD_")) {
        refusal.message += "; join the cluster anew (weir cluster token NAME, --join-token-file)";
      }
      return refusal;
    }
    obs::Log(obs::Level::kError, "the stored membership cannot be used; joining again",
             {{"reason", refusal.ToString()}});
  }
  if (!given.ok()) return given.error();
  if (!*given) {
    return FailedPrecondition("NOT_JOINED", "this agent has not joined yet; give it a join token (--join-token-file)");
  }
  auto joined = KeepJoining(options, **given, stop, MonoTime::max(), clock);
  if (joined.ok() || stop || refusal.code == Code::kNotFound) return joined;
  return std::move(refusal).WithCause("joining again: " + joined.error().ToString());
}

// What was stored before tokens of workloads hung on the membership.
void GiveWorkloadKey(const JoiningOptions& options, Membership& membership) {
  if (!membership.workload_key.empty()) return;
  membership.workload_key = identity::NewWorkloadKey();
  const Status saved = SaveMembership(options.membership_path, membership);
  if (!saved.ok()) {
    obs::Log(obs::Level::kError, "membership could not be stored; tokens of workloads change with each start",
             {{"error", saved.error().ToString()}});
  }
}

}  // namespace

Result<StoredMembership> EnsureMembership(const JoiningOptions& options, const std::atomic<bool>& stop,
                                          const Clock& clock) {
  auto stored = LoadMembership(options.membership_path, clock);
  auto given = ReadToken(options);
  if (stored.ok()) {
    GiveWorkloadKey(options, stored->membership);
    for (const std::string& reason : stored->refused) {
      obs::Log(obs::Level::kError, "a generation of the membership is refused; the older one is used",
               {{"reason", reason}});
    }
    if (!given.ok()) {
      if (given.error().code == Code::kNotFound) return stored;  // Its file was removed after it was used.
      stored->unused_token = fmt::format("{}: {}", options.token_file, given.error().ToString());
    } else if (*given) {
      stored = MemberWithToken(options, std::move(*stored), **given, stop, clock);
    }
    if (stored.ok() && !stored->unused_token.empty()) {
      obs::Log(obs::Level::kWarn, "a join token is not used", {{"reason", stored->unused_token}});
    }
    return stored;
  }
  return JoinFirst(options, stored.error(), given, stop, clock);
}

}  // namespace weir::agent
