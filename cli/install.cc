#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <thread>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/cluster_service.pb.h"
#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/packages.pb.h"
#include "api/weir/v2/status.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/scripts.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"

namespace weir::cli {
namespace {

constexpr int kRestPort = 8443, kAgentPort = 9444;
constexpr size_t kMostBytes = 256u << 20;  // Of one package.
const std::vector<std::string> kWanted = {"weir-agent", "weir-gateway"};

// "host:9443", "[::1]:9443" -> host.
std::string HostOf(const std::string& server) {
  std::string host = server.substr(0, server.rfind(':'));
  return host.starts_with("dns:///") ? host.substr(7) : host;
}

bool IsHost(const std::string& host) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%";
  return !host.empty() && host.size() <= 255 && host.front() != '-' &&
         host.find_first_not_of(kPlain) == std::string::npos;
}

Result<int> PortOf(const Flags& flags, const std::string& name, int otherwise) {
  if (!flags.Has(name)) return otherwise;
  return ParseNumber(name, flags.Get(name), 1, 65535);
}

// A cluster that is not there yet is made; nothing of one that is there is changed.
Status EnsureCluster(Client& client, const Session& session, const std::string& fqn, const Flags& flags) {
  v2::GetClusterRequest get;
  get.set_fqn(fqn);
  v2::Cluster there;
  Status found = client.Call("Clusters/GetCluster", get, there);
  if (found.ok()) {
    for (const char* flag : {"tier1", "region", "zone"}) {
      if (flags.Has(flag)) {
        return Usage(fmt::format("cluster {} is there already: change it by `weir apply`, without --{}",
                                 resource::LastName(fqn), flag));
      }
    }
    return {};
  }
  if (found.error().code != Code::kNotFound) return found;
  auto document = document::Node::Map();
  document.Add("apiVersion", document::Node::String("api.weir.dev/v2"));
  document.Add("kind", document::Node::String("Cluster"));
  auto& metadata = document.Add("metadata", document::Node::Map());
  metadata.Add("name", document::Node::String(std::string(resource::LastName(fqn))));
  metadata.Add("organization", document::Node::String(session.organization));
  auto& spec = document.Add("spec", document::Node::Map());
  if (flags.Has("tier1")) spec.Add("tier1Cluster", document::Node::Bool(true));
  if (flags.Has("region") || flags.Has("zone")) {
    auto& locality = spec.Add("locality", document::Node::Map());
    for (const char* part : {"region", "zone"}) {
      if (flags.Has(part)) locality.Add(part, document::Node::String(flags.Get(part)));
    }
  }
  v2::ApplyDocumentsRequest apply;
  apply.set_documents(document::WriteJson(document, false));
  v2::ApplyDocumentsResponse applied;
  WEIR_TRY(client.CallOnce("Documents/Apply", apply, applied));
  std::cerr << fqn << " is made\n";
  return {};
}

// Those that machines need, one version of each for each architecture. FAILED_PRECONDITION NO_PACKAGES, USAGE.
Result<std::vector<ScriptPackage>> Choose(std::vector<ScriptPackage> all, const std::string& version,
                                          const std::string& where) {
  std::map<std::pair<std::string, std::string>, ScriptPackage> chosen;
  for (ScriptPackage& package : all) {
    if (std::find(kWanted.begin(), kWanted.end(), package.name) == kWanted.end()) continue;
    if (!version.empty() && package.version != version) continue;
    const auto [place, first] = chosen.emplace(std::pair(package.architecture, package.name), package);
    if (!first) {
      return Usage(fmt::format("{} has {} of versions {} and {}; choose one with --version", where, package.name,
                               place->second.version, package.version));
    }
  }
  std::vector<ScriptPackage> packages;
  packages.reserve(chosen.size());
  for (auto& [key, package] : chosen) packages.push_back(std::move(package));
  if (packages.empty()) {
    return FailedPrecondition("NO_PACKAGES",
                              "{} has no package weir-agent and weir-gateway{}; ./dev package makes them", where,
                              version.empty() ? "" : " of version " + version);
  }
  return packages;
}

Result<std::vector<ScriptPackage>> OfServer(Client& client, const std::string& version) {
  v2::ListPackagesResponse response;
  WEIR_TRY(client.Call("Packages/ListPackages", v2::ListPackagesRequest(), response));
  std::vector<ScriptPackage> all;
  for (const v2::Package& item : response.items()) {
    all.push_back({.architecture = item.architecture(),
                   .name = item.name(),
                   .version = item.version(),
                   .file = item.file(),
                   .size_bytes = item.size_bytes(),
                   .sha256 = item.sha256(),
                   .bytes = ""});
  }
  return Choose(std::move(all), version, "the server's folder of packages");
}

Result<std::vector<ScriptPackage>> OfFolder(const std::string& folder, const std::string& version) {
  std::vector<ScriptPackage> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    const size_t first = file.find('_'), second = file.rfind('_');
    if (!file.ends_with(".deb") || first == std::string::npos || second <= first) continue;
    all.push_back({.architecture = file.substr(second + 1, file.size() - second - 5),
                   .name = file.substr(0, first),
                   .version = file.substr(first + 1, second - first - 1),
                   .file = file,
                   .sha256 = "",
                   .bytes = ""});
  }
  if (error) return Usage(fmt::format("--packages {}: {}", folder, error.message()));
  WEIR_ASSIGN(std::vector<ScriptPackage> chosen, Choose(std::move(all), version, folder));
  for (ScriptPackage& package : chosen) {
    WEIR_ASSIGN(package.bytes, ReadFile(folder + "/" + package.file, kMostBytes));
    package.size_bytes = static_cast<int64_t>(package.bytes.size());
    package.sha256 = Sha256Hex(package.bytes);
  }
  return chosen;
}

Status Fetch(Client& client, const std::string& token, ScriptPackage& package) {
  v2::FetchPackageRequest request;
  request.set_file(package.file);
  request.set_join_token(token);
  while (package.bytes.size() < static_cast<size_t>(package.size_bytes)) {
    request.set_offset(static_cast<int64_t>(package.bytes.size()));
    v2::FetchPackageResponse piece;
    WEIR_TRY(client.Call("Packages/FetchPackage", request, piece));
    if (piece.content().empty()) break;
    package.bytes += piece.content();
  }
  if (Sha256Hex(package.bytes) == package.sha256) return {};
  return FailedPrecondition("PACKAGE_CHANGED", "{} changed while it was read; start again", package.file);
}

// Until the server says that the agent is there and all is well.
Result<int> AwaitAgent(Client& client, const std::string& fqn, int seconds) {
  v2::ResourceStatus status;
  for (int waited = 0; waited < seconds; ++waited) {
    v2::ListStatusesRequest request;
    request.set_parent(fqn);
    v2::ListStatusesResponse response;
    WEIR_TRY(client.Call("Statuses/ListStatuses", request, response));
    if (response.items_size() > 0) status = response.items(0);
    if (status.state() == v2::ResourceStatus::READY) {
      std::cerr << fqn << " is READY\n";
      return kExitOk;
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  std::cerr << fmt::format("{} is not READY after {} s: {} {} {}\n", fqn, seconds,
                           v2::ResourceStatus::State_Name(status.state()), status.reason(), status.message());
  return kExitTimedOut;
}

Result<std::string> NewToken(Client& client, const std::string& fqn, const Flags& flags) {
  v2::CreateJoinTokenRequest request;
  request.set_fqn(fqn);
  if (flags.Has("ttl")) {
    WEIR_ASSIGN(const int ttl, ParseNumber("ttl", flags.Get("ttl"), 1, 86400));
    request.set_ttl_seconds(ttl);
  }
  v2::JoinToken token;
  WEIR_TRY(client.Call("JoinTokens/CreateJoinToken", request, token));
  return token.token();
}

Status CheckWords(const Flags& flags, const char* verb) {
  if (flags.words.size() != 1) return Usage(fmt::format("cluster {} wants one NAME", verb));
  if (!flags.Has("vm")) {
    return Usage(fmt::format("cluster {} is for machines with Debian 12 so far: say --vm", verb));
  }
  return {};
}

Result<int> Install(const Flags& flags) {
  WEIR_TRY(CheckWords(flags, "install"));
  WEIR_ASSIGN(const int seconds, WaitSeconds(flags));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  InstallScriptOptions options;
  WEIR_ASSIGN(options.cluster, FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  options.host = flags.Get("address", HostOf(session.server));
  if (!IsHost(options.host)) return Usage("--address is the name or IP address of weir-server, without a port");
  options.listen = flags.Get("listen");
  if (!options.listen.empty() && (!IsHost(options.listen) || options.listen.find(':') == std::string::npos)) {
    return Usage("--listen is ADDRESS:PORT of the agent");
  }
  WEIR_ASSIGN(options.rest_port, PortOf(flags, "rest-port", kRestPort));
  WEIR_ASSIGN(options.agent_port, PortOf(flags, "agent-port", kAgentPort));
  options.anchor_pem = session.anchor_pem;
  options.anchor_sha256 = Sha256Hex(session.anchor_pem);
  options.bundle = flags.Has("bundle") || flags.Has("packages");
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const std::string version = flags.Get("version");
  if (flags.Has("packages")) {
    WEIR_ASSIGN(options.packages, OfFolder(flags.Get("packages"), version));
  } else {
    WEIR_ASSIGN(options.packages, OfServer(client, version));
  }
  WEIR_TRY(EnsureCluster(client, session, options.cluster, flags));
  WEIR_ASSIGN(options.join_token, NewToken(client, options.cluster, flags));
  if (options.bundle && !flags.Has("packages")) {
    for (ScriptPackage& package : options.packages) WEIR_TRY(Fetch(client, options.join_token, package));
  }
  std::cout << MakeInstallScript(options) << std::flush;
  return flags.Has("wait") ? AwaitAgent(client, options.cluster, seconds) : Result<int>(kExitOk);
}

Result<int> Uninstall(const Flags& flags) {
  WEIR_TRY(CheckWords(flags, "uninstall"));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  v2::RevokeClusterRequest request;
  WEIR_ASSIGN(*request.mutable_fqn(), FqnArgument(session, flags.words[0], resource::Kind::kCluster));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::Cluster after;
  WEIR_TRY(client.CallOnce("ClusterOperations/RevokeCluster", request, after));
  std::cerr << fmt::format("{}: its memberships have ended; `weir delete cluster {}` removes the object\n",
                           request.fqn(), resource::LastName(request.fqn()));
  std::cout << MakeUninstallScript(request.fqn());
  return kExitOk;
}

}  // namespace

Command ClusterInstallCommand() {
  return {"cluster install",
          "make the script that joins a machine",
          R"(Usage: weir cluster install --vm NAME [--address HOST] [--bundle] [--packages FOLDER] [--version VERSION]
                            [--rest-port PORT] [--agent-port PORT] [--listen ADDRESS:PORT] [--ttl SECONDS]
                            [--wait[=SECONDS]] [--tier1] [--region REGION] [--zone ZONE]

Prints a shell script that makes a machine with Debian 12 and systemd the agent of cluster NAME; run there as root:

  weir cluster install --vm edge1 --wait | ssh edge1 sudo sh

The script fetches weir-agent and weir-gateway from weir-server, whom it knows by its anchor, and them by their SHA-256;
what they need it installs by apt-get. It makes user, folders, settings (/etc/weir/agent.yaml) and an empty list of what runs
there (/etc/weir/discovery/discovery.yaml), joins, and says how it went. What fails is taken back; run again it changes nothing.
It holds a join token: once used, or after 900 seconds (--ttl), the script is worth nothing.

  --address HOST      how the machine knows weir-server; default the host of --server
  --bundle            the script carries the packages; the machine needs port 9444 of weir-server only
  --packages FOLDER   the packages of this folder (./dev package makes them in build/packages), carried in the script
  --version VERSION   where there are several of them
  --rest-port, --agent-port   of weir-server; default 8443 and 9444
  --listen ADDRESS:PORT   where gateways reach the agent, when they are on other machines too; default 127.0.0.1:15012
  --wait[=SECONDS]    after the script: until the cluster is READY (default 60, 1 to 300); exit code 4 if not in time
  --tier1, --region, --zone   of a cluster that is not there yet and is made; one that is there is left as it is

Needs the right cluster.join on the cluster (rbac/admin), and to create it if it is not there.
)",
          {{"address", "packages", "version", "rest-port", "agent-port", "listen", "ttl", "region", "zone"},
           {"vm", "bundle", "wait", "tier1"},
           {}},
          Install};
}
Command ClusterUninstallCommand() {
  return {"cluster uninstall",
          "revoke a machine's membership, make the script that clears it",
          R"(Usage: weir cluster uninstall --vm NAME

Ends the memberships of the cluster at once, as `weir cluster revoke` does, and prints a shell script that takes agent, gateways,
their state and settings off the machine; run there as root:

  weir cluster uninstall --vm edge1 | ssh edge1 sudo sh

A machine that is another cluster's agent is left alone. Needs the right cluster.join (rbac/admin).
)",
          {{}, {"vm"}, {}},
          Uninstall};
}

}  // namespace weir::cli
