#include <algorithm>
#include <iostream>

#include "api/weir/v2/change_set.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/plan_report.h"
#include "cli/rollout.h"
#include "cli/sources.h"
#include "cli/traffic.h"
#include "libs/base/text.h"
#include "libs/document/document.h"

namespace weir::cli {
namespace {

constexpr int kSeconds = 60;

std::string FullName(const Session& session, const std::string& word) {
  return word.find('/') != std::string::npos ? word : session.OrganizationFqn() + "/changesets/" + word;
}

std::string NameOf(const v2::ChangeSet& set) { return set.fqn().substr(set.fqn().rfind('/') + 1); }

std::string StateOf(const v2::ChangeSet& set) {
  std::string text = v2::ChangeSet::State_Name(set.state());
  if (set.approvals_required() > 0)
    text += fmt::format(" ({} of {} approvals)", set.approvals_size(), set.approvals_required());
  if (set.revision() > 0) text += fmt::format(", revision {}", set.revision());
  return text;
}

Result<bool> PrintAs(const Flags& flags, const google::protobuf::Message& message) {
  const std::string format = flags.Get("output", "text");
  if (format == "text") return false;
  if (format != "yaml" && format != "json") return Usage("-o takes text, yaml or json");
  std::cout << (format == "yaml" ? document::ToYaml(message) : document::ToJson(message, true));
  return true;
}

void PrintPeople(const char* what, const google::protobuf::RepeatedPtrField<v2::ChangeSetPerson>& people) {
  for (const v2::ChangeSetPerson& person : people) {
    std::cout << "  " << what << " " << Printable(person.user()) << ", " << Clock(person.time()) << "\n";
  }
}

void Print(const v2::ChangeSet& set) {
  std::cout << NameOf(set) << " " << StateOf(set) << "\n  message " << Printable(set.message()) << "\n  author "
            << Printable(set.author().user()) << ", " << Clock(set.create_time()) << "\n";
  if (set.editors_size() > 1 || (set.editors_size() == 1 && set.editors(0).uid() != set.author().uid()))
    PrintPeople("changed by", set.editors());
  PrintPeople("approved by", set.approvals());
  if (!set.ended_by().uid().empty()) {
    std::cout << "  ended by " << Printable(set.ended_by().user()) << ", " << Clock(set.ended_by().time())
              << (set.reason().empty() ? "" : ": " + Printable(set.reason())) << "\n";
  }
  PrintRollout(set);
  v2::PlanResponse plan;
  *plan.mutable_items() = set.items();
  PrintPlannedDocuments(plan);
  std::cout << "plan " << set.plan() << "\n";
}

Result<v2::ChangeSet> Contents(const Flags& flags, Sources& sources) {
  v2::ChangeSet set;
  const std::vector<std::string> paths = flags.All("file");
  if (paths.empty() && !flags.Has("delete")) return Usage("wants -f FILE, -f FOLDER, -f - or --delete FQN");
  if (!paths.empty()) {
    WEIR_ASSIGN(sources, ReadSources(paths));
  }
  set.set_documents(sources.text);
  SetDeletions(flags, set);
  set.set_manager(flags.Get("manager"));
  set.set_force(flags.Has("force"));
  set.set_message(flags.Get("message"));
  if (set.message().empty()) return Usage("wants -m MESSAGE: why");
  WEIR_TRY(SetWaves(flags, set));
  return set;
}

// What every verb on one change set begins with.
struct Desk {
  Session session;
  Client client;
  std::string fqn;
};
Result<Desk> Open(const Flags& flags, const char* verb) {
  if (flags.words.size() != 1) return Usage(fmt::format("changeset {} wants the name of one change set", verb));
  WEIR_ASSIGN(Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  std::string fqn = FullName(session, flags.words[0]);
  return Desk{std::move(session), std::move(client), std::move(fqn)};
}

Result<int> Create(const Flags& flags) {
  if (!flags.words.empty()) return Usage(fmt::format("what is \"{}\"? Files are given with -f", flags.words[0]));
  int approvals = 0;
  if (flags.Has("approvals")) {
    WEIR_ASSIGN(approvals, ParseNumber("approvals", flags.Get("approvals"), 0, 10));
  }
  Sources sources;
  v2::CreateChangeSetRequest request;
  WEIR_ASSIGN(*request.mutable_change_set(), Contents(flags, sources));
  request.mutable_change_set()->set_approvals_required(approvals);
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  request.set_parent(session.OrganizationFqn());
  v2::ChangeSet set;
  const Status made = client.CallOnce("ChangeSets/CreateChangeSet", request, set, kSeconds);
  if (!made.ok()) return WithPlaces(made.error(), sources);
  WEIR_ASSIGN(const bool printed, PrintAs(flags, set));
  if (!printed) Print(set);
  return kExitOk;
}

Result<int> Update(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "update"));
  Sources sources;
  v2::UpdateChangeSetRequest request;
  WEIR_ASSIGN(*request.mutable_change_set(), Contents(flags, sources));
  request.set_fqn(desk.fqn);
  v2::GetChangeSetRequest get;
  get.set_fqn(desk.fqn);
  v2::ChangeSet set;
  WEIR_TRY(desk.client.Call("ChangeSets/GetChangeSet", get, set));
  request.mutable_change_set()->set_resource_version(flags.Get("version", set.resource_version()));
  const Status made = desk.client.CallOnce("ChangeSets/UpdateChangeSet", request, set, kSeconds);
  if (!made.ok()) return WithPlaces(made.error(), sources);
  Print(set);
  return kExitOk;
}

Result<int> Get(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "get"));
  v2::GetChangeSetRequest request;
  request.set_fqn(desk.fqn);
  v2::ChangeSet set;
  WEIR_TRY(desk.client.Call("ChangeSets/GetChangeSet", request, set));
  if (flags.Has("watch")) return FollowRollout(desk.client, std::move(set), 0);
  WEIR_ASSIGN(const bool printed, PrintAs(flags, set));
  if (!printed) Print(set);
  return kExitOk;
}

Result<int> List(const Flags& flags) {
  if (!flags.words.empty()) return Usage(fmt::format("what is \"{}\"?", flags.words[0]));
  int limit = 50;
  if (flags.Has("limit")) {
    WEIR_ASSIGN(limit, ParseNumber("limit", flags.Get("limit"), 1, 10'000));
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ListChangeSetsRequest request;
  request.set_parent(session.OrganizationFqn());
  request.set_open_only(flags.Has("open"));
  v2::ListChangeSetsResponse all;
  do {
    request.set_page_size(std::min(limit - all.items_size(), 100));
    v2::ListChangeSetsResponse page;
    WEIR_TRY(client.Call("ChangeSets/ListChangeSets", request, page));
    for (auto& item : *page.mutable_items()) *all.add_items() = std::move(item);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.items_size() < limit);
  WEIR_ASSIGN(const bool printed, PrintAs(flags, all));
  if (printed) return kExitOk;
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "AUTHOR", "TIME", "MESSAGE"}};
  for (const v2::ChangeSet& set : all.items()) {
    rows.push_back({NameOf(set), StateOf(set), set.author().user(), Clock(set.create_time()), set.message()});
  }
  std::cout << Table(std::move(rows));
  if (!request.page_token().empty()) std::cerr << "There are older ones; --limit shows more.\n";
  return kExitOk;
}

Result<int> Plan(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "plan"));
  v2::PlanChangeSetRequest request;
  request.set_fqn(desk.fqn);
  request.set_renew(flags.Has("renew"));
  v2::PlanChangeSetResponse response;
  WEIR_TRY(desk.client.CallOnce("ChangeSets/PlanChangeSet", request, response, kSeconds));
  WEIR_ASSIGN(const bool printed, PrintAs(flags, response));
  if (!printed) {
    PrintPlan(response.plan(), {});
    std::cout << "\n" << NameOf(response.change_set()) << " " << StateOf(response.change_set()) << "\n";
    if (response.current())
      std::cout << "plan " << response.change_set().plan() << "\n";
    else
      std::cout << "its plan is stale: it would do this now, and was another thing when it was made; see --renew\n";
  }
  return response.current() ? kExitOk : kExitRefused;
}

template <typename Request>
Result<v2::ChangeSet> Call(Desk& desk, const char* method, Request request) {
  request.set_fqn(desk.fqn);
  v2::ChangeSet set;
  WEIR_TRY(desk.client.CallOnce(method, request, set, kSeconds));
  std::cout << NameOf(set) << " " << StateOf(set) << "\n";
  return set;
}
template <typename Request>
Result<int> Decide(Desk& desk, const char* method, Request request) {
  WEIR_TRY(Call(desk, method, std::move(request)));
  return kExitOk;
}

Result<int> Approve(const Flags& flags) {
  if (!flags.Has("plan")) return Usage("approve wants --plan NAME: the plan that you have seen (weir changeset get)");
  WEIR_ASSIGN(Desk desk, Open(flags, "approve"));
  v2::ApproveChangeSetRequest request;
  request.set_plan(flags.Get("plan"));
  return Decide(desk, "ChangeSets/ApproveChangeSet", std::move(request));
}
Result<int> Reject(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "reject"));
  v2::RejectChangeSetRequest request;
  request.set_reason(flags.Get("message"));
  return Decide(desk, "ChangeSets/RejectChangeSet", std::move(request));
}
Result<int> Commit(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "commit"));
  WEIR_ASSIGN(const int seconds, WaitSeconds(flags));
  v2::CommitChangeSetRequest request;
  request.set_plan(flags.Get("plan"));
  WEIR_ASSIGN(const v2::ChangeSet set, Call(desk, "ChangeSets/CommitChangeSet", std::move(request)));
  if (!flags.Has("wait")) return kExitOk;
  if (set.state() == v2::ChangeSet::ROLLING_OUT)
    return FollowRollout(desk.client, set, flags.Get("wait").empty() ? 0 : seconds);
  return WaitUntilServed(desk.client, set, seconds);
}
Result<int> Abort(const Flags& flags) {
  WEIR_ASSIGN(Desk desk, Open(flags, "abort"));
  v2::AbortChangeSetRequest request;
  request.set_reason(flags.Get("message"));
  return Decide(desk, "ChangeSets/AbortChangeSet", std::move(request));
}

const FlagSpec kContents = {{"file", "delete", "message", "manager", "approvals", "output", "version", "wave",
                             "min-success", "min-requests", "bake", "ready-timeout"},
                            {"cascade", "force", "without-traffic"},
                            {{'f', "file"}, {'m', "message"}, {'o', "output"}}};

}  // namespace

Command ChangesetCreateCommand() {
  return {
      "changeset create", "put documents and deletions together, to be approved and committed",
      R"(Usage: weir changeset create -m MESSAGE [-f FILE|FOLDER|- ...] [--delete FQN ...] [--cascade] [--approvals N]
                            [--force] [--manager NAME] [-o text|yaml|json]
                            [--wave CLUSTERS ... [--min-success PERCENT] [--min-requests N] [--bake TIME]
                             [--ready-timeout TIME] [--without-traffic]]

Plans it and keeps it; nothing of it is stored before `weir changeset commit`, and then all of it or nothing. What is
approved and committed is what was planned: when something else changed what it would do, it is stale and says so.

  -m, --message TEXT  why; stands in `weir history`
  -f, --file PATH     as for apply
  --delete FQN        what is deleted; before the documents are stored, clusters after
  --cascade           with everything below it
  --approvals N       so many others (0 to 10; default 0) have to approve it before; those who changed it may not
  --force             as for apply
  --manager NAME      as for apply
  -o, --output FORM   text (the default), yaml or json

With waves, `weir changeset commit` tells the clusters of the first wave, then those of the next, and stores all of it when
the last has passed. A wave that does not hold reverts all of it, by itself. What the change concerns and no wave names is
a last wave. The same has to hold of each:

  --wave CLUSTERS     names (c1,c2), or those that lie in region=REGION and have label=KEY=VALUE
  --min-success P     percent of the requests that must succeed, 50 to 100 (default 99)
  --min-requests N    fewer say nothing, and stop it (default 100)
  --bake TIME         for how long they are counted: 1s to 24h (default 60s)
  --ready-timeout T   by when every gateway runs it: 1s to 1h (default 60s)
  --without-traffic   a wave with fewer requests passes

  weir changeset create -f checkout/ -m "new checkout" --wave c1 --wave region=eu --min-success 99.5 --bake 5m
  weir changeset create -f checkout/ --delete organizations/o/tenants/t/workspaces/old --cascade -m "old shop goes" --approvals 1
)",
      kContents, Create};
}
Command ChangesetUpdateCommand() {
  return {
      "changeset update", "put other contents into a change set",
      R"(Usage: weir changeset update NAME -m MESSAGE [-f FILE|FOLDER|- ...] [--delete FQN ...] [--cascade] [--version ETAG]
                            [--force] [--manager NAME] [--wave CLUSTERS ... and what holds of them]

Replaces all that `weir changeset create` gave it, plans it anew, and takes its approvals away. You may not approve it then.

  --version ETAG      only if it is this version (metadata of `weir changeset get -o yaml`); default: the present one

  weir changeset update cs-1796000000-3f9a2c1e -f checkout/ -m "old shop goes, with its certificates"
)",
      kContents, Update};
}
Command ChangesetGetCommand() {
  return {"changeset get",
          "show a change set: its state, what it would do, who approved it",
          R"(Usage: weir changeset get NAME [-o text|yaml|json] [--watch]

  --watch     show each step of its waves, until it is committed, or reverted or ended by somebody (exit code 1)

  weir changeset get cs-1796000000-3f9a2c1e
)",
          {{"output"}, {"watch"}, {{'o', "output"}}},
          Get};
}
Command ChangesetListCommand() {
  return {"changeset list",
          "list change sets, the newest first",
          R"(Usage: weir changeset list [--open] [--limit N] [-o text|yaml|json]

Those that you made, or that touch nothing but what you may read.

  --open      only those that are not ended
  --limit N   at most so many (default 50)

  weir changeset list --open
)",
          {{"output", "limit"}, {"open"}, {{'o', "output"}}},
          List};
}
Command ChangesetPlanCommand() {
  return {"changeset plan",
          "say what a change set would do now, at each cluster and gateway",
          R"(Usage: weir changeset plan NAME [--renew] [-o text|yaml|json]

As `weir plan` says it. Where it would do something else than when it was planned it is stale (exit code 1): it cannot be
approved or committed then.

  --renew     take what it would do now as its plan; approvals of another plan are lost, and you may not approve it then

  weir changeset plan cs-1796000000-3f9a2c1e
)",
          {{"output"}, {"renew"}, {{'o', "output"}}},
          Plan};
}
Command ChangesetApproveCommand() {
  return {"changeset approve",
          "agree to the plan of a change set",
          R"(Usage: weir changeset approve NAME --plan PLAN

You need every right that committing it needs, and may not have changed it. The approval is of that plan alone: it is lost
when the change set is updated, or renewed and does something else then.

  --plan PLAN  the plan that you have seen: the last line of `weir changeset get` and `weir changeset plan`

  weir changeset approve cs-1796000000-3f9a2c1e --plan 5d2f0c7b9e1a44d08c3b6a7f1e2d3c4b
)",
          {{"plan"}, {}, {}},
          Approve};
}
Command ChangesetRejectCommand() {
  return {"changeset reject",
          "end a change set of others",
          R"(Usage: weir changeset reject NAME [-m REASON]

You need the right to write all that it touches.

  weir changeset reject cs-1796000000-3f9a2c1e -m "not before the sale"
)",
          {{"message"}, {}, {{'m', "message"}}},
          Reject};
}
Command ChangesetCommitCommand() {
  return {"changeset commit",
          "store all of a change set, or nothing",
          R"(Usage: weir changeset commit NAME [--plan PLAN] [--wait[=SECONDS]]

As if you applied and deleted it yourself, with your rights; fields belong to its author. Those who approved it must be able
to do so still.

  --plan PLAN       only if this is its plan
  --wait[=SECONDS]  end when every gateway concerned serves it (default 60, 1 to 300); exit code 4 if not in time. With
                    waves: when the last has passed, or one has not (exit code 1); default: as long as they may take

  weir changeset commit cs-1796000000-3f9a2c1e --wait
)",
          {{"plan"}, {"wait"}, {}},
          Commit};
}
Command ChangesetAbortCommand() {
  return {"changeset abort",
          "end a change set of your own",
          R"(Usage: weir changeset abort NAME [-m REASON]

  weir changeset abort cs-1796000000-3f9a2c1e
)",
          {{"message"}, {}, {{'m', "message"}}},
          Abort};
}

}  // namespace weir::cli
