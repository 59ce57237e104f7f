#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/cross_checks.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// Steps 3 to 6 of the life of a write: what happens to one resource inside Store::Write. The per-noun handlers and
// documents:apply both go through here.

// A resource on its way in: names set, output-only fields removed, defaults filled in, checked by itself.
struct Draft {
  resource::Fqn fqn;
  std::shared_ptr<google::protobuf::Message> message;
  std::vector<FieldViolation> violations;
  std::vector<std::string> unset;  // Fields that it does not name and that then stay as they are stored.
};
// `resource` may carry names; one that contradicts `fqn` is a violation.
Draft MakeDraft(const resource::Fqn& fqn, std::unique_ptr<google::protobuf::Message> resource);
// For an update: fills in what the draft leaves as it is stored.
void FillFromStored(const google::protobuf::Message& stored, const Draft& draft);
// For a resource that has no usable name, which MakeDraft needs: appends what else is wrong with it.
void CheckUnnamed(google::protobuf::Message& resource, std::vector<FieldViolation>& violations);

using Owners = std::map<std::string, std::string>;  // Field path -> manager.
// A manager is a tool in somebody's hand: two people with one tool do not overwrite each other unasked.
std::string ManagerOf(std::string_view tool, const authn::Principal& principal);
// The fields that a resource says. One that says none but its name says that, so that it is somebody's too.
std::set<std::string> FieldsOwned(const google::protobuf::Message& resource);
Owners OwnedBy(const google::protobuf::Message& resource, const std::string& manager);

// How much may be stored, bindings counted too: all of it lies in the server's memory.
struct WriteBounds {
  size_t of_tenant = 100'000;
  size_t of_organization = 1'000'000;  // With its tenants.
};

class Writes {
 public:
  explicit Writes(store::Store& store, WriteBounds bounds = {}) : checks_(store), bounds_(bounds) {}

  // What else ends with a resource of this kind, in the same transaction. Before the first call.
  using Farewell = std::function<Status(store::Txn&, const store::StoredResource&)>;
  void AlsoDelete(resource::Kind kind, Farewell farewell);

  // Authorizes, then stores. Cross-object violations go to `issues` and the resource is stored all the same, so that
  // the caller finds all of them; it must fail the transaction if there are any. ALREADY_EXISTS RESOURCE_EXISTS;
  // NOT_FOUND PARENT_MISSING; RESOURCE_EXHAUSTED TOO_MANY_RESOURCES; the errors of authz.
  Result<store::ResourcePtr> Create(store::Txn& txn, const CallContext& call, const Draft& draft, Owners owners,
                                    std::vector<Issue>& issues);
  // `etag`: nullopt = whatever is stored. ABORTED ETAG_MISMATCH.
  Result<store::ResourcePtr> Update(store::Txn& txn, const CallContext& call, const Draft& draft, Owners owners,
                                    const std::optional<std::string>& etag, std::vector<Issue>& issues,
                                    std::string action = "update");
  // Deletes at most kMostOfDeletion of what is to go, the deepest first; how many are left for the next write, 0 = it
  // is gone. FAILED_PRECONDITION HAS_CHILDREN, CLUSTER_IN_USE, DELETES_SELF, DELETION_PROTECTED.
  static constexpr size_t kMostOfDeletion = 500;  // Writes of others wait for no more than these.
  Result<size_t> Delete(store::Txn& txn, const CallContext& call, const std::string& fqn,
                        const std::optional<std::string>& etag, bool cascade);

 private:
  Status CheckRoom(const store::View& view, std::string_view fqn) const;
  Status CheckUnprotected(const store::View& view, const CallContext& call,
                          const std::vector<store::ResourcePtr>& going) const;
  Status DeleteOne(store::Txn& txn, const CallContext& call, const store::StoredResource& resource,
                   const std::string& going, const std::string& path);

  CrossChecks checks_;
  const WriteBounds bounds_;
  std::map<std::string, Farewell, std::less<>> farewells_;  // By kind.
};

// Stored bytes -> message with all output-only metadata. DATA_LOSS BAD_BODY.
Result<MessagePtr> ToMessage(const store::StoredResource& resource);

// What the caller did, in the audit: to a resource, as it was and is (null = it did not or does not exist), or, both
// null, to the server itself.
Status Record(store::Txn& txn, const CallContext& call, std::string action, const store::StoredResource* before,
              const store::StoredResource* after, const std::string& path);

// Deterministic, so that equal resources have equal bytes.
std::string Serialize(const google::protobuf::Message& message);

}  // namespace weir::services
