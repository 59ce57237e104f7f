#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/plan.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/plan_report.h"
#include "cli/sources.h"
#include "libs/base/text.h"
#include "libs/document/document.h"

namespace weir::cli {
namespace {

constexpr int kSeconds = 60;

// Colours where a terminal reads them.
class Paint {
 public:
  explicit Paint(bool on) : on_(on) {}
  std::string Added(const std::string& text) const { return In("32", text); }
  std::string Changed(const std::string& text) const { return In("33", text); }
  std::string Removed(const std::string& text) const { return In("31", text); }
  std::string Loud(const std::string& text) const { return In("1", text); }

 private:
  std::string In(const char* colour, const std::string& text) const {
    return on_ ? fmt::format("\x1b[{}m{}\x1b[0m", colour, Printable(text)) : Printable(text);
  }
  const bool on_;
};

bool OnTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr && term != nullptr &&
         std::string_view(term) != "dumb";
}

class Report {
 public:
  Report(const v2::PlanResponse& plan, const Sources& sources, Paint paint)
      : plan_(plan), sources_(sources), paint_(paint) {}

  void Documents() const {
    for (const auto& item : plan_.items()) {
      if (item.outcome() == v2::PlannedDocument::UNCHANGED) continue;
      std::cout << Head(item) << "\n";
      if (!item.message().empty()) std::cout << "    " << paint_.Loud(item.message()) << "\n";
      Fields(item.fields(), item.more_fields(), "    ");
    }
    More(plan_.more_deleted(), "resources would be deleted", "");
    More(plan_.more_kept(), "are not pruned", "");
  }

  void Clusters() const {
    for (const auto& cluster : plan_.clusters()) {
      std::cout << "\n" << paint_.Loud("cluster " + cluster.cluster()) << ": " << Counts(cluster) << " of intent\n";
      Resources(cluster.intent(), Sum(cluster), "  ");
      for (const auto& gateways : cluster.gateways()) {
        std::cout << "  " << paint_.Loud("gateway " + Names(gateways)) << ": " << Counts(gateways) << " of Envoy\n";
        Resources(gateways.resources(), Sum(gateways), "    ");
      }
      if (!cluster.not_translated().empty()) std::cout << "  gateways: " << Printable(cluster.not_translated()) << "\n";
    }
  }

  void Losses() const {
    if (!plan_.losses().empty()) std::cout << "\n" << paint_.Loud("hosts that lose clusters") << "\n";
    for (const auto& loss : plan_.losses()) {
      const std::string line = fmt::format("{} ({} at {}): {} -> {} clusters: {}", loss.host(), loss.source(),
                                           loss.gateway_cluster(), loss.before(), loss.after(), loss.message());
      std::cout << "  " << (loss.after() == 0 ? paint_.Removed(line) : paint_.Changed(line)) << "\n";
    }
    More(plan_.more_losses(), "hosts", "  ");
  }

  void Findings() const {
    if (!plan_.findings().empty()) std::cout << "\n" << paint_.Loud("findings") << "\n";
    for (const auto& finding : plan_.findings()) {
      const std::string line = fmt::format("{} {}: {}{}: {}: {}; {}", v2::Finding::Severity_Name(finding.severity()),
                                           finding.reason(), sources_.PlaceOf(finding.line(), finding.column()),
                                           finding.fqn(), finding.field(), finding.message(), finding.remedy());
      std::cout << "  " << (finding.severity() == v2::Finding::ERROR ? paint_.Removed(line) : Printable(line)) << "\n";
    }
    More(plan_.more_findings(), "findings", "  ");
  }

 private:
  std::string Head(const v2::PlannedDocument& item) const {
    switch (item.outcome()) {
      case v2::PlannedDocument::CREATED:
        return paint_.Added("+ " + item.fqn());
      case v2::PlannedDocument::DELETED:
        return paint_.Removed("- " + item.fqn());
      case v2::PlannedDocument::KEPT:
        return paint_.Loud("= " + item.fqn());
      case v2::PlannedDocument::CONFLICT:
        return paint_.Removed("! " + item.fqn());
      default:
        return paint_.Changed("~ " + item.fqn());
    }
  }
  template <typename List>
  void Fields(const List& fields, int more, const std::string& indent) const {
    for (const auto& field : fields) {
      if (field.has_before()) {
        std::cout << indent << paint_.Removed(fmt::format("- {}: {}", field.field(), field.before())) << "\n";
      }
      if (field.has_after()) {
        std::cout << indent << paint_.Added(fmt::format("+ {}: {}", field.field(), field.after())) << "\n";
      }
    }
    More(more, "fields", indent);
  }
  template <typename List>
  void Resources(const List& resources, int all, const std::string& indent) const {
    for (const auto& one : resources) {
      const std::string name = one.type() + " " + one.name();
      const bool added = one.change() == v2::PlannedResource::ADDED;
      std::cout << indent
                << (added                                          ? paint_.Added("+ " + name)
                    : one.change() == v2::PlannedResource::REMOVED ? paint_.Removed("- " + name)
                                                                   : paint_.Changed("~ " + name))
                << (one.hidden() ? " (made of what you may not read, too)" : "") << "\n";
      Fields(one.fields(), one.more_fields(), indent + "    ");
    }
    More(all - resources.size(), "resources", indent);
  }
  template <typename Of>
  static int Sum(const Of& of) {
    return of.added() + of.changed() + of.removed();
  }
  template <typename Of>
  static std::string Counts(const Of& of) {
    return fmt::format("{} added, {} changed, {} removed", of.added(), of.changed(), of.removed());
  }
  static std::string Names(const v2::PlannedGateways& gateways) {
    std::string names;
    for (const std::string& name : gateways.workloads()) names += (names.empty() ? "" : ", ") + name;
    if (gateways.more_workloads() > 0) names += fmt::format(" and {} more", gateways.more_workloads());
    return names;
  }
  static void More(int count, const char* what, const std::string& indent) {
    if (count > 0) std::cout << indent << "and " << count << " more " << what << "\n";
  }

  const v2::PlanResponse& plan_;
  const Sources& sources_;
  const Paint paint_;
};

}  // namespace

void PrintPlan(const v2::PlanResponse& plan, const Sources& sources) {
  const Report report(plan, sources, Paint(OnTerminal()));
  report.Documents();
  report.Clusters();
  report.Losses();
  report.Findings();
}

void PrintPlannedDocuments(const v2::PlanResponse& plan) { Report(plan, {}, Paint(OnTerminal())).Documents(); }

Error WithPlaces(Error error, const Sources& sources) {
  if (error.reason == "USAGE" || error.reason == "SERVER_UNREACHABLE") return error;
  std::string places;
  for (const FieldViolation& violation : error.violations) {
    places += fmt::format("\n  {}{}{}{}", sources.PlaceOf(violation.line, violation.column), violation.field,
                          violation.field.empty() ? "" : ": ", violation.description);
  }
  error.message += fmt::format(" ({}){}", error.reason, places);
  error.violations.clear();
  error.reason.clear();
  return error;
}

namespace {

struct Asked {
  Sources sources;
  v2::PlanResponse plan;
};
Result<Asked> Ask(const Flags& flags, bool documents_only) {
  if (!flags.words.empty()) return Usage(fmt::format("what is \"{}\"? Files are given with -f", flags.words[0]));
  Asked asked;
  v2::PlanRequest request;
  const std::vector<std::string> paths = flags.All("file"), deletions = flags.All("delete");
  if (paths.empty() && deletions.empty()) return Usage("wants -f FILE, -f FOLDER or -f - for standard input");
  if (!paths.empty()) {
    WEIR_ASSIGN(asked.sources, ReadSources(paths, flags.Has("allow-empty")));
  }
  request.set_documents(asked.sources.text);
  request.set_manager(flags.Get("manager"));
  request.set_force(flags.Has("force"));
  request.set_documents_only(documents_only);
  SetDeletions(flags, request);
  WEIR_TRY(SetPrune(flags, request));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const Status answered = client.Call("Plans/Plan", request, asked.plan, kSeconds);
  if (!answered.ok()) return WithPlaces(answered.error(), asked.sources);
  return asked;
}

bool Conflicts(const v2::PlanResponse& plan) {
  return std::any_of(plan.items().begin(), plan.items().end(),
                     [](const auto& item) { return item.outcome() == v2::PlannedDocument::CONFLICT; });
}

Result<int> Plan(const Flags& flags) {
  const std::string output = flags.Get("output", "text");
  if (output != "text" && output != "json" && output != "yaml") return Usage("-o takes text, json or yaml");
  WEIR_ASSIGN(const Asked asked, Ask(flags, false));
  const v2::PlanResponse& plan = asked.plan;
  if (output == "json") {
    std::cout << document::ToJson(plan, true);
  } else if (output == "yaml") {
    std::cout << document::ToYaml(plan);
  } else {
    PrintPlan(plan, asked.sources);
    if (!plan.changes() && !Conflicts(plan)) std::cout << "nothing would change\n";
    if (!plan.plan().empty() && plan.changes()) std::cout << "\nplan " << plan.plan() << "\n";
  }
  if (Conflicts(plan)) return kExitRefused;
  return plan.changes() ? kExitChanges : kExitOk;
}

// kubectl's codes: 1 says that there is a difference, so nothing else may.
Result<int> Diff(const Flags& flags) {
  const auto asked = Ask(flags, true);
  if (!asked.ok()) {
    if (ExitOf(asked.error()) != kExitRefused) return asked.error();
    std::cerr << "weir: " << Describe(asked.error()) << "\n";
    return kExitUsage;
  }
  PrintPlannedDocuments(asked->plan);
  return asked->plan.changes() || Conflicts(asked->plan) ? 1 : kExitOk;
}

}  // namespace

Command PlanCommand() {
  return {"plan",
          "say what documents would change: stored, at each cluster and gateway",
          R"(Usage: weir plan -f FILE|FOLDER|- [-f ...] [--delete FQN ...] [--cascade] [-o text|json|yaml] [--force]
                 [--manager NAME] [--prune [--prune-scope FQN ...] [--allow-empty]]

Nothing is stored. The server applies, compiles and translates as it would, and says the difference: of each document,
of the intent of each cluster, of the Envoy resources of each gateway, the hosts that lose clusters, and what in the
documents cannot happen as they ask for it. Only what you may read is shown.

The last line is the plan's name. `weir apply --plan NAME` stores the same documents if that does the same, else says
that the plan is stale.

  -f, --file PATH     as for apply
  --delete FQN        what would be deleted besides
  --cascade           with everything below it
  --prune ...         as for apply; "=" is what is not pruned, and why
  -o, --output FORM   text (the default), json or yaml
  --force             as for apply
  --manager NAME      as for apply

Exit codes: 0 nothing would change, 5 something would, 1 refused (a conflict, too), 2 wrong usage, 3 the server cannot
be reached.

  weir plan -f gateways/
  weir plan -f gateways/ --delete organizations/o/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/old
  weir plan -f gateways/ -o json > plan.json
)",
          {{"file", "manager", "output", "delete", "prune-scope"},
           {"force", "cascade", "prune", "allow-empty"},
           {{'f', "file"}, {'o', "output"}}},
          Plan};
}

Command DiffCommand() {
  return {"diff",
          "compare documents with what is stored",
          R"(Usage: weir diff -f FILE|FOLDER|- [-f ...] [--force] [--manager NAME]

Says what `weir apply` would create and change, field by field; `weir plan` says what clusters and gateways make of it.

  -f, --file PATH     as for apply
  --force             as for apply
  --manager NAME      as for apply

Exit codes: 0 no difference, 1 some, 2 wrong usage or refused, 3 the server cannot be reached.

  weir diff -f gateways/
)",
          {{"file", "manager"}, {"force"}, {{'f', "file"}}},
          Diff};
}

}  // namespace weir::cli
