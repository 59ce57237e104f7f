#include "tests/e2e/said.h"

#include "libs/document/document.h"

namespace weir::e2e {
namespace {

std::string TextOf(const document::Node& node, const char* key) {
  const document::Node* found = node.Find(key);
  return found == nullptr ? "" : found->text;
}

}  // namespace

Said StatusOf(const Scene& scene, const std::string& fqn) {
  const auto text = scene.fleet().WeirOk({"status", fqn, "-o", "json"});
  const auto root = text.ok() ? document::ParseOne(*text, {}, document::Syntax::kJson) : text.error();
  if (!root.ok()) return {"", root.error().message, "", ""};
  return {TextOf(*root, "state"), TextOf(*root, "reason"), TextOf(*root, "message"), TextOf(*root, "revision")};
}
std::string ClusterFqn(const std::string& name) { return std::string("organizations/e2e-org/clusters/") + name; }
std::string Tier1Fqn(const std::string& name) {
  return "organizations/e2e-org/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/" + name;
}
Status AwaitReason(const Scene& scene, const std::string& fqn, const std::string& reason, int most_seconds) {
  Said said;
  const Status reached =
      test::WaitUntil(fqn + " to say " + reason, test::Milliseconds(most_seconds * 1000), nullptr, [&] {
        said = StatusOf(scene, fqn);
        return said.reason == reason;
      });
  if (reached.ok()) return {};
  return DeadlineExceeded("NOT_SAID", "{}; it is {} {}: {}", reached.error().message, said.state, said.reason,
                          said.message);
}
std::string Explained(const Scene& scene, const std::string& host) {
  const auto text = scene.fleet().WeirOk({"explain", "failover", host, "-o", "json"});
  const auto root = text.ok() ? document::ParseOne(*text, {}, document::Syntax::kJson) : text.error();
  const auto* items = root.ok() ? root->Find("items") : nullptr;
  if (items == nullptr || items->items.empty()) return "NOT_EXPLAINED";
  return TextOf(items->items.front(), "nobody");
}

}  // namespace weir::e2e
