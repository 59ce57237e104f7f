#include "libs/translate/xds/catalog.h"

#include <algorithm>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/labels.h"
#include "libs/dialect/dialect.h"
#include "libs/translate/bytes.h"
#include "libs/translate/xds/envoy.h"

namespace weir::translate {
namespace {

bool Selects(const mesh::v1::Selector& selector, const v1::Workload& workload) {
  return selector.namespace_() == workload.namespace_() && LabelsMatch(selector.labels(), workload.labels());
}
bool Selects(const v1::Service& service, const v1::Workload& workload) {
  return service.namespace_() == workload.namespace_() && !service.selector().empty() &&
         LabelsMatch(service.selector(), workload.labels());
}

std::string LabelText(const std::string& key, const std::string& value) { return key + "=" + value; }
// One of its labels, always the same: what selects a workload is found by the labels of that.
std::string FirstLabel(const v1::Service& service) {
  std::string first;
  for (const auto& [key, value] : service.selector()) {
    std::string text = LabelText(key, value);
    if (first.empty() || text < first) first = std::move(text);
  }
  return first;
}

const void* Content(const std::shared_ptr<const v1::Workload>& message) { return message.get(); }
const void* Content(const Catalog::Service& service) { return service.message.get(); }
const void* Content(const std::shared_ptr<const v1::Service>& message) { return message.get(); }
template <typename Entry>
const void* Content(const Entry& entry)
  requires requires { entry.piece.message; }
{
  return entry.piece.message.get();
}
template <typename Message>
const void* Content(const Piece<Message>& piece) {
  return piece.message.get();
}

// Calls drop(name) for what `theirs` has no more, then put(name, value) for what is new or another in it.
template <typename Mine, typename Theirs, typename Put, typename Drop>
void Follow(const Mine& mine, const Theirs& theirs, Put put, Drop drop) {
  std::vector<std::string> gone;
  std::vector<typename Theirs::const_iterator> other;
  auto has = mine.begin();
  for (auto wants = theirs.begin(); wants != theirs.end() || has != mine.end();) {
    const int order = wants == theirs.end() ? -1 : has == mine.end() ? 1 : has->first.compare(wants->first);
    if (order < 0) {
      if (Content(has->second) != nullptr) gone.push_back(has->first);
      ++has;
      continue;
    }
    if (order > 0 || Content(has->second) != Content(wants->second)) other.push_back(wants);
    if (order == 0) ++has;
    ++wants;
  }
  for (const std::string& name : gone) drop(name);
  for (const auto& wants : other) put(wants->first, wants->second);
}

template <typename Index, typename Key>
void Unmark(Index& index, const Key& key, const std::string& name) {
  const auto found = index.find(key);
  if (found == index.end()) return;
  found->second.erase(name);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

void Catalog::Update(std::shared_ptr<const Intent> intent, std::shared_ptr<const Facts> facts,
                     const std::string& trust_domain) {
  if (intent == intent_ && facts == facts_ && trust_domain == trust_domain_) return;
  if (trust_domain != trust_domain_) {
    for (auto& [key, service] : services_) service.pods = nullptr;
  }
  trust_domain_ = trust_domain;
  intent_ = std::move(intent);
  facts_ = std::move(facts);
  Follow(
      workloads_, facts_->workloads, [&](const auto& key, const auto& one) { PutWorkload(key, one); },
      [&](const auto& key) { DropWorkload(key); });
  Follow(
      services_, facts_->services, [&](const auto& key, const auto& one) { PutService(key, one); },
      [&](const auto& key) { DropService(key); });
  Follow(
      sets_, intent_->destination_sets, [&](const auto& name, const auto& one) { PutSet(name, one); },
      [&](const auto& name) { DropSet(name); });
  Follow(
      hosts_, intent_->hosts, [&](const auto& name, const auto& one) { PutHost(name, one); },
      [&](const auto& name) { DropHost(name); });
  Follow(
      listeners_, intent_->listeners, [&](const auto& name, const auto& one) { PutListener(name, one); },
      [&](const auto& name) { DropListener(name); });
}

// --- Facts

template <typename Fn>
void Catalog::EachCandidate(const v1::Workload& workload, Fn fn) const {
  for (const auto& [key, value] : workload.labels()) {
    const auto found = by_label_.find({workload.namespace_(), LabelText(key, value)});
    if (found == by_label_.end()) continue;
    for (const std::string& name : found->second) fn(name);
  }
}

// Services and selectors that this workload is or was behind are read again.
void Catalog::Touch(const v1::Workload& workload) {
  ++read_;
  EachCandidate(workload, [&](const std::string& name) { services_[name].pods = nullptr; });
}

void Catalog::PutWorkload(const std::string& key, const std::shared_ptr<const v1::Workload>& workload) {
  if (workloads_.contains(key)) DropWorkload(key);
  Touch(*workload);
  workloads_[key] = workload;
  for (const auto& [label, value] : workload->labels()) {
    pods_[{workload->namespace_(), LabelText(label, value)}].insert(key);
  }
  for (auto& [bytes, selected] : selectors_) {
    if (Selects(selected.like->selector(), *workload))
      selected.workloads.insert(key);
    else
      selected.workloads.erase(key);
  }
}

void Catalog::DropWorkload(const std::string& key) {
  const std::shared_ptr<const v1::Workload> workload = workloads_.at(key);
  Touch(*workload);
  for (const auto& [label, value] : workload->labels()) {
    Unmark(pods_, Label{workload->namespace_(), LabelText(label, value)}, key);
  }
  workloads_.erase(key);
  for (auto& [bytes, selected] : selectors_) selected.workloads.erase(key);
}

void Catalog::PutService(const std::string& key, const std::shared_ptr<const v1::Service>& service) {
  if (services_.contains(key)) DropService(key);
  ++read_;
  services_[key] = {service, nullptr};
  by_label_[{service->namespace_(), FirstLabel(*service)}].insert(key);
  by_host_[{service->namespace_(), HostOf(*service)}].insert(key);
}

void Catalog::DropService(const std::string& key) {
  const v1::Service& service = *services_.at(key).message;
  Unmark(by_label_, Label{service.namespace_(), FirstLabel(service)}, key);
  Unmark(by_host_, Label{service.namespace_(), HostOf(service)}, key);
  services_.erase(key);
}

const v1::Service* Catalog::Find(const mesh::v1::LocalService& wanted) const {
  const auto found = by_host_.find({wanted.namespace_(), wanted.host()});
  return found == by_host_.end() ? nullptr : services_.at(*found->second.begin()).message.get();
}

PodsPtr Catalog::PodsOf(const mesh::v1::LocalService& wanted) {
  static const PodsPtr kNobody = std::make_shared<const std::vector<Pod>>();
  const auto found = by_host_.find({wanted.namespace_(), wanted.host()});
  if (found == by_host_.end()) return kNobody;
  Service& service = services_.at(*found->second.begin());
  if (service.pods != nullptr) return service.pods;
  auto pods = std::make_shared<std::vector<Pod>>();
  ++read_;
  const auto candidates = pods_.find({wanted.namespace_(), FirstLabel(*service.message)});
  for (const std::string& key : candidates == pods_.end() ? std::set<std::string>() : candidates->second) {
    const v1::Workload& pod = *workloads_.at(key);
    if (!Selects(*service.message, pod) || pod.addresses().empty()) continue;
    pods->push_back({pod.addresses(0), BoundPort(pod, dialect::kMeshPort), SpiffeIdOf(trust_domain_, pod)});
  }
  service.pods = std::move(pods);
  return service.pods;
}

std::vector<std::shared_ptr<const v1::Service>> Catalog::ServicesOf(const v1::Workload& workload) const {
  std::set<std::string> names;
  EachCandidate(workload, [&](const std::string& name) {
    if (Selects(*services_.at(name).message, workload)) names.insert(name);
  });
  std::vector<std::shared_ptr<const v1::Service>> serving;
  serving.reserve(names.size());
  for (const std::string& name : names) serving.push_back(services_.at(name).message);
  return serving;
}

// --- Intent

void Catalog::Count(Host& host, bool add) {
  for (const std::string& target : host.targets) {
    const auto routed = routed_.find(target);
    if (--routed->second[host.listener] == 0) routed->second.erase(host.listener);
    if (routed->second.empty()) routed_.erase(routed);
  }
  host.targets.clear();
  if (!add) return;
  for (const Set* set : host.sets) {
    if (set->piece.message == nullptr || !set->piece.message->has_service()) continue;
    host.targets.push_back(set->destination);
    ++routed_[set->destination][host.listener];
  }
}

void Catalog::PutSet(const std::string& name, const Piece<mesh::v1::DestinationSet>& piece) {
  ++read_;
  Set& set = sets_[name];
  set.piece = piece;
  set.destination = envoy_v3::DestinationName(*piece.message);
  for (Host* host : set.users) Count(*host, true);
}

void Catalog::DropSet(const std::string& name) {
  Set& set = sets_.at(name);
  set.piece = {};
  set.destination.clear();
  for (Host* host : set.users) Count(*host, true);
  if (set.users.empty()) sets_.erase(name);
}

void Catalog::PutHost(const std::string& name, const Piece<mesh::v1::Host>& piece) {
  if (hosts_.contains(name)) DropHost(name);
  ++read_;
  Host& host = hosts_[name];
  host.piece = piece;
  host.listener = piece.message->listener();
  for (const mesh::v1::Route& route : piece.message->routes()) {
    if (!route.has_destination_set()) continue;
    host.sets.push_back(&sets_[route.destination_set()]);
    host.sets.back()->users.insert(&host);
  }
  hosts_of_[host.listener][piece.message->hostname()] = &host;
  Count(host, true);
}

void Catalog::DropHost(const std::string& name) {
  Host& host = hosts_.at(name);
  Count(host, false);
  for (const mesh::v1::Route& route : host.piece.message->routes()) {
    const auto set = route.has_destination_set() ? sets_.find(route.destination_set()) : sets_.end();
    if (set == sets_.end()) continue;
    set->second.users.erase(&host);
    if (set->second.users.empty() && set->second.piece.message == nullptr) sets_.erase(set);
  }
  const auto of = hosts_of_.find(host.listener);
  if (of != hosts_of_.end()) {
    const auto same = of->second.find(host.piece.message->hostname());
    if (same != of->second.end() && same->second == &host) of->second.erase(same);
    if (of->second.empty()) hosts_of_.erase(of);
  }
  hosts_.erase(name);
}

void Catalog::PutListener(const std::string& name, const Piece<mesh::v1::Listener>& piece) {
  if (listeners_.contains(name)) DropListener(name);
  ++read_;
  Selected& selected = selectors_[Bytes(piece.message->selector())];
  if (selected.like == nullptr) {
    selected.like = piece.message;
    const std::string prefix = piece.message->selector().namespace_() + "/";
    for (auto at = workloads_.lower_bound(prefix); at != workloads_.end() && at->first.starts_with(prefix); ++at) {
      if (Selects(piece.message->selector(), *at->second)) selected.workloads.insert(at->first);
    }
  }
  ++selected.listeners;
  listeners_[name] = {piece, &selected};
}

void Catalog::DropListener(const std::string& name) {
  const auto listener = listeners_.find(name);
  const std::string bytes = Bytes(listener->second.piece.message->selector());
  if (--listener->second.selected->listeners == 0) selectors_.erase(bytes);
  listeners_.erase(listener);
}

std::vector<const Catalog::Listener*> Catalog::ListenersOf(const v1::Workload& workload) const {
  const std::string key = KeyOf(workload);
  std::vector<const Listener*> found;
  for (const auto& [name, listener] : listeners_) {
    if (listener.selected->workloads.contains(key)) found.push_back(&listener);
  }
  return found;
}

const std::map<std::string, Catalog::Host*, std::less<>>& Catalog::HostsOf(const std::string& listener) const {
  static const std::map<std::string, Host*, std::less<>> kNone;
  const auto found = hosts_of_.find(listener);
  return found == hosts_of_.end() ? kNone : found->second;
}

Catalog::Callers Catalog::CallersOf(const std::string& destination) const {
  Callers callers;
  const auto routed = routed_.find(destination);
  if (routed == routed_.end()) return callers;
  for (const auto& [name, routes] : routed->second) {
    const auto listener = listeners_.find(name);
    if (listener == listeners_.end()) continue;
    callers.listeners.insert(name);
    for (const std::string& workload : listener->second.selected->workloads) {
      callers.ids.insert(SpiffeIdOf(trust_domain_, *workloads_.at(workload)));
    }
  }
  return callers;
}

size_t Catalog::CountSelectedGateways(const std::vector<const Listener*>& listeners) const {
  std::set<const Selected*> distinct;
  for (const Listener* listener : listeners) distinct.insert(listener->selected);
  if (distinct.size() == 1) return (*distinct.begin())->workloads.size();
  std::set<std::string> all;
  for (const Selected* selected : distinct) all.insert(selected->workloads.begin(), selected->workloads.end());
  return all.size();
}

}  // namespace weir::translate
