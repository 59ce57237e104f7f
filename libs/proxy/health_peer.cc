#include "libs/proxy/health_peer.h"

#include <algorithm>

#include "libs/dialect/dialect.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

constexpr uint64_t kFirstBackoffMs = 100, kMaxBackoffMs = 1'000;
constexpr uint64_t kNoIdentityMs = 50;

}  // namespace

DigestPeer::DigestPeer(Worker& worker, Owner& owner, std::string key, HealthTarget target, uint64_t connect_timeout_ms)
    : worker_(worker),
      owner_(owner),
      key_(std::move(key)),
      target_(std::move(target)),
      connect_timeout_ms_(connect_timeout_ms) {}

DigestPeer::~DigestPeer() = default;

DigestReader::Host DigestPeer::Of(std::string_view host) const {
  return known_ != nullptr ? known_->Of(host) : DigestReader::Host{traffic::Evidence::kNone, nullptr};
}

void DigestPeer::SetText(std::string_view text) {
  text_ = text;
  at_ms_ = worker_.loop().now_ms();
}

void DigestPeer::Schedule(uint64_t in_ms) {
  due_ms_ = worker_.loop().now_ms() + in_ms;
  worker_.loop().wheel().Clear(*this);
  worker_.loop().SetTimer(*this, in_ms);
}

void DigestPeer::OnTimer() {
  if (connection_ == nullptr) return Connect();
  // Late ourselves, or its beats lie unread because this thread had no time: not its fault.
  const uint64_t now = worker_.loop().now_ms();
  if (now > due_ms_ + HealthConnection::kStalledMs && !patient_) {
    patient_ = true;
    Schedule(200);
    return connection_->ReadWhatArrived();
  }
  Failed(true, beats_ > 0 ? "two beats missed" : "no answer in time");
}

void DigestPeer::Connect() {
  if (worker_.identity() == nullptr) return Schedule(kNoIdentityMs);
  reader_ = std::make_unique<DigestReader>();
  beats_ = 0;
  patient_ = false;
  Schedule(connect_timeout_ms_ + DigestTimes::kMissMs - DigestTimes::kBeatMs);
  bool local = false;
  connection_ = HealthConnection::Open(worker_, target_.address, target_.wire, target_.sni, *this, &local);
  if (local) return Retry();
  if (connection_ == nullptr) Failed(false, "no connection");
}

void DigestPeer::OnUp() {
  connection_->Send(
      fmt::format("GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: weir-health\r\n\r\n", dialect::kHealthPath, target_.sni));
}

void DigestPeer::OnBytes(const char* data, size_t size) {
  DigestReader& reader = reader_ != nullptr ? *reader_ : *known_;
  const DigestReader::State state = reader.Feed(data, size);
  switch (state) {
    case DigestReader::State::kMore:
      break;
    case DigestReader::State::kNoDigest:
      return SetWithoutDigest(fmt::format("no digest: status {}", reader.status()));
    case DigestReader::State::kGarbage:
      return SetWithoutDigest("no digest: its answer cannot be understood");
    case DigestReader::State::kEnded:
      return Lost(reader.draining() ? Word(traffic::Reason::kDraining) : "the digest ended");
  }
  if (reader_ != nullptr && reader_->ready()) known_ = std::move(reader_);
  const std::vector<std::string> changed = reader.TakeChanged();
  if (reader.draining()) return Lost(Word(traffic::Reason::kDraining));
  if (reader.beats() > beats_) Heard(reader.beats());
  if (!changed.empty()) owner_.OnPeerHosts(*this, changed);
}

// A beat, or the end of the complete state.
void DigestPeer::Heard(uint64_t beats) {
  const bool begins = beats_ == 0;
  const traffic::Evidence before = evidence();
  for (; beats_ < beats; ++beats_) streak_.RecordGood(kUpAfter);
  const bool changed = begins || answering() || doubtful_ || mode_ != Mode::kDigest || before != evidence();
  mode_ = Mode::kDigest;
  doubtful_ = false;
  patient_ = false;
  if (beats_ > 1) backoff_ms_ = 0;  // One that ends each connection right after it began is not asked in a tight loop.
  Schedule(DigestTimes::kFrozenMs);
  if (evidence() == traffic::Evidence::kGood) silent_ = false;
  if (!changed) return;
  SetText(evidence() == traffic::Evidence::kGood ? "digest" : "answers again");
  owner_.OnPeer(*this);
}

void DigestPeer::Retry() {
  connection_.reset();
  reader_.reset();
  // At once, then 100 ms, 200 ms, up to 1 s.
  Schedule(backoff_ms_);
  backoff_ms_ = std::clamp(backoff_ms_ * 2, kFirstBackoffMs, kMaxBackoffMs);
}

void DigestPeer::Lost(std::string_view why) {
  SetText(why);
  doubtful_ = true;
  Retry();
  owner_.OnPeer(*this);
}

void DigestPeer::Failed(bool silent, std::string_view why) {
  if (mode_ == Mode::kWithoutDigest) return SetWithoutDigest(why);  // The checks know how it is.
  SetText(why);
  // Two missed beats are two failures.
  const bool frozen = silent && beats_ > 0;
  streak_.RecordBad(frozen ? 1 : kDownAfter);
  silent_ = silent;
  doubtful_ = evidence() != traffic::Evidence::kBad;
  backoff_ms_ = std::max(backoff_ms_, kFirstBackoffMs);
  Retry();
  owner_.OnPeer(*this);
}

void DigestPeer::SetWithoutDigest(std::string_view why) {
  SetText(why);
  mode_ = Mode::kWithoutDigest;
  doubtful_ = silent_ = false;
  known_.reset();
  streak_ = {};
  connection_.reset();
  reader_.reset();
  Schedule(kAskAgainMs);
  owner_.OnPeer(*this);
}

void DigestPeer::OnEnd(HealthConnection::End end, std::string_view why) {
  const bool answering = beats_ > 0;
  switch (end) {
    case HealthConnection::End::kRefused:
    case HealthConnection::End::kIdentity:
      return Failed(false, why);
    case HealthConnection::End::kLocal:
      return Retry();
    case HealthConnection::End::kTls:
      return SetWithoutDigest(fmt::format("no digest: {}", why));
    case HealthConnection::End::kLost:
      return answering ? Lost(why) : SetWithoutDigest(fmt::format("no digest: {}", why));
  }
}

}  // namespace weir::proxy
