#include "cli/history.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/history.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/plan_report.h"
#include "cli/traffic.h"
#include "libs/base/text.h"
#include "libs/document/document.h"

namespace weir::cli {
namespace {

using google::protobuf::util::TimeUtil;

// Of `limit` at most, in pages; `next` asks for one page and takes its items, and answers the next token.
template <typename Request, typename Response>
Result<Response> AllPages(Client& client, const std::string& method, Request request, int limit) {
  Response all;
  while (all.items_size() < limit) {
    request.set_page_size(std::min(limit - all.items_size(), 1000));
    Response page;
    WEIR_TRY(client.Call(method, request, page));
    for (auto& item : *page.mutable_items()) *all.add_items() = std::move(item);
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) break;
  }
  all.set_next_page_token(request.page_token());
  return all;
}

Result<bool> PrintAs(const Flags& flags, google::protobuf::Message& message) {
  const std::string format = flags.Get("output", "table");
  if (format == "table") return false;
  if (format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  std::cout << (format == "yaml" ? document::ToYaml(message) : document::ToJson(message, true));
  return true;
}

std::string AuthorOf(const std::string& fqn) { return fqn.empty() ? "weir-server" : fqn; }

const char* WordOf(v2::RevisionChange::What what) {
  if (what == v2::RevisionChange::CREATED) return "created";
  return what == v2::RevisionChange::DELETED ? "deleted" : "updated";
}

// Bindings come and go with what they belong to: only where somebody changed them they are worth a line.
bool IsNoise(const v2::RevisionChange& change) {
  return change.kind() == "AccessBindings" && change.what() != v2::RevisionChange::UPDATED;
}

constexpr int kLines = 5;  // Of one revision in a table.

void PrintRevisions(const v2::ListRevisionsResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"REVISION", "TIME", "AUTHOR", "", "WHAT", "MESSAGE"}};
  for (const v2::Revision& revision : response.items()) {
    int lines = 0, more = revision.more_changes();
    const auto head = [&](const std::string& what, const std::string& fqn) {
      const bool first = lines++ == 0;
      rows.push_back({first ? std::to_string(revision.number()) : "", first ? Clock(revision.time()) : "",
                      first ? AuthorOf(revision.author()) : "", what, fqn, first ? revision.message() : ""});
    };
    for (const v2::RevisionChange& change : revision.changes()) {
      if (IsNoise(change) && revision.changes_size() > 1) continue;
      if (lines < kLines)
        head(WordOf(change.what()), change.fqn());
      else
        ++more;
    }
    if (more > 0) head("", fmt::format("and {} more", more));
  }
  std::cout << Table(std::move(rows));
}

void PrintVersions(const v2::ListVersionsResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"REVISION", "TIME", "AUTHOR", "UID", ""}};
  for (const v2::ResourceVersion& version : response.items()) {
    rows.push_back({std::to_string(version.revision()), Clock(version.time()), AuthorOf(version.author()),
                    version.uid(), version.deleted() ? "deleted" : ""});
  }
  std::cout << Table(std::move(rows));
}

void MoreToCome(const std::string& token) {
  if (!token.empty()) std::cerr << "There are older ones; --limit shows more.\n";
}

// The name, also of what is gone: by its full name, or by its kind and its place.
Result<std::string> NameOf(Client& client, const Session& session, const Flags& flags) {
  WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
  return fqn.text;
}

Result<int> Limit(const Flags& flags, int otherwise) {
  if (!flags.Has("limit")) return otherwise;
  return ParseNumber("limit", flags.Get("limit"), 1, 100'000);
}

Result<int> History(const Flags& flags) {
  if (flags.words.size() > 2) return Usage("history wants nothing, KIND NAME or a full name");
  WEIR_ASSIGN(const int limit, Limit(flags, 20));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  std::string name;
  if (!flags.words.empty()) {
    WEIR_ASSIGN(name, NameOf(client, session, flags));
  }
  if (!name.empty() && !flags.Has("below")) {
    v2::ListVersionsRequest request;
    request.set_fqn(name);
    WEIR_ASSIGN(auto versions, (AllPages<v2::ListVersionsRequest, v2::ListVersionsResponse>(
                                   client, "Revisions/ListVersions", request, limit)));
    WEIR_ASSIGN(const bool printed, PrintAs(flags, versions));
    if (!printed) PrintVersions(versions);
    MoreToCome(versions.next_page_token());
    return kExitOk;
  }
  v2::ListRevisionsRequest request;
  request.set_fqn(name);
  WEIR_ASSIGN(auto revisions, (AllPages<v2::ListRevisionsRequest, v2::ListRevisionsResponse>(
                                  client, "Revisions/ListRevisions", request, limit)));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, revisions));
  if (!printed) PrintRevisions(revisions);
  MoreToCome(revisions.next_page_token());
  return kExitOk;
}

template <typename SetRevision, typename MutableTime>
Status Put(const Flags& flags, const std::string& flag, SetRevision set_revision, MutableTime mutable_time) {
  WEIR_ASSIGN(const Moment moment, ParseMoment(flag, flags.Get(flag), UnixNow()));
  if (moment.seconds)
    mutable_time()->set_seconds(*moment.seconds);
  else
    set_revision(moment.revision);
  return {};
}

Result<int> Show(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("history show wants KIND NAME or a full name");
  v2::GetResourceAtRequest request;
  if (flags.Has("as-of")) {
    WEIR_TRY(Put(
        flags, "as-of", [&](int64_t revision) { request.set_as_of_revision(revision); },
        [&] { return request.mutable_as_of_time(); }));
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(*request.mutable_fqn(), NameOf(client, session, flags));
  v2::ResourceVersion version;
  WEIR_TRY(client.Call("Revisions/GetResourceAt", request, version));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, version));
  if (!printed) std::cout << version.document();
  return kExitOk;
}

void PrintFields(const google::protobuf::RepeatedPtrField<v2::FieldDifference>& fields, const std::string& indent) {
  for (const v2::FieldDifference& field : fields) {
    const auto value = [](const std::string& json) { return json.empty() ? "(not set)" : Printable(json); };
    std::cout << indent << Printable(field.field()) << ": " << value(field.from()) << " -> " << value(field.to())
              << "\n";
  }
}

Result<int> Diff(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("history diff wants KIND NAME or a full name");
  if (!flags.Has("from")) return Usage("history diff wants --from REVISION or TIME");
  v2::DiffResourceRequest request;
  WEIR_TRY(Put(
      flags, "from", [&](int64_t revision) { request.set_from_revision(revision); },
      [&] { return request.mutable_from_time(); }));
  if (flags.Has("to")) {
    WEIR_TRY(Put(
        flags, "to", [&](int64_t revision) { request.set_to_revision(revision); },
        [&] { return request.mutable_to_time(); }));
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(*request.mutable_fqn(), NameOf(client, session, flags));
  v2::DiffResourceResponse response;
  WEIR_TRY(client.Call("Revisions/DiffResource", request, response));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, response));
  if (printed) return kExitOk;
  const auto there = [](const std::string& uid) { return uid.empty() ? "not there" : uid; };
  std::cout << fmt::format("{}: revision {} ({}) -> {} ({})\n", response.fqn(), response.from_revision(),
                           there(response.from_uid()), response.to_revision(), there(response.to_uid()));
  PrintFields(response.fields(), "  ");
  return kExitOk;
}

void PrintRestored(const v2::RestoreResourcesResponse& response, bool dry_run) {
  for (const v2::RestoredResource& item : response.items()) {
    std::cout << item.fqn() << " " << WordOf(item.what()) << "\n";
    PrintFields(item.fields(), "  ");
  }
  for (const std::string& note : response.notes()) std::cout << "note: " << Printable(note) << "\n";
  if (dry_run) PrintPlan(response.plan(), Sources());
  if (response.items().empty())
    std::cout << "it is as it was at revision " << response.restored_revision() << "; nothing to do\n";
  else if (dry_run)
    std::cout << "nothing was changed; without --dry-run it is as at revision " << response.restored_revision()
              << "\nplan " << response.plan().plan() << "\n";
  else
    std::cout << "restored from revision " << response.restored_revision() << " by revision " << response.revision()
              << "\n";
}

Result<int> Restore(const Flags& flags) {
  const bool everything = flags.Has("everything");
  if (everything ? !flags.words.empty() : flags.words.empty() || flags.words.size() > 2)
    return Usage("restore wants KIND NAME, a full name, or --everything without one");
  if (!flags.Has("to")) return Usage("restore wants --to REVISION or TIME");
  v2::RestoreResourcesRequest request;
  WEIR_TRY(Put(
      flags, "to", [&](int64_t revision) { request.set_to_revision(revision); },
      [&] { return request.mutable_to_time(); }));
  request.set_subtree(everything || flags.Has("subtree"));
  request.set_access(flags.Has("access"));
  request.set_plan(flags.Get("plan"));
  request.set_dry_run(flags.Has("dry-run"));
  request.set_message(flags.Get("message"));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  request.set_fqn(session.OrganizationFqn());
  if (!everything) {
    WEIR_ASSIGN(*request.mutable_fqn(), NameOf(client, session, flags));
  }
  v2::RestoreResourcesResponse response;
  WEIR_TRY(client.CallOnce("Revisions/RestoreResources", request, response, 300));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, response));
  if (!printed) PrintRestored(response, request.dry_run());
  return kExitOk;
}

Result<int> Audit(const Flags& flags) {
  if (flags.words.size() > 2) return Usage("audit wants nothing, KIND NAME or a full name");
  WEIR_ASSIGN(const int limit, Limit(flags, 50));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ListAuditRecordsRequest request;
  if (!flags.words.empty()) {
    WEIR_ASSIGN(*request.mutable_fqn(), NameOf(client, session, flags));
  }
  if (flags.Has("user")) {
    WEIR_ASSIGN(*request.mutable_principal(), FqnArgument(session, flags.Get("user"), resource::Kind::kUser));
  }
  request.set_action(flags.Get("action"));
  WEIR_ASSIGN(auto records, (AllPages<v2::ListAuditRecordsRequest, v2::ListAuditRecordsResponse>(
                                client, "AuditRecords/ListAuditRecords", request, limit)));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, records));
  if (!printed) {
    std::vector<std::vector<std::string>> rows = {{"TIME", "WHO", "ACTION", "WHAT", "REVISION", "FROM"}};
    for (const v2::AuditRecord& record : records.items()) {
      rows.push_back({Clock(record.time()), AuthorOf(record.principal()), record.action(), record.fqn(),
                      record.revision() == 0 ? "" : std::to_string(record.revision()), record.peer()});
    }
    std::cout << Table(std::move(rows));
  }
  MoreToCome(records.next_page_token());
  return kExitOk;
}

}  // namespace

Result<Moment> ParseMoment(const std::string& flag, const std::string& text, int64_t now) {
  const Error wrong = Usage(fmt::format("--{} is a revision, a time like 2026-11-29T10:00:00Z, or 30m, 2h, 3d", flag));
  const bool number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (number && text.size() <= 15) return Moment{std::stoll(text), std::nullopt};
  const std::string count = text.empty() ? "" : text.substr(0, text.size() - 1);
  const bool ago = !count.empty() && count.size() <= 6 && count.find_first_not_of("0123456789") == std::string::npos;
  const std::pair<char, int64_t> units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  for (const auto& [unit, seconds] : units) {
    if (ago && text.back() == unit) return Moment{0, now - std::stoll(count) * seconds};
  }
  google::protobuf::Timestamp time;
  if (!TimeUtil::FromString(text, &time)) return wrong;
  return Moment{0, time.seconds()};
}

Command HistoryCommand() {
  return {"history",
          "who changed what, newest first",
          R"(Usage: weir history [--limit N] [-o table|yaml|json]
       weir history KIND NAME | FULL-NAME [--below] [--limit N] [--tenant T] [--workspace W] [--group G]

Without a name: the last revisions, with what each of them changed of what you may read. With one: the versions of that
resource, also of one that is gone (by its full name, or with --tenant, --workspace and --group). --below: the revisions
that changed it or anything below it.

  weir history
  weir history tier1gateway shop
  weir history organizations/acme/tenants/t --below --limit 100
)",
          {{"limit", "output", "tenant", "workspace", "group"}, {"below"}, {{'o', "output"}}},
          History};
}
Command HistoryShowCommand() {
  return {"history show",
          "print a resource as it was",
          R"(Usage: weir history show KIND NAME | FULL-NAME [--as-of REVISION|TIME] [-o yaml|json]

Prints the resource as it was, as a document that `weir apply` takes.

  weir history show tier1gateway shop --as-of 417
  weir history show organizations/acme/tenants/t --as-of 2h

REVISION is a number of `weir history`, TIME a time like 2026-11-29T10:00:00Z, or 30m, 2h, 3d: so long ago.
)",
          {{"as-of", "output", "tenant", "workspace", "group"}, {}, {{'o', "output"}}},
          Show};
}
Command HistoryDiffCommand() {
  return {"history diff",
          "what is different between two revisions",
          R"(Usage: weir history diff KIND NAME | FULL-NAME --from REVISION|TIME [--to REVISION|TIME]

Each field that is different, with both values. Without --to: from then to now.

  weir history diff tier1gateway shop --from 417
  weir history diff tier1gateway shop --from 1d --to 2h

REVISION is a number of `weir history`, TIME a time like 2026-11-29T10:00:00Z, or 30m, 2h, 3d: so long ago.
)",
          {{"from", "to", "output", "tenant", "workspace", "group"}, {}, {{'o', "output"}}},
          Diff};
}
Command RestoreCommand() {
  return {"restore",
          "bring back a resource, or a part of the tree, as it was",
          R"(Usage: weir restore KIND NAME | FULL-NAME | --everything --to REVISION|TIME [--subtree] [--access]
                    [--dry-run] [--plan NAME] [-m TEXT]

Brings back what was, as a write of yours: you need the rights for each change, and all of it is done or nothing.

  --subtree    everything below it too; what was made since is deleted
  --everything your organization with everything below it
  --access     with them: who may what too, as far as it is about those who are still the same
  --dry-run    only says what would be created, updated and deleted, and what clusters and gateways would be told
  --plan NAME  only if it does what a dry run said, by the name that it ended with
  -m TEXT      why; stands in `weir history`

What is gone is created anew: it has another uid, and bindings of those users who are still there. Bindings of what is
there stay as they are, and so do roles, teams and users, unless you say --access or name them:
weir restore FULL-NAME/accessbindings --to ... With --access keys of service accounts stay as they are, nobody is
deleted, and what you may not grant is refused with all the rest.

  weir restore tier1gateway shop --to 417
  weir restore --everything --to 417 --dry-run
  weir restore organizations/acme/tenants/t --subtree --to 2h --dry-run

REVISION is a number of `weir history`, TIME a time like 2026-11-29T10:00:00Z, or 30m, 2h, 3d: so long ago.
)",
          {{"to", "plan", "message", "output", "tenant", "workspace", "group"},
           {"subtree", "everything", "access", "dry-run"},
           {{'o', "output"}, {'m', "message"}}},
          Restore};
}
Command AuditCommand() {
  return {"audit",
          "who did what, from where",
          R"(Usage: weir audit [KIND NAME | FULL-NAME] [--user NAME] [--action ACTION] [--limit N] [-o table|yaml|json]

Records about a resource and what is below it, or about everything of which you may say who may do what (set-policy).
-o yaml and json tell also which permission allowed it and which request it was.

  weir audit --limit 20
  weir audit organizations/acme/tenants/t --action delete
  weir audit --user ann -o json
)",
          {{"user", "action", "limit", "output", "tenant", "workspace", "group"}, {}, {{'o', "output"}}},
          Audit};
}

}  // namespace weir::cli
