#pragma once

#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/flags.h"

namespace weir::v2 {
class Subject;
}

namespace weir::cli {

// The flags --user, --team and --sa, each a name or an FQN.
inline const std::set<std::string> kSubjectFlags = {"user", "team", "sa"};
// FQNs of all that they name, in the order user, team, sa. USAGE.
Result<std::vector<std::string>> SubjectsOf(const Session& session, const Flags& flags);
// The one that they name. USAGE.
Result<v2::Subject> SubjectOf(const Session& session, const Flags& flags);
const std::string& FqnOf(const v2::Subject& subject);

}  // namespace weir::cli
