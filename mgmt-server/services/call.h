#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/outflow.h"

namespace google::protobuf {
class Message;
class MethodDescriptor;
}  // namespace google::protobuf

namespace weir::services {

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// Who asks, and how it came in. REST and gRPC fill the first block; authentication the second.
struct CallContext {
  std::string request_id;
  std::string token;  // Bearer token as sent; "" = none.
  std::string peer;   // Remote address without port; for audit and for bounds per source.
  // Fields of a REST body that could not be read; the request holds the rest. Only methods that check a resource see
  // such a call, so that its caller learns of every mistake at once; to all others it is refused.
  std::vector<FieldViolation> unread;

  authn::Principal principal;  // Empty only in methods that ask for no authentication.
  // The versions of which the stored one must be one to be changed ("*": any); empty = not asked.
  std::vector<std::string> if_match;
  // Idempotency-Key as sent; "" = none, or nothing is kept of this call (a dry run). Then `request_hash` says what was
  // asked, method and all; see kept_answers.h.
  std::string idempotency_key;
  std::string request_hash;
  // True once nobody reads the answer any more; nullptr = never.
  std::shared_ptr<const std::atomic<bool>> gone;

  // Filled in by the method. Of a refused call: when to try again (Retry-After); 0 = not said.
  Duration retry_after{};
  // Of a call whose answer comes later, when what it waits for has happened: called once by the door, with where to
  // send it, from any thread. The method's own answer is null then, and no thread is held meanwhile.
  using Answer = std::function<void(Result<MessagePtr>)>;
  std::function<void(Answer)> later;
  // Of a method that answers with a stream: what comes. Its own answer is null then.
  std::shared_ptr<Outflow> stream;
};

// CANCELLED CALLER_GONE once nobody reads the answer any more: what was not begun is not begun for nobody.
Status CheckWanted(const CallContext& call);

// The etag that a person or a tool gave; the quotes of an ETag header are no part of it.
std::string EtagText(std::string_view given);

// Every method of the API by its full name ("weir.v2.Tenants.CreateTenant"): both doors call through this one table,
// so they cannot differ.
class MethodTable {
 public:
  using Function = std::function<Result<MessagePtr>(CallContext&, const google::protobuf::Message&)>;
  // UNAUTHENTICATED unless the token speaks for somebody.
  using Authenticate = std::function<Result<authn::Principal>(const std::string& token)>;
  // What was answered to this call's idempotency key before, as a message like `prototype`; null = nothing.
  using Kept = std::function<Result<MessagePtr>(const CallContext&, const google::protobuf::Message& prototype)>;
  // What else becomes of an answer before it is sent.
  using Finish = std::function<Result<MessagePtr>(CallContext&, const google::protobuf::Message& request, MessagePtr)>;

  MethodTable(Authenticate authenticate, Kept kept) : authenticate_(std::move(authenticate)), kept_(std::move(kept)) {}

  // `request` is of the method's input type, the answer of its output type. `anonymous`: no token needed.
  void Add(std::string full_name, Function function, bool anonymous = false);
  // A method that deals with CallContext::unread itself.
  void AddChecking(std::string full_name, Function function);
  // Of what the method answers, and of an answer that was kept: what is not kept because it is of the moment.
  void Then(const std::string& full_name, Finish finish) { entries_[full_name].finish = std::move(finish); }
  template <typename Request, typename Response>
  void Add(std::string full_name, std::function<Result<Response>(CallContext&, const Request&)> function,
           bool anonymous = false) {
    Add(
        std::move(full_name),
        [function = std::move(function)](CallContext& call,
                                         const google::protobuf::Message& request) -> Result<MessagePtr> {
          Result<Response> answer = function(call, static_cast<const Request&>(request));
          if (!answer.ok()) return std::move(answer).error();
          return MessagePtr(new Response(std::move(answer).value()));
        },
        anonymous);
  }

  // Whether a call may go on to its body: anonymous methods for everybody, others with a token that speaks for
  // somebody. In memory and fast: both doors ask before they read a message. Unknown methods are for nobody.
  struct Admission {
    bool anonymous = false;
    std::string principal;  // Uid; "" when anonymous.
  };
  Result<Admission> Admit(std::string_view full_name, const std::string& token) const;

  // UNIMPLEMENTED NOT_SERVED for a method nobody added. Exceptions of libraries end here as INTERNAL; the cause of an
  // error is logged here and nowhere else.
  Result<MessagePtr> Call(const google::protobuf::MethodDescriptor& method, CallContext& call,
                          const google::protobuf::Message& request) const;
  // The same for a caller whose principal is set already: the server itself, at its first start.
  Result<MessagePtr> CallAs(const google::protobuf::MethodDescriptor& method, CallContext& call,
                            const google::protobuf::Message& request) const;

 private:
  struct Entry {
    Function function;
    bool anonymous = false;
    bool checking = false;
    Finish finish{};
  };
  static Result<MessagePtr> Finished(const Entry& entry, CallContext& call, const google::protobuf::Message& request,
                                     Result<MessagePtr> answer);
  Result<MessagePtr> Dispatch(const google::protobuf::MethodDescriptor& method, CallContext& call,
                              const google::protobuf::Message& request) const;

  Authenticate authenticate_;
  Kept kept_;
  std::map<std::string, Entry, std::less<>> entries_;
  mutable InWork keys_{1, SIZE_MAX};  // In work: one call of a principal and key at once.
};

}  // namespace weir::services
