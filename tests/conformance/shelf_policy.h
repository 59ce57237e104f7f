#pragma once

#include "mgmt-server/store/policy.h"
#include "mgmt-server/store/view.h"

namespace weir::store {

// For the tests of stores: each resource is an object attribute of its own name under "pc", each role of the
// installation one more, and a resource whose body is "refused" may not be.
class ShelfPolicy : public Policy {
 public:
  static const Policy& Get() {
    static const ShelfPolicy policy;
    return policy;
  }
  std::vector<std::string> Rights() const override { return {"read"}; }
  Status Derive(const View& view, ngac::Graph& graph) const override {
    Status made = graph.CreateNode("pc", ngac::NodeType::kPolicyClass);
    view.ForEach("", "", [&](const ResourcePtr& resource) {
      if (made.ok()) made = ApplyChange(view, nullptr, resource.get(), graph);
      return made.ok();
    });
    view.ForEachInstallationRole([&](const std::string& role, const std::string& user_uid) {
      if (made.ok()) made = ApplyRoleChange(role, user_uid, true, graph);
      return made.ok();
    });
    return made;
  }
  Status ApplyChange(const View&, const StoredResource* before, const StoredResource* after,
                     ngac::Graph& graph) const override {
    if (after == nullptr) return graph.DeleteNode(before->fqn);
    if (before == nullptr) {
      WEIR_TRY(graph.CreateNode(after->fqn, ngac::NodeType::kObjectAttribute, {"pc"}));
    }
    if (after->body == "refused") return FailedPrecondition("POLICY_REFUSES", "no");
    return {};
  }
  Status ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given,
                         ngac::Graph& graph) const override {
    const std::string node = fmt::format("{}:{}", role, user_uid);
    return given ? graph.CreateNode(node, ngac::NodeType::kObjectAttribute, {"pc"}) : graph.DeleteNode(node);
  }
};

}  // namespace weir::store
