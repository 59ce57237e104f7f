// Every kind of the list has what a kind needs (docs/checklists/kind.md), and behaves as every kind does.
#include "libs/resource/kinds.h"

#include <google/protobuf/descriptor.h>

#include <set>

#include "api/weir/v2/kind.pb.h"
#include "api/weir/v2/kind_services.h"
#include "google/api/annotations.pb.h"
#include "libs/resource/field_paths.h"
#include "libs/resource/validate.h"
#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/http/routes.h"

namespace weir::edge {
namespace {

using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using resource::KindInfo;

// docs/kinds/tier1_gateway.yaml for api/weir/v2/tier1_gateway.proto.
std::string ExampleOf(const KindInfo& kind) {
  const std::filesystem::path source = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const std::string noun = std::filesystem::path(kind.descriptor().file()->name()).stem();
  auto text = ReadFile((source / "docs/kinds" / (noun + ".yaml")).string());
  EXPECT_TRUE(text.ok()) << kind.name << " has no example document";
  return text.ok() ? *text : "";
}

std::string AllExamples() {
  std::string all;
  for (const KindInfo& kind : resource::Kinds()) all += "---\n" + ExampleOf(kind);
  return all;
}

std::string FqnOf(const KindInfo& kind) {
  auto node = document::ParseOne(ExampleOf(kind));
  EXPECT_TRUE(node.ok()) << kind.name;
  const auto message = resource::NewMessage(kind.kind);
  std::vector<FieldViolation> violations;
  document::ReadOptions options;
  options.ignore = {"apiVersion", "kind"};
  document::ToMessage(*node, *message, violations, options);
  EXPECT_EQ(node->Find("kind")->text, kind.name);
  EXPECT_EQ(node->Find("apiVersion")->text, kind.ApiVersion());
  const auto fqn = resource::FqnOf(kind.kind, resource::MetadataOf(*message), violations);
  EXPECT_TRUE(violations.empty()) << kind.name << ": " << violations.front().field;
  return fqn.value_or("");
}

TEST(Kinds, SayHowATableShowsThem) {
  for (const KindInfo& kind : resource::Kinds()) {
    ASSERT_TRUE(kind.rules.summary) << kind.name << " has nothing for the table of weir get";
    kind.rules.summary(*resource::NewMessage(kind.kind));
  }
}

TEST(Kinds, NameFieldsThatTheyHave) {
  std::set<std::string> messages;  // That a document can hold.
  const std::function<void(const google::protobuf::Descriptor&)> collect = [&](const auto& message) {
    if (!messages.insert(message.name()).second) return;
    for (int i = 0; i < message.field_count(); ++i) {
      if (message.field(i)->message_type() != nullptr) collect(*message.field(i)->message_type());
    }
  };
  for (const KindInfo& kind : resource::Kinds()) collect(kind.descriptor());
  for (const KindInfo& kind : resource::Kinds()) {
    for (const auto& field : kind.rules.immutable)
      EXPECT_TRUE(resource::HasPath(kind.descriptor(), field.path)) << field.path;
    for (const auto& path : kind.rules.output_only) EXPECT_TRUE(resource::HasPath(kind.descriptor(), path)) << path;
    for (const auto& path : kind.rules.keep_if_unset) EXPECT_TRUE(resource::HasPath(kind.descriptor(), path)) << path;
    for (const auto& moved : kind.rules.moved) {
      EXPECT_TRUE(resource::HasPath(kind.descriptor(), moved.to)) << moved.to;
      EXPECT_FALSE(resource::HasPath(kind.descriptor(), moved.from)) << moved.from;
    }
    for (const auto& foreign : kind.rules.not_served) {
      EXPECT_TRUE(messages.contains(foreign.message)) << foreign.message << " stands in no document";
    }
  }
}

TEST(Kinds, AreShortOnlyForOne) {
  for (const KindInfo& kind : resource::Kinds()) {
    for (const std::string& name : kind.short_names) EXPECT_EQ(resource::FindLoosely(name), &kind) << name;
    EXPECT_EQ(resource::FindLoosely(kind.name), &kind);
    EXPECT_EQ(resource::FindLoosely(kind.name + "s"), &kind);
  }
}

// Route and right of each method that is made of a kind; create asks on the parent, the others on the resource.
TEST(Kinds, HaveARouteAndARightForEachMethod) {
  const RouteTable routes(PublicServices());
  const std::pair<const char*, v2::Right> methods[] = {
      {"POST", v2::CREATE}, {"GET", v2::READ}, {"GET", v2::READ}, {"PUT", v2::WRITE}, {"DELETE", v2::DELETE}};
  for (const KindInfo& kind : resource::Kinds()) {
    const ServiceDescriptor* service = v2::KindService(kind.name);
    if (service == nullptr) {
      EXPECT_EQ(kind.kind, resource::Kind::kAccessBindings) << kind.name << " has no service";
      continue;
    }
    ASSERT_EQ(service->method_count(), 5);
    const std::string fqn = FqnOf(kind);
    const std::string collection = fqn.substr(0, fqn.rfind('/'));
    for (int i = 0; i < 5; ++i) {
      const MethodDescriptor& method = *service->method(i);
      EXPECT_EQ(method.options().GetExtension(v2::right), methods[i].second) << method.full_name();
      std::vector<std::string> allowed;
      const bool whole = i == 0 || i == 2;
      auto found = routes.Find(methods[i].first, "/v2/" + (whole ? collection : fqn), &allowed);
      ASSERT_TRUE(found.ok()) << method.full_name();
      EXPECT_EQ(found->route->method, &method);
    }
  }
}

TEST_F(RestApi, TheExampleOfEachKindIsTakenAndAnswered) {
  const Answer applied = Apply(AllExamples());
  ASSERT_EQ(applied.status, 200) << applied.text;
  for (const KindInfo& kind : resource::Kinds()) {
    const Answer got = Get("/v2/" + FqnOf(kind));
    EXPECT_EQ(got.status, 200) << kind.name << ": " << got.text;
  }
  const Answer again = Apply(AllExamples());
  ASSERT_EQ(again.status, 200) << again.text;
  for (const document::Node& item : again.body.Find("items")->items) {
    EXPECT_EQ(item.Find("outcome")->text, "UNCHANGED") << item.Find("fqn")->text;
  }
}

// Neither by get, update, delete nor list, and with the words for what does not exist.
TEST_F(RestApi, AStrangerLearnsOfNoKindThatItIsThere) {
  ASSERT_EQ(Apply(AllExamples()).status, 200);
  const std::string eve = NewUser("eve");
  for (const KindInfo& kind : resource::Kinds()) {
    const std::string path = "/v2/" + FqnOf(kind);
    const std::string got = Get(path).text;
    for (const char* method : {"GET", "PUT", "DELETE"}) {
      if (kind.kind == resource::Kind::kAccessBindings && std::string(method) == "DELETE") continue;
      const Answer there = Send(method, path, std::string(method) == "PUT" ? got : "", eve);
      EXPECT_EQ(there.status, 404) << method << " " << path << ": " << there.text;
      EXPECT_EQ(there.reason(), "RESOURCE_MISSING") << there.text;
    }
    if (v2::KindService(kind.name) == nullptr) continue;
    const Answer listed = Send("GET", path.substr(0, path.rfind('/')), "", eve);
    EXPECT_THAT(listed.text, Not(HasSubstr("metadata"))) << kind.name;
  }
}

TEST_F(RestApi, WhatIsProtectedIsNotDeletedNorWhatItLiesIn) {
  ASSERT_EQ(Apply(AllExamples()).status, 200);
  const std::string tenant = "/v2/organizations/demo-org/tenants/shop";
  for (const std::string& path : {tenant + "?cascade=true", std::string("/v2/organizations/demo-org?cascade=true")}) {
    const Answer refused = Send("DELETE", path, "", admin_);
    EXPECT_EQ(refused.status, 400) << refused.text;
    EXPECT_THAT(refused.text, HasSubstr(refused.reason() == "DELETES_SELF" ? "" : "DELETION_PROTECTED"));
  }
  EXPECT_EQ(Get(tenant).status, 200);
  // What lies in it may go by itself.
  EXPECT_EQ(Send("DELETE", tenant + "/workspaces/checkout?cascade=true", "", admin_).status, 200);
  const Answer got = Get(tenant);
  std::string body = got.text;
  const size_t at = body.find("\"deletionProtection\":true");
  ASSERT_NE(at, std::string::npos) << body;
  body.replace(at, 25, "\"deletionProtection\":false");
  ASSERT_EQ(Send("PUT", tenant, body, admin_).status, 200);
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true", "", admin_).status, 200);
}

}  // namespace
}  // namespace weir::edge
