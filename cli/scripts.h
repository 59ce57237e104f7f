#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

// A package as the script knows it.
struct ScriptPackage {
  std::string architecture, name, version, file;
  int64_t size_bytes = 0;
  std::string sha256;
  std::string bytes;  // Only of one that the script carries.
};

struct InstallScriptOptions {
  std::string cluster;  // FQN.
  std::string host;     // Of weir-server, as the machine knows it.
  int rest_port = 0;
  int agent_port = 0;
  std::string listen;  // "address:port" of the agent, for its gateways; "" = as weir-agent has it by default.
  std::string anchor_pem, anchor_sha256;
  std::string join_token;  // Secret.
  std::vector<ScriptPackage> packages;
  bool bundle = false;  // Carries the packages' bytes.
};

// What `sh` runs as root on a machine that joins; and on one that leaves.
std::string MakeInstallScript(const InstallScriptOptions& options);
std::string MakeUninstallScript(const std::string& cluster);

// 'It'\''s': one word of a shell, whatever it holds.
std::string ShellQuoted(std::string_view text);

}  // namespace weir::cli
