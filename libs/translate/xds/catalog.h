#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/translate/facts.h"
#include "libs/translate/intent.h"

namespace weir::mesh::v1 {
class LocalService;
class Selector;
}  // namespace weir::mesh::v1

namespace weir::translate {

// One workload behind a service, as its callers see it.
struct Pod {
  std::string address;
  uint32_t port = 0;  // Where 15443 is bound.
  std::string spiffe_id;
  bool operator==(const Pod&) const = default;
};
using PodsPtr = std::shared_ptr<const std::vector<Pod>>;

// Intent and facts with the indexes that translation asks instead of walking. It follows its inputs by what differs in
// them: messages never change, so the same pointer is the same content. Not thread-safe.
class Catalog {
 public:
  struct Host;
  struct Set {
    Piece<mesh::v1::DestinationSet> piece;  // Null message: not here yet.
    std::string destination;                // Name of Envoy's Cluster that serves it.
    std::set<Host*> users;
  };
  struct Host {
    Piece<mesh::v1::Host> piece;
    std::string listener;
    std::vector<Set*> sets;            // Where its routes lead, in their order, those that lead to a set.
    std::vector<std::string> targets;  // Names of Clusters of services among them, as counted.
  };
  struct Selected {                                  // Who a selector selects.
    std::shared_ptr<const mesh::v1::Listener> like;  // Has the selector.
    size_t listeners = 0;
    std::set<std::string> workloads;
  };
  struct Listener {
    Piece<mesh::v1::Listener> piece;
    Selected* selected = nullptr;
  };
  struct Service {
    std::shared_ptr<const v1::Service> message;
    PodsPtr pods;  // Null: to be read again.
  };

  void Update(std::shared_ptr<const Intent> intent, std::shared_ptr<const Facts> facts,
              const std::string& trust_domain);

  const Intent& intent() const { return *intent_; }
  const Facts& facts() const { return *facts_; }
  // By name; those that select this workload.
  std::vector<const Listener*> ListenersOf(const v1::Workload& workload) const;
  // By hostname.
  const std::map<std::string, Host*, std::less<>>& HostsOf(const std::string& listener) const;
  // Null: no such service here. Of several with one host the first by name.
  const v1::Service* Find(const mesh::v1::LocalService& wanted) const;
  PodsPtr PodsOf(const mesh::v1::LocalService& wanted);  // Never null.
  // Services that select this workload, by name.
  std::vector<std::shared_ptr<const v1::Service>> ServicesOf(const v1::Workload& workload) const;
  // SPIFFE ids of the gateways of this cluster from which some route leads to this destination, a service; and the
  // intent that says so.
  struct Callers {
    std::set<std::string> ids;
    std::set<std::string> listeners;
  };
  Callers CallersOf(const std::string& destination) const;
  // How many gateways the selectors of these listeners select.
  size_t CountSelectedGateways(const std::vector<const Listener*>& listeners) const;

  // Messages read since the start: what one change costs here.
  uint64_t read() const { return read_; }

 private:
  using Label = std::pair<std::string, std::string>;  // Namespace; "key=value".

  void PutWorkload(const std::string& key, const std::shared_ptr<const v1::Workload>& workload);
  void DropWorkload(const std::string& key);
  void Touch(const v1::Workload& workload);
  void PutService(const std::string& key, const std::shared_ptr<const v1::Service>& service);
  void DropService(const std::string& key);
  void PutSet(const std::string& name, const Piece<mesh::v1::DestinationSet>& piece);
  void DropSet(const std::string& name);
  void PutHost(const std::string& name, const Piece<mesh::v1::Host>& piece);
  void DropHost(const std::string& name);
  void PutListener(const std::string& name, const Piece<mesh::v1::Listener>& piece);
  void DropListener(const std::string& name);
  void Count(Host& host, bool add);
  template <typename Fn>
  void EachCandidate(const v1::Workload& workload, Fn fn) const;

  std::shared_ptr<const Intent> intent_ = std::make_shared<Intent>();
  std::shared_ptr<const Facts> facts_ = std::make_shared<Facts>();
  std::string trust_domain_;
  std::map<std::string, std::shared_ptr<const v1::Workload>> workloads_;
  std::map<std::string, Service> services_;
  std::map<std::string, Set> sets_;
  std::map<std::string, Host> hosts_;
  std::map<std::string, Listener> listeners_;

  std::map<std::string, Selected> selectors_;        // By serialized selector.
  std::map<Label, std::set<std::string>> pods_;      // Each label of a workload -> workloads.
  std::map<Label, std::set<std::string>> by_label_;  // First label of a service's selector -> services.
  std::map<Label, std::set<std::string>> by_host_;   // Namespace and host -> services.
  std::map<std::string, std::map<std::string, Host*, std::less<>>> hosts_of_;  // Listener -> hostname -> host.
  std::map<std::string, std::map<std::string, size_t>> routed_;  // Destination, of a service -> listener -> routes.
  uint64_t read_ = 0;
};

}  // namespace weir::translate
