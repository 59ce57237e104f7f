#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/weir/v2/documents.pb.h"
#include "libs/document/document.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/store/store.h"

// What documents:apply does with documents, for whoever else does it: a plan, a dry run.
namespace weir::services {

// One document of the call, from text to store.
struct Applied {
  const document::Node* node = nullptr;
  const resource::KindInfo* kind = nullptr;
  std::string etag;  // metadata.resourceVersion of the document; "" = none.
  Draft draft;
  size_t depth = 0;  // How many documents of its kind in this call have to be there before it: teams in teams.
  v2::AppliedDocument outcome;
};

// A document that says something else of a field than its owner does.
struct Conflict {
  const Applied* document = nullptr;
  Error error;  // FIELD_CONFLICT
};

struct ApplyOrder {
  std::string manager;
  bool force = false;
  std::vector<Conflict>* conflicts = nullptr;  // Set: they are kept here, and the documents left out.
};

// Of a request's `manager`.
void CheckManager(const std::string& manager, std::vector<FieldViolation>& violations);
// Who owns the fields that a request with this `manager` sets.
std::string ManagerFor(const std::string& manager, const authn::Principal& principal);

// Everything that can be said without the store. In the result stands first what others refer to. The nodes, which are
// brought into our form (tsb_form.h), outlive it.
Result<std::vector<Applied>> ReadDocuments(std::vector<document::Node>& nodes, const authn::Principal& principal);
// Inside Store::Write or DryRun; all or none. `revision`: of the commit; 0 when nothing changes.
Status StoreDocuments(store::Txn& txn, const CallContext& call, Writes& writes, std::vector<Applied>& documents,
                      const ApplyOrder& order, int64_t* revision);

}  // namespace weir::services
