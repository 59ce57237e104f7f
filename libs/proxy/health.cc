#include "libs/proxy/health.h"

#include <algorithm>

#include "libs/dialect/dialect.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

// "spiffe://<trust domain>/..." -> "<trust domain>"; "" when it is none.
std::string_view TrustDomainOf(std::string_view id) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!id.starts_with(kScheme)) return {};
  id.remove_prefix(kScheme.size());
  return id.substr(0, id.find('/'));
}

}  // namespace

Health::~Health() {
  sets_.clear();
  peers_.clear();
}

HealthSet* Health::Track(const std::string& name, const std::shared_ptr<const DestinationSet>& destination) {
  std::unique_ptr<HealthSet>& set = sets_[name];
  if (set == nullptr) {
    set = std::make_unique<HealthSet>(*this, name);
    unreported_.insert(name);
    unreported_gone_.erase(name);
  }
  set->Update(destination);
  return set.get();
}

void Health::Update(const Plan& plan) {
  const auto& destination_sets = plan.snapshot->destination_sets;
  for (const auto& [name, destination] : destination_sets) {
    // Without checks only failed requests tell; those are followed once there are some.
    if (destination != nullptr && (destination->check || destination->digest || sets_.contains(name)))
      Track(name, destination);
  }
  std::erase_if(sets_, [&](const auto& entry) {
    const auto found = destination_sets.find(entry.first);
    if (found != destination_sets.end() && found->second != nullptr) return false;
    std::erase(dirty_, entry.second.get());
    gone_.push_back(entry.first);
    unreported_.erase(entry.first);
    unreported_gone_.insert(entry.first);
    return true;
  });
  std::erase_if(peers_, [](const auto& entry) { return entry.second->sets.empty(); });
  // Everybody learns of the new sets together with the hosts of the new plan.
  auto update = std::make_shared<HealthUpdate>();
  board_.Update(plan, *update);
  if (update->digest != nullptr) publish_(update);
  if (!gone_.empty() || !dirty_.empty()) worker_.loop().Defer(*this);
}

void Health::TakeOutcome(const RequestOutcome& outcome) {
  const auto known = sets_.find(outcome.set);
  HealthSet* set = known == sets_.end() ? nullptr : known->second.get();
  if (set == nullptr && worker_.plan() != nullptr) {
    const auto& destination_sets = worker_.plan()->snapshot->destination_sets;
    const auto found = destination_sets.find(outcome.set);
    if (found != destination_sets.end() && found->second != nullptr) set = Track(outcome.set, found->second);
  }
  if (set != nullptr) set->TakeOutcome(outcome);
}

void Health::Changed(HealthSet& set) {
  if (set.dirty) return;
  set.dirty = true;
  dirty_.push_back(&set);
  worker_.loop().Defer(*this);
}

void Health::OnDeferred() {
  auto update = std::make_shared<HealthUpdate>();
  for (std::string& name : std::exchange(gone_, {})) update->sets.emplace_back(std::move(name), nullptr);
  for (HealthSet* set : std::exchange(dirty_, {})) {
    set->dirty = false;
    const bool answer = std::exchange(set->answer, false);
    const bool judged_anew = set->Judge() != nullptr;
    if (judged_anew) unreported_.insert(set->name());
    if (judged_anew || answer) update->sets.emplace_back(set->name(), set->health());
  }
  if (update->sets.empty()) return;
  board_.Changed(update->sets, *update);
  publish_(std::move(update));
}

DigestPeer* Health::JoinPeer(const DestinationSet& destination, const Endpoint& endpoint, HealthSet& set) {
  const std::string_view domain = TrustDomainOf(endpoint.spiffe_id);
  auto address = net::Address::Parse(endpoint.address, endpoint.port);
  if (domain.empty() || !address.ok()) return nullptr;
  const std::string key = EndpointKey(endpoint);
  std::unique_ptr<PeerUse>& use = peers_[key];
  if (use == nullptr) {
    use = std::make_unique<PeerUse>();
    HealthTarget target{*address, WireTo(destination, endpoint), dialect::HealthSni(domain)};
    use->peer =
        std::make_unique<DigestPeer>(worker_, *this, key, std::move(target),
                                     static_cast<uint64_t>(std::max<int64_t>(1, destination.connect_timeout.count())));
    use->peer->Start();
  }
  use->sets[set.host()].push_back(&set);
  return use->peer.get();
}

void Health::LeavePeer(DigestPeer& peer, HealthSet& set, const std::string& host) {
  const auto use = peers_.find(peer.key());
  if (use == peers_.end()) return;
  const auto sets = use->second->sets.find(host);
  if (sets == use->second->sets.end()) return;
  std::erase(sets->second, &set);
  if (sets->second.empty()) use->second->sets.erase(sets);  // The last set's leaving ends the peer, in Update.
}

bool Health::MayCheck() {
  if (checks_under_way_ >= kMaxChecks) return false;
  ++checks_under_way_;
  return true;
}

uint64_t Health::FirstCheckDelay(const HealthCheck& spec, const std::string& key) {
  if (++checks_begun_ <= kChecksAtOnce) return 0;
  return std::hash<std::string>()(key) * 31 % static_cast<uint64_t>(std::max<int64_t>(1, spec.interval.count()));
}

void Health::OnPeer(DigestPeer& peer) {
  const auto use = peers_.find(peer.key());
  if (use == peers_.end()) return;
  for (const auto& [host, sets] : use->second->sets) {
    for (HealthSet* set : sets) set->OnPeer();
  }
}

void Health::OnPeerHosts(DigestPeer& peer, const std::vector<std::string>& hosts) {
  const auto use = peers_.find(peer.key());
  if (use == peers_.end()) return;
  for (const std::string& host : hosts) {
    const auto sets = use->second->sets.find(host);
    if (sets == use->second->sets.end()) continue;
    for (HealthSet* set : sets->second) set->OnPeerHost(peer);
  }
}

Health::Changes Health::TakeChanges(bool all) {
  Changes changes;
  if (all) {
    for (const auto& [name, set] : sets_) changes.judged.push_back(name);
  } else {
    changes.judged.assign(unreported_.begin(), unreported_.end());
    changes.gone.assign(unreported_gone_.begin(), unreported_gone_.end());
  }
  unreported_.clear();
  unreported_gone_.clear();
  return changes;
}

std::vector<SetHealthReport> Health::ReportOf(std::span<const std::string> sets) const {
  std::vector<SetHealthReport> reports;
  for (const std::string& name : sets) {
    const auto set = sets_.find(name);
    if (set != sets_.end()) reports.push_back(set->second->Report());
  }
  return reports;
}

std::vector<SetHealthReport> Health::Report() const {
  std::vector<SetHealthReport> reports;
  for (const auto& [name, set] : sets_) reports.push_back(set->Report());
  std::sort(reports.begin(), reports.end(), [](const auto& a, const auto& b) { return a.set < b.set; });
  return reports;
}

}  // namespace weir::proxy
