#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/history.pb.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/changing.h"
#include "mgmt-server/services/past.h"
#include "mgmt-server/services/writes.h"

namespace weir::v2 {
class ServiceAccount;
class Team;
}  // namespace weir::v2

namespace weir::services {

constexpr size_t kMostRestored = 5'000;  // Of one restore: so long others wait for the writer.

// One restore inside its transaction: api/weir/v2/history.proto says what holds of it.
class Restoring {
 public:
  // `then`: the state that comes back. `rights`: asked of everything at and below the root already.
  Restoring(store::Txn& txn, const CallContext& call, const Backends& backends, Writes& writes, PastRights& rights,
            const store::View& then, const v2::RestoreResourcesRequest& request);

  // `state`: before and after it.
  Result<v2::RestoreResourcesResponse> Run(WouldBe& state);

 private:
  struct Written {
    store::ResourcePtr stored;
    std::shared_ptr<const google::protobuf::Message> before;  // null = it was not there.
  };

  Status Plan();
  Status ChooseBelow();
  void SayWhichAreOthers();
  Status Store();
  Status CheckSize() const;
  Status BringBack(const store::StoredResource& wanted);
  Status Create(const store::StoredResource& wanted, Draft draft);
  Status Update(const store::StoredResource& now, Draft draft);
  Status Delete(const store::StoredResource& gone);
  Status BringBackBindings(const std::string& owner);
  Status BringBackNamedBindings(const store::StoredResource& wanted);
  // Whether a name stands for the same resource as it did then.
  bool IsTheSame(const std::string& fqn) const;
  bool IsTheSameRole(const std::string& bindings, const std::string& role) const;
  // Takes out of a document of then what people have lost since.
  void KeepMembersStillThere(v2::Team& team);
  void KeepKeysOfToday(v2::ServiceAccount& account);
  // The subjects of then that are the same still; of the others a note.
  Result<v2::AccessBindings> StillThere(const store::StoredResource& bindings);
  Status Check();
  v2::RestoredResource& Note(v2::RevisionChange::What what, const store::StoredResource& resource);

  store::Txn& txn_;
  const CallContext& call_;
  const Backends& backends_;
  Writes& writes_;
  PastRights& rights_;
  const store::View& then_;
  const v2::RestoreResourcesRequest& request_;
  const std::string manager_;
  std::vector<store::ResourcePtr> wanted_;  // Parents first, clusters before what names them.
  std::vector<store::ResourcePtr>
      bindings_;                          // Of what is there, the deepest first: the last may end the caller's rights.
  std::vector<store::ResourcePtr> gone_;  // The deepest first.
  std::vector<Written> written_;
  std::vector<Issue> issues_;
  v2::RestoreResourcesResponse response_;
};

}  // namespace weir::services
