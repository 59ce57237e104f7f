#include "mgmt-server/services/kept_answers.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "google/api/annotations.pb.h"
#include "libs/base/sha256.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

struct Without {
  std::string_view method, why;
};
// Methods that might change something by their HTTP verb and keep no answer all the same.
constexpr Without kWithoutKeys[] = {
    {"weir.v2.Sessions.Login", "its answer is a secret"},
    {"weir.v2.Sessions.ExchangeAssertion", "its answer is a secret"},
    {"weir.v2.Sessions.Logout", "it ends the session that it is asked with"},
    {"weir.v2.JoinTokens.CreateJoinToken", "its answer is a secret"},
    {"weir.v2.Passwords.SetPassword", "what is kept of a request would tell of the password"},
    {"weir.v2.Packages.FetchPackage", "it changes nothing"},
    {"weir.v2.Plans.Plan", "it changes nothing"},
    {"weir.v2.Traffic.ExplainRoute", "it changes nothing"},
    {"weir.v2.ServerState.ReplaceRoot", "its steps are no single write; what it answers is how far they are"},
};

bool Lives(const store::KeptKey* key, WallTime now) {
  return key != nullptr && key->created + store::kKeyLifetime > now;
}

bool MayWrite(const google::protobuf::MethodDescriptor& method) {
  return method.options().HasExtension(google::api::http) &&
         method.options().GetExtension(google::api::http).pattern_case() != google::api::HttpRule::kGet;
}

bool IsDryRun(const google::protobuf::Message& request) {
  const auto* field = request.GetDescriptor()->FindFieldByName("dry_run");
  return field != nullptr && request.GetReflection()->GetBool(request, field);
}

}  // namespace

std::string_view WhyNoKeys(const google::protobuf::MethodDescriptor& method) {
  if (!MayWrite(method)) return "it changes nothing";
  for (const Without& each : kWithoutKeys) {
    if (method.full_name() == each.method) return each.why;
  }
  return "";
}

Status ReadKey(const google::protobuf::MethodDescriptor& method, CallContext& call,
               const google::protobuf::Message& request) {
  constexpr size_t kLongest = 255;
  const auto visible = [](char c) { return c > ' ' && c < 127; };
  std::string& key = call.idempotency_key;
  if (const std::string_view why = WhyNoKeys(method); !why.empty()) {
    return InvalidArgument("IDEMPOTENCY_KEY_NOT_TAKEN", "{} keeps no answers: {}; leave the idempotency key out",
                           method.full_name(), why);
  }
  if (key.size() > kLongest || !std::all_of(key.begin(), key.end(), visible)) {
    Error error = InvalidArgument("BAD_IDEMPOTENCY_KEY", "this is no idempotency key");
    error.violations.push_back({.field = "Idempotency-Key",
                                .description = "must be 1 to 255 visible ASCII characters, such as a random UUID"});
    return error;
  }
  if (IsDryRun(request)) {
    key.clear();
    return {};
  }
  std::string asked = method.full_name() + '\0';
  for (const std::string& etag : call.if_match) asked += etag + '\0';
  call.request_hash = Sha256(asked + '\0' + Serialize(request));
  return {};
}

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
  const std::string bytes = Serialize(answer);
  const size_t keys = view.KeysOf(uid) + (known == nullptr ? 1 : 0);
  const size_t before = known == nullptr ? 0 : known->bytes;  // Of another answer, from more than a day ago.
  const size_t of_one = view.KeyBytesOf(uid) + bytes.size() - before;
  const size_t of_all = view.key_bytes() + bytes.size() - before;
  const bool has_part = keys > kKeysAlways || of_one > kKeyBytesAlways;
  if (keys > kKeysOfOne || of_one > kKeyBytesOfOne ||
      (has_part && (view.key_count() >= kKeysOfAll || of_all > kKeyBytesOfAll))) {
    return ResourceExhausted("TOO_MANY_IDEMPOTENCY_KEYS",
                             "the answers to {} writes of one caller, {} MiB together, and to {} of all, {} MiB, are "
                             "kept for 24 hours; leave the idempotency key out where the write may be repeated",
                             kKeysOfOne, kKeyBytesOfOne >> 20, kKeysOfAll, kKeyBytesOfAll >> 20);
  }
  return txn.PutKey({.principal_uid = uid,
                     .key = call.idempotency_key,
                     .request_hash = call.request_hash,
                     .created = txn.now(),
                     .bytes = 0},
                    bytes);
}

}  // namespace weir::services
