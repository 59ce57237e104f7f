#include "mgmt-server/services/call.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "libs/obs/log.h"
#include "mgmt-server/services/kept_answers.h"

namespace weir::services {
namespace {

// Of names no more than a name may have, of a host no more than DNS lets it have (RFC 1035 section 2.3.4), of all else
// what a request line may hold over REST: the other door takes messages of megabytes. Texts that may be larger have
// bounds of their own.
Status CheckSizes(const google::protobuf::Message& request) {
  constexpr size_t kName = 1024, kHost = 255, kOther = 16 * 1024;
  Error error = InvalidArgument("INVALID_REQUEST", "the call holds a text that is too long");
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  request.GetReflection()->ListFields(request, &fields);
  for (const auto* field : fields) {
    const std::string& name = field->name();
    if (field->is_repeated() || field->type() != google::protobuf::FieldDescriptor::TYPE_STRING) continue;
    if (name == "documents" || name == "path") continue;
    const bool of_name = name == "fqn" || name == "parent" || name == "from";
    const size_t most = of_name ? kName : name == "host" ? kHost : kOther;
    std::string scratch;
    if (request.GetReflection()->GetStringReference(request, field, &scratch).size() <= most) continue;
    error.violations.push_back(
        {.field = field->json_name(), .description = fmt::format("must be at most {} bytes", most)});
  }
  if (error.violations.empty()) return {};
  return error;
}

}  // namespace

Status CheckWanted(const CallContext& call) {
  if (call.gone == nullptr || !*call.gone) return {};
  return Cancelled("CALLER_GONE", "the caller left before its turn; nothing was stored");
}

std::string EtagText(std::string_view given) {
  if (given.size() >= 2 && given.front() == '"' && given.back() == '"') given = given.substr(1, given.size() - 2);
  return std::string(given);
}

void MethodTable::Add(std::string full_name, Function function, bool anonymous) {
  entries_[std::move(full_name)] = {std::move(function), anonymous};
}
void MethodTable::AddChecking(std::string full_name, Function function) {
  entries_[std::move(full_name)] = {std::move(function), false, true};
}

Result<MethodTable::Admission> MethodTable::Admit(std::string_view full_name, const std::string& token) const {
  const auto entry = entries_.find(full_name);
  if (entry != entries_.end() && entry->second.anonymous) return Admission{.anonymous = true, .principal = ""};
  WEIR_ASSIGN(authn::Principal principal, authenticate_(token));
  return Admission{.anonymous = false, .principal = std::move(principal.uid)};
}

Result<MessagePtr> MethodTable::Dispatch(const google::protobuf::MethodDescriptor& method, CallContext& call,
                                         const google::protobuf::Message& request) const {
  WEIR_TRY(CheckWanted(call));
  const auto entry = entries_.find(method.full_name());
  if (entry != entries_.end() && !entry->second.anonymous) {
    WEIR_ASSIGN(call.principal, authenticate_(call.token));
  }
  WEIR_TRY(CheckSizes(request));
  if (call.idempotency_key.empty() || entry == entries_.end()) return CallAs(method, call, request);
  WEIR_TRY(ReadKey(method, call, request));
  const auto turn = keys_.Take(fmt::format("{} {}", call.principal.uid, call.idempotency_key), 1);
  if (turn == nullptr) {
    call.retry_after = std::chrono::seconds(1);
    return Aborted("IDEMPOTENT_CALL_IN_WORK",
                   "the first call with this idempotency key is not answered yet; repeat this one to get its answer");
  }
  if (!call.unread.empty() || call.idempotency_key.empty()) return CallAs(method, call, request);
  const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.output_type());
  WEIR_ASSIGN(MessagePtr kept, kept_(call, *prototype));
  if (kept == nullptr) return CallAs(method, call, request);
  return Finished(entry->second, call, request, std::move(kept));
}

Result<MessagePtr> MethodTable::Finished(const Entry& entry, CallContext& call,
                                         const google::protobuf::Message& request, Result<MessagePtr> answer) {
  if (!answer.ok() || entry.finish == nullptr) return answer;
  return entry.finish(call, request, std::move(answer).value());
}

Result<MessagePtr> MethodTable::CallAs(const google::protobuf::MethodDescriptor& method, CallContext& call,
                                       const google::protobuf::Message& request) const {
  const auto entry = entries_.find(method.full_name());
  if (entry == entries_.end()) return Unimplemented("NOT_SERVED", "{} is not served yet", method.full_name());
  if (!call.unread.empty() && !entry->second.checking) {
    Error error = InvalidArgument("INVALID_DOCUMENT", "{} field{} of the body wrong", call.unread.size(),
                                  call.unread.size() == 1 ? " is" : "s are");
    error.violations = call.unread;
    return error;
  }
  return Finished(entry->second, call, request, entry->second.function(call, request));
}

Result<MessagePtr> MethodTable::Call(const google::protobuf::MethodDescriptor& method, CallContext& call,
                                     const google::protobuf::Message& request) const {
  Result<MessagePtr> answer = [&]() -> Result<MessagePtr> {
    try {
      return Dispatch(method, call, request);
    } catch (const std::exception& exception) {
      return Internal("INTERNAL", "internal error").WithCause(exception.what());
    }
  }();
  if (!answer.ok()) {
    Error& error = answer.error();
    // COMMIT_UNKNOWN is said to the caller: he is the one who must look before he repeats.
    const bool ours = error.code == Code::kInternal || error.code == Code::kDataLoss ||
                      (error.code == Code::kUnknown && error.reason != "COMMIT_UNKNOWN");
    if (ours || !error.cause.empty()) {
      obs::Log(ours ? obs::Level::kError : obs::Level::kWarn, "call failed",
               {{"method", method.full_name()},
                {"request_id", call.request_id},
                {"error", error.ToString()},
                {"cause", error.cause}});
    }
    if (ours) error.message = "internal error; the server's log has it under the request id " + call.request_id;
  }
  return answer;
}

}  // namespace weir::services
