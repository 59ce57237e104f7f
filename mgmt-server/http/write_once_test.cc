// Every method of the API that may change something takes an idempotency key, or says why not.
#include <google/protobuf/descriptor.h>

#include "api/weir/v2/kind_services.h"
#include "google/api/annotations.pb.h"
#include "mgmt-server/http/change_set_fixture.h"
#include "mgmt-server/http/routes.h"
#include "mgmt-server/services/kept_answers.h"

namespace weir::edge::plans {
namespace {

using google::protobuf::MethodDescriptor;

std::vector<const MethodDescriptor*> Writing() {
  std::vector<const MethodDescriptor*> found;
  for (const auto* service : PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const MethodDescriptor* method = service->method(i);
      const auto& rule = method->options().GetExtension(google::api::http);
      if (MethodAndPath(rule).first != "GET")
        found.push_back(method);
      else
        EXPECT_NE(services::WhyNoKeys(*method), "") << method->full_name();
    }
  }
  return found;
}

// A call that succeeds, and what it needs is there.
struct Ready {
  std::string method, target, body{}, token{};
};

class WriteOnce : public ChangeSetTest {
 protected:
  static constexpr char kT[] = "/v2/organizations/demo-org/tenants/t";
  static constexpr char kC1[] = "/v2/organizations/demo-org/clusters/c1";

  Ready OnSet(const std::string& verb, int approvals, const std::string& token = "") {
    const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth), approvals));
    return {"POST", "/v2/" + set.fqn() + ":" + verb, R"({"plan":")" + set.plan() + R"("})", token};
  }
  std::string Etag(const std::string& path) { return Get(path).Text({"metadata", "resourceVersion"}); }
  Ready Access(const std::string& verb) {
    return {"POST", std::string(kT) + "/accessbindings:" + verb,
            R"({"role":"reader","subject":{"user":"organizations/demo-org/users/ann"}})"};
  }

  std::map<std::string, std::function<Ready()>> Scenes() {
    std::map<std::string, std::function<Ready()>> scenes;
    const auto add = [&](const std::string& name, std::function<Ready()> scene) {
      scenes["weir.v2." + name] = std::move(scene);
    };
    add("Tenants.CreateTenant",
        [&]() -> Ready { return {"POST", "/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"x"}})"}; });
    add("Tenants.UpdateTenant", [&]() -> Ready {
      return {"PUT", kT, R"({"metadata":{"description":"d","resourceVersion":")" + Etag(kT) + R"("}})"};
    });
    add("Tenants.DeleteTenant", [&]() -> Ready { return {"DELETE", std::string(kT) + "?cascade=true"}; });
    add("Documents.Apply", [&]() -> Ready {
      document::Node body = document::Node::Map();
      body.Add("documents", document::Node::String(Tier1("a", "a.test", kBoth)));
      return {"POST", "/v2/documents:apply", document::WriteJson(body)};
    });
    AddBindings(scenes);
    AddChangeSets(scenes);
    AddClusters(scenes);
    add("Revisions.RestoreResources", [&]() -> Ready {
      const int64_t then = store_->Read()->revision();
      EXPECT_EQ(Send("DELETE", std::string(kT) + "?cascade=true", "", admin_).status, 200);
      return {"POST", std::string(kT) + ":restore", fmt::format(R"({{"toRevision":{},"subtree":true}})", then)};
    });
    add("ServerState.AdoptState", [&]() -> Ready {
      fleet_.held.emplace_back().set_cluster("organizations/demo-org/clusters/c1");
      return {"POST", "/v2/serverstate:adopt", R"({"confirm":true})"};
    });
    return scenes;
  }

  void IsDoneOnce(const std::function<Ready()>& scene) {
    TearDown();
    SetUp();
    const Ready ready = scene();
    const std::string token = ready.token.empty() ? admin_ : ready.token;
    const auto send = [&] { return Send(ready.method, ready.target, ready.body, token, {{"Idempotency-Key", "one"}}); };
    const Answer first = send();
    ASSERT_EQ(first.status, 200) << first.text;
    EXPECT_NE(store_->Read()->FindKey(authn_->Authenticate(token)->uid, "one"), nullptr) << "it is not kept";
    const int64_t revision = store_->Read()->revision(), records = store_->Read()->audit_count();
    const Answer again = send();
    EXPECT_EQ(again.status, 200);
    EXPECT_EQ(again.text, first.text);
    EXPECT_EQ(store_->Read()->revision(), revision);
    EXPECT_EQ(store_->Read()->audit_count(), records) << "it was done twice";
  }

  void AddBindings(std::map<std::string, std::function<Ready()>>& scenes) {
    const auto add = [&](const std::string& method, std::function<Ready()> scene) {
      scenes["weir.v2.AccessBindingsService." + method] = [this, scene] {
        (void)NewUser("ann");
        return scene();
      };
    };
    add("GrantAccess", [&] { return Access("grant"); });
    add("RevokeAccess", [&] { return Access("revoke"); });
    add("UpdateAccessBindings", [&]() -> Ready {
      const std::string path = std::string(kT) + "/accessbindings";
      return {"PUT", path,
              R"({"metadata":{"resourceVersion":")" + Etag(path) +
                  R"("},"allow":[{"role":"rbac/admin","subjects":[{"user":"organizations/demo-org/users/ann"}]}]})"};
    });
  }

  void AddClusters(std::map<std::string, std::function<Ready()>>& scenes) {
    const auto add = [&](const std::string& name, std::function<Ready()> scene) {
      scenes["weir.v2.ClusterOperations." + name] = std::move(scene);
    };
    for (const auto& [method, verb] : {std::pair("DrainCluster", "drain"),
                                       {"StandbyCluster", "standby"},
                                       {"MaintainCluster", "maintenance"},
                                       {"ActivateCluster", "activate"},
                                       {"RevokeCluster", "revoke"}}) {
      add(method, [path = fmt::format("{}:{}", kC1, verb)]() -> Ready { return {"POST", path, "{}"}; });
    }
    add("UndoAdminState", [&]() -> Ready {
      EXPECT_EQ(Post(std::string(kC1) + ":standby", "{}").status, 200);
      return {"POST", std::string(kC1) + ":undo", "{}"};
    });
  }

  void AddChangeSets(std::map<std::string, std::function<Ready()>>& scenes) {
    const auto add = [&](const std::string& name, std::function<Ready()> scene) {
      scenes["weir.v2.ChangeSets." + name] = std::move(scene);
    };
    add("CreateChangeSet",
        [&]() -> Ready { return {"POST", kSets, document::ToJson(Contents(Tier1("a", "a.test", kBoth)))}; });
    add("UpdateChangeSet", [&]() -> Ready {
      const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth)));
      v2::ChangeSet other = Contents(Tier1("a", "b.test", kBoth));
      other.set_resource_version(set.resource_version());
      return {"PUT", "/v2/" + set.fqn(), document::ToJson(other)};
    });
    add("PlanChangeSet", [&] {
      Ready ready = OnSet("plan", 0);
      ready.body = R"({"renew":true})";
      return ready;
    });
    add("ApproveChangeSet", [&] { return OnSet("approve", 1, ChangeSetTest::Grant("ben", "admin", kTenant)); });
    add("CommitChangeSet", [&] { return OnSet("commit", 0); });
    add("RejectChangeSet", [&] {
      Ready ready = OnSet("reject", 1, ChangeSetTest::Grant("ben", "admin", kTenant));
      ready.body = "{}";
      return ready;
    });
    add("AbortChangeSet", [&] {
      Ready ready = OnSet("abort", 0);
      ready.body = "{}";
      return ready;
    });
  }
};

// Those that are made of kinds are one method: it is asked of one kind.
bool IsOfAnotherKind(const MethodDescriptor& method) {
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (kind.kind != resource::Kind::kTenant && v2::KindService(kind.name) == method.service()) return true;
  }
  return false;
}

TEST_F(WriteOnce, OfEveryMethodThatMayChangeSomething) {
  const auto scenes = Scenes();
  size_t seen = 0;
  for (const MethodDescriptor* method : Writing()) {
    SCOPED_TRACE(method->full_name());
    const std::string_view why = services::WhyNoKeys(*method);
    if (!why.empty()) {
      EXPECT_FALSE(scenes.contains(method->full_name()));
      continue;
    }
    if (IsOfAnotherKind(*method)) continue;
    const auto scene = scenes.find(method->full_name());
    ASSERT_NE(scene, scenes.end()) << "it takes keys: say here how it is called";
    ++seen;
    IsDoneOnce(scene->second);
  }
  EXPECT_EQ(seen, scenes.size()) << "a scene is of no method";
}

TEST_F(WriteOnce, OrTheMethodSaysWhyNot) {
  const Answer token = Send("POST", std::string(kC1) + ":createJoinToken", "{}", admin_, {{"Idempotency-Key", "one"}});
  EXPECT_EQ(token.reason(), "IDEMPOTENCY_KEY_NOT_TAKEN");
  EXPECT_THAT(token.text, HasSubstr("its answer is a secret"));
  EXPECT_EQ(store_->Read()->key_count(), 0u);
  // None of the list is a method that is gone.
  int listed = 0;
  for (const MethodDescriptor* method : Writing()) listed += services::WhyNoKeys(*method).empty() ? 0 : 1;
  EXPECT_EQ(listed, 9);
}

}  // namespace
}  // namespace weir::edge::plans
