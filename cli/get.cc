#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/sources.h"
#include "libs/resource/validate.h"

namespace weir::cli {
namespace {

// "team=a,tier!=gold,owner,!legacy" as a filter over metadata.labels. USAGE.
Result<std::string> FilterOfLabels(const std::string& text) {
  std::string filter;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    const size_t equals = part.find('=');
    const bool differs = equals != std::string::npos && equals > 0 && part[equals - 1] == '!';
    std::string key = part.substr(0, equals == std::string::npos ? equals : equals - differs);
    std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (value.starts_with('=')) value.erase(0, 1);
    const bool absent = equals == std::string::npos && key.starts_with('!');
    if (absent) key.erase(0, 1);
    if (key.empty() || key.find_first_of("\"\\ ") != std::string::npos || value.find_first_of("\"\\*") != value.npos) {
      return Usage("-l is key=value, key!=value, key or !key, joined by commas");
    }
    if (!filter.empty()) filter += " AND ";
    if (equals == std::string::npos) {
      filter += fmt::format("{}metadata.labels.\"{}\":*", absent ? "NOT " : "", key);
    } else {
      filter += fmt::format("metadata.labels.\"{}\" {} \"{}\"", key, differs ? "!=" : "=", value);
    }
  }
  return filter;
}

}  // namespace

Result<Question> QuestionOf(const Flags& flags) {
  Question question{.filter = flags.Get("filter"), .order = flags.Get("sort-by"), .as_of = flags.Get("as-of")};
  if (!flags.Has("selector")) return question;
  WEIR_ASSIGN(const std::string labels, FilterOfLabels(flags.Get("selector")));
  question.filter = question.filter.empty() ? labels : fmt::format("({}) AND {}", question.filter, labels);
  return question;
}

namespace {

// "KIND NAME…" or "FULL-NAME…" -> the full names.
Result<std::vector<resource::Fqn>> NamesOf(Client& client, const Session& session, const Flags& flags) {
  const std::vector<std::string>& words = flags.words;
  std::vector<resource::Fqn> names;
  const bool of_kind = words[0].find('/') == std::string::npos;
  for (size_t i = of_kind ? 1 : 0; i < words.size(); ++i) {
    const std::vector<std::string> one =
        of_kind ? std::vector<std::string>{words[0], words[i]} : std::vector<std::string>{words[i]};
    WEIR_ASSIGN(resource::Fqn fqn, ResolveName(client, session, one, ScopeOf(flags)));
    names.push_back(std::move(fqn));
  }
  return names;
}

Result<int> Get(const Flags& flags) {
  if (flags.Has("watch")) return Watch(flags);
  WEIR_ASSIGN(const Format format, FormatOf(flags));
  WEIR_ASSIGN(const Question question, QuestionOf(flags));
  if (flags.words.empty()) return Usage("get wants KIND [NAME…] or FULL-NAME…");
  const Scope scope = ScopeOf(flags);
  if (flags.Has("all") && !(scope.tenant.empty() && scope.workspace.empty() && scope.group.empty()))
    return Usage("-A is everywhere; leave --tenant, --workspace and --group out");
  const bool is_fqn = flags.words[0].find('/') != std::string::npos;
  const resource::KindInfo* kind = resource::FindLoosely(flags.words[0]);
  if (kind == nullptr && !is_fqn) return Usage(fmt::format("\"{}\" is not a kind; see weir kinds", flags.words[0]));
  const bool named = is_fqn || flags.words.size() > 1;
  if (named && !(question.filter.empty() && question.order.empty())) {
    return Usage("-l, --filter and --sort-by are for lists; leave the names out");
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  std::vector<ResourceMessage> resources;
  if (named) {
    WEIR_ASSIGN(const std::vector<resource::Fqn> names, NamesOf(client, session, flags));
    for (const resource::Fqn& fqn : names) {
      WEIR_ASSIGN(ResourceMessage message, GetResource(client, fqn, question.as_of));
      resources.push_back(std::move(message));
    }
    WEIR_TRY(Print(resources, format, names.size() == 1));
    return kExitOk;
  }
  if (kind->kind == resource::Kind::kAccessBindings)
    return Usage("get accessbindings wants the full name of a resource");
  WEIR_ASSIGN(resources, ListResources(client, session, *kind, scope, question));
  WEIR_TRY(Print(resources, format, false));
  return kExitOk;
}

// Of the documents of these files, last first: what lies in something goes before it.
Result<std::vector<resource::Fqn>> NamesInFiles(const std::vector<std::string>& paths) {
  WEIR_ASSIGN(const Sources sources, ReadSources(paths));
  WEIR_ASSIGN(const std::vector<document::Node> nodes, document::Parse(sources.text));
  std::vector<resource::Fqn> names;
  std::vector<FieldViolation> violations;
  for (const document::Node& node : nodes) {
    const document::Envelope envelope = document::ReadEnvelope(node, violations);
    const auto kind = resource::ResolveDocument(envelope.api_version, envelope.kind);
    if (!kind.ok()) return kind.error();
    const auto message = resource::NewMessage((*kind)->kind);
    std::vector<FieldViolation> unread;  // Of all the rest: only the names count.
    document::ToMessage(node, *message, unread, {});
    const auto fqn = resource::FqnOf((*kind)->kind, resource::MetadataOf(*message), violations);
    if (!fqn) return resource::ToStatus("the documents", std::move(violations)).error();
    WEIR_ASSIGN(resource::Fqn parsed, resource::ParseFqn(*fqn));
    names.push_back(std::move(parsed));
  }
  std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::pair(a.text.size(), a.kind) > std::pair(b.text.size(), b.kind);
  });
  return names;
}

Result<int> Delete(const Flags& flags) {
  const bool files = flags.Has("file");
  if (files != flags.words.empty()) return Usage("delete wants KIND NAME…, FULL-NAME… or -f FILE");
  if (!files && flags.words.size() == 1 && flags.words[0].find('/') == std::string::npos) {
    return Usage(fmt::format("which {}? delete wants a name", flags.words[0]));
  }
  std::vector<resource::Fqn> names;
  if (files) {
    WEIR_ASSIGN(names, NamesInFiles(flags.All("file")));
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  if (!files) {
    WEIR_ASSIGN(names, NamesOf(client, session, flags));
  }
  const bool dry_run = flags.Has("dry-run");
  for (const resource::Fqn& fqn : names) {
    if (fqn.kind == resource::Kind::kAccessBindings) {
      if (files) continue;  // They go with their resource.
      return Usage("bindings go with their resource; apply an empty list instead");
    }
    WEIR_TRY(DeleteResource(client, fqn, flags.Has("cascade"), dry_run));
    std::cout << fqn.text << " deleted" << (dry_run ? " (dry run)" : "") << "\n";
  }
  return kExitOk;
}

constexpr std::string_view kGetHelp =
    R"(Usage: weir get KIND [NAME…] [-o FORMAT] [--tenant T] [--workspace W] [--group G]
       weir get KIND [-l SELECTOR] [--filter FILTER] [--sort-by FIELDS]
       weir get KIND -w
       weir get FULL-NAME… [-o FORMAT]

KIND is the name of a kind or its short name, in any case, singular or plural; `weir kinds` lists them. (For
`weir get traffic` see its own --help.) Without NAME all that you may read are listed; --tenant, --workspace and --group
narrow that.

  -A, --all        everywhere, which is so without --tenant, --workspace and --group; not beside them
  -l, --selector   labels: team=a, team!=a, team (has it), !team, joined by commas
  --filter         a subset of AIP-160: 'spec.locality.region = eu AND NOT metadata.name:test'
  --sort-by        'metadata.updateTime desc, metadata.name'
  --as-of          as it was at a revision or a time (RFC 3339, or 2h ago: 2h), seen by the rights of today; see weir history
  -w, --watch      then go on with what changes; see weir watch
  -o FORMAT        table, wide, name (full names, for scripts), yaml, json or jsonpath='{.metadata.name}'

  weir get tier1gateways
  weir get clusters -l provider=aws --sort-by spec.locality.region
  weir get t1 --filter 'spec.externalServers.hostname:shop.example.com' -o name
  weir get tier1gateway shop -o yaml > shop.yaml       edit it, then: weir apply -f shop.yaml
  weir get workspaces --as-of 2026-01-31T12:00:00Z
  weir get clusters -o jsonpath='{.items[*].metadata.name}'
  weir get accessbindings organizations/o/tenants/t

-o yaml prints documents that `weir apply` takes, with the version that was read: applying one that somebody changed
meanwhile is refused and shows the difference. -o json prints all that the server knows, for scripts.
)";
constexpr std::string_view kDeleteHelp =
    R"(Usage: weir delete KIND NAME… [--cascade] [--dry-run] [--tenant T] [--workspace W] [--group G]
       weir delete FULL-NAME… [--cascade] [--dry-run]
       weir delete -f FILE [--cascade] [--dry-run]

  -f           what the documents of a file or folder name, the deepest first
  --cascade    delete everything below it too; without it a resource with children is refused.
               More than 500 go in several writes, the deepest first
  --dry-run    check all of it and delete nothing

A resource whose metadata.deletionProtection is true, and all that it lies in, stays: set it to false before.

  weir delete tier1gateway shop
  weir delete tenant payments --cascade --dry-run
)";
}  // namespace

Command GetCommand() {
  return {"get",
          "list resources, or print some",
          kGetHelp,
          {{"tenant", "workspace", "group", "output", "selector", "filter", "sort-by", "as-of"},
           {"all", "watch"},
           {{'o', "output"}, {'l', "selector"}, {'A', "all"}, {'w', "watch"}}},
          Get};
}
Command DeleteCommand() {
  return {"delete",
          "delete resources",
          kDeleteHelp,
          {{"tenant", "workspace", "group", "file"}, {"cascade", "dry-run"}, {{'f', "file"}}},
          Delete};
}

}  // namespace weir::cli
