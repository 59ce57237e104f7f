#include "cli/subjects.h"

#include "api/weir/v2/access_bindings.pb.h"
#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {

Result<std::vector<std::string>> SubjectsOf(const Session& session, const Flags& flags) {
  const std::pair<const char*, resource::Kind> kinds[] = {
      {"user", resource::Kind::kUser}, {"team", resource::Kind::kTeam}, {"sa", resource::Kind::kServiceAccount}};
  std::vector<std::string> found;
  for (const auto& [flag, kind] : kinds) {
    for (const std::string& word : flags.All(flag)) {
      WEIR_ASSIGN(found.emplace_back(), FqnArgument(session, word, kind));
    }
  }
  return found;
}

Result<v2::Subject> SubjectOf(const Session& session, const Flags& flags) {
  WEIR_ASSIGN(const std::vector<std::string> named, SubjectsOf(session, flags));
  if (named.size() != 1) return Usage("whom? Give one of --user, --team and --sa");
  v2::Subject subject;
  if (flags.Has("user")) subject.set_user(named.front());
  if (flags.Has("team")) subject.set_team(named.front());
  if (flags.Has("sa")) subject.set_service_account(named.front());
  return subject;
}

const std::string& FqnOf(const v2::Subject& subject) {
  if (subject.has_team()) return subject.team();
  return subject.has_service_account() ? subject.service_account() : subject.user();
}

}  // namespace weir::cli
