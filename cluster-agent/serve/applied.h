#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "libs/translate/xds/translator.h"
#include "libs/xds/protocol/types.h"

namespace weir::agent::v1 {
class Applied;
class GatewayApplied;
}  // namespace weir::agent::v1

namespace weir::agent {

// Turns what data planes acknowledge (Envoy resources) into what of the intent is applied where: a piece of intent is
// applied by a gateway when it runs every resource made of it. Not thread-safe.
class AppliedLedger {
 public:
  // What this workload is to run now.
  void SetConfig(const std::string& workload, std::shared_ptr<const translate::NodeConfig> config);
  // A workload may have several streams (a successor, a stranger with its token): it is connected while one of them
  // stands, and the newest that stands is the one that counts. A new one has acknowledged nothing yet.
  // `reports_health`: it does so of its own accord.
  void OnOpened(const std::string& workload, uint64_t stream, bool reports_health = true);
  void OnClosed(const std::string& workload, uint64_t stream);
  uint64_t Counting(const std::string& workload) const;  // 0 = none stands.
  void OnAck(const std::string& workload, uint64_t stream, const xds::AckEvent& event);
  // The workload is declared no more: everything of it is reported removed.
  void Forget(const std::string& workload);
  // True: the workload is not connected, so nobody is waited for, or it has said yes or no to this resource as it is to
  // run it now.
  bool Answered(const std::string& workload, std::string_view type_url, const std::string& name) const;

  // What changed since the last report; `full`: everything. False: nothing to say (a full report is always something).
  bool Report(bool full, v1::Applied* out);

 private:
  using IntentKey = std::pair<std::string, std::string>;  // Type, name.
  struct Said {
    std::string version;
    std::string rejected_version;
    std::string error;
    bool operator==(const Said&) const = default;
  };
  struct Rejection {
    std::string version;
    std::string error;
  };
  // What one stream has said.
  struct Words {
    std::map<std::string, std::map<std::string, std::string>> acknowledged;  // Type URL, name -> version.
    std::map<std::string, std::map<std::string, Rejection>> rejected;
  };
  using Part = std::pair<size_t, std::string>;  // A resource: place of its type in xds::kEnvoyTypes, name.
  // One piece of intent, as this gateway runs it.
  struct Piece {
    std::set<Part> parts;      // The resources made of it.
    std::optional<Said> said;  // None: nothing is known of it (any more).
    std::optional<Said> reported;
  };
  struct Gateway {
    std::shared_ptr<const translate::NodeConfig> config;
    std::map<uint64_t, Words> streams;  // Those that stand.
    Words last;                         // Of the last one that went, while none stands.
    bool ever_connected = false;        // Only then there is something to say.
    bool reports_health = false;
    bool forgotten = false;
    std::map<IntentKey, Piece> pieces;
    std::map<std::string, std::set<Part>> needed_by;  // By destination: see EnvoyResource::needs.
    std::set<IntentKey> touched;  // What may have changed since it was last looked at: the rest costs nothing.
    std::set<IntentKey> unsaid;   // What may differ from what was reported.
    bool dirty = true;
    bool reported_connected = false;
    bool reported_once = false;

    bool connected() const { return !streams.empty() && !forgotten; }
    const Words& words() const { return streams.empty() ? last : streams.rbegin()->second; }
  };
  static void CountAnew(Gateway* gateway);
  static void Touch(Gateway* gateway, const xds::AckEvent& event);
  static void TouchAll(Gateway* gateway);
  static bool HasLeftovers(const Gateway& gateway);
  static std::optional<Said> Judge(const Gateway& gateway, const IntentKey& key, const Piece& piece);
  static bool Runs(const Gateway& gateway, const std::string& url, const std::string& name,
                   const Rejection** rejection);
  static void Recompute(Gateway* gateway);
  static bool ReportOne(bool full, Gateway* gateway, v1::GatewayApplied* out);

  std::map<std::string, Gateway> gateways_;
};

}  // namespace weir::agent
