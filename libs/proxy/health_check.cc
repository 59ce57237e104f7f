#include "libs/proxy/health_check.h"

#include <algorithm>

#include "libs/proxy/message.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {

ActiveCheck::~ActiveCheck() {
  if (asking_) owner_.CheckEnded();
}

void ActiveCheck::Start(const HealthCheck& spec, HealthTarget target, std::string host, uint64_t delay_ms) {
  spec_ = spec;
  target_ = std::move(target);
  if (spec_.port != 0) {
    if (auto other = net::Address::Parse(target_.address.Ip(), spec_.port); other.ok()) target_.address = *other;
  }
  host_ = std::move(host);
  if (due_ms_ == 0) Schedule(delay_ms);
}

void ActiveCheck::Schedule(uint64_t in_ms) {
  due_ms_ = worker_.loop().now_ms() + in_ms;
  worker_.loop().wheel().Clear(*this);
  worker_.loop().SetTimer(*this, in_ms);
}

void ActiveCheck::CheckNow() {
  if (asking_) {
    quick_ = true;
  } else if (due_ms_ > worker_.loop().now_ms()) {
    Schedule(0);
  }
}

void ActiveCheck::CheckSoon() {
  if (!asking_) Schedule(std::min(kQuickMs, Interval()));
}

uint64_t ActiveCheck::Interval() const {
  const auto interval = static_cast<uint64_t>(spec_.interval.count());
  return hurry_ ? std::min(interval, kHurryMs) : interval;
}

void ActiveCheck::SetShortInterval(bool hurry) {
  if (hurry == hurry_) return;
  hurry_ = hurry;
  if (hurry && !asking_ && due_ms_ > worker_.loop().now_ms() + Interval()) Schedule(Interval());
}

void ActiveCheck::OnTimer() {
  if (!asking_) return Ask();
  const uint64_t now = worker_.loop().now_ms();
  if (now > due_ms_ + HealthConnection::kStalledMs && !patient_) {
    patient_ = true;
    if (connection_ != nullptr) connection_->ReadWhatArrived();
    if (asking_) Schedule(200);
    return;
  }
  const bool connected = connection_ != nullptr && connection_->connected();
  Answered(Outcome::kSilent, connected ? "no answer in time" : "no connection in time", false);
}

void ActiveCheck::Ask() {
  if (target_.wire.tls() && worker_.identity() == nullptr) return Schedule(kQuickMs);
  if (!owner_.MayCheck()) return Schedule(1);  // The next tick.
  asking_ = true;
  sent_ = patient_ = false;
  began_ms_ = worker_.loop().now_ms();
  answer_.clear();
  Schedule(static_cast<uint64_t>(spec_.timeout.count()));
  reused_ = connection_ != nullptr;
  if (reused_) return Request();
  Connect();
}

void ActiveCheck::Connect() {
  bool local = false;
  connection_ = HealthConnection::Open(worker_, target_.address, target_.wire, target_.sni, *this, &local);
  if (local) return Postpone();
  if (connection_ == nullptr) Answered(Outcome::kBad, "no connection", false);
}

void ActiveCheck::Postpone() {
  asking_ = false;
  connection_.reset();
  Schedule(Interval());
  owner_.CheckEnded();
}

void ActiveCheck::OnUp() {
  if (!asking_) return;
  if (spec_.kind == HealthCheck::Kind::kTcp) return Answered(Outcome::kGood, "connected", false);
  Request();
}

void ActiveCheck::Request() {
  sent_ = true;
  connection_->Send(fmt::format("GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: weir-health\r\n\r\n", spec_.path, host_));
}

void ActiveCheck::OnBytes(const char* data, size_t size) {
  if (!asking_ || !sent_) {  // Bytes nobody asked for: not a connection to ask on.
    connection_.reset();
    return;
  }
  answer_.append(data, std::min(size, kMaxAnswer + 1 - std::min(answer_.size(), kMaxAnswer + 1)));
  codec::ResponseHead& head = worker_.response_head;
  switch (codec::ParseResponse(answer_.data(), answer_.size(), false, head)) {
    case codec::Parse::kIncomplete:
      if (answer_.size() > kMaxAnswer) Answered(Outcome::kBad, "answer too long", false);
      return;
    case codec::Parse::kBad:
      return Answered(Outcome::kBad, "not an HTTP answer", false);
    case codec::Parse::kComplete:
      break;
  }
  if (head.status < 200) return Answered(Outcome::kBad, fmt::format("status {}", head.status), false);
  const size_t rest = answer_.size() - head.size;
  const bool whole =
      head.body == codec::BodyKind::kNone || (head.body == codec::BodyKind::kLength && rest == head.content_length);
  if (!whole && head.body == codec::BodyKind::kLength && head.content_length <= 4096 && rest < head.content_length)
    return;
  const bool good = head.status < spec_.unhealthy_from;
  const std::string_view reason = ReasonOf(head).substr(0, 64);
  const std::string text =
      reason.empty() ? fmt::format("status {}", head.status) : fmt::format("status {} {}", head.status, reason);
  Answered(good ? Outcome::kGood : Outcome::kBad, text, whole && !head.close);
}

void ActiveCheck::OnEnd(HealthConnection::End end, std::string_view why) {
  connection_.reset();
  if (end == HealthConnection::End::kLocal && asking_) return Postpone();
  if (!asking_) {  // It let go of a quiet connection: ask at once whether it is still there.
    served_ = true;
    return Schedule(0);
  }
  if (reused_ && answer_.empty()) {
    reused_ = false;
    served_ = true;
    return Connect();
  }
  Answered(end == HealthConnection::End::kRefused && served_ ? Outcome::kClosed : Outcome::kBad, why, false);
}

void ActiveCheck::Answered(Outcome outcome, std::string_view text, bool keep) {
  asking_ = false;
  if (!keep) connection_.reset();
  const bool good = outcome == Outcome::kGood;
  if (good) served_ = false;
  const uint64_t interval = Interval();
  const uint64_t spent = worker_.loop().now_ms() - began_ms_;
  const bool quick = std::exchange(quick_, false) && !good;
  Schedule(quick ? std::min(interval, kQuickMs) : interval > spent ? interval - spent : 1);
  owner_.CheckEnded();
  owner_.OnChecked(outcome, text);  // May end this object.
}

}  // namespace weir::proxy
