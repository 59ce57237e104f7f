#include <google/protobuf/message.h>

#include <iostream>

#include "api/weir/v2/effective.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

// What stands in the one field that is set, in a line.
std::string TextOf(const v2::EffectiveValue& value) {
  const document::Node node = document::FromMessage(value);
  if (node.members.empty()) return "{}";
  std::string text = document::WriteJson(node.members.front().value);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string NameOf(const v2::EffectiveSetter& setter) {
  return setter.hidden() ? "something that you may not read"
                         : fmt::format("{} (revision {})", setter.fqn(), setter.revision());
}

void Print(const v2::EffectiveField& field) {
  std::cout << Printable(field.field()) << (field.server().empty() ? "" : " of server " + Printable(field.server()))
            << ": ";
  if (!field.has_set_by()) {
    std::cout << Printable(field.default_text()) << " (the default: nobody sets it)\n";
  } else if (field.set_by().hidden()) {
    std::cout << "set by " << NameOf(field.set_by()) << "\n";
  } else {
    std::cout << Printable(TextOf(field.value())) << "\n  set by " << Printable(NameOf(field.set_by())) << "\n";
  }
  for (const v2::EffectiveSetter& other : field.overridden()) {
    std::cout << "  in place of what " << Printable(NameOf(other)) << " says"
              << (other.hidden() ? "" : ": " + Printable(TextOf(other.value()))) << "\n";
  }
}

Result<int> Effective(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("effective wants FQN, or KIND NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
  v2::GetEffectiveSettingsRequest request;
  request.set_fqn(fqn.text);
  v2::EffectiveSettings settings;
  WEIR_TRY(client.Call("Effective/GetEffectiveSettings", request, settings));
  const std::string output = flags.Get("output");
  if (output == "json" || output == "yaml") {
    std::cout << (output == "json" ? document::ToJson(settings, true) : document::ToYaml(settings));
    return kExitOk;
  }
  if (!output.empty()) return Usage("-o wants json or yaml");
  for (const v2::EffectiveField& field : settings.fields()) Print(field);
  return kExitOk;
}

}  // namespace

Command EffectiveCommand() {
  return {"effective",
          "which settings hold somewhere, and who set them",
          R"(Usage: weir effective (FQN | KIND NAME) [--tenant T] [--workspace W] [--group G] [-o json|yaml]

Settings inherit: organization, tenant, workspace, group, object; the nearest that sets a field sets all of it. Shows what
holds there, the setting (or the gateway itself) that says so, and what that overrode.

  weir effective tier1gateway shop
)",
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          Effective};
}

}  // namespace weir::cli
