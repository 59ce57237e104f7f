#include <fcntl.h>
#include <google/protobuf/empty.pb.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "api/weir/v2/history.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "api/weir/v2/session.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "cli/commands.h"
#include "cli/contexts.h"
#include "cli/objects.h"
#include "cli/secrets.h"
#include "cli/traffic.h"
#include "libs/base/file.h"
#include "libs/process/version.h"

namespace weir::cli {
namespace {

constexpr size_t kMostLog = 8u << 20;  // Bytes of one log: the last of them.
constexpr int kMostRevisions = 200;
constexpr const char* kUnits[] = {"weir-server", "weir-agent", "weir-tier1@*", "weir-tier2@*",
                                  "weir-podproxy@*"};  // Of each workload one.

std::string_view NameOf(std::string_view unit) { return unit.substr(0, unit.find('@')); }

// Runs a program, its output to `out` (a path, "" = thrown away). The exit code; 127 = there is none.
int RunProgram(const std::vector<std::string>& arguments, const std::string& out) {
  const pid_t pid = fork();
  if (pid < 0) return 127;
  if (pid == 0) {
    const int to = open(out.empty() ? "/dev/null" : out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (to < 0 || nothing < 0) _exit(127);
    dup2(nothing, STDIN_FILENO);
    dup2(to, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

// The last bytes of a file.
Result<std::string> TailOf(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NotFound("FILE_MISSING", "{}: {}", path, std::strerror(errno));
  struct stat about{};
  std::string text;
  if (fstat(fd, &about) == 0 && about.st_size > static_cast<off_t>(kMostLog))
    lseek(fd, about.st_size - static_cast<off_t>(kMostLog), SEEK_SET);
  std::array<char, 65536> buffer{};
  for (ssize_t got; text.size() <= kMostLog && (got = read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

// The files of one bundle, in a folder of their own below a temporary one; every text passes the mask.
class Bundle {
 public:
  Bundle(std::string folder, std::string name, std::set<std::string> known)
      : folder_(std::move(folder)), name_(std::move(name)), known_(std::move(known)) {}
  ~Bundle() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;

  std::string Path(const std::string& file) const { return folder_ + "/" + name_ + "/" + file; }
  const std::string& folder() const { return folder_; }
  const std::string& name() const { return name_; }

  void Add(const std::string& file, const std::string& text) {
    const Status written = Write(file, WithoutSecrets(text, known_));
    if (!written.ok()) Missing(file, written.error());
  }
  // What could not be had, and why; it is no reason to do without the rest.
  void Missing(const std::string& what, const Error& why) { missing_ += what + ": " + Describe(why) + "\n"; }
  Status Finish() { return Write("missing.txt", WithoutSecrets(missing_, known_)); }
  bool whole() const { return missing_.empty(); }

 private:
  Status Write(const std::string& file, const std::string& text) {
    const std::string path = Path(file);
    WEIR_TRY(MakeFolders(path.substr(0, path.rfind('/')), 0700));
    return WriteFileAtomic(path, text, 0600);
  }

  const std::string folder_, name_;
  const std::set<std::string> known_;
  std::string missing_;
};

template <typename Request, typename Response>
void AddCall(Client& client, Bundle& bundle, const std::string& file, const std::string& method, const Request& request,
             Response response) {
  const Status got = client.Call(method, request, response, 60);
  if (got.ok())
    bundle.Add(file, document::ToJson(response, true));
  else
    bundle.Missing(file, got.error());
}

void AddResources(Client& client, const Session& session, Bundle& bundle) {
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (kind.kind == resource::Kind::kAccessBindings) continue;
    const std::string file = "resources/" + kind.collection + ".yaml";
    const auto resources = ListResources(client, session, kind, {});
    if (!resources.ok()) {
      bundle.Missing(file, resources.error());
      continue;
    }
    std::string text;
    for (const auto& resource : *resources) text += "---\n" + document::WriteYaml(JsonOf(*resource));
    if (!text.empty()) bundle.Add(file, text);
  }
}

void AddAnswers(Client& client, const Session& session, Bundle& bundle) {
  AddCall(client, bundle, "whoami.json", "Sessions/WhoAmI", google::protobuf::Empty(), v2::WhoAmIResponse());
  AddCall(client, bundle, "server.json", "ServerState/GetServerStatus", v2::GetServerStatusRequest(),
          v2::ServerStatus());
  v2::ListStatusesRequest statuses;
  statuses.set_parent(session.OrganizationFqn());
  AddCall(client, bundle, "statuses.json", "Statuses/ListStatuses", statuses, v2::ListStatusesResponse());
  v2::GetTrafficRequest traffic;
  traffic.set_parent(session.OrganizationFqn());
  AddCall(client, bundle, "traffic.json", "Traffic/GetTraffic", traffic, v2::TrafficReport());
  v2::ExplainFailoverRequest failover;
  failover.set_parent(session.OrganizationFqn());
  AddCall(client, bundle, "failover.json", "Traffic/ExplainFailover", failover, v2::ExplainFailoverResponse());
  v2::ListRevisionsRequest revisions;
  revisions.set_page_size(kMostRevisions);
  AddCall(client, bundle, "revisions.json", "Revisions/ListRevisions", revisions, v2::ListRevisionsResponse());
  AddCall(client, bundle, "held.json", "ServerState/AdoptState", v2::AdoptStateRequest(), v2::AdoptStateResponse());
  AddCall(client, bundle, "roots.json", "ServerState/ReplaceRoot", v2::ReplaceRootRequest(), v2::ReplaceRootResponse());
}

void AddLogs(const Flags& flags, Bundle& bundle) {
  int number = 0;
  for (const std::string& path : flags.All("log")) {
    const auto text = TailOf(path);
    if (text.ok())
      bundle.Add(fmt::format("logs/{}-{}", ++number, path.substr(path.rfind('/') + 1)), *text);
    else
      bundle.Missing(path, text.error());
  }
  for (const char* unit : kUnits) {
    const std::string raw = bundle.folder() + "/journal";
    const int code = RunProgram({"journalctl", "--no-pager", "--quiet", "--lines", "20000", "--unit", unit}, raw);
    const auto text = TailOf(raw);
    if (code == 0 && text.ok() && !text->empty()) bundle.Add(fmt::format("logs/{}.journal", NameOf(unit)), *text);
    unlink(raw.c_str());
  }
}

std::string About(const Session& session) {
  return fmt::format("weir {}\nserver {}\norganization {}\ncontext {}\ntaken {}\n", process::kVersion, session.server,
                     session.organization, session.context, UnixNow());
}

Result<std::string> NewFolder() {
  std::string folder = std::filesystem::temp_directory_path() / "weir-support-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return Unavailable("NO_FILE", "{}: {}", folder, std::strerror(errno));
  return folder;
}

// Tokens that are known here, of any server.
std::set<std::string> Known(const Session& session) {
  std::set<std::string> known{session.token};
  if (const auto contexts = ReadContexts(); contexts.ok()) {
    for (const Context& context : contexts->all) known.insert(context.token);
  }
  known.erase("");
  return known;
}

Result<int> SupportBundle(const Flags& flags) {
  if (!flags.words.empty()) return Usage("support-bundle takes no argument; the file is named by -o");
  const std::string name = fmt::format("weir-support-{}", UnixNow());
  const std::string path = flags.Get("output", name + ".tar.gz");
  if (std::filesystem::exists(path)) return Usage(path + " is there already");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const std::string folder, NewFolder());
  Bundle bundle(folder, name, Known(session));
  bundle.Add("about.txt", About(session));
  AddAnswers(client, session, bundle);
  AddResources(client, session, bundle);
  AddLogs(flags, bundle);
  WEIR_TRY(bundle.Finish());
  const mode_t before = umask(0077);
  const int code = RunProgram({"tar", "-czf", path, "-C", folder, name}, "");
  umask(before);
  if (code != 0) return Unavailable("NO_TAR", "tar could not write {} (it ended with {})", path, code);
  std::cout << path << "\n";
  if (!bundle.whole()) std::cerr << "Some of it could not be had; missing.txt in the bundle says what and why.\n";
  return kExitOk;
}

}  // namespace

Command SupportBundleCommand() {
  return {"support-bundle",
          "put together what somebody needs who helps you",
          R"(Usage: weir support-bundle [-o FILE.tar.gz] [--log FILE]...

One archive: versions, how the server is, what you may read of resources and their status, traffic and failover, the
last revisions, and logs: each --log FILE (its last 8 MiB) and, where this machine has them, the journals of weir-server,
weir-agent and the gateways. Passwords, tokens, private keys and the like are masked before anything is written; look
through it all the same before you give it away. What could not be had stands in missing.txt. Nothing is sent anywhere.

  weir support-bundle -o bundle.tar.gz --log /var/log/weir-server.log
)",
          {{"output", "log"}, {}, {{'o', "output"}}},
          SupportBundle};
}

}  // namespace weir::cli
