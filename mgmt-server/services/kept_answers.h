#pragma once

#include <string_view>
#include <type_traits>

#include "mgmt-server/services/backends.h"

// Writes that come with an idempotency key are done once: the answer is kept for 24 hours, in the transaction that it
// is the answer to, and given again to the same caller for the same key and the same request. Refusals are not kept:
// what was refused may be tried again under the same key. MethodTable gives the answers again; a method only keeps
// them.
namespace weir::services {

// Of one caller; above, the write is refused: RESOURCE_EXHAUSTED TOO_MANY_IDEMPOTENCY_KEYS.
inline constexpr size_t kKeysOfOne = 10'000, kKeyBytesOfOne = 32u << 20;
// The same of all together, where the caller has more than his part already.
inline constexpr size_t kKeysOfAll = 100'000, kKeyBytesOfAll = 256u << 20;
// Which each may keep however much the others have.
inline constexpr size_t kKeysAlways = 100, kKeyBytesAlways = 1u << 20;

// Why a method takes no keys; "" = it does, as all do that may change something.
std::string_view WhyNoKeys(const google::protobuf::MethodDescriptor& method);
// Looks at the key that a call came with, and fills in request_hash; of a dry run the key is forgotten: nothing is kept
// of it. INVALID_ARGUMENT BAD_IDEMPOTENCY_KEY; IDEMPOTENCY_KEY_NOT_TAKEN.
Status ReadKey(const google::protobuf::MethodDescriptor& method, CallContext& call,
               const google::protobuf::Message& request);

// What was answered to this call's key before; null = nothing, or it has no key. FAILED_PRECONDITION
// IDEMPOTENCY_KEY_REUSED: to another request.
Result<MessagePtr> KeptAnswer(const Backends& backends, const CallContext& call,
                              const google::protobuf::Message& prototype);
// Inside the write, with its answer; nothing happens when the call has no key. ABORTED IDEMPOTENT_CALL_IN_WORK.
Status KeepAnswer(store::Txn& txn, const CallContext& call, const google::protobuf::Message& answer);

inline const google::protobuf::Message* AnswerIn(const MessagePtr& answer) { return answer.get(); }
inline const google::protobuf::Message* AnswerIn(const google::protobuf::Message& answer) { return &answer; }

// A write, or a dry run, with its answer. `fn(Txn&)` -> Result of a message or of a MessagePtr; null = the write is not
// whole yet, there is nothing to keep.
template <typename Fn>
std::invoke_result_t<Fn, store::Txn&> WriteOnce(const Backends& backends, const CallContext& call, bool dry_run,
                                                Fn&& fn, const WriteTerms& terms = {}) {
  const auto once = [&](store::Txn& txn) -> std::invoke_result_t<Fn, store::Txn&> {
    WEIR_ASSIGN(auto answer, fn(txn));
    const google::protobuf::Message* whole = dry_run ? nullptr : AnswerIn(answer);
    if (whole != nullptr) WEIR_TRY(KeepAnswer(txn, call, *whole));
    return answer;
  };
  return backends.WriteOrTry(call, dry_run, once, terms);
}

}  // namespace weir::services
