#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/proxy/digest.h"
#include "libs/proxy/health_view.h"
#include "libs/proxy/plan.h"

namespace weir::proxy {

// What may be said about everything behind one chain: all of its destination sets together.
enum class Behind : uint8_t { kServes, kUnsure, kPartial, kNobody };  // kPartial: some of its rules.

// The other end of the digest: which of this gateway's own hosts cannot be served. Lives on worker 0.
class HealthBoard {
 public:
  // Names of the destination sets behind the hosts that this chain is for, each once. Its routes may know more hosts:
  // they are no concern of these. Unset: they do not know one of these (yet).
  static std::optional<std::vector<std::string>> SetsOf(const FilterChain& chain);
  // The same of one host, on a chain by host.
  static std::vector<std::string> SetsOf(const Routes& routes, uint32_t host);

  // True: `update` says something new.
  bool Update(const Plan& plan, HealthUpdate& update);
  // `sets` changed: appends what follows for the hosts.
  void Changed(const std::vector<std::pair<std::string, std::shared_ptr<const SetHealth>>>& sets, HealthUpdate& update);
  bool wanted() const { return wanted_; }  // Somebody may ask for the digest.

 private:
  // What routes know of a host; lives as long as the snapshot.
  struct View {
    const traffic::VirtualHost* host = nullptr;
    const std::vector<RouteAction>* actions = nullptr;
  };
  struct Verdict {
    Behind state = Behind::kServes;
    traffic::Reason reason = traffic::Reason::kNone;
    traffic::RuleHealths rules{};  // kPartial only.

    bool operator==(const Verdict&) const = default;
  };
  struct Host {
    bool known = true;
    std::vector<View> views;  // One for each listener that serves it.
    Verdict verdict;
    bool said = false;
  };
  enum class Able : uint8_t { kYes, kUnsure, kNo };
  Able AbleIs(const std::string& set, traffic::Reason* reason) const;
  Verdict VerdictOn(const Host& host) const;
  static void Append(const std::string& name, const Verdict& verdict, std::string& out);
  void Judge(const std::string& name, Host& host, std::string& changes);
  static TextMap<Host> HostsOf(const Plan& plan);
  void Write(HealthUpdate& update, std::string changes);

  bool wanted_ = false;
  std::shared_ptr<const Snapshot> snapshot_;
  TextMap<Host> hosts_;
  TextMap<std::vector<std::string>> hosts_of_;  // By set.
  TextMap<std::shared_ptr<const SetHealth>> known_;
  uint64_t version_ = 0;
};

}  // namespace weir::proxy
