#include <algorithm>
#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/role.pb.h"
#include "api/weir/v2/team.pb.h"
#include "api/weir/v2/user.pb.h"
#include "cli/commands.h"
#include "cli/edit.h"
#include "cli/subjects.h"

// Users, teams and roles. Lists of them: weir get users.
namespace weir::cli {
namespace {

// Makes one below the organization and says so.
template <typename Message>
Result<int> Create(const Flags& flags, const Session& session, Message message) {
  message.mutable_metadata()->set_name(flags.words[0]);
  message.mutable_metadata()->set_display_name(flags.Get("display-name"));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_TRY(CreateResource(client, session.OrganizationFqn(), message));
  std::cout << resource::ChildFqn(session.OrganizationFqn(), resource::KindOf(message)->kind, flags.words[0])
            << " created\n";
  return kExitOk;
}

Result<int> UserCreate(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("user create wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::User user;
  user.mutable_spec()->set_email(flags.Get("email"));
  WEIR_ASSIGN(const int done, Create(flags, session, std::move(user)));
  std::cout << fmt::format("a password, to sign in with: weir user password {}\n", flags.words[0]);
  return done;
}

Result<int> TeamCreate(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("team create wants one NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::vector<std::string> members, SubjectsOf(session, flags));
  v2::Team team;
  team.mutable_spec()->mutable_members()->Assign(members.begin(), members.end());
  return Create(flags, session, std::move(team));
}

// Adds or removes members; all others stay.
Result<int> ChangeTeam(const Flags& flags, bool add) {
  const char* verb = add ? "add" : "remove";
  if (flags.words.size() != 1) return Usage(fmt::format("team {} wants one NAME", verb));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string fqn, FqnArgument(session, flags.words[0], resource::Kind::kTeam));
  WEIR_ASSIGN(const std::vector<std::string> named, SubjectsOf(session, flags));
  if (named.empty()) return Usage("whom? Give --user, --team or --sa, each as often as you like");
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const bool changed, EditResource<v2::Team>(client, fqn, [&](v2::Team& team) -> Result<bool> {
                auto& members = *team.mutable_spec()->mutable_members();
                const int before = members.size();
                for (const std::string& each : named) {
                  const auto there = std::find(members.begin(), members.end(), each);
                  if (add && there == members.end()) *members.Add() = each;
                  if (!add && there != members.end()) members.erase(there);
                }
                return members.size() != before;
              }));
  std::cout << fqn << (changed ? ": changed\n" : ": so it was already\n");
  return kExitOk;
}
Result<int> TeamAdd(const Flags& flags) { return ChangeTeam(flags, true); }
Result<int> TeamRemove(const Flags& flags) { return ChangeTeam(flags, false); }

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

Result<int> RoleCreate(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("role create wants one NAME");
  if (!flags.Has("rule")) return Usage("what does it give? Say --rule RIGHT,RIGHT:KIND,KIND, as often as you like");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::Role role;
  for (const std::string& text : flags.All("rule")) {
    const size_t colon = text.find(':');
    v2::RoleRule& rule = *role.mutable_spec()->add_rules();
    for (std::string& right : Split(text.substr(0, colon))) rule.add_rights(std::move(right));
    for (const std::string& name : Split(colon == std::string::npos ? "" : text.substr(colon + 1))) {
      const resource::KindInfo* kind = resource::FindLoosely(name);
      rule.add_kinds(kind != nullptr ? kind->name : name);
    }
  }
  return Create(flags, session, std::move(role));
}

FlagSpec Subjects(std::set<std::string> more) {
  more.insert(kSubjectFlags.begin(), kSubjectFlags.end());
  return {std::move(more), {}};
}

}  // namespace

Command UserCreateCommand() {
  return {"user create",
          "make a user",
          R"(Usage: weir user create NAME [--email ADDRESS] [--display-name TEXT]

He has no role and no password yet. All of them: weir get users.

  weir user create ann --email ann@example.com
)",
          {{"email", "display-name"}, {}},
          UserCreate};
}
Command TeamCreateCommand() {
  return {"team create", "make a team",
          R"(Usage: weir team create NAME [--user NAME]... [--team NAME]... [--sa NAME]... [--display-name TEXT]

All of them with their members: weir get teams.

  weir team create checkout --user ann --user bob --sa gitops
)",
          Subjects({"display-name"}), TeamCreate};
}
Command TeamAddCommand() {
  return {"team add", "put somebody into a team",
          R"(Usage: weir team add NAME (--user NAME | --team NAME | --sa NAME)...

All other members stay. You must hold all that the team's roles give.

  weir team add checkout --user ann
)",
          Subjects({}), TeamAdd};
}
Command TeamRemoveCommand() {
  return {"team remove", "take somebody out of a team",
          R"(Usage: weir team remove NAME (--user NAME | --team NAME | --sa NAME)...

  weir team remove checkout --user ann
)",
          Subjects({}), TeamRemove};
}
Command RoleCreateCommand() {
  return {"role create",
          "make a role of your own",
          R"(Usage: weir role create NAME --rule RIGHT[,RIGHT]...[:KIND[,KIND]...] [--rule ...] [--display-name TEXT]

RIGHT: read, write, create, delete, set-policy, cluster.join. Without kinds on every kind. You cannot make a role that
gives what you do not hold on the organization. It gives nothing to anybody before it is bound (weir bind grant).
All of them: weir get roles.

  weir role create operator --rule read --rule write:cluster
)",
          {{"rule", "display-name"}, {}},
          RoleCreate};
}

}  // namespace weir::cli
