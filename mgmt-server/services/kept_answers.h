#pragma once

#include "mgmt-server/services/backends.h"

// Writes that come with an idempotency key are done once: the answer is kept for 24 hours, in the transaction that it
// is the answer to, and given again to the same caller for the same key and the same request. Refusals are not kept:
// what was refused may be tried again under the same key.
namespace weir::services {

// Above, the write is refused: RESOURCE_EXHAUSTED TOO_MANY_IDEMPOTENCY_KEYS.
inline constexpr size_t kKeysOfOne = 10'000, kKeysOfAll = 100'000;
// Those that each may keep however many the others have.
inline constexpr size_t kKeysAlways = 100;

// What was answered to this call's key before; null = nothing, or it has no key. FAILED_PRECONDITION
// IDEMPOTENCY_KEY_REUSED: to another request.
Result<MessagePtr> KeptAnswer(const Backends& backends, const CallContext& call,
                              const google::protobuf::Message& prototype);
// Inside the write, with its answer; nothing happens when the call has no key. ABORTED IDEMPOTENT_CALL_IN_WORK.
Status KeepAnswer(store::Txn& txn, const CallContext& call, const google::protobuf::Message& answer);

// Both around a write, or a dry run, of which nothing is kept. `fn(Txn&) -> Result<MessagePtr>`: the answer; null = the
// write is not whole yet, there is nothing to keep.
template <typename Fn>
Result<MessagePtr> WriteOnce(const Backends& backends, CallContext& call, bool dry_run,
                             const google::protobuf::Message& prototype, Fn&& fn) {
  if (!dry_run) {
    WEIR_ASSIGN(MessagePtr kept, KeptAnswer(backends, call, prototype));
    if (kept != nullptr) return kept;
  }
  return backends.WriteOrTry(call, dry_run, [&](store::Txn& txn) -> Result<MessagePtr> {
    WEIR_ASSIGN(MessagePtr answer, fn(txn));
    if (answer != nullptr && !dry_run) WEIR_TRY(KeepAnswer(txn, call, *answer));
    return answer;
  });
}

}  // namespace weir::services
