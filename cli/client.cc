#include "cli/client.h"

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <iostream>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "cli/contexts.h"
#include "cli/hints.h"
#include "cli/terminal.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"

namespace weir::cli {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string Target(std::string server) {
  const size_t scheme = server.find("://");
  if (scheme != std::string::npos && server.substr(0, scheme) != "unix") server = server.substr(scheme + 3);
  while (server.ends_with('/')) server.pop_back();
  const bool bare = !server.starts_with("unix:") && server.find(':') == std::string::npos;
  return bare || server.ends_with(']') ? server + ":9443" : server;
}

int ExitOf(const Error& error) {
  if (error.reason == "USAGE") return kExitUsage;
  if (error.reason == "WAIT_TIMED_OUT") return kExitTimedOut;
  if (error.reason == "SERVER_UNREACHABLE") return kExitUnreachable;
  return kExitRefused;
}

FlagSpec WithCommonFlags(FlagSpec spec) {
  for (const char* name : {"server", "ca-file", "org", "context"}) spec.values.insert(name);
  spec.switches.insert("help");
  spec.letters.emplace('h', "help");
  return spec;
}

namespace {

// What the context says that is meant; nothing of one that is not there yet.
Result<Session> FromContext(const Flags& flags, bool may_be_new) {
  Session session;
  WEIR_ASSIGN(const Contexts contexts, ReadContexts());
  session.context = Environment("WEIR_CONTEXT");
  if (flags.Has("context")) session.context = flags.Get("context");
  const bool named = !session.context.empty();
  if (named) WEIR_TRY(CheckContextName(session.context));
  if (!named) session.context = contexts.current.empty() ? Contexts::kDefault : contexts.current;
  const Context* stored = contexts.Find(session.context);
  if (stored == nullptr && named && !may_be_new) {
    return Usage(fmt::format("there is no context \"{}\"; weir context list shows them", session.context));
  }
  if (stored == nullptr) return session;
  if (!stored->server.empty()) session.server = stored->server;
  if (!stored->organization.empty()) session.organization = stored->organization;
  session.anchor_pem = stored->anchor_pem;
  session.token = stored->token;
  return session;
}

}  // namespace

Result<Session> LoadSession(const Flags& flags, bool may_be_new) {
  WEIR_ASSIGN(Session session, FromContext(flags, may_be_new));
  const std::string stored_server = session.server;
  const auto choose = [&](const char* flag, const char* variable, std::string& to) {
    if (const std::string value = Environment(variable); !value.empty()) to = value;
    if (flags.Has(flag)) to = flags.Get(flag);
  };
  choose("server", "WEIR_SERVER", session.server);
  choose("org", "WEIR_ORG", session.organization);
  session.server = Target(session.server);
  // A stored token goes to the server that gave it, to no other.
  if (session.server != Target(stored_server)) session.token.clear();
  if (const std::string token = Environment("WEIR_TOKEN"); !token.empty()) session.token = token;
  std::string ca_file;
  choose("ca-file", "WEIR_CA_FILE", ca_file);
  if (!ca_file.empty()) {
    auto pem = ReadFile(ca_file, 1u << 20);
    if (!pem.ok()) return InvalidArgument("USAGE", "--ca-file: {}", pem.error().message);
    session.anchor_pem = std::move(*pem);
  }
  if (session.anchor_pem.empty()) {
    return InvalidArgument("USAGE",
                           "which server to believe is not known yet: give --ca-file FILE (server-anchor.pem of the "
                           "server's state folder), WEIR_CA_FILE, or log in once with it");
  }
  return session;
}

Result<std::string> StoreSession(const Session& session) {
  WEIR_ASSIGN(Contexts contexts, ReadContexts());
  WEIR_TRY(contexts.Put({session.context, session.server, session.anchor_pem, session.organization, session.token}));
  WEIR_TRY(WriteContexts(contexts));
  return ContextsPath();
}

struct Client::Stub {
  grpc::GenericStub generic;
  std::chrono::system_clock::time_point end = std::chrono::system_clock::time_point::max();
};

Client::Client(std::shared_ptr<grpc::Channel> channel)
    : stub_(new Stub{.generic = grpc::GenericStub(std::move(channel))}) {}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

void Client::EndIn(std::chrono::seconds time) { stub_->end = rpc::DeadlineIn(time); }

Result<Client> Client::Connect(const Session& session) {
  rpc::ChannelOptions options;
  options.target = session.server;
  WEIR_ASSIGN(options.peer, identity::ServerPeer(session.anchor_pem));
  options.bearer_token = session.token;
  WEIR_ASSIGN(auto channel, rpc::MakeChannel(options));
  return Client(std::move(channel));
}

namespace {

bool Read(grpc::ByteBuffer& received, google::protobuf::Message& message) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (received.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return message.ParseFromString(bytes);
}

Error ErrorOf(const grpc::Status& status) {
  Error error = WithHint(rpc::FromGrpc(status));
  const bool transport = error.reason.starts_with("RPC_");
  if (transport && (error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded)) {
    error.reason = "SERVER_UNREACHABLE";
    if (error.code == Code::kDeadlineExceeded)
      error.message = "no answer in time; what was asked for may have been done: look before you repeat it";
  }
  return error;
}

}  // namespace

Status Client::Ask(const std::string& method, const google::protobuf::Message& request,
                   google::protobuf::Message& response, int seconds, const std::string& idempotency_key) {
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  grpc::ClientContext context;
  context.set_deadline(std::min(rpc::DeadlineIn(std::chrono::seconds(seconds)), stub_->end));
  if (!idempotency_key.empty()) context.AddMetadata("idempotency-key", idempotency_key);
  std::promise<grpc::Status> done;
  stub_->generic.UnaryCall(&context, "/weir.v2." + method, {}, &sent, &received,
                           [&](grpc::Status result) { done.set_value(std::move(result)); });
  auto answered = done.get_future();
  Progress progress;
  const bool asks_beside = stub_->end != std::chrono::system_clock::time_point::max();  // For a shell that completes.
  while (answered.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
    if (!asks_beside) progress.Tick();
  }
  progress.End();
  const grpc::Status status = answered.get();
  if (!status.ok()) return ErrorOf(status);
  if (!Read(received, response)) return Internal("BAD_ANSWER", "the server's answer cannot be read");
  return {};
}

Status Client::Call(const std::string& method, const google::protobuf::Message& request,
                    google::protobuf::Message& response, int seconds) {
  return Ask(method, request, response, seconds, "");
}

Status Client::CallOnce(const std::string& method, const google::protobuf::Message& request,
                        google::protobuf::Message& response, int seconds) {
  const std::string key = NewUid();
  Status answer;
  for (int left = 3; left > 0; --left) {
    answer = Ask(method, request, response, seconds, key);
    const bool lost =
        !answer.ok() && answer.error().reason == "SERVER_UNREACHABLE" && answer.error().code == Code::kUnavailable;
    const bool in_work = !answer.ok() && answer.error().reason == "IDEMPOTENT_CALL_IN_WORK";
    const bool not_taken = !answer.ok() && answer.error().reason == "IDEMPOTENCY_KEY_NOT_TAKEN";
    if (not_taken) return Ask(method, request, response, seconds, "");  // By an older server; nothing was done.
    if (!lost && !in_work) break;
    if (left > 1) std::this_thread::sleep_for(std::chrono::milliseconds(in_work ? 1000 : 200));
  }
  return answer;
}

Status Client::Stream(const std::string& method, const google::protobuf::Message& request,
                      google::protobuf::Message& message, const std::function<bool()>& take) {
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub_->generic.PrepareCall(&context, "/weir.v2." + method, &queue);
  const auto done = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  bool going = done();
  if (going) {
    call->WriteLast(sent, {}, nullptr);
    going = done();
  }
  bool wanted = true, readable = true;
  while (going && wanted && readable) {
    grpc::ByteBuffer received;
    call->Read(&received, nullptr);
    going = done();
    if (!going) break;
    readable = Read(received, message);
    wanted = readable && take();
  }
  if (!wanted || !readable) context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  queue.Shutdown();
  done();
  if (!readable) return Internal("BAD_ANSWER", "the server's answer cannot be read");
  if (!wanted || status.ok()) return {};
  return ErrorOf(status);
}

namespace {

Result<std::string> AskOnce(const std::string& prompt) {
  std::cerr << prompt << std::flush;
  termios old{};
  tcgetattr(STDIN_FILENO, &old);
  termios silent = old;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::string line;
  const bool read = static_cast<bool>(std::getline(std::cin, line));
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
  std::cerr << "\n";
  if (!read || line.empty()) return InvalidArgument("USAGE", "no password was given");
  return line;
}

}  // namespace

Result<std::string> ReadPassword(const std::string& prompt, bool confirm) {
  if (isatty(STDIN_FILENO) != 0) {
    WEIR_ASSIGN(std::string password, AskOnce(prompt + ": "));
    if (!confirm) return password;
    WEIR_ASSIGN(const std::string again, AskOnce(prompt + " (again): "));
    if (again != password) return InvalidArgument("USAGE", "the two passwords differ");
    return password;
  }
  std::string line;
  if (!std::getline(std::cin, line) || line.empty()) {
    return InvalidArgument("USAGE", "standard input has no password (one line is wanted)");
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace weir::cli
