#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "cli/exit_codes.h"
#include "cli/flags.h"
#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class Channel;
}

namespace weir::cli {

int ExitOf(const Error& error);

// "https://host:9443/", as people paste it -> "host:9443".
std::string Target(std::string server);

// Where to talk to and as whom: flag over environment over the context (--context, WEIR_CONTEXT, else the current one)
// over default.
struct Session {
  std::string server = "127.0.0.1:9443";
  std::string anchor_pem;  // The server anchor: who weir-server is.
  std::string organization = "default";
  std::string token;
  std::string context = "default";  // Where it is stored.

  std::string OrganizationFqn() const { return "organizations/" + organization; }
};
// `may_be_new`: a context that is named and not there yet is no fault.
Result<Session> LoadSession(const Flags& flags, bool may_be_new = false);
// Into its context (cli/contexts.h); returns the path of the file.
Result<std::string> StoreSession(const Session& session);

// Flags that every command takes.
FlagSpec WithCommonFlags(FlagSpec spec);

// One unary call after the other.
class Client {
 public:
  static Result<Client> Connect(const Session& session);
  Client(Client&&) noexcept;
  ~Client();

  // No call is waited for any longer.
  void EndIn(std::chrono::seconds time);

  // method: "Tier1Gateways/GetTier1Gateway" of package weir.v2.
  Status Call(const std::string& method, const google::protobuf::Message& request, google::protobuf::Message& response,
              int seconds = 30);
  // A write that is done once, also when its answer is lost on the way and it has to be asked again: it carries an
  // idempotency key. Asks up to three times while the server cannot be reached.
  Status CallOnce(const std::string& method, const google::protobuf::Message& request,
                  google::protobuf::Message& response, int seconds = 30);
  // A call that is answered with a stream of `message`s; ends when `take` answers false (then without an error).
  Status Stream(const std::string& method, const google::protobuf::Message& request, google::protobuf::Message& message,
                const std::function<bool()>& take);

 private:
  Status Ask(const std::string& method, const google::protobuf::Message& request, google::protobuf::Message& response,
             int seconds, const std::string& idempotency_key);
  explicit Client(std::shared_ptr<grpc::Channel> channel);
  struct Stub;
  std::unique_ptr<Stub> stub_;
};

// A password: from standard input, or asked for without echo when that is a terminal (twice with `confirm`).
Result<std::string> ReadPassword(const std::string& prompt, bool confirm);

}  // namespace weir::cli
