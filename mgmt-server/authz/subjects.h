#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/ngac/graph.h"
#include "mgmt-server/store/records.h"
#include "mgmt-server/store/txn.h"

namespace weir::v2 {
class Subject;
}

namespace weir::authz {

// Whom roles can be given to: users and service accounts, and teams, which hold those and other teams.

// FQN of whom a binding names; "" = it names nobody.
const std::string& FqnOf(const v2::Subject& subject);
void SetFqn(const std::string& fqn, v2::Subject& subject);
bool IsTeam(const store::StoredResource& resource);
bool IsAccount(const store::StoredResource& resource);
// The node that stands for a user, team or service account among the users; "" = it is none of them.
std::string SubjectNode(const store::StoredResource& resource);
// Names of the nodes of all roles of a user or team, those that come by a team too; ParseBindingNode takes them apart.
std::vector<std::string> RolesOf(const ngac::Graph& graph, const std::string& subject_node);
// FQNs of the members of a stored team. DATA_LOSS STORE_DAMAGED.
Result<std::vector<std::string>> MembersOf(const store::StoredResource& team);
// Whether a subject is a user, or a team that holds one, itself or over teams. A service account is none: whoever loses
// its key is helped by nobody.
bool IsOrHoldsUser(const store::View& view, const std::string& fqn);

// A user, team or service account of that organization. INVALID_ARGUMENT UNKNOWN_SUBJECT for all others: one of another
// organization is as unknown as one that does not exist, else whoever may bind anywhere could ask for the users of all
// of them.
Status CheckSubject(const store::View& view, std::string_view organization, const std::string& fqn);
// Before Txn::Delete of a user or team: takes it out of every team and every binding.
Status RemoveEverywhere(store::Txn& txn, const store::StoredResource& subject);

}  // namespace weir::authz
