#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/services/host_index.h"
#include "mgmt-server/services/namespace_index.h"
#include "mgmt-server/store/store.h"

namespace weir::v2 {
class GatewayGroup;
class Workspace;
}  // namespace weir::v2

namespace weir::services {

// Something wrong between resources.
struct Issue {
  std::string reason;  // GATEWAY_HOST_TAKEN
  std::string fqn;     // Of the resource that was written.
  FieldViolation violation;
};
// FAILED_PRECONDITION with the reason of the first and all violations; ok when there are none.
Status ToStatus(const std::vector<Issue>& issues);

// Who writes, and what was stored before.
struct Writer {
  std::function<bool(const store::StoredResource&)> may_read;
  std::function<bool(const store::StoredResource&)> may_write;
  std::shared_ptr<const google::protobuf::Message> before;  // null = a new resource.
};

// Rules between resources, on the state of a transaction. Only for use inside Store::Write, which is one at a time.
class CrossChecks {
 public:
  explicit CrossChecks(store::Store& store) : store_(store) {}

  // Appends what the resource, as it stands in the transaction, breaks: NAMESPACE_TAKEN, GROUP_OUTSIDE_WORKSPACE,
  // GROUP_MODE_MISMATCH, CLUSTER_MISSING, GATEWAY_HOST_TAKEN, HOST_TAKEN_BY_ANOTHER_WORKSPACE, ONLY_ONE,
  // WORKLOADS_OUTSIDE_WORKSPACE, SERVICE_OUTSIDE_WORKSPACE, DOMAIN_TAKEN, and what CheckInvariant says. A
  // workspace may always lose a namespace or its privilege, whoever points there: compile asks again and status says
  // so. The other side is named only to who may read it.
  void Check(const store::View& view, const store::StoredResource& resource, const Writer& writer,
             std::vector<Issue>& issues);
  // Pairs of organizations whose domains overlap, which no write lets in: for states from elsewhere.
  static std::vector<std::pair<std::string, std::string>> OverlappingDomains(const store::View& view);

  // The FQN of a gateway that names this cluster and does not lie at or below `except`; "" = none.
  std::string UserOfCluster(const store::View& view, const store::StoredResource& cluster, std::string_view except);

  // How many workspaces were compared with another one so far: a write costs what it touches.
  size_t workspaces_compared() const { return workspaces_compared_; }

 private:
  using MessagePtr = std::shared_ptr<const google::protobuf::Message>;
  struct Parsed {
    store::ResourcePtr resource;  // Kept, so that its address names this version.
    MessagePtr message;
    resource::GatewayForm form;
  };
  // Read once per stored version. Null, and a form of nothing, where there is no resource or it cannot be read.
  const Parsed& Read(const store::ResourcePtr& resource, size_t resources);
  MessagePtr Parse(const store::ResourcePtr& resource, size_t resources);
  resource::GatewayForm FormOf(const store::ResourcePtr& resource, size_t resources);
  template <typename T>
  std::shared_ptr<const T> Load(const store::View& view, std::string_view fqn);

  static void CheckDomain(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                          std::vector<Issue>& issues);
  void CheckOnlyOne(const store::View& view, const store::StoredResource& resource, std::vector<Issue>& issues);
  void CheckWorkspace(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                      std::vector<Issue>& issues);
  void CheckGroupsFit(const store::View& view, const v2::Workspace& workspace, const std::string& fqn,
                      const Writer& writer, std::vector<Issue>& issues);
  void CheckGroup(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                  std::vector<Issue>& issues);
  void CheckGateway(const store::View& view, const std::string& fqn, const Writer& writer, bool references,
                    std::vector<Issue>& issues);
  struct Placed;
  Placed Place(const store::View& view, const std::string& fqn);
  void CheckTaken(const store::View& view, const Placed& mine, const std::string& other, const Writer& writer,
                  std::vector<Issue>& issues);
  void CheckHosts(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                  std::vector<Issue>& issues);
  void CheckReferences(const store::View& view, const std::string& fqn, const google::protobuf::Message& gateway,
                       const v2::Workspace& workspace, const v2::GatewayGroup& group, std::vector<Issue>& issues);
  void Index(const std::string& fqn, const resource::GatewayForm& form);
  void IndexAll(const store::View& view);
  void IndexWorkspaces(const store::View& view);

  store::Store& store_;
  std::map<std::string, Parsed, std::less<>> parsed_;
  HostIndex hosts_;
  bool hosts_loaded_ = false;
  NamespaceIndex namespaces_;
  bool namespaces_loaded_ = false;
  size_t workspaces_compared_ = 0;
};

// Says in the log what an older state may have and no write lets in, or only one of somebody who may write both sides.
// It is served all the same.
void LogContradictions(const store::View& view);

}  // namespace weir::services
