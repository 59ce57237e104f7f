#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <functional>
#include <string>
#include <vector>

#include "api/weir/v2/documents.pb.h"
#include "libs/base/result.h"
#include "libs/document/document.h"
#include "mgmt-server/services/applying.h"
#include "mgmt-server/services/invariants.h"
#include "mgmt-server/services/planned.h"
#include "mgmt-server/services/pruning.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/store/store.h"

// One change of many resources: documents, deletions and what is pruned, in one transaction. Apply, plans and change
// sets all do it here.
namespace weir::services {

constexpr size_t kMostDeletions = 1'000;  // Named in one call,
constexpr size_t kMostDeleted = 5'000;    // and with what they take along: so long others wait for the writer.
constexpr size_t kMostNote = 1'024;       // Bytes of a message that stands at a revision.

// What a request says of it.
struct ChangeText {
  const std::string& documents;
  const std::string& manager;
  bool force;
  const google::protobuf::RepeatedPtrField<std::string>& deletions;
  bool cascade;
  const v2::Prune* prune;  // Null: nothing is pruned.
};
template <typename Request>
ChangeText ChangeTextOf(const Request& request) {
  return {request.documents(), request.manager(), request.force(),
          request.deletions(), request.cascade(), request.has_prune() ? &request.prune() : nullptr};
}
// What is wrong with it before a document is read.
void CheckChange(const ChangeText& text, std::vector<FieldViolation>& violations);
// Of a text in a person's words, as `message`; `required`: not empty.
void CheckNote(const char* field, const std::string& text, bool required, std::vector<FieldViolation>& violations);

struct ChangeOrder {
  ChangeOrder() = default;
  ChangeOrder(ChangeOrder&&) = default;
  ChangeOrder& operator=(ChangeOrder&&) = default;

  std::string text;                   // Of the documents.
  std::vector<document::Node> nodes;  // Of the documents, which point into it.
  std::vector<Applied> documents;
  ApplyOrder apply;
  std::vector<std::string> deletions;
  bool cascade = false;
  std::vector<std::string> prune_scopes;  // Empty: nothing is pruned.
};
// INVALID_ARGUMENT with every fault of the documents; INVALID_REQUEST where they contradict the deletions.
// `owner`: whose the fields are.
Result<ChangeOrder> ReadChange(const ChangeText& text, const authn::Principal& owner);

// The state that a change was made on, and the one that it leads to.
struct WouldBe {
  store::ViewPtr before, after;
  std::vector<store::ResourceChange> changes;
  std::vector<Conflict> conflicts;
  std::vector<Kept> kept;
  int64_t revision = 0;  // 0: nothing changes.
};
// Line and column of a field of one of the documents, for a violation that names it by its resource.
void LocateIn(const ChangeOrder& order, const std::string& fqn, FieldViolation& violation);
// Of a write of it: what it breaks is told by line. The order outlives them.
WriteTerms TermsOf(const ChangeOrder& order);

// What it changes, as the fleet is asked of it; without bindings, which reach no gateway.
PlanQuestion QuestionOf(const WouldBe& state, std::function<bool(const std::string& fqn)> may_read);
// Resources that are gone by it, without bindings, in the order in which they went.
std::vector<store::ResourceChange> DeletedBy(const WouldBe& state);
// Of the documents' resources and of what goes, as they were and would be: equal only if that is.
std::string ChangeDigest(const ChangeOrder& order, const WouldBe& state);
// The same of resources that are named.
std::string ChangeDigest(const WouldBe& state, const std::vector<std::string>& fqns);

// Inside Store::Write or DryRun; all or none. Clusters go last, all else before the documents are stored. With
// `gather_conflicts` documents that are in conflict are left out and stand in `out`; else the first is the error.
Status MakeChange(store::Txn& txn, const CallContext& call, Writes& writes, ChangeOrder& order, bool gather_conflicts,
                  WouldBe& out);

}  // namespace weir::services
