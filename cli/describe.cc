#include <iostream>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/history.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/status.pb.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/status_text.h"
#include "cli/traffic.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

constexpr int kChanges = 5;

// "Label:          value", as people know it.
void Line(std::string_view label, const std::string& value) {
  if (!value.empty()) std::cout << fmt::format("{:<16}{}\n", std::string(label) + ":", Printable(value));
}
void Heading(std::string_view heading) { std::cout << heading << ":\n"; }

std::string Indented(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += "  " + text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}

template <typename Map>
std::string Pairs(const Map& map) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : map) pairs.push_back(fmt::format("{}={}", key, value));
  std::sort(pairs.begin(), pairs.end());
  return Joined(pairs);
}

void PrintHead(const google::protobuf::Message& resource) {
  const v2::Metadata& metadata = resource::MetadataOf(resource);
  Line("Name", metadata.name());
  Line("Kind", resource::KindOf(resource)->name);
  Line("Full name", metadata.fqn());
  Line("Display name", metadata.display_name());
  Line("Description", metadata.description());
  Line("Labels", Pairs(metadata.labels()));
  Line("Annotations", Pairs(metadata.annotations()));
  Line("UID", metadata.uid());
  Line("Created", Clock(metadata.create_time()));
  Line("Updated", fmt::format("{} (revision {})", Clock(metadata.update_time()), metadata.revision()));
  Line("Version", metadata.resource_version());
  if (metadata.deletion_protection()) Line("Protected", "it cannot be deleted");
}

// All but the head: spec, and what the server says of it.
void PrintBody(const google::protobuf::Message& resource) {
  document::Node node = JsonOf(resource);
  for (const document::Member& member : node.members) {
    if (member.key == "apiVersion" || member.key == "kind" || member.key == "metadata") continue;
    std::string heading = member.key;
    heading[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(heading[0])));
    Heading(heading);
    std::cout << Indented(document::WriteYaml(member.value));
  }
}

// What may not be read is left out and said; everything else that goes wrong is an error.
bool NotHis(const Error& error) { return error.code == Code::kPermissionDenied || error.code == Code::kNotFound; }

Status PrintStatus(Client& client, const std::string& fqn) {
  v2::GetStatusRequest request;
  request.set_fqn(fqn);
  v2::ResourceStatus status;
  const weir::Status got = client.Call("Statuses/GetStatus", request, status);
  if (!got.ok()) return NotHis(got.error()) ? weir::Status() : got;
  Heading("Status");
  std::cout << Indented(StatusText(status));
  return {};
}

Status PrintChanges(Client& client, const std::string& fqn) {
  v2::ListVersionsRequest request;
  request.set_fqn(fqn);
  request.set_page_size(kChanges);
  v2::ListVersionsResponse versions;
  const weir::Status got = client.Call("Revisions/ListVersions", request, versions);
  if (!got.ok()) return NotHis(got.error()) ? weir::Status() : got;
  std::vector<std::vector<std::string>> rows = {{"REVISION", "TIME", "AUTHOR", ""}};
  for (const v2::ResourceVersion& version : versions.items()) {
    rows.push_back({std::to_string(version.revision()), Clock(version.time()),
                    version.author().empty() ? "weir-server" : version.author(), version.deleted() ? "deleted" : ""});
  }
  Heading("Last changes");
  std::cout << Indented(Table(rows));
  if (!versions.next_page_token().empty()) std::cout << "  there are older ones: weir history " << fqn << "\n";
  return {};
}

std::string SubjectOf(const google::protobuf::Message& subject) {
  std::vector<std::string> parts;
  const document::Node node = document::FromMessage(subject);
  parts.reserve(node.members.size());
  for (const document::Member& member : node.members) parts.push_back(member.key + " " + member.value.text);
  return Joined(parts);
}

Status PrintBindings(Client& client, const std::string& fqn) {
  v2::GetAccessBindingsRequest request;
  request.set_fqn(resource::AccessBindingsFqn(fqn));
  v2::AccessBindings bindings;
  const weir::Status got = client.Call("AccessBindingsService/GetAccessBindings", request, bindings);
  Heading("Bindings");
  if (!got.ok() && NotHis(got.error())) {
    std::cout << "  not yours to see\n";
    return {};
  }
  WEIR_TRY(got);
  for (const auto& binding : bindings.allow()) {
    for (const auto& subject : binding.subjects()) {
      std::cout << Printable(fmt::format("  {} to {}", binding.role(), SubjectOf(subject))) << "\n";
    }
  }
  if (bindings.allow().empty()) std::cout << "  none of its own\n";
  return {};
}

Result<int> Describe(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("describe wants KIND NAME or a full name");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
  WEIR_ASSIGN(const ResourceMessage resource, GetResource(client, fqn));
  PrintHead(*resource);
  PrintBody(*resource);
  if (fqn.kind == resource::Kind::kAccessBindings) return kExitOk;
  WEIR_TRY(PrintStatus(client, fqn.text));
  WEIR_TRY(PrintBindings(client, fqn.text));
  WEIR_TRY(PrintChanges(client, fqn.text));
  return kExitOk;
}

}  // namespace

Command DescribeCommand() {
  return {"describe",
          "all there is to know of one resource",
          R"(Usage: weir describe KIND NAME [--tenant T] [--workspace W] [--group G]
       weir describe FULL-NAME

What is stored, how far it has come at which gateway, who has which role at it, and who changed it last. For people;
scripts take weir get -o json and weir status -o json.

  weir describe tier1gateway shop
  weir describe cluster cluster1
)",
          {{"tenant", "workspace", "group"}, {}, {}},
          Describe};
}

}  // namespace weir::cli
