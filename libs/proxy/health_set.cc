#include "libs/proxy/health_set.h"

#include <algorithm>

#include "libs/obs/log.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

using traffic::Evidence;

WallTime WallOf(uint64_t at_ms, uint64_t now_ms, const Clock& clock) {
  if (at_ms == 0) return {};
  return clock.Wall() - std::chrono::milliseconds(now_ms - std::min(at_ms, now_ms));
}

}  // namespace

// ---- HealthEndpoint

HealthEndpoint::HealthEndpoint(HealthServices& services, HealthSet& set, Endpoint endpoint)
    : services_(services), set_(set), endpoint_(std::move(endpoint)), key_(EndpointKey(endpoint_)) {}

HealthEndpoint::~HealthEndpoint() {
  check_.reset();
  if (peer_ != nullptr) services_.LeavePeer(*peer_, set_, joined_as_);
}

void HealthEndpoint::Configure(const DestinationSet& destination) {
  const bool wanted = destination.digest && destination.tls.has_value();
  if (peer_ != nullptr && (!wanted || joined_as_ != set_.host())) {
    services_.LeavePeer(*std::exchange(peer_, nullptr), set_, joined_as_);
  }
  if (wanted && peer_ == nullptr) {
    joined_as_ = set_.host();
    peer_ = services_.JoinPeer(destination, endpoint_, set_);
  }
  ChooseSource(destination);
}

void HealthEndpoint::ChooseSource(const DestinationSet& destination) {
  const bool wanted = destination.check.has_value() && (peer_ == nullptr || peer_->without_digest());
  if (!wanted) {
    if (check_ != nullptr) checked_ = {};
    check_.reset();
    return;
  }
  auto address = net::Address::Parse(endpoint_.address, endpoint_.port);
  if (!address.ok()) return;
  HealthTarget target{*address, WireTo(destination, endpoint_), destination.tls ? destination.tls->sni : ""};
  const HealthCheck& spec = *destination.check;
  const uint64_t delay = check_ == nullptr ? services_.FirstCheckDelay(spec, key_) : 0;
  if (check_ == nullptr) check_ = std::make_unique<ActiveCheck>(services_.worker(), *this);
  check_->Start(spec, std::move(target), spec.host.empty() ? destination.name : spec.host, delay);
}

void HealthEndpoint::OnChecked(ActiveCheck::Outcome outcome, std::string_view text) {
  const HealthCheck& spec = *set_.source()->check;
  const Evidence before = checked_.evidence();
  const bool was_answering = checked_.turning();
  const uint64_t now = services_.worker().loop().now_ms();
  const bool doubted = requests_.doubted(now);
  source_ = "check";
  text_ = text;
  at_ms_ = now;
  const bool was_silent = silent_;
  silent_ = outcome == ActiveCheck::Outcome::kSilent;
  if (outcome == ActiveCheck::Outcome::kGood) {
    checked_.RecordGood(spec.up_after);
    requests_.RecordHealthy();
  } else if (outcome == ActiveCheck::Outcome::kClosed) {
    checked_.SetEvidence(Evidence::kBad);
  } else {
    checked_.RecordBad(spec.down_after);
    if (checked_.turning() && !silent_) check_->CheckSoon();
  }
  if (before != checked_.evidence() || doubted || was_silent != silent_ || was_answering != checked_.turning()) {
    services_.Changed(set_);
  }
}

void HealthEndpoint::TakeOutcome(traffic::Failure failure) {
  const uint64_t now = services_.worker().loop().now_ms();
  if (failure == traffic::Failure::kNone) return requests_.RecordAnswer();
  if (!requests_.RecordFailure(failure, now)) return;
  source_ = failure == traffic::Failure::kConnect ? "connect" : "ejected";
  switch (failure) {
    case traffic::Failure::kNone:
      break;
    case traffic::Failure::kConnect:
      text_ = "a request could not connect";
      break;
    case traffic::Failure::kLost:
      text_ = fmt::format("{} requests in a row were lost", traffic::RequestEvidence::kLostInARow);
      break;
    case traffic::Failure::kSilent:
      text_ = requests_.silent(now) ? "it takes requests and answers none" : "a request was not answered in time";
      break;
  }
  at_ms_ = now;
  if (check_ != nullptr) check_->CheckNow();
}

void HealthEndpoint::TakeWordOfPeer(const std::string& sni) {
  if (peer_->Of(sni).evidence == Evidence::kGood) requests_.RecordHealthy();
}

HealthEndpoint::Verdict HealthEndpoint::Judge(const std::string& sni, uint64_t now_ms) const {
  Verdict verdict;
  verdict.doubted = requests_.doubted(now_ms);
  verdict.unusable = requests_.unreachable(now_ms);
  verdict.on_trial = requests_.on_trial(now_ms);
  if (peer_ == nullptr || peer_->without_digest()) {
    verdict.evidence = checked_.evidence();
    verdict.silent = silent_ && verdict.evidence == Evidence::kBad;
    verdict.answering = verdict.evidence == Evidence::kBad && checked_.turning();
    if (requests_.silent(now_ms)) verdict.evidence = Evidence::kBad;
    return verdict;
  }
  verdict.doubted |= peer_->doubtful();
  verdict.unusable |= peer_->doubtful();
  verdict.evidence = peer_->evidence();
  const bool bad = verdict.evidence == Evidence::kBad;
  verdict.silent = bad && peer_->silent();
  if (!bad || peer_->answering()) {
    const DigestReader::Host host = peer_->Of(sni);
    verdict.behind = host.evidence == Evidence::kBad;
    verdict.answering = bad && !verdict.behind;
    if (!bad && verdict.evidence == Evidence::kGood) verdict.evidence = host.evidence;
    verdict.rules = host.rules;
  }
  return verdict;
}

namespace {

// "cannot serve prefix /beta, exact /gamma, and 3 more"
std::string Dead(const traffic::RuleHealths& rules) {
  constexpr size_t kNamed = 3;
  std::string text;
  size_t dead = 0;
  for (const traffic::RuleHealth& rule : rules) {
    if (rule.can_serve || ++dead > kNamed) continue;
    text += fmt::format("{}{}{}", dead == 1 ? "cannot serve " : ", ", rule.path,
                        rule.kind == traffic::PathKind::kExact ? "" : "*");
  }
  if (dead > kNamed) text += fmt::format(", and {} more", dead - kNamed);
  return text;
}

}  // namespace

EvidenceReport HealthEndpoint::Report(const std::string& sni, uint64_t now_ms, const Clock& clock) const {
  EvidenceReport report;
  report.endpoint = fmt::format("{}:{}", endpoint_.address, endpoint_.port);
  const Verdict verdict = Judge(sni, now_ms);
  report.healthy = verdict.evidence != Evidence::kBad && !verdict.doubted;
  if (peer_ != nullptr && !peer_->without_digest() && !requests_.doubted(now_ms)) {
    report.source = "digest";
    report.text = verdict.behind             ? "nobody behind it can serve"
                  : verdict.rules != nullptr ? Dead(*verdict.rules)
                                             : peer_->text();
    report.time = WallOf(peer_->at_ms(), now_ms, clock);
    return report;
  }
  report.source = source_;
  report.text = text_;
  report.time = WallOf(at_ms_, now_ms, clock);
  return report;
}

// ---- HealthSet

HealthSet::HealthSet(HealthServices& services, std::string name) : services_(services), name_(std::move(name)) {}
HealthSet::~HealthSet() = default;

traffic::JudgeTimes HealthSet::Times() const {
  return {static_cast<uint64_t>(std::max<int64_t>(0, source_->hold.count())),
          static_cast<uint64_t>(std::max<int64_t>(0, source_->slow_return.count()))};
}

void HealthSet::Update(std::shared_ptr<const DestinationSet> source) {
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
      LocalityState& old = localities_[static_cast<size_t>(before - names_.begin())];
      localities[i] = {old.judge, {}, old.rules, {}, old.could_serve, old.since_ms};
    }
    localities[i].judge.SetTimes(Times(), now);
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

void HealthSet::TakeOutcome(const RequestOutcome& outcome) {
  answer = true;
  services_.Changed(*this);
  const auto found = endpoints_.find(outcome.endpoint);
  if (found != endpoints_.end()) found->second->TakeOutcome(outcome.failure);
}

void HealthSet::OnPeerHost(const DigestPeer& peer) {
  for (auto& [key, endpoint] : endpoints_) {
    if (endpoint->peer() == &peer) endpoint->TakeWordOfPeer(host_);
  }
  services_.Changed(*this);
}

void HealthSet::OnPeer() {
  for (auto& [key, endpoint] : endpoints_) endpoint->ChooseSource(*source_);
  services_.Changed(*this);
}

void HealthSet::JudgeLocality(LocalityState& state, const Locality& locality, const Verdicts& verdicts,
                              uint64_t now_ms) {
  traffic::ClusterEvidence evidence;
  evidence.drained = locality.drained;
  evidence.gateways = source_->digest;
  evidence.endpoints = static_cast<uint32_t>(verdicts.size());
  bool good = false;
  for (const HealthEndpoint::Verdict& verdict : verdicts) {
    const bool bad = verdict.evidence == Evidence::kBad;
    good |= verdict.evidence == Evidence::kGood;
    evidence.able += !bad;
    evidence.usable += !bad && !verdict.unusable;
    evidence.answering += verdict.answering;
    evidence.behind += verdict.behind;
  }
  JudgeRules(state, verdicts, now_ms);  // Before the locality's own judge hears of it: was it seen able before?
  state.judge.Observe(good ? Evidence::kGood : evidence.able > 0 ? Evidence::kNone : Evidence::kBad, now_ms);
  evidence.held = !state.judge.can_serve();
  state.availability = traffic::Assess(evidence);
}

namespace {

// Does an endpoint that serves say that it serves this rule? It may have another configuration already.
bool Serves(const HealthEndpoint::Verdict& verdict, const traffic::RuleHealth& rule) {
  if (verdict.rules == nullptr) return true;
  for (const traffic::RuleHealth& own : *verdict.rules) {
    if (own.SameRule(rule)) return own.can_serve;
  }
  const traffic::RuleHealth* instead = traffic::RuleFor(*verdict.rules, rule.path);
  return instead == nullptr || instead->can_serve;
}

}  // namespace

void HealthSet::JudgeRules(LocalityState& state, const Verdicts& verdicts, uint64_t now_ms) {
  const bool told = std::any_of(verdicts.begin(), verdicts.end(), [](const auto& one) { return one.rules != nullptr; });
  if (!told && state.rules.empty()) return;
  std::vector<RuleState> before = std::exchange(state.rules, {});
  const auto find = [](std::vector<RuleState>& in, const traffic::RuleHealth& rule) {
    return std::find_if(in.begin(), in.end(), [&](const RuleState& one) { return one.rule.SameRule(rule); });
  };
  for (const HealthEndpoint::Verdict& verdict : verdicts) {
    if (verdict.rules == nullptr) continue;
    for (const traffic::RuleHealth& rule : *verdict.rules) {
      if (find(state.rules, rule) != state.rules.end()) continue;
      RuleState fresh{{.kind = rule.kind, .path = rule.path}, {}};
      fresh.judge.SetTimes(Times(), now_ms);
      if (state.judge.proven()) fresh.judge.Observe(Evidence::kGood, now_ms);  // Until now it was served with the rest.
      const auto known = find(before, rule);
      state.rules.push_back(known == before.end() ? std::move(fresh) : *known);
    }
  }
  if (!told) state.rules = std::move(before);
  bool settled = !told;
  for (RuleState& one : state.rules) {
    bool good = false, serves = false;
    for (const HealthEndpoint::Verdict& verdict : verdicts) {
      if (verdict.evidence != Evidence::kGood) continue;
      good = true;
      serves |= Serves(verdict, one.rule);
    }
    one.judge.SetTimes(Times(), now_ms);
    one.judge.Observe(!good ? Evidence::kNone : serves ? Evidence::kGood : Evidence::kBad, now_ms);
    one.rule.can_serve = one.judge.can_serve();
    one.rule.held = one.judge.held();
    one.rule.returning = one.judge.returning();
    settled &= one.rule.can_serve && one.judge.deadline_ms() == traffic::ClusterJudge::kNever;
  }
  if (settled) state.rules.clear();
}

RulesPtr HealthSet::Differing(const LocalityState& state) {
  const bool alike = std::all_of(state.rules.begin(), state.rules.end(), [](const RuleState& one) {
    return one.rule.can_serve && one.rule.returning == traffic::Candidate::kFull;
  });
  if (alike) return {};
  auto rules = std::make_shared<traffic::RuleHealths>();
  for (const RuleState& one : state.rules) rules->push_back(one.rule);
  return RulesPtr(std::move(rules));
}

// Who may serve: the best standing there is.
void HealthSet::Decide(SetHealth& health, uint64_t now_ms) {
  std::vector<traffic::Availability> all;
  for (const LocalityState& state : localities_) all.push_back(state.availability);
  const traffic::Standing needed = traffic::NeededToServe(all);
  health.can_serve = needed != traffic::Standing::kOut;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool serves = health.localities[i].can_serve = health.can_serve && all[i].standing == needed;
    if (std::exchange(localities_[i].could_serve, serves) != serves) localities_[i].since_ms = now_ms;
  }
  for (const auto& [key, endpoint] : endpoints_) endpoint->SetShortInterval(needed > traffic::Standing::kCautious);
  if (health.can_serve) return;
  std::vector<traffic::Destination> destinations(all.size());
  for (size_t i = 0; i < all.size(); ++i) destinations[i].availability = all[i];
  health.reason = traffic::SpreadOf(source_->mode, destinations).nobody;
}

std::shared_ptr<const SetHealth> HealthSet::Judge() {
  const uint64_t now = services_.worker().loop().now_ms();
  auto health = std::make_shared<SetHealth>();
  uint64_t deadline = UINT64_MAX;
  for (size_t i = 0; i < localities_.size(); ++i) {
    LocalityState& state = localities_[i];
    Verdicts verdicts;
    for (const HealthEndpoint* endpoint : state.endpoints) {
      const HealthEndpoint::Verdict& verdict = verdicts.emplace_back(endpoint->Judge(host_, now));
      const bool bad = verdict.evidence == Evidence::kBad;
      EndpointHealth one{endpoint->key(), bad || verdict.doubted, bad && verdict.silent, verdict.on_trial,
                         verdict.rules};
      if (one.out || one.on_trial || one.rules != nullptr) health->endpoints.push_back(std::move(one));
      health->judged |= verdict.evidence == Evidence::kGood;
      deadline = std::min(deadline, endpoint->deadline_ms(now));
    }
    JudgeLocality(state, source_->localities[i], verdicts, now);
    health->localities.push_back(
        {names_[i], true, state.judge.returning(), state.availability.reason, Differing(state), state.judge.proven()});
    deadline = std::min(deadline, state.judge.deadline_ms());
    for (const RuleState& rule : state.rules) deadline = std::min(deadline, rule.judge.deadline_ms());
  }
  Decide(*health, now);
  health->judged |= !health->can_serve;
  std::sort(health->endpoints.begin(), health->endpoints.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
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
    const bool well = now.reason == traffic::Reason::kNone;
    if ((was.reason == traffic::Reason::kNone) == well && was.can_serve == now.can_serve) continue;
    if (!services_.worker().MayLog()) return;
    if (well) {
      obs::Log(obs::Level::kInfo, "cluster returns", {{"set", name_}, {"cluster", now.cluster}});
    } else {
      obs::Log(obs::Level::kWarn, now.can_serve ? "cluster serves because nobody else can" : "cluster is out",
               {{"set", name_}, {"cluster", now.cluster}, {"reason", std::string(Word(now.reason))}});
    }
  }
}

SetHealthReport HealthSet::Report() const {
  const uint64_t now = services_.worker().loop().now_ms();
  const Clock& clock = services_.worker().loop().clock();
  SetHealthReport report;
  report.set = name_;
  for (size_t i = 0; i < localities_.size(); ++i) {
    const LocalityState& state = localities_[i];
    LocalityHealthReport one;
    one.cluster = names_[i];
    if (health_ != nullptr && i < health_->localities.size()) {
      one.can_serve = health_->localities[i].can_serve;
      one.reason = Word(health_->localities[i].reason);
      one.unchecked = one.reason.empty() && !state.judge.proven() && (source_->digest || source_->check);
    }
    one.returning = state.judge.returning();
    one.since = WallOf(state.since_ms, now, clock);
    for (const HealthEndpoint* endpoint : state.endpoints) one.evidence.push_back(endpoint->Report(host_, now, clock));
    report.localities.push_back(std::move(one));
  }
  return report;
}

}  // namespace weir::proxy
