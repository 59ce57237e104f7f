#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/document/document.h"
#include "libs/http/client.h"
#include "tests/e2e/scene.h"

namespace weir::e2e {

using document::Node;
using test::Milliseconds;

// A weir-server as a process, to be killed and started again, and its administrator.
class KilledServer : public testing::Test {
 protected:
  static constexpr char kAddress[] = "127.64.0.1";
  static constexpr uint16_t kRest = 8443;

  ~KilledServer() override {
    if (!HasFailure()) std::filesystem::remove_all(folder_);
  }

  Status Start() {
    const char* other = std::getenv("WEIR_BIN_DIR");
    test::Command command;
    command.name = "weir-server";
    command.argv = {std::string(other == nullptr ? WEIR_BIN_DIR : other) + "/weir-server",
                    "--state-dir",
                    folder_ + "/server",
                    "--address",
                    kAddress,
                    "--organization",
                    "e2e-org",
                    "--log-level",
                    "warn"};
    command.log_file = folder_ + "/server.log";
    WEIR_ASSIGN(server_, test::Process::Start(std::move(command)));
    WEIR_TRY(test::WaitForPort(server_.get(), kAddress, kRest, Milliseconds(60'000)));
    if (!root_.empty()) return {};
    WEIR_ASSIGN(root_, ReadFile(folder_ + "/server/server-anchor.pem"));
    WEIR_ASSIGN(std::string password, ReadFile(folder_ + "/server/admin-password"));
    while (password.ends_with('\n')) password.pop_back();
    WEIR_ASSIGN(http::Client client, NewClient());
    WEIR_ASSIGN(const http::Response answer,
                client.Do({"POST",
                           "/v2/login",
                           {{"Content-Type", "application/json"}},
                           fmt::format(R"({{"organization":"e2e-org","user":"admin","password":"{}"}})", password),
                           ""}));
    token_ = Field(answer.body, {"token"});
    if (token_.empty()) return Internal("LOGIN", "{}", answer.body);
    return {};
  }

  Result<http::Client> NewClient() const {
    http::ClientOptions options;
    options.host = kAddress;
    options.port = kRest;
    options.ca_pem = root_;
    return http::Client::Create(std::move(options));
  }
  Result<http::Response> Call(http::Client& client, std::string method, std::string target, std::string body) const {
    return client.Do({std::move(method),
                      std::move(target),
                      {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + token_}},
                      std::move(body),
                      ""});
  }
  static std::string Field(const std::string& json, const std::vector<std::string>& path) {
    const auto root = document::ParseOne(json, {}, document::Syntax::kJson);
    const Node* at = root.ok() ? &*root : nullptr;
    for (const std::string& key : path) at = at == nullptr ? nullptr : at->Find(key);
    return at == nullptr ? "" : at->text;
  }

  const std::string folder_ = (std::filesystem::temp_directory_path() / ("weir-kill-" + RandomHex(4))).string();
  std::unique_ptr<test::Process> server_;
  std::string root_, token_;
};

}  // namespace weir::e2e
