#include "mgmt-server/http/openapi.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <set>

#include "api/weir/v2/error.pb.h"
#include "google/api/annotations.pb.h"
#include "mgmt-server/http/event_stream.h"
#include "mgmt-server/http/openapi_answers.h"
#include "mgmt-server/http/openapi_comments.h"
#include "mgmt-server/http/openapi_paths.h"
#include "mgmt-server/http/openapi_schemas.h"
#include "mgmt-server/http/routes.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/kept_answers.h"

namespace weir::edge {
namespace {

using document::Node;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

constexpr std::string_view kIntroduction =
    "REST door of weir-server. The same calls are served by gRPC; x-grpc-method names them. Fields that are unset or "
    "have "
    "their default are left out of answers; null in a request is as if the field were not there; fields that are not "
    "known "
    "are refused. Names of fields may also be written as in the .proto files (resource_version). Every failure is a "
    "problem "
    "of RFC 9457; `reason` and `type` are stable.";

// Which message of a request or answer has metadata.resourceVersion.
bool HasEtag(const Descriptor& message) {
  const FieldDescriptor* metadata = message.FindFieldByName("metadata");
  return metadata != nullptr && !metadata->is_repeated() && metadata->message_type() != nullptr &&
         metadata->message_type()->FindFieldByName("resource_version") != nullptr;
}

// As Rest takes If-Match.
bool TakesIfMatch(const MethodDescriptor& method, const std::string& body) {
  if (body.empty() || body == "*") return method.input_type()->FindFieldByName("resource_version") != nullptr;
  return HasEtag(*method.input_type()->FindFieldByName(body)->message_type());
}

// "ListTenants" -> "List tenants".
std::string InWords(std::string_view name) {
  std::string words;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !words.empty()) words += ' ';
    words += upper && !words.empty() ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return words;
}

Node HeaderNode(std::string_view description) {
  Node header = Node::Map();
  header.Add("description", TextNode(description));
  header.Add("schema", Node::Map()).Add("type", TextNode("string"));
  return header;
}

Node Parameter(std::string_view name, std::string_view in, std::string_view description, bool required, Node schema) {
  Node parameter = Node::Map();
  parameter.Add("name", TextNode(name));
  parameter.Add("in", TextNode(in));
  if (!description.empty()) parameter.Add("description", TextNode(description));
  if (required) parameter.Add("required", Node::Bool(true));
  parameter.Add("schema", std::move(schema));
  return parameter;
}

Node Pattern(std::string_view pattern, int most) {
  Node schema = Node::Map();
  schema.Add("type", TextNode("string"));
  schema.Add("pattern", TextNode(pattern));
  schema.Add("maxLength", Node::Number(std::to_string(most)));
  return schema;
}

Node Content(Node schema, std::string_view type = "application/json") {
  Node content = Node::Map();
  content.Add(std::string(type), Node::Map()).Add("schema", std::move(schema));
  return content;
}

class Builder {
 public:
  Builder(const services::MethodTable& methods, const Comments& comments)
      : methods_(methods), comments_(comments), schemas_(comments) {}

  void Add(const google::protobuf::ServiceDescriptor& service) {
    Node tag = Node::Map();
    tag.Add("name", TextNode(service.name()));
    if (const auto& comment = comments_.Of(service.full_name()); !comment.empty()) {
      tag.Add("description", TextNode(comment));
    }
    tags_.items.push_back(std::move(tag));
    for (int i = 0; i < service.method_count(); ++i) Add(*service.method(i));
  }

  Node Finish(std::string_view version) {
    AddPages();
    Node document = Node::Map();
    document.Add("openapi", TextNode("3.1.0"));
    Node& info = document.Add("info", Node::Map());
    info.Add("title", TextNode("Weir"));
    info.Add("description", TextNode(kIntroduction));
    info.Add("version", TextNode(version));
    Node server = Node::Map();
    server.Add("url", TextNode("/"));
    document.Add("servers", Node::Sequence()).items.push_back(std::move(server));
    Node bearer = Node::Map();
    bearer.Add("bearer", Node::Sequence());
    document.Add("security", Node::Sequence()).items.push_back(std::move(bearer));
    document.Add("tags", std::move(tags_));
    Node& paths = document.Add("paths", Node::Map());
    for (auto& [path, item] : paths_) paths.Add(path, std::move(item));
    document.Add("components", Components());
    return document;
  }

 private:
  void Add(const MethodDescriptor& method) {
    if (!method.options().HasExtension(google::api::http)) return;
    const google::api::HttpRule& rule = method.options().GetExtension(google::api::http);
    const auto [http_method, path_template] = MethodAndPath(rule);
    for (const OpenPath& path : OpenPaths(path_template)) {
      Node operation = Operation(method, rule.body(), http_method, path_template, path);
      std::string verb = http_method;
      for (char& c : verb) c = static_cast<char>(c - 'A' + 'a');
      ItemOf(path.text).Add(verb, std::move(operation));
    }
  }

  // With what all operations of a path share.
  Node& ItemOf(const std::string& path) {
    const auto [item, fresh] = paths_.try_emplace(path, Node::Map());
    if (fresh) item->second.Add("parameters", Node::Sequence()).items.push_back(RefNode("parameters", "RequestId"));
    return item->second;
  }

  Node Operation(const MethodDescriptor& method, const std::string& body, std::string_view http_method,
                 std::string_view path_template, const OpenPath& path) {
    const std::vector<std::string> fields = BoundFields(path_template);
    const std::set<std::string> bound(fields.begin(), fields.end());
    // It says nothing of it in its path: all calls about the server itself ask for a right on the installation.
    const bool installation = method.service()->full_name() == "weir.v2.ServerState";
    AnswerFacts facts{.open = methods_.Admit(method.full_name(), "").ok(),
                      .reads = http_method == "GET",
                      .body = !body.empty(),
                      .names = !path.parameters.empty() || !body.empty() || installation || method.server_streaming(),
                      .waits = method.input_type()->FindFieldByName("wait") != nullptr || method.server_streaming(),
                      .if_match = TakesIfMatch(method, body),
                      .etag = HasEtag(*method.output_type())};
    Node operation = Node::Map();
    operation.Add("operationId", Node::String(fmt::format("{}_{}{}{}", method.service()->name(), method.name(),
                                                          path.suffix.empty() ? "" : "_", path.suffix)));
    operation.Add("tags", Node::Sequence()).items.push_back(TextNode(method.service()->name()));
    operation.Add("summary", TextNode(InWords(method.name())));
    if (const auto& comment = comments_.Of(method.full_name()); !comment.empty()) {
      operation.Add("description", TextNode(comment));
    }
    operation.Add("x-grpc-method", TextNode(method.full_name()));
    if (facts.open) operation.Add("security", Node::Sequence());
    Node parameters = Parameters(method, body, bound, path, facts);
    if (!parameters.items.empty()) operation.Add("parameters", std::move(parameters));
    if (facts.body) operation.Add("requestBody", Body(method, body, bound));
    operation.Add("responses", Responses(method, facts));
    return operation;
  }

  Node Parameters(const MethodDescriptor& method, const std::string& body, const std::set<std::string>& bound,
                  const OpenPath& path, const AnswerFacts& facts) {
    const Descriptor& request = *method.input_type();
    const bool across = request.FindFieldByName("page_token") != nullptr;  // A list takes "-" for any name.
    Node parameters = Node::Sequence();
    for (const std::string& name : path.parameters) {
      parameters.items.push_back(Parameter(name, "path", "", true, RefNode("schemas", across ? "NameOrAny" : "Name")));
    }
    for (int i = 0; body != "*" && i < request.field_count(); ++i) {
      const FieldDescriptor& field = *request.field(i);
      if (bound.contains(field.name()) || field.name() == body) continue;
      parameters.items.push_back(Parameter(field.json_name(), "query", comments_.Of(field.full_name()),
                                           schemas_.IsRequired(field), schemas_.Of(field, true)));
    }
    if (facts.if_match) parameters.items.push_back(RefNode("parameters", "IfMatch"));
    if (services::WhyNoKeys(method).empty()) {
      parameters.items.push_back(RefNode("parameters", "IdempotencyKey"));
    }
    if (method.server_streaming()) parameters.items.push_back(RefNode("parameters", "LastEventId"));
    if (facts.reads && facts.etag) parameters.items.push_back(RefNode("parameters", "IfNoneMatch"));
    return parameters;
  }

  Node Body(const MethodDescriptor& method, const std::string& body, const std::set<std::string>& bound) {
    const Descriptor& request = *method.input_type();
    Node node = Node::Map();
    if (body != "*") {
      node.Add("required", Node::Bool(true));
      node.Add("content", Content(schemas_.Of(*request.FindFieldByName(body)->message_type())));
    } else {
      node.Add("content", Content(schemas_.Without(request, bound)));
    }
    return node;
  }

  Node Responses(const MethodDescriptor& method, const AnswerFacts& facts) {
    Node responses = Node::Map();
    Node& done = responses.Add("200", Node::Map());
    done.Add("description", TextNode("Done."));
    Node& headers = done.Add("headers", Node::Map());
    headers.Add("X-Request-Id", RefNode("headers", "RequestId"));
    if (facts.etag) headers.Add("ETag", RefNode("headers", "ETag"));
    Node schema = schemas_.Of(*method.output_type());
    done.Add("content",
             method.server_streaming() ? Content(std::move(schema), kEventStream) : Content(std::move(schema)));
    AddOtherAnswers(facts, responses);
    return responses;
  }

  // What the edge serves beside the methods.
  void AddPages() {
    Node json = Node::Map();
    json.Add("type", TextNode("object"));
    AddPage("/openapi.json", "OpenApi", "This document", {.open = false, .reads = true, .etag = true},
            Content(std::move(json)));
    Node text = Node::Map();
    text.Add("type", TextNode("string"));
    AddPage("/healthz", "Healthz", "Whether the server answers; asks for no token", {.open = true, .reads = true},
            Content(std::move(text), "text/plain"));
  }
  void AddPage(const std::string& path, std::string_view id, std::string_view summary, const AnswerFacts& facts,
               Node content) {
    Node operation = Node::Map();
    operation.Add("operationId", TextNode(id));
    operation.Add("summary", TextNode(summary));
    if (facts.open) operation.Add("security", Node::Sequence());
    if (facts.etag) operation.Add("parameters", Node::Sequence()).items.push_back(RefNode("parameters", "IfNoneMatch"));
    Node& responses = operation.Add("responses", Node::Map());
    Node& done = responses.Add("200", Node::Map());
    done.Add("description", TextNode("Done."));
    Node& headers = done.Add("headers", Node::Map());
    headers.Add("X-Request-Id", RefNode("headers", "RequestId"));
    if (facts.etag) headers.Add("ETag", RefNode("headers", "ETag"));
    done.Add("content", std::move(content));
    AddOtherAnswers(facts, responses);
    ItemOf(path).Add("get", std::move(operation));
  }

  Node Components() {
    schemas_.Of(*v2::ErrorBody::descriptor());
    schemas_.Add("Name", Pattern("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", 63));
    schemas_.Add("NameOrAny", Pattern("^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|-)$", 63));
    Node components = Node::Map();
    components.Add("schemas", schemas_.All());
    components.Add("responses", OtherAnswers());
    Node& parameters = components.Add("parameters", Node::Map());
    const auto header = [&](const char* key, const char* name, const char* description) {
      Node text = Node::Map();
      text.Add("type", TextNode("string"));
      parameters.Add(key, Parameter(name, "header", description, false, std::move(text)));
    };
    header(
        "RequestId", "X-Request-Id",
        "1 to 128 of [A-Za-z0-9._-]: said in the answer and in the log. In place of any other the server makes one.");
    header("IfMatch", "If-Match", "Etags, one of which must be what is stored, or *: the same as resourceVersion.");
    header("IdempotencyKey", "Idempotency-Key",
           "1 to 255 visible ASCII characters, such as a random UUID: the write is done once. For 24 hours the same "
           "caller "
           "with the same key and request gets the first answer again; with another request, IDEMPOTENCY_KEY_REUSED. "
           "Refusals are not kept.");
    header("LastEventId", "Last-Event-ID", "The id of the last event that was seen: the same as after.");
    header("IfNoneMatch", "If-None-Match", "Etags that the caller has; 304 for one of them.");
    Node& headers = components.Add("headers", Node::Map());
    headers.Add("RequestId", HeaderNode("Of this call, as in the server's log."));
    headers.Add("ETag", HeaderNode("The version: metadata.resourceVersion in quotes."));
    Node& bearer = components.Add("securitySchemes", Node::Map()).Add("bearer", Node::Map());
    bearer.Add("type", TextNode("http"));
    bearer.Add("scheme", TextNode("bearer"));
    bearer.Add("description", TextNode("The token that POST /v2/login gives."));
    return components;
  }

  const services::MethodTable& methods_;
  const Comments& comments_;
  Schemas schemas_;
  std::map<std::string, Node> paths_;
  Node tags_ = Node::Sequence();
};

}  // namespace

std::string OpenApi(const std::vector<const google::protobuf::ServiceDescriptor*>& services,
                    const services::MethodTable& methods, const Comments& comments, std::string_view version) {
  Builder builder(methods, comments);
  for (const auto* service : services) builder.Add(*service);
  return document::WriteJson(builder.Finish(version));
}

}  // namespace weir::edge
