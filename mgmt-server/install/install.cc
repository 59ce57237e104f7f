#include "mgmt-server/install/install.h"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/bootstrap/load.h"
#include "libs/document/document.h"

namespace weir::install {

const char* const kInstallHelp =
    "weir-server install [--organization NAME] [--packages FOLDER] [--FLAG VALUE]...\n"
    "  On a machine with the package weir-server, as root: writes the settings (the flags below; without --address "
    "all\n"
    "  addresses are listened on) to /etc/weir/server.yaml, starts the unit and says where the first administrator's\n"
    "  password is. FOLDER: .deb files for `weir cluster install`.\n";

namespace {

constexpr size_t kMostPackage = 256u << 20;

// The exit code; -1 = it could not be started or was killed.
int Run(const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), environ) != 0) return -1;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Takes "--packages FOLDER" out.
Result<std::string> TakePackages(std::vector<std::string>& arguments) {
  std::string folder;
  for (size_t i = 0; i < arguments.size();) {
    constexpr std::string_view kFlag = "--packages";
    const bool inside = arguments[i].starts_with(std::string(kFlag) + "=");
    if (!inside && arguments[i] != kFlag) {
      ++i;
      continue;
    }
    if (!inside && i + 1 == arguments.size()) return InvalidArgument("USAGE", "--packages needs a folder");
    folder = inside ? arguments[i].substr(kFlag.size() + 1) : arguments[i + 1];
    const auto at = arguments.begin() + static_cast<long>(i);
    arguments.erase(at, at + (inside ? 1 : 2));
  }
  return folder;
}

// Packages copied into a folder; what was not there before goes again unless all of it is Kept.
class PackageCopy {
 public:
  explicit PackageCopy(std::string to) : to_(std::move(to)) {}
  PackageCopy(const PackageCopy&) = delete;
  PackageCopy& operator=(const PackageCopy&) = delete;
  ~PackageCopy() {
    for (const std::string& file : fresh_) unlink(file.c_str());
    if (made_folder_) rmdir(to_.c_str());
  }

  Status Make(const std::string& from) {
    std::error_code error;
    bool any = false;
    made_folder_ = !IsThere(to_);
    WEIR_TRY(MakeFolders(to_));
    for (const auto& entry : std::filesystem::directory_iterator(from, error)) {
      if (entry.path().extension() != ".deb") continue;
      WEIR_ASSIGN(const std::string bytes, ReadFile(entry.path(), kMostPackage));
      const std::string file = to_ + "/" + entry.path().filename().string();
      if (!IsThere(file)) fresh_.push_back(file);
      WEIR_TRY(WriteFileAtomic(file, bytes));
      any = true;
    }
    if (error) return InvalidArgument("USAGE", "--packages {}: {}", from, error.message());
    if (!any) return InvalidArgument("USAGE", "--packages {}: there is no .deb file", from);
    return {};
  }
  void Keep() {
    fresh_.clear();
    made_folder_ = false;
  }

 private:
  static bool IsThere(const std::string& path) {
    struct stat facts{};
    return stat(path.c_str(), &facts) == 0;
  }
  const std::string to_;
  bool made_folder_ = false;
  std::vector<std::string> fresh_;
};

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

Status CheckMachine(const Places& places) {
  if (places.root_only && geteuid() != 0) return FailedPrecondition("NOT_ROOT", "weir-server install must run as root");
  struct stat facts{};
  if (stat(places.unit.c_str(), &facts) != 0) {
    return FailedPrecondition("NO_UNIT", "{} is missing: install the package first (apt install ./weir-server_*.deb)",
                              places.unit);
  }
  if (stat(places.systemd.c_str(), &facts) != 0) {
    return FailedPrecondition("NO_SYSTEMD",
                              "systemd does not run here; start weir-server by what does (weir-server --help)");
  }
  return {};
}

Result<bootstrap::v1::Server> ReadSettings(const std::vector<std::string>& arguments,
                                           const std::function<Status(const bootstrap::v1::Server&)>& check,
                                           const Places& places) {
  bootstrap::v1::Server settings;
  settings.set_address("0.0.0.0");
  settings.set_packages_dir(places.packages_dir);
  // What stands in the environment of who installs is no setting of the unit.
  WEIR_TRY(bootstrap::Fill(
      {.name = "weir-server install", .purpose = "", .version = "", .environment_prefix = "WEIR_INSTALL_"}, arguments,
      settings));
  if (!settings.state_dir().empty()) {
    Error error = InvalidArgument("BOOTSTRAP_INVALID", "the settings are not right");
    error.violations.push_back(
        {"--state-dir", fmt::format("is {} for the unit; leave it out", places.state_dir), 0, 0});
    return error;
  }
  if (settings.names_size() == 0 && !HostName().empty()) settings.add_names(HostName());
  WEIR_TRY(check(settings));
  return settings;
}

// "# …" and the settings that were given, no default.
std::string TextOf(const bootstrap::v1::Server& settings) {
  return "# Of weir-server; weir-server --help names all settings. After a change: systemctl restart weir-server\n" +
         document::ToYaml(settings);
}

std::string Instructions(const Places& places, const std::string& organization) {
  const std::string password = places.state_dir + "/admin-password";
  struct stat facts{};
  std::string text = fmt::format(
      "weir-server is installed and runs\n  settings  {}\n  state     {}\n  anchor    {}/server-anchor.pem\n",
      places.settings, places.state_dir, places.state_dir);
  if (const auto ports = ReadFile(places.state_dir + "/ports.json", 4096); ports.ok()) text += "  ports     " + *ports;
  if (stat(password.c_str(), &facts) == 0) {
    text += fmt::format(
        "  password  of the first administrator, admin: {}\n"
        "next:\n  weir login admin --server HOST:9443{} --ca-file {}/server-anchor.pem < {}\n",
        password, organization.empty() ? "" : " --org " + organization, places.state_dir, password);
  }
  return text;
}

}  // namespace

Result<std::string> Install(const std::vector<std::string>& given,
                            const std::function<Status(const bootstrap::v1::Server&)>& check, const Places& places) {
  std::vector<std::string> arguments = given;
  WEIR_TRY(CheckMachine(places));
  WEIR_ASSIGN(const std::string packages, TakePackages(arguments));
  WEIR_ASSIGN(const bootstrap::v1::Server wanted, ReadSettings(arguments, check, places));
  const std::string settings = TextOf(wanted);
  const auto there = ReadFile(places.settings, 1u << 20);
  if (there.ok() && *there != settings) {
    return FailedPrecondition("INSTALLED",
                              "{} is there and says something else; change it by hand (systemctl restart weir-server "
                              "then), or move it away",
                              places.settings);
  }
  PackageCopy copy(places.packages_dir);
  if (!packages.empty()) WEIR_TRY(copy.Make(packages));
  if (!there.ok()) {
    WEIR_TRY(MakeFolders(places.settings.substr(0, places.settings.rfind('/'))));
    WEIR_TRY(WriteFileAtomic(places.settings, settings));
  }
  if (Run({places.systemctl, "enable", "--now", "weir-server.service"}) == 0) {
    copy.Keep();
    return Instructions(places, wanted.organization());
  }
  if (!there.ok()) {
    (void)Run({places.systemctl, "disable", "--now", "weir-server.service"});
    unlink(places.settings.c_str());
  }
  return FailedPrecondition("UNIT_FAILED", "weir-server does not start; see journalctl -u weir-server{}",
                            there.ok() ? "" : "; its settings and packages were taken back");
}

}  // namespace weir::install
