#include "mgmt-server/http/openapi.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <functional>
#include <set>

#include "api/weir/v2/error.pb.h"
#include "google/api/annotations.pb.h"
#include "mgmt-server/http/openapi_comments.h"
#include "mgmt-server/http/openapi_paths.h"
#include "mgmt-server/http/openapi_schemas.h"
#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/http/routes.h"

namespace weir::edge {
namespace {

using document::Node;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<Message> NewOf(const Descriptor& type) {
  return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

// Every field set (of a oneof the first), lists and maps with one item; a message inside itself ends at depth 4.
void SetOne(Message& message, const FieldDescriptor& field, int depth);
void FillAll(Message& message, int depth = 0) {
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const auto* oneof = field.real_containing_oneof();
    if (oneof != nullptr && oneof->field(0) != &field) continue;
    SetOne(message, field, depth);
  }
}
void SetOne(Message& message, const FieldDescriptor& field, int depth) {
  const Reflection& to = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? to.AddInt32(&message, &field, 7) : to.SetInt32(&message, &field, 7);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? to.AddUInt32(&message, &field, 7) : to.SetUInt32(&message, &field, 7);
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? to.AddInt64(&message, &field, 7) : to.SetInt64(&message, &field, 7);
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? to.AddUInt64(&message, &field, 7) : to.SetUInt64(&message, &field, 7);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return many ? to.AddDouble(&message, &field, 0.5) : to.SetDouble(&message, &field, 0.5);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return many ? to.AddFloat(&message, &field, 0.5) : to.SetFloat(&message, &field, 0.5);
    case FieldDescriptor::CPPTYPE_BOOL:
      return many ? to.AddBool(&message, &field, true) : to.SetBool(&message, &field, true);
    case FieldDescriptor::CPPTYPE_STRING:
      return many ? to.AddString(&message, &field, "x") : to.SetString(&message, &field, "x");
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->value(field.enum_type()->value_count() - 1);
      return many ? to.AddEnum(&message, &field, value) : to.SetEnum(&message, &field, value);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Message* inner = many ? to.AddMessage(&message, &field) : to.MutableMessage(&message, &field);
      if (depth < 4) FillAll(*inner, depth + 1);
      return;
    }
  }
}

// What a JSON value of the document says by its type.
std::string TypeOf(const Node& value) {
  switch (value.type) {
    case Node::Type::kMap:
      return "object";
    case Node::Type::kSequence:
      return "array";
    case Node::Type::kBool:
      return "boolean";
    case Node::Type::kNumber:
      return "number";
    default:
      return "string";
  }
}

struct Operation {
  std::string http_method, path;
  const Node* node;
  std::vector<std::string> parameters(const char* in) const;
};

const Node& At(const Node& node, const std::vector<std::string>& path) {
  static const Node none;
  const Node* at = &node;
  for (const std::string& key : path) {
    at = at->Find(key);
    if (at == nullptr) return none;
  }
  return *at;
}

std::vector<std::string> Operation::parameters(const char* in) const {
  std::vector<std::string> names;
  for (const Node& parameter : At(*node, {"parameters"}).items) {
    if (At(parameter, {"in"}).text == in) names.push_back(At(parameter, {"name"}).text);
  }
  return names;
}

class OpenApiDocument : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    const Answer answer = Get("/openapi.json");
    ASSERT_EQ(answer.status, 200) << answer.text;
    auto parsed = document::ParseOne(answer.text, {.bytes = 8u << 20, .nodes = 2'000'000}, document::Syntax::kJson);
    ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
    document_ = std::move(parsed).value();
    for (const auto& path : At(document_, {"paths"}).members) {
      for (const auto& item : path.value.members) {
        if (item.key != "parameters") operations_.push_back({Upper(item.key), path.key, &item.value});
      }
    }
  }

  static std::string Upper(std::string text) {
    for (char& c : text) c = static_cast<char>(c - 'a' + 'A');
    return text;
  }
  // {organization} -> "demo-org" or "x": a name of everything.
  static std::string Concrete(std::string path) {
    for (size_t open = path.find('{'); open != std::string::npos; open = path.find('{')) {
      const size_t close = path.find('}', open);
      path.replace(open, close - open + 1, path.compare(open, 14, "{organization}") == 0 ? "demo-org" : "x");
    }
    return path;
  }
  static std::map<std::string, const MethodDescriptor*> Methods() {
    std::map<std::string, const MethodDescriptor*> methods;
    for (const auto* service : PublicServices()) {
      for (int i = 0; i < service->method_count(); ++i) methods[service->method(i)->full_name()] = service->method(i);
    }
    return methods;
  }
  const MethodDescriptor* MethodOf(const Operation& operation) const {
    const std::string& name = At(*operation.node, {"x-grpc-method"}).text;
    return name.empty() ? nullptr : Methods().at(name);
  }
  const Node& Resolved(const Node& schema) const {
    const std::string& ref = At(schema, {"$ref"}).text;
    if (ref.empty()) return schema;
    const size_t slash = ref.rfind('/');
    return At(document_, {"components", ref.substr(13, slash - 13), ref.substr(slash + 1)});
  }
  // What is written has what the schema has, by name and type, and nothing else.
  void Compare(const Node& value, const Node& given, const std::string& at, bool whole) const {
    const Node& schema = Resolved(given);
    std::string type = At(schema, {"type"}).text;
    ASSERT_NE(type, "") << at;
    EXPECT_EQ(TypeOf(value), type == "integer" ? "number" : type) << at;
    const Node& values = At(schema, {"enum"});
    if (!values.items.empty()) {
      std::vector<std::string> texts;
      texts.reserve(values.items.size());
      for (const Node& one : values.items) texts.push_back(one.text);
      EXPECT_THAT(texts, Contains(value.text)) << at;
    }
    if (type == "array" && !value.items.empty())
      return Compare(value.items[0], At(schema, {"items"}), at + "[]", whole);
    if (type != "object") return;
    const Node& others = At(schema, {"additionalProperties"});
    for (const auto& member : value.members) {
      const Node* property = At(schema, {"properties"}).Find(member.key);
      if (property == nullptr && others.type == Node::Type::kMap) property = &others;
      ASSERT_NE(property, nullptr) << at << "." << member.key << " is written and not described";
      Compare(member.value, *property, at + "." + member.key, whole);
    }
    EXPECT_TRUE(others.type == Node::Type::kMap || others.text == "false") << at;
    if (whole && others.type != Node::Type::kMap && At(schema, {"allOf"}).IsNull() && !value.members.empty()) {
      EXPECT_EQ(value.members.size(), At(schema, {"properties"}).members.size()) << at;
    }
  }

  Node document_;
  std::vector<Operation> operations_;
};

TEST_F(OpenApiDocument, HasEveryMethodOnceForEachOfItsPathsAndEachPathLeadsThere) {
  const RouteTable routes(PublicServices());
  std::set<std::string> methods, ids;
  for (const Operation& operation : operations_) {
    EXPECT_TRUE(ids.insert(At(*operation.node, {"operationId"}).text).second) << operation.path;
    const MethodDescriptor* method = MethodOf(operation);
    if (method == nullptr) continue;
    std::vector<std::string> allowed;
    const auto match = routes.Find(operation.http_method, Concrete(operation.path), &allowed);
    ASSERT_TRUE(match.ok()) << operation.path;
    EXPECT_EQ(match->route->method, method) << operation.path;
    methods.insert(method->full_name());
    EXPECT_EQ(operation.parameters("path").size(),
              static_cast<size_t>(std::count(operation.path.begin(), operation.path.end(), '{')))
        << operation.path;
  }
  for (const auto& [name, method] : Methods()) EXPECT_THAT(methods, Contains(name));
}

TEST_F(OpenApiDocument, ADeepPathIsOneForEachKind) {
  std::set<std::string> paths;
  for (const Operation& operation : operations_) {
    if (At(*operation.node, {"x-grpc-method"}).text == "weir.v2.Statuses.GetStatus") paths.insert(operation.path);
  }
  EXPECT_EQ(paths.size(), resource::Kinds().size() - 1);  // AccessBindings have no status.
  EXPECT_THAT(paths, Contains("/v2/organizations/{organization}/status"));
  EXPECT_THAT(paths, Contains("/v2/organizations/{organization}/tenants/{tenant}/workspaces/{workspace}/status"));
}

TEST_F(OpenApiDocument, HasEveryFieldOfARequestWhereItIsRead) {
  for (const Operation& operation : operations_) {
    const MethodDescriptor* method = MethodOf(operation);
    if (method == nullptr) continue;
    const auto& rule = method->options().GetExtension(google::api::http);
    std::set<std::string> expected, query;
    const std::vector<std::string> bound = BoundFields(MethodAndPath(rule).second);
    for (int i = 0; i < method->input_type()->field_count(); ++i) {
      const FieldDescriptor& field = *method->input_type()->field(i);
      const bool elsewhere = std::count(bound.begin(), bound.end(), field.name()) > 0 || field.name() == rule.body();
      if (!elsewhere) expected.insert(field.json_name());
    }
    for (const std::string& name : operation.parameters("query")) query.insert(name);
    const Node& body = At(*operation.node, {"requestBody", "content", "application/json", "schema"});
    EXPECT_EQ(body.IsNull(), rule.body().empty()) << operation.path;
    if (rule.body() != "*") {
      EXPECT_EQ(query, expected) << operation.path;
      continue;
    }
    EXPECT_TRUE(query.empty()) << operation.path;
    std::set<std::string> fields;
    for (const auto& member : At(Resolved(body), {"properties"}).members) fields.insert(member.key);
    EXPECT_EQ(fields, expected) << operation.path;
  }
}

TEST_F(OpenApiDocument, NamesAndTypesAreWhatIsWrittenAndRead) {
  std::set<const Descriptor*> seen;
  for (const Operation& operation : operations_) {
    const MethodDescriptor* method = MethodOf(operation);
    if (method == nullptr) continue;
    const auto check = [&](const Descriptor& type, const Node& schema) {
      if (schema.IsNull() || !seen.insert(&type).second) return;
      const std::unique_ptr<Message> message = NewOf(type);
      FillAll(*message);
      const Node written = document::FromMessage(*message);
      Compare(written, schema, type.name(), true);
      std::vector<FieldViolation> violations;
      const std::unique_ptr<Message> read = NewOf(type);
      EXPECT_TRUE(document::ToMessage(written, *read, violations)) << type.full_name();
    };
    check(*method->output_type(), At(*operation.node, {"responses", "200", "content", "application/json", "schema"}));
    const std::string& body = method->options().GetExtension(google::api::http).body();
    if (body.empty() || body == "*") continue;
    check(*method->input_type()->FindFieldByName(body)->message_type(),
          At(*operation.node, {"requestBody", "content", "application/json", "schema"}));
  }
  EXPECT_GT(seen.size(), 20u);
  v2::ErrorBody error;
  FillAll(error);
  Compare(document::FromMessage(error), RefNode("schemas", "ErrorBody"), "ErrorBody", true);
}

TEST_F(OpenApiDocument, EveryOperationAnswersAsItIsDescribed) {
  std::string token = admin_;
  for (const Operation& operation : operations_) {
    const MethodDescriptor* method = MethodOf(operation);
    const bool endless = method != nullptr && method->server_streaming();
    const std::string path = Concrete(operation.path) + (endless ? "?seconds=1" : "");
    const bool open = !At(*operation.node, {"security"}).IsNull();
    for (const bool signed_in : {true, false}) {
      if (operation.path == "/v2/logout" && signed_in) token = NewUser("leaver");
      const bool body = operation.http_method == "POST" || operation.http_method == "PUT";
      const Answer answer =
          Send(operation.http_method, path, body && path != "/v2/logout" ? "{}" : "", signed_in ? token : "");
      token = admin_;
      const Node& described = Resolved(At(*operation.node, {"responses", std::to_string(answer.status)}));
      ASSERT_FALSE(described.IsNull()) << operation.http_method << " " << path << ": " << answer.status << answer.text;
      const bool signs_in = path.starts_with("/v2/login") || path == "/v2/packages:fetch";
      EXPECT_EQ(answer.status == 401, signs_in || (!signed_in && !open)) << path << answer.text;
      EXPECT_LT(answer.status, 500) << path;
      const std::string type(http::FindHeader(answer.headers, "content-type"));
      const Node* content = At(described, {"content"}).Find(type);
      ASSERT_NE(content, nullptr) << path << ": " << type;
      if (type != "text/plain" && type != "text/event-stream" && path != "/openapi.json") {
        Compare(answer.body, At(*content, {"schema"}), path, false);
      }
    }
  }
}

TEST_F(OpenApiDocument, SaysIfMatchWhereItIsUnderstood) {
  for (const Operation& operation : operations_) {
    if (MethodOf(operation) == nullptr || operation.path == "/v2/logout") continue;
    bool described = false;
    for (const Node& parameter : At(*operation.node, {"parameters"}).items) {
      described = described || At(parameter, {"$ref"}).text == "#/components/parameters/IfMatch";
    }
    const bool body = operation.http_method == "POST" || operation.http_method == "PUT";
    const Answer answer =
        Send(operation.http_method, Concrete(operation.path), body ? "{}" : "", admin_, {{"If-Match", "\"x\""}});
    EXPECT_EQ(answer.text.find("If-Match: is not understood here") == std::string::npos, described)
        << operation.http_method << operation.path << answer.text;
  }
}

TEST_F(OpenApiDocument, OutputOnlyFieldsAreReadOnlyAndSecretsAreMarked) {
  const auto property = [&](const char* schema, const char* name) {
    return At(document_, {"components", "schemas", schema, "properties", name});
  };
  for (const char* name : {"fqn", "uid", "revision", "createTime", "updateTime"}) {
    EXPECT_EQ(At(property("Metadata", name), {"readOnly"}).text, "true") << name;
  }
  EXPECT_EQ(At(property("Cluster", "state"), {"readOnly"}).text, "true");
  EXPECT_TRUE(At(property("Metadata", "name"), {"readOnly"}).IsNull());
  EXPECT_EQ(At(property("LoginRequest", "password"), {"format"}).text, "password");
  EXPECT_EQ(At(property("SetPasswordRequest", "oldPassword"), {"format"}).text, "password");
}

TEST_F(OpenApiDocument, CarriesTheCommentsOfTheContracts) {
  EXPECT_EQ(At(document_, {"components", "schemas", "Workspace", "description"}).text,
            "Owns namespaces over clusters, exclusively, and holds groups.");
  EXPECT_THAT(At(document_, {"components", "schemas", "AdminState", "description"}).text,
              HasSubstr("DRAINING: Tier-1 gateways send it no new requests"));
  EXPECT_THAT(At(document_, {"components", "schemas", "AppliedDocument", "properties", "warnings", "description"}).text,
              HasSubstr("a rule that can never fire"));
  EXPECT_THAT(At(document_, {"components", "schemas", "AccessBindings", "description"}).text,  // Two lines.
              HasSubstr("(Organization to GatewayGroup, and what stands in it, Cluster, User, Team)"));
  EXPECT_THAT(At(document_, {"paths", "/v2/login", "post", "description"}).text, HasSubstr("BAD_CREDENTIALS"));
}

TEST_F(OpenApiDocument, IsForWhoeverHasATokenAndHasAnEtag) {
  EXPECT_EQ(Send("GET", "/openapi.json", "", "").status, 401);
  EXPECT_EQ(Send("GET", "/openapi.json", "", "nobody").status, 401);
  const Answer answer = Send("GET", "/openapi.json", "", NewUser("reader"));
  EXPECT_EQ(answer.status, 200);
  ASSERT_FALSE(answer.etag.empty());
  const Answer again = Send("GET", "/openapi.json", "", admin_, {{"If-None-Match", answer.etag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.text, "");
  EXPECT_EQ(Send("GET", "/openapi.json", "", admin_, {{"If-None-Match", "\"other\""}}).status, 200);
  const Answer posted = Send("POST", "/openapi.json", "{}", admin_);
  EXPECT_EQ(posted.status, 405);
  EXPECT_EQ(http::FindHeader(posted.headers, "allow"), "GET");
}

TEST_F(OpenApiDocument, ABodyDoesNotContradictThePath) {
  const std::string path = "/v2/organizations/demo-org/users/admin:setPassword";
  const Answer other = Post(path, R"({"fqn":"organizations/demo-org/users/eve","password":"a-long-password"})");
  EXPECT_EQ(other.status, 400);
  EXPECT_THAT(other.text, HasSubstr("fqn: differs from the path"));
  EXPECT_THAT(Post(path, R"({"fqn":"organizations/demo-org/users/admin"})").text,
              Not(HasSubstr("differs from the path")));
}

TEST_F(OpenApiDocument, ABodyIsAnObject) {
  for (const char* body : {"null", "7", "[]", "\"{}\""}) {
    EXPECT_EQ(Post("/v2/serverstate:replaceroot", body).status, 400) << body;
  }
  EXPECT_NE(Post("/v2/serverstate:replaceroot", "").status, 400);
}

TEST(OpenPath, NamesEachSegmentByItsCollection) {
  const auto paths = OpenPaths("/v2/{fqn=organizations/*/policies/*}:drain");
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].text, "/v2/organizations/{organization}/policies/{policy}:drain");
  EXPECT_THAT(paths[0].parameters, ElementsAre("organization", "policy"));
  EXPECT_EQ(OpenPaths("/v2/users/{name}")[0].text, "/v2/users/{user}");
}

}  // namespace
}  // namespace weir::edge
