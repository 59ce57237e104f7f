#include "libs/gateway/identity_keeper.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/ids.h"
#include "libs/base/last_good_file.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"

namespace weir::gateway {
namespace {

constexpr std::chrono::seconds kAnswerWithin{5};
constexpr Duration kFirstPause = std::chrono::milliseconds(100);
constexpr Duration kLongestPause = std::chrono::seconds(10);
constexpr Duration kRenewalsApart = std::chrono::seconds(1);  // At least: near the issuer's end leaves get short.
constexpr Duration kOldRootPause = std::chrono::seconds(5);
constexpr LastGoodKind kKind{"weir-identity", 1, true, 1u << 20};

}  // namespace

IdentityKeeper::IdentityKeeper(const Settings& settings, OnLeaf on_leaf, const Clock& clock)
    : settings_(settings), on_leaf_(std::move(on_leaf)), clock_(clock), path_(settings.state_dir + "/identity") {}

IdentityKeeper::~IdentityKeeper() { Stop(); }

Result<std::vector<std::string>> IdentityKeeper::Restore() {
  std::optional<Leaf> leaf;
  WEIR_ASSIGN(LastGoodBody kept, ReadLastGoodFile(path_, kKind, [&](std::string_view text) -> Status {
                const size_t begin = text.find("-----BEGIN CERTIFICATE-----");
                if (begin == std::string_view::npos) return DataLoss("IDENTITY_CORRUPT", "there is no certificate");
                WEIR_ASSIGN(leaf, Check(std::string(text.substr(0, begin)), std::string(text.substr(begin))));
                return {};
              }));
  WEIR_TRY(on_leaf_(*leaf));
  MutexLock lock(mutex_);
  current_ = std::move(leaf);
  return std::move(kept.refused);
}

void IdentityKeeper::Start() {
  thread_ = std::thread([this] { Run(); });
}

void IdentityKeeper::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void IdentityKeeper::RenewNow() {
  {
    MutexLock lock(mutex_);
    if (current_) current_->renew_at = clock_.Now();
    hurry_ = true;
  }
  wake_.NotifyAll();
}

void IdentityKeeper::RootsChanged() {
  const auto leaf = Current();
  if (leaf && !UnderSigningRoot(leaf->chain_pem)) RenewNow();
}

std::optional<Leaf> IdentityKeeper::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

std::vector<std::string> IdentityKeeper::Problems() const {
  MutexLock lock(mutex_);
  std::vector<std::string> problems;
  if (!unkept_.empty()) problems.push_back("the identity is not kept for a restart: " + unkept_);
  if (!current_) return problems;
  const Duration late = clock_.Now() - current_->renew_at;
  const Duration left = current_->facts.not_after - clock_.Wall();
  if (late <= Duration(0) || late < left) return problems;
  problems.push_back(fmt::format("the identity {} could not be renewed and {} out at {}", current_->facts.spiffe_id,
                                 left > Duration(0) ? "runs" : "ran", Rfc3339(current_->facts.not_after)));
  return problems;
}

void IdentityKeeper::Run() {
  process::Backoff backoff({kFirstPause, kLongestPause});
  MutexLock lock(mutex_);
  while (!stopped_) {
    if (current_) {
      const MonoTime due = current_->renew_at;
      if (clock_.Now() < due) {
        const auto wait = std::min<Duration>(due - clock_.Now(), std::chrono::minutes(1));
        WaitFor(clock_, wake_, mutex_, wait, [this]() WEIR_REQUIRES(mutex_) { return stopped_ || hurry_; });
        hurry_ = false;
        if (!unkept_.empty()) KeepAgain();
        continue;
      }
    }
    hurry_ = false;
    lock.Unlock();
    auto leaf = Ask();
    Status taken = leaf.ok() ? on_leaf_(*leaf) : Status(leaf.error());
    if (taken.ok()) Keep(*leaf);
    lock.Lock();
    if (taken.ok()) {
      obs::Log(obs::Level::kInfo, "identity received",
               {{"spiffe_id", leaf->facts.spiffe_id}, {"not_after", Rfc3339(leaf->facts.not_after)}});
      current_ = std::move(*leaf);
      if (hurry_) current_->renew_at = clock_.Now();  // Asked for meanwhile: this one may be older.
      backoff.Reset();
      continue;
    }
    if (stopped_) return;
    // While a leaf lives, there is time for several tries before it ends, however short its life is.
    const Duration left = current_ ? Duration(current_->facts.not_after - clock_.Wall()) : kLongestPause;
    const Duration wait = backoff.Next(left / 8);
    obs::Log(obs::Level::kWarn, "no identity from the agent",
             {{"agent", settings_.agent}, {"error", taken.error().ToString()}});
    WaitFor(clock_, wake_, mutex_, wait, [this]() WEIR_REQUIRES(mutex_) { return stopped_; });
  }
}

// A leaf that could not be kept serves all the same: a full disk must not end an identity.
void IdentityKeeper::Keep(const Leaf& leaf) {
  const Status kept = WriteLastGoodFile(path_, kKind, leaf.key_pem + leaf.chain_pem);
  std::string why = kept.ok() ? "" : kept.error().ToString();
  MutexLock lock(mutex_);
  if (!why.empty() && unkept_.empty())
    obs::Log(obs::Level::kError, "the identity could not be kept for a restart", {{"error", why}});
  unkept_ = std::move(why);
}

void IdentityKeeper::KeepAgain() {
  const Leaf leaf = *current_;
  mutex_.Unlock();
  Keep(leaf);
  mutex_.Lock();
}

Result<Leaf> IdentityKeeper::Ask() {
  WEIR_ASSIGN(auto key, identity::NewKey());
  agent::v1::SignRequest request;
  WEIR_ASSIGN(*request.mutable_csr_pem(), identity::MakeCsr(key));
  WEIR_ASSIGN(const auto options, settings_.AgentChannel());
  WEIR_ASSIGN(const auto channel, rpc::MakeChannel(options));
  const auto stub = agent::v1::WorkloadIdentity::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineIn(kAnswerWithin));
  {
    MutexLock lock(mutex_);
    if (stopped_) return Cancelled("STOPPING", "stopping");
    call_ = &context;
  }
  agent::v1::SignResponse response;
  const grpc::Status status = stub->Sign(&context, request, &response);
  {
    MutexLock lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return rpc::FromGrpc(status);
  return Check(std::move(key), response.chain_pem());
}

// The roots are in the order of the server: the first one signs, another is on its way out.
bool IdentityKeeper::UnderSigningRoot(const std::string& chain_pem) const {
  const auto roots = identity::SplitBundle(settings_.Roots());
  return roots.ok() && !roots->empty() && identity::VerifyChain(chain_pem, roots->front(), clock_).ok();
}

Result<Leaf> IdentityKeeper::Check(std::string key_pem, std::string chain_pem) const {
  WEIR_TRY(identity::CheckKeyMatches(chain_pem, key_pem));
  WEIR_ASSIGN(auto facts, identity::VerifyChain(chain_pem, settings_.AgentRule().anchors_pem, clock_));
  if (facts.spiffe_id.empty()) return Unauthenticated("CERTIFICATE_NAMELESS", "the certificate has no SPIFFE id");
  Duration renew_in = std::max<Duration>(identity::RenewIn(facts, clock_.Wall()), kRenewalsApart);
  if (!UnderSigningRoot(chain_pem)) renew_in = std::min(renew_in, kOldRootPause);
  const MonoTime renew_at = clock_.Now() + std::chrono::duration_cast<MonoTime::duration>(renew_in);
  return Leaf{std::move(key_pem), std::move(chain_pem), std::move(facts), renew_at};
}

}  // namespace weir::gateway
