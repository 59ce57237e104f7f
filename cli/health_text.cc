#include "cli/health_text.h"

#include "cli/traffic.h"
#include "libs/base/text.h"
#include "libs/traffic/reason.h"

namespace weir::cli {
namespace {

std::string Meaning(const std::string& word, const std::string& cluster) {
  const traffic::Reason reason = traffic::ReasonOf(word);
  if (reason == traffic::Reason::kDrained) {
    return fmt::format("{}; `weir cluster activate {}` undoes it", traffic::Sentence(reason), cluster);
  }
  return reason == traffic::Reason::kNone ? word : std::string(traffic::Sentence(reason));
}

std::string Sentence(const v2::ClusterHealth& health) {
  std::string text = health.cluster() + (health.can_serve() ? " can serve" : " cannot serve");
  if (health.has_since()) text += fmt::format(" since {} ({})", Clock(health.since()), Ago(health.since()));
  if (!health.reason().empty())
    text += fmt::format(": {} ({})", Meaning(health.reason(), health.cluster()), health.reason());
  if (health.can_serve() && health.returning() > 0 && health.returning() < 10) {
    text += fmt::format("; it returns slowly and takes {} tenths of its share", health.returning());
  }
  return text;
}

}  // namespace

std::string Ago(const google::protobuf::Timestamp& time) {
  const int64_t seconds = UnixNow() - time.seconds();
  if (seconds < 0) return "just now";
  if (seconds < 120) return fmt::format("{} s ago", seconds);
  if (seconds < 7200) return fmt::format("{} min ago", seconds / 60);
  return fmt::format("{} h ago", seconds / 3600);
}

std::string EvidenceText(const v2::ClusterHealth& health, std::string_view indent) {
  std::string text;
  for (const auto& evidence : health.evidence()) {
    text += indent;
    text += Printable(fmt::format("{} {} {} {}{}{}", Clock(evidence.time()), evidence.source(), evidence.endpoint(),
                                  evidence.healthy() ? "healthy" : "down", evidence.text().empty() ? "" : ": ",
                                  evidence.text()));
    text += "\n";
  }
  return text;
}

std::string HealthText(const v2::ClusterHealth& health, std::string_view indent) {
  return fmt::format("{}{}\n", indent, Printable(Sentence(health))) +
         EvidenceText(health, std::string(indent) + "    ");
}

}  // namespace weir::cli
