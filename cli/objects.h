#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"
#include "libs/document/document.h"
#include "libs/resource/kinds.h"

namespace weir::cli {

using ResourceMessage = std::unique_ptr<google::protobuf::Message>;

// Native document form: apiVersion, kind, metadata and spec, without what only the server sets but with the version, so
// that `weir apply` takes it and nobody's change in between is lost.
document::Node DocumentOf(const google::protobuf::Message& resource);

// The same with all that the server said.
document::Node JsonOf(const google::protobuf::Message& resource);

// Flags --tenant, --workspace, --group narrow where to look.
struct Scope {
  std::string tenant, workspace, group;
};
// What is asked of a list beside its place; "" = all, by FQN.
struct Question {
  std::string filter, order;
  std::string as_of;  // A revision or a time (RFC 3339); "" = now.
};
// Of --filter, -l, --sort-by and --as-of. USAGE.
Result<Question> QuestionOf(const Flags& flags);
// All resources of a kind that the caller may read, below what the scope names.
Result<std::vector<ResourceMessage>> ListResources(Client& client, const Session& session,
                                                   const resource::KindInfo& kind, const Scope& scope,
                                                   const Question& question = {});
Status DeleteResource(Client& client, const resource::Fqn& fqn, bool cascade, bool dry_run);
// Named by metadata.name; below this parent.
Status CreateResource(Client& client, const std::string& parent, const google::protobuf::Message& resource);
// By the version that it carries.
Status UpdateResource(Client& client, const resource::Fqn& fqn, const google::protobuf::Message& resource);
Result<ResourceMessage> GetResource(Client& client, const resource::Fqn& fqn, const std::string& as_of = "");

// "KIND NAME", "KIND FQN" or "FQN" -> FQN. A name that needs parents which are not given is looked for; USAGE when
// several carry it.
Result<resource::Fqn> ResolveName(Client& client, const Session& session, const std::vector<std::string>& words,
                                  const Scope& scope);
Scope ScopeOf(const Flags& flags);
// FQN of what the scope names; the organization when it names nothing. USAGE when it leaves a gap.
Result<std::string> ParentOf(const Session& session, const Scope& scope);
// NAME or an FQN of this kind, which stands directly below the organization. USAGE.
Result<std::string> FqnArgument(const Session& session, const std::string& word, resource::Kind kind);

}  // namespace weir::cli
