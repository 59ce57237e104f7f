#include "cli/scripts.h"

#include <fmt/format.h>

#include "libs/base/base64.h"

namespace weir::cli {

std::string_view InstallScript();    // cli/install.sh
std::string_view UninstallScript();  // cli/uninstall.sh

std::string ShellQuoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

namespace {

// A function that prints the text. Its lines are Base64, so that no line of it can be the end of it.
std::string Printer(std::string_view name, std::string_view text) {
  constexpr size_t kBytesOfLine = 90;
  std::string out = fmt::format("{}() {{\n  base64 -d <<'END'\n", name);
  for (size_t at = 0; at < text.size(); at += kBytesOfLine) out += Base64(text.substr(at, kBytesOfLine)) + "\n";
  return out + "END\n}\n";
}

std::string Bundled(const std::vector<ScriptPackage>& packages) {
  std::string out;
  std::string choice = "bundled() {\n  case \"$1\" in\n";
  for (size_t i = 0; i < packages.size(); ++i) {
    const std::string name = fmt::format("bundled_{}", i);
    out += Printer(name, packages[i].bytes);
    choice += fmt::format("    {}) {} ;;\n", ShellQuoted(packages[i].file), name);
  }
  return out + choice + "    *) return 1 ;;\n  esac\n}\n";
}

}  // namespace

std::string MakeInstallScript(const InstallScriptOptions& options) {
  std::string packages;
  for (const ScriptPackage& package : options.packages) {
    packages += fmt::format("{}{} {} {} {} {} {}", packages.empty() ? "" : "\n", package.architecture, package.name,
                            package.version, package.file, package.size_bytes, package.sha256);
  }
  std::string script = fmt::format(
      "#!/bin/sh\n"
      "# Joins a machine as a cluster of Weir; run it there as root. It holds a join token: keep it to yourself, it is "
      "good\n"
      "# for one join.\nset -eu\n\n"
      "CLUSTER={}\nHOST={}\nREST_PORT={}\nAGENT_PORT={}\nANCHOR_SHA256={}\nBUNDLE={}\nLISTEN={}\n"
      "# Architecture, name, version, file, bytes, SHA-256.\nPACKAGES={}\n",
      ShellQuoted(options.cluster), ShellQuoted(options.host), options.rest_port, options.agent_port,
      ShellQuoted(options.anchor_sha256), options.bundle ? "yes" : "''", ShellQuoted(options.listen),
      ShellQuoted(packages));
  script += Printer("join_token", options.join_token + "\n") + Printer("anchor", options.anchor_pem);
  if (options.bundle) script += Bundled(options.packages);
  script += "\n";
  script += InstallScript();
  return script + "\nmain </dev/null\n";
}

std::string MakeUninstallScript(const std::string& cluster) {
  return fmt::format(
      "#!/bin/sh\n# Takes the agent of a cluster of Weir off a machine; run it there as root.\nset -eu\n\n"
      "CLUSTER={}\n\n{}\nmain </dev/null\n",
      ShellQuoted(cluster), UninstallScript());
}

}  // namespace weir::cli
