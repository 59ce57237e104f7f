#include <iostream>

#include "api/weir/v2/access_bindings.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/subjects.h"

namespace weir::cli {
namespace {

// An FQN, or what stands behind organizations/NAME/ in one; "" = the organization.
Result<std::string> PlaceOf(const Session& session, const std::string& text) {
  const bool whole = text.starts_with("organizations/");
  const std::string fqn =
      text.empty() ? session.OrganizationFqn() : (whole ? text : session.OrganizationFqn() + "/" + text);
  const auto parsed = resource::ParseFqn(fqn);
  if (!parsed.ok()) return Usage(fmt::format("--on: {}", parsed.error().message));
  return fqn;
}

Result<int> Change(const Flags& flags, bool grant) {
  if (flags.words.size() != 1) return Usage(fmt::format("bind {} wants one ROLE", grant ? "grant" : "revoke"));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string place, PlaceOf(session, flags.Get("on")));
  v2::ChangeAccessRequest request;
  request.set_fqn(resource::AccessBindingsFqn(place));
  request.set_role(flags.words[0]);
  WEIR_ASSIGN(*request.mutable_subject(), SubjectOf(session, flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::AccessBindings bindings;
  const char* method = grant ? "AccessBindingsService/GrantAccess" : "AccessBindingsService/RevokeAccess";
  WEIR_TRY(client.CallOnce(method, request, bindings));
  std::cout << fmt::format("{} {} {} on {}\n", FqnOf(request.subject()), grant ? "has" : "no longer has itself",
                           request.role(), place);
  return kExitOk;
}
Result<int> Grant(const Flags& flags) { return Change(flags, true); }
Result<int> Revoke(const Flags& flags) { return Change(flags, false); }

Result<int> List(const Flags& flags) {
  if (!flags.words.empty()) return Usage("bind list wants no NAME; --on says where");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string place, PlaceOf(session, flags.Get("on")));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::GetAccessBindingsRequest request;
  request.set_fqn(resource::AccessBindingsFqn(place));
  v2::AccessBindings bindings;
  WEIR_TRY(client.Call("AccessBindingsService/GetAccessBindings", request, bindings));
  std::vector<std::vector<std::string>> rows{{"ROLE", "SUBJECT"}};
  for (const v2::AccessBinding& binding : bindings.allow()) {
    for (const v2::Subject& subject : binding.subjects()) rows.push_back({binding.role(), FqnOf(subject)});
  }
  std::cout << Table(std::move(rows));
  return kExitOk;
}

FlagSpec WithPlace(bool subjects) {
  FlagSpec spec{subjects ? kSubjectFlags : std::set<std::string>(), {}};
  spec.values.insert("on");
  return spec;
}

}  // namespace

Command BindGrantCommand() {
  return {"bind grant", "give a role on something to somebody",
          R"(Usage: weir bind grant ROLE --on FQN (--user NAME | --team NAME | --sa NAME)

Adds one subject to the bindings there; whatever else stands in them stays. ROLE: admin, editor, creator, writer, reader
or a Role of the organization. Counts there and below. You need the right set-policy there, and all that the role gives.
FQN may leave organizations/NAME/ out; without --on it is the organization.

  weir bind grant editor --on tenants/shop --team checkout
  weir bind grant operator --sa gitops
)",
          WithPlace(true), Grant};
}
Command BindRevokeCommand() {
  return {"bind revoke", "take a role on something from somebody",
          R"(Usage: weir bind revoke ROLE --on FQN (--user NAME | --team NAME | --sa NAME)

Takes one subject out of the bindings there; whatever else stands in them stays. Nothing happens when it is not in them.
What it has by a team, or further up, it keeps.

  weir bind revoke editor --on tenants/shop --user ann
)",
          WithPlace(true), Revoke};
}
Command BindListCommand() {
  return {"bind list", "who has which role on something",
          R"(Usage: weir bind list [--on FQN]

The bindings of that resource itself; those further up count there, too. You need the right set-policy there.

  weir bind list --on tenants/shop
)",
          WithPlace(false), List};
}

}  // namespace weir::cli
