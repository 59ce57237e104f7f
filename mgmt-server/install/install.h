#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libs/base/result.h"

namespace weir::bootstrap::v1 {
class Server;
}

namespace weir::install {

extern const char* const kInstallHelp;

// Where things stand on a machine; a test has others.
struct Places {
  std::string settings = "/etc/weir/server.yaml";
  std::string unit = "/lib/systemd/system/weir-server.service";
  std::string systemd = "/run/systemd/system";  // There while systemd runs.
  std::string systemctl = "systemctl";
  std::string state_dir = "/var/lib/weir-server";  // As the unit says.
  std::string packages_dir = "/usr/share/weir/packages";
  bool root_only = true;
};

// `weir-server install`: what stays to be done on a machine that has the package weir-server: writes the settings,
// enables and starts the unit, and says where the first administrator's password is. `arguments`: flags of weir-server,
// which become the settings, and --packages FOLDER, whose .deb files are copied to where the server hands them out
// from. `check` judges the settings. Nothing stays of one that fails. FAILED_PRECONDITION NOT_ROOT, NO_UNIT,
// NO_SYSTEMD, INSTALLED (settings that are others are there), UNIT_FAILED; INVALID_ARGUMENT BOOTSTRAP_INVALID. The text
// to print.
Result<std::string> Install(const std::vector<std::string>& arguments,
                            const std::function<Status(const bootstrap::v1::Server&)>& check,
                            const Places& places = {});

}  // namespace weir::install
