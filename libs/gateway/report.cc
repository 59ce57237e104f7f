#include "libs/gateway/report.h"

#include "libs/obs/json.h"
#include "libs/obs/metrics.h"

namespace weir::gateway {
namespace {

class Object {  // Just enough JSON: an object under construction.
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  std::string& Key(std::string_view key) {
    if (out_.back() != '{') out_ += ',';
    obs::AppendJsonString(out_, key);
    out_ += ':';
    return out_;
  }
  void Text(std::string_view key, std::string_view value) { obs::AppendJsonString(Key(key), value); }
  void Number(std::string_view key, uint64_t value) { Key(key) += std::to_string(value); }
  void Flag(std::string_view key, bool value) { Key(key) += value ? "true" : "false"; }
  void Texts(std::string_view key, const std::vector<std::string>& values) {
    Key(key) += '[';
    for (const std::string& value : values) {
      if (&value != values.data()) out_ += ',';
      obs::AppendJsonString(out_, value);
    }
    out_ += ']';
  }
  void End() { out_ += '}'; }

 private:
  std::string& out_;
};

}  // namespace

std::string ToJson(const Report& report) {
  std::string out;
  Object top(out);
  top.Text("program", report.program);
  top.Text("version", kVersion);
  top.Text("node", report.settings->node_id);
  top.Text("agent", report.settings->agent);
  top.Flag("connected", report.connected);
  top.Flag("ready", report.not_ready.empty());
  if (!report.not_ready.empty()) top.Text("notReady", report.not_ready);
  top.Text("spiffeId", report.spiffe_id);
  if (!report.spiffe_id.empty()) top.Text("identityUntil", Rfc3339(report.identity_until));
  top.Text("lastGood", report.last_good);
  top.Texts("lastGoodRefused", report.last_good_refused);
  top.Texts("waiting", report.waiting);
  top.Number("updatesServed", report.updates_served);
  top.Number("updatesRefused", report.updates_refused);
  top.Text("lastRefusal", report.last_refusal);
  top.Key("resources");
  Object types(out);
  if (report.accepted) {
    for (const auto& [type, resources] : report.accepted->types) {
      types.Key(type);
      Object versions(out);
      for (const auto& [name, resource] : *resources) versions.Text(name, resource->version);
      versions.End();
    }
  }
  types.End();
  top.End();
  return out + "\n";
}

void AppendMetrics(std::string& out, const Report& report) {
  const auto one = [&](const char* name, const char* type, const char* help, double value) {
    obs::AppendFamily(out, name, type, help);
    obs::AppendSample(out, name, {}, value);
  };
  one("weir_gateway_connected", "gauge", "1 while the stream to the agent is alive.", report.connected ? 1 : 0);
  one("weir_gateway_ready", "gauge", "1 with an identity and a configuration served.",
      report.not_ready.empty() ? 1 : 0);
  one("weir_gateway_updates_served_total", "counter", "Configuration updates every worker serves.",
      static_cast<double>(report.updates_served));
  one("weir_gateway_updates_refused_total", "counter", "Configuration updates refused.",
      static_cast<double>(report.updates_refused));
  if (!report.spiffe_id.empty()) {
    one("weir_gateway_identity_expiry_seconds", "gauge", "Unix time at which the certificate ends.",
        static_cast<double>(std::chrono::system_clock::to_time_t(report.identity_until)));
  }
}

}  // namespace weir::gateway
