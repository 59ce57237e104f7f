#include "mgmt-server/services/kept_answers.h"

#include <google/protobuf/message.h>

#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

bool Lives(const store::KeptKey* key, WallTime now) {
  return key != nullptr && key->created + store::kKeyLifetime > now;
}

}  // namespace

Result<MessagePtr> KeptAnswer(const Backends& backends, const CallContext& call,
                              const google::protobuf::Message& prototype) {
  if (call.idempotency_key.empty()) return MessagePtr();
  const store::ViewPtr view = backends.store->Read();
  const store::KeptKey* key = view->FindKey(call.principal.uid, call.idempotency_key);
  if (!Lives(key, backends.clock->Wall())) return MessagePtr();
  if (key->request_hash != call.request_hash) {
    return FailedPrecondition("IDEMPOTENCY_KEY_REUSED",
                              "this idempotency key came with another request before; take a new one for each write");
  }
  WEIR_ASSIGN(const std::string bytes, backends.store->KeptAnswer(call.principal.uid, call.idempotency_key));
  MessagePtr answer(prototype.New());
  if (!answer->ParseFromString(bytes)) return DataLoss("BAD_BODY", "the answer that was kept cannot be read");
  return answer;
}

Status KeepAnswer(store::Txn& txn, const CallContext& call, const google::protobuf::Message& answer) {
  if (call.idempotency_key.empty()) return {};
  const store::View& view = txn.view();
  const std::string& uid = call.principal.uid;
  const store::KeptKey* known = view.FindKey(uid, call.idempotency_key);
  if (Lives(known, txn.now())) {
    return Aborted("IDEMPOTENT_CALL_IN_WORK",
                   "the first call with this idempotency key was done just now; repeat this one");
  }
  const size_t own = view.KeysOf(uid);
  if (known == nullptr && (own >= kKeysOfOne || (own >= kKeysAlways && view.key_count() >= kKeysOfAll))) {
    return ResourceExhausted("TOO_MANY_IDEMPOTENCY_KEYS",
                             "the answers to {} writes of one caller and {} of all are kept, for 24 hours each; "
                             "leave the idempotency key out where the write may be repeated",
                             kKeysOfOne, kKeysOfAll);
  }
  return txn.PutKey(
      {.principal_uid = uid, .key = call.idempotency_key, .request_hash = call.request_hash, .created = txn.now()},
      Serialize(answer));
}

}  // namespace weir::services
