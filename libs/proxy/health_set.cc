#include "libs/proxy/health_set.h"

#include <algorithm>

#include "libs/obs/log.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

using traffic::Evidence;

constexpr uint64_t kFirstDoubtMs = 1'000, kLongestDoubtMs = 16'000, kForgetMs = 30'000;

std::shared_ptr<const net::TlsPeerRule> RuleOf(const Cluster& cluster, const Endpoint& endpoint) {
  if (!cluster.tls) return nullptr;
  return std::make_shared<const net::TlsPeerRule>(endpoint.spiffe_id.empty()
                                                      ? PeerRule(true, cluster.tls->allowed_uris)
                                                      : PeerRule(true, {{endpoint.spiffe_id, false}}));
}

std::chrono::system_clock::time_point WallOf(uint64_t at_ms, uint64_t now_ms) {
  if (at_ms == 0) return {};
  return std::chrono::system_clock::now() - std::chrono::milliseconds(now_ms - std::min(at_ms, now_ms));
}

}  // namespace

// ---- HealthEndpoint

HealthEndpoint::HealthEndpoint(HealthServices& services, HealthSet& set, Endpoint endpoint)
    : services_(services), set_(set), endpoint_(std::move(endpoint)), key_(EndpointKey(endpoint_)) {}

HealthEndpoint::~HealthEndpoint() {
  check_.reset();
  if (peer_ != nullptr) services_.Leave(*peer_, set_, joined_as_);
}

void HealthEndpoint::Configure(const Cluster& cluster) {
  const bool wanted = cluster.digest && cluster.tls.has_value();
  if (peer_ != nullptr && (!wanted || joined_as_ != set_.host())) {
    services_.Leave(*std::exchange(peer_, nullptr), set_, joined_as_);
  }
  if (wanted && peer_ == nullptr) {
    joined_as_ = set_.host();
    peer_ = services_.Join(cluster, endpoint_, set_);
  }
  ChooseSource(cluster);
}

void HealthEndpoint::ChooseSource(const Cluster& cluster) {
  const bool wanted = cluster.check.has_value() && (peer_ == nullptr || peer_->mute());
  if (!wanted) {
    if (check_ != nullptr) checked_ = {};
    check_.reset();
    return;
  }
  auto address = net::Address::Parse(endpoint_.address, endpoint_.port);
  if (!address.ok()) return;
  HealthTarget target{*address, RuleOf(cluster, endpoint_), cluster.tls ? cluster.tls->sni : ""};
  const HealthCheck& spec = *cluster.check;
  const uint64_t delay = check_ == nullptr ? services_.FirstCheckDelay(spec, key_) : 0;
  if (check_ == nullptr) check_ = std::make_unique<ActiveCheck>(services_.worker(), *this);
  check_->Start(spec, std::move(target), spec.host.empty() ? cluster.name : spec.host, delay);
}

void HealthEndpoint::OnChecked(ActiveCheck::Outcome outcome, std::string_view text) {
  const HealthCheck& spec = *set_.source()->check;
  const Evidence before = checked_.evidence();
  const bool doubted = doubt_until_ms_ != 0;
  source_ = "check";
  text_ = text;
  at_ms_ = services_.worker().loop().now_ms();
  const bool was_silent = silent_;
  silent_ = outcome == ActiveCheck::Outcome::kSilent;
  if (outcome == ActiveCheck::Outcome::kGood) {
    checked_.Good(spec.up_after);
    doubt_until_ms_ = 0;
  } else if (outcome == ActiveCheck::Outcome::kClosed) {
    checked_.Certain(Evidence::kBad);
  } else {
    checked_.Bad(spec.down_after);
    if (checked_.turning() && !silent_) check_->Again();
  }
  if (before != checked_.evidence() || doubted || was_silent != silent_) services_.Changed(set_);
}

void HealthEndpoint::Saw(const PassiveEvidence& evidence) {
  const uint64_t now = services_.worker().loop().now_ms();
  if (now < doubt_until_ms_) return;
  if (now > doubted_ms_ + kLongestDoubtMs + kForgetMs) strikes_ = 0;
  strikes_ = std::min(strikes_ + 1, 5u);
  doubted_ms_ = now;
  doubt_until_ms_ = now + std::min(kFirstDoubtMs << (strikes_ - 1), kLongestDoubtMs);
  source_ = evidence.failure == Failure::kConnect ? "connect" : "ejected";
  switch (evidence.failure) {
    case Failure::kConnect:
      text_ = "a request could not connect";
      break;
    case Failure::kNobody:
      text_ = "it reached nobody behind it";
      break;
    case Failure::kLost:
    case Failure::kGateway:
      text_ = fmt::format("{} requests in a row went wrong", evidence.in_a_row);
      break;
  }
  at_ms_ = now;
  if (check_ != nullptr) check_->Nudge();
}

HealthEndpoint::Verdict HealthEndpoint::Judge(const std::string& sni, uint64_t now_ms) const {
  Verdict verdict;
  verdict.doubtful = now_ms < doubt_until_ms_;
  if (peer_ == nullptr || peer_->mute()) {
    verdict.evidence = checked_.evidence();
    verdict.silent = silent_ && verdict.evidence == Evidence::kBad;
    return verdict;
  }
  verdict.doubtful |= peer_->doubtful();
  verdict.evidence = peer_->evidence();
  if (verdict.evidence == Evidence::kBad) {
    verdict.silent = peer_->silent();
  } else if (verdict.evidence == Evidence::kGood) {
    const DigestReader::Host host = peer_->Of(sni);
    verdict.evidence = host.evidence;
    verdict.partial = host.partial;
    verdict.behind = host.evidence == Evidence::kBad;
  }
  return verdict;
}

EvidenceReport HealthEndpoint::Report(const std::string& sni, uint64_t now_ms) const {
  EvidenceReport report;
  report.endpoint = fmt::format("{}:{}", endpoint_.address, endpoint_.port);
  const Verdict verdict = Judge(sni, now_ms);
  report.healthy = verdict.evidence != Evidence::kBad && !verdict.doubtful;
  if (peer_ != nullptr && !peer_->mute() && now_ms >= doubt_until_ms_) {
    report.source = "digest";
    report.text =
        verdict.behind ? (verdict.partial ? "serves only a part" : "nobody behind it can serve") : peer_->text();
    report.time = WallOf(peer_->at_ms(), now_ms);
    return report;
  }
  report.source = source_;
  report.text = text_;
  report.time = WallOf(at_ms_, now_ms);
  return report;
}

// ---- HealthSet

HealthSet::HealthSet(HealthServices& services, std::string name) : services_(services), name_(std::move(name)) {}
HealthSet::~HealthSet() = default;

void HealthSet::Update(std::shared_ptr<const Cluster> source) {
  if (source == source_) return;
  const uint64_t now = services_.worker().loop().now_ms();
  source_ = std::move(source);
  host_ = source_->digest && source_->tls ? source_->tls->sni : "";
  for (auto& [key, endpoint] : endpoints_) endpoint->kept = false;
  std::vector<LocalityState> localities(source_->localities.size());
  for (size_t i = 0; i < localities.size(); ++i) {
    const Locality& locality = source_->localities[i];
    const auto before = std::find(names_.begin(), names_.end(), locality.cluster);
    if (before != names_.end()) {
      localities[i].judge = localities_[static_cast<size_t>(before - names_.begin())].judge;
    }
    localities[i].judge.SetTimes({static_cast<uint64_t>(std::max<int64_t>(0, source_->hold.count())),
                                  static_cast<uint64_t>(std::max<int64_t>(0, source_->slow_return.count()))},
                                 now);
    for (const Endpoint& endpoint : locality.endpoints) {
      std::unique_ptr<HealthEndpoint>& state = endpoints_[EndpointKey(endpoint)];
      if (state == nullptr) state = std::make_unique<HealthEndpoint>(services_, *this, endpoint);
      if (!state->kept) state->Configure(*source_);
      state->kept = true;
      localities[i].endpoints.push_back(state.get());
    }
  }
  names_.clear();
  for (const Locality& locality : source_->localities) names_.push_back(locality.cluster);
  localities_ = std::move(localities);
  std::erase_if(endpoints_, [](const auto& entry) { return !entry.second->kept; });
  services_.Changed(*this);
}

void HealthSet::Saw(const PassiveEvidence& evidence) {
  answer = true;
  services_.Changed(*this);
  if (const auto found = endpoints_.find(evidence.endpoint); found != endpoints_.end()) found->second->Saw(evidence);
}

void HealthSet::OnPeer() {
  for (auto& [key, endpoint] : endpoints_) endpoint->ChooseSource(*source_);
  services_.Changed(*this);
}

void HealthSet::Weigh(LocalityState& state, const Locality& locality, std::vector<EndpointOut>& out, uint64_t now_ms) {
  state.usable = state.able = state.partly = state.behind = false;
  bool good = false;
  for (HealthEndpoint* endpoint : state.endpoints) {
    const HealthEndpoint::Verdict verdict = endpoint->Judge(host_, now_ms);
    const bool bad = verdict.evidence == Evidence::kBad;
    good |= verdict.evidence == Evidence::kGood;
    state.able |= !bad;
    state.partly |= verdict.partial;
    state.behind |= verdict.behind;
    if (bad || verdict.doubtful) {
      out.push_back({endpoint->key(), bad && verdict.silent});
    } else {
      state.usable = true;
    }
  }
  state.judge.Observe(good ? Evidence::kGood : state.able ? Evidence::kNone : Evidence::kBad, now_ms);
  const bool gateways = source_->digest;
  state.reason = locality.drained            ? "drained"
                 : state.endpoints.empty()   ? (gateways ? "no_gateway" : "no_endpoint")
                 : !state.able               ? (gateways && !state.behind ? "gateways_down" : "no_endpoint")
                 : !state.judge.can_serve()  ? "held"
                 : !state.usable && gateways ? "gateways_down"
                 : !state.usable             ? "no_endpoint"
                                             : "";
}

// Who may serve; and when nobody may, whom only caution keeps out, then who can serve at least a part.
void HealthSet::Decide(SetHealth& health) const {
  for (const int level : {0, 1, 2}) {
    bool any = false;
    for (size_t i = 0; i < localities_.size(); ++i) {
      const LocalityState& state = localities_[i];
      const bool can = level == 0   ? state.reason.empty()
                       : level == 1 ? state.able && state.reason != "drained"
                                    : state.partly && state.reason != "drained";
      health.localities[i].can_serve = can;
      any |= can;
    }
    if (any) return;
  }
  health.can_serve = false;
  health.reason = localities_.empty() ? "no_endpoint" : localities_.front().reason;
  for (const LocalityState& state : localities_) {
    if (state.reason != "drained") health.reason = state.reason;
  }
}

std::shared_ptr<const SetHealth> HealthSet::Judge() {
  const uint64_t now = services_.worker().loop().now_ms();
  auto health = std::make_shared<SetHealth>();
  uint64_t deadline = UINT64_MAX;
  for (size_t i = 0; i < localities_.size(); ++i) {
    LocalityState& state = localities_[i];
    Weigh(state, source_->localities[i], health->out, now);
    health->localities.push_back({names_[i], true, state.judge.returning(), state.reason});
    health->judged |= std::any_of(state.endpoints.begin(), state.endpoints.end(), [&](const HealthEndpoint* endpoint) {
      return endpoint->Judge(host_, now).evidence == Evidence::kGood;
    });
    deadline = std::min(deadline, state.judge.deadline_ms());
    for (const HealthEndpoint* endpoint : state.endpoints) deadline = std::min(deadline, endpoint->deadline_ms(now));
  }
  Decide(*health);
  health->judged |= !health->can_serve;
  std::sort(health->out.begin(), health->out.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  services_.worker().loop().wheel().Clear(*this);
  if (deadline != UINT64_MAX) services_.worker().loop().SetTimer(*this, deadline - std::min(now, deadline));
  if (health_ != nullptr && *health_ == *health) return nullptr;
  LogChange(health_ != nullptr ? *health_ : SetHealth{}, *health);
  health_ = std::move(health);
  return health_;
}

void HealthSet::LogChange(const SetHealth& before, const SetHealth& after) const {
  for (const LocalityHealth& now : after.localities) {
    const auto known = std::find_if(before.localities.begin(), before.localities.end(),
                                    [&](const LocalityHealth& one) { return one.cluster == now.cluster; });
    const LocalityHealth was = known == before.localities.end() ? LocalityHealth{} : *known;
    if (was.reason == now.reason && was.can_serve == now.can_serve) continue;
    if (was.reason.empty() == now.reason.empty() && was.can_serve == now.can_serve) continue;
    if (!services_.worker().MayLog()) return;
    if (now.reason.empty()) {
      obs::Log(obs::Level::kInfo, "cluster returns", {{"set", name_}, {"cluster", now.cluster}});
    } else {
      obs::Log(obs::Level::kWarn, now.can_serve ? "cluster serves because nobody else can" : "cluster is out",
               {{"set", name_}, {"cluster", now.cluster}, {"reason", std::string(now.reason)}});
    }
  }
}

SetHealthReport HealthSet::Report() const {
  const uint64_t now = services_.worker().loop().now_ms();
  SetHealthReport report;
  report.set = name_;
  for (size_t i = 0; i < localities_.size(); ++i) {
    const LocalityState& state = localities_[i];
    LocalityHealthReport one;
    one.cluster = names_[i];
    if (health_ != nullptr && i < health_->localities.size()) {
      one.can_serve = health_->localities[i].can_serve;
      one.reason = health_->localities[i].reason;
    }
    one.returning = state.judge.returning();
    one.since = WallOf(state.judge.since_ms(), now);
    for (const HealthEndpoint* endpoint : state.endpoints) one.evidence.push_back(endpoint->Report(host_, now));
    report.localities.push_back(std::move(one));
  }
  return report;
}

}  // namespace weir::proxy
