#pragma once

#include "api/weir/v2/change_set.pb.h"
#include "mgmt-server/http/plan_fixture.h"

// For tests of change sets, over the whole way.
namespace weir::edge::plans {

inline constexpr char kSets[] = "/v2/organizations/demo-org/changesets";

template <typename Message>
Message Read(const Answer& answer) {
  Message message;
  std::vector<FieldViolation> violations;
  document::ToMessage(answer.body, message, violations);
  EXPECT_TRUE(answer.status == 200 && violations.empty()) << answer.status << " " << answer.text;
  return message;
}

class ChangeSetTest : public PlanTest {
 protected:
  static v2::ChangeSet Contents(const std::string& documents, int approvals = 0) {
    v2::ChangeSet set;
    set.set_documents(documents);
    set.set_message("why");
    set.set_approvals_required(approvals);
    return set;
  }
  Answer Create(const v2::ChangeSet& set, const std::string& token = "") {
    return Send("POST", kSets, document::ToJson(set), token.empty() ? admin_ : token);
  }
  v2::ChangeSet Created(const v2::ChangeSet& set, const std::string& token = "") {
    return Read<v2::ChangeSet>(Create(set, token));
  }
  Answer Do(const v2::ChangeSet& set, const std::string& verb, const std::string& body = "{}",
            const std::string& token = "") {
    return Send("POST", "/v2/" + set.fqn() + ":" + verb, body, token.empty() ? admin_ : token);
  }
  Answer Approve(const v2::ChangeSet& set, const std::string& token) {
    return Do(set, "approve", R"({"plan":")" + set.plan() + R"("})", token);
  }
  Answer Update(const v2::ChangeSet& set, v2::ChangeSet contents, const std::string& token = "") {
    contents.set_resource_version(set.resource_version());
    return Send("PUT", "/v2/" + set.fqn(), document::ToJson(contents), token.empty() ? admin_ : token);
  }
  v2::ChangeSet Found(const v2::ChangeSet& set, const std::string& token = "") {
    return Read<v2::ChangeSet>(Send("GET", "/v2/" + set.fqn(), "", token.empty() ? admin_ : token));
  }
  int Listed(const std::string& token) {
    return Read<v2::ListChangeSetsResponse>(Send("GET", kSets, "", token)).items_size();
  }
  bool Has(const std::string& name) { return store_->Read()->Get(std::string(kGroup) + "/" + name) != nullptr; }
};

}  // namespace weir::edge::plans
