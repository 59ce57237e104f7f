#include <algorithm>
#include <filesystem>
#include <iostream>

#include "api/weir/v2/documents.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/plan_report.h"
#include "cli/sources.h"
#include "cli/verdict.h"
#include "libs/base/file.h"
#include "libs/base/text.h"
#include "libs/document/scalars.h"

namespace weir::cli {
namespace {

void Tell(const v2::AppliedDocument& item, bool dry_run) {
  std::cout << item.fqn() << " " << AsciiLower(v2::AppliedDocument::Outcome_Name(item.outcome()))
            << (dry_run ? " (dry run)" : "") << (item.message().empty() ? "" : ": " + Printable(item.message()))
            << "\n";
  for (const std::string& warning : item.warnings()) {
    std::cerr << "weir: warning: " << item.fqn() << ": " << Printable(warning) << "\n";
  }
}

Result<v2::ApplyDocumentsRequest> RequestOf(const Flags& flags, const Sources& sources) {
  v2::ApplyDocumentsRequest request;
  WEIR_ASSIGN(const int seconds, WaitSeconds(flags));
  if (flags.Has("wait")) {
    request.set_wait("applied");
    request.set_wait_seconds(seconds);
  }
  request.set_documents(sources.text);
  request.set_manager(flags.Get("manager"));
  request.set_force(flags.Has("force"));
  request.set_dry_run(flags.Has("dry-run"));
  request.set_plan(flags.Get("plan"));
  request.set_message(flags.Get("message"));
  SetDeletions(flags, request);
  WEIR_TRY(SetPrune(flags, request));
  if (request.dry_run() && flags.Has("wait")) return Usage("--dry-run stores nothing to wait for");
  return request;
}

Result<int> Apply(const Flags& flags) {
  const std::vector<std::string> paths = flags.All("file");
  if (!flags.words.empty()) return Usage(fmt::format("what is \"{}\"? Files are given with -f", flags.words[0]));
  if (paths.empty() && !flags.Has("delete")) return Usage("apply wants -f FILE, -f FOLDER or -f - for standard input");
  Sources sources;
  if (!paths.empty()) {
    WEIR_ASSIGN(sources, ReadSources(paths, flags.Has("allow-empty")));
  }
  WEIR_ASSIGN(const v2::ApplyDocumentsRequest request, RequestOf(flags, sources));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ApplyDocumentsResponse response;
  const int seconds = (request.wait().empty() ? 60 : request.wait_seconds()) + 30;
  auto applied = client.CallOnce("Documents/Apply", request, response, seconds);
  if (!applied.ok()) {
    Error error = std::move(applied).error();
    std::string stale;
    if (error.reason == "ETAG_MISMATCH") {
      stale = StaleDocuments(client, sources.text) +
              "\nRead it again (weir get ... -o yaml), repeat the change and apply that; or take "
              "metadata.resourceVersion out of the document to be told only of what others own";
    }
    error = WithPlaces(std::move(error), sources);
    error.message += stale;
    return error;
  }
  for (const auto& item : response.items()) Tell(item, request.dry_run());
  if (response.more_deleted() > 0) std::cout << "and " << response.more_deleted() << " more deleted\n";
  if (response.more_kept() > 0) std::cout << "and " << response.more_kept() << " more kept\n";
  if (!response.not_waited().empty()) {
    std::cerr << "weir: stored" << (response.revision() > 0 ? fmt::format(" (revision {})", response.revision()) : "")
              << ", but not waited for: " << response.not_waited() << "\n";
    return kExitTimedOut;
  }
  Verdict verdict;
  for (const auto& status : response.statuses()) verdict.Add(status);
  return verdict.ExitCode();
}

}  // namespace

void Verdict::Add(const v2::ResourceStatus& status) {
  if (status.state() == v2::ResourceStatus::READY) return;
  std::cout << status.fqn() << ": " << v2::ResourceStatus::State_Name(status.state()) << " "
            << Printable(status.reason());
  if (!status.message().empty()) std::cout << ": " << Printable(status.message());
  std::cout << "\n";
  for (const auto& gateway : status.gateways()) {
    if (gateway.state() == v2::ResourceStatus::READY) continue;
    std::cout << "  "
              << Printable(fmt::format("{} {}: {} {}", gateway.cluster(), gateway.workload(), gateway.reason(),
                                       gateway.message()))
              << "\n";
  }
  failed_ = failed_ || status.state() == v2::ResourceStatus::FAILED;
  waiting_ = true;
}

int Verdict::ExitCode() const {
  if (failed_) return kExitRefused;
  if (!waiting_) return kExitOk;
  std::cerr << "weir: stored, but not served as said above; see weir status\n";
  return kExitTimedOut;
}

namespace {

Status AddPart(std::string name, std::string text, Sources* sources) {
  // What cannot be sent as a text is said as the server says the rest.
  if (const auto wrong = document::CheckText(text)) {
    return InvalidArgument("BAD_DOCUMENT", "{}:{}:{}: the document cannot be read: {}", name, wrong->line,
                           wrong->column, wrong->description);
  }
  if (!sources->text.empty()) sources->text += "---\n";
  sources->parts.push_back(
      {std::move(name), 1 + static_cast<int>(std::count(sources->text.begin(), sources->text.end(), '\n'))});
  if (!text.empty() && text.back() != '\n') text += '\n';
  sources->text += text;
  return {};
}

}  // namespace

Result<Sources> ReadSources(const std::vector<std::string>& paths, bool may_be_empty) {
  Sources sources;
  const auto add = [&](std::string name, std::string text) {
    return AddPart(std::move(name), std::move(text), &sources);
  };
  const auto read = [&](const std::string& path) -> Status {
    auto text = ReadFile(path, 1u << 20);
    if (!text.ok()) return Usage(fmt::format("{}: {}", path, text.error().message));
    return add(path, std::move(*text));
  };
  for (const std::string& path : paths) {
    std::error_code error;
    if (path == "-") {
      WEIR_TRY(add("-", std::string(std::istreambuf_iterator<char>(std::cin), {})));
    } else if (std::filesystem::is_directory(path, error)) {
      std::vector<std::string> found;
      for (auto at = std::filesystem::recursive_directory_iterator(path, error);
           !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
        const std::string ending = at->path().extension();
        if (ending == ".yaml" || ending == ".yml" || ending == ".json") found.push_back(at->path());
      }
      if (error) return Usage(fmt::format("{}: {}", path, error.message()));
      if (found.empty() && !may_be_empty) return Usage(fmt::format("{} holds no .yaml, .yml or .json file", path));
      std::sort(found.begin(), found.end());
      for (const std::string& file : found) WEIR_TRY(read(file));
    } else {
      WEIR_TRY(read(path));
    }
  }
  if (sources.text.size() > (1u << 20))
    return Usage("the documents are larger than 1 MiB together; apply them in parts");
  if (sources.text.find_first_not_of(" \t\r\n-") != std::string::npos) return sources;
  if (!may_be_empty) return Usage("there is no document to apply");
  sources.text.clear();
  return sources;
}

std::string Sources::PlaceOf(int line, int column) const {
  if (line <= 0) return "";
  const Part* in = nullptr;
  for (const Part& part : parts) {
    if (part.first_line <= line) in = &part;
  }
  if (in == nullptr) return fmt::format("{}:{}: ", line, column);
  return fmt::format("{}:{}:{}: ", in->name, line - in->first_line + 1, column);
}

namespace {

constexpr std::string_view kApplyHelp =
    R"(Usage: weir apply -f FILE|FOLDER|- [-f ...] [--wait[=SECONDS]] [--force] [--manager NAME]
                  [--dry-run] [--plan NAME] [-m MESSAGE] [--delete FQN ...] [--cascade]
                  [--prune [--prune-scope FQN ...] [--allow-empty]]

A document with metadata.resourceVersion (as `weir get -o yaml` prints it) replaces exactly that version; one that was
changed meanwhile is refused, and the difference shown.

Stores all documents or none, in any order: parents may follow their children. Documents written for
*.tsb.tetrate.io/v2 are taken as they are. Of a folder every .yaml, .yml and .json file is read, deeper ones too.

  -f, --file PATH     what to apply; "-" is standard input
  --wait[=SECONDS]    answer when every gateway concerned serves it (default 60, 1 to 300); exit code 4 if not in time
  --force             take over fields that another manager owns
  --manager NAME      which tool owns the fields, in your hand; default "weir"
  --dry-run           check everything and store nothing
  --plan NAME         store only what `weir plan` of the same documents said, by the name that it ended with
  -m, --message TEXT  why; stands in `weir history`
  --delete FQN        delete this, too; before the documents are stored, clusters after
  --cascade           with everything below it
  --prune             delete what the same manager of yours applied and these documents name no longer: only what holds
                      fields of nobody else, and nothing that stays; what is kept is said, with why
  --prune-scope FQN   below this; else below what the documents are put into, but never a whole organization
  --allow-empty       there may be no document at all: everything of the manager in the scopes goes

A document is

  apiVersion: gateway.weir.dev/v2
  kind: Tier1Gateway
  metadata: {name: shop, organization: o, tenant: t, workspace: w, group: g}
  spec:
    workloadSelector: {namespace: edge, labels: {app: edge-gw}}
    externalServers:
    - name: shop
      hostname: shop.example.com
      port: 80
      clusters: [{name: cluster1, weight: 75}, {name: cluster2, weight: 25}]

  weir apply -f gateways/ --wait
  weir apply -f shop/ --prune -m "the old shop goes"
  kubectl kustomize env/prod | weir apply -f -
)";

}  // namespace

Command ApplyCommand() {
  return {"apply",
          "store documents from files, folders or standard input",
          kApplyHelp,
          {{"file", "manager", "plan", "message", "delete", "prune-scope"},
           {"wait", "force", "dry-run", "cascade", "prune", "allow-empty"},
           {{'f', "file"}, {'m', "message"}}},
          Apply};
}

}  // namespace weir::cli
