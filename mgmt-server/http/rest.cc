#include "mgmt-server/http/rest.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <strings.h>

#include <memory>

#include "api/weir/v2/error.pb.h"
#include "libs/base/ids.h"
#include "libs/document/document.h"
#include "mgmt-server/services/call.h"

namespace weir::edge {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr const char* kJson = "application/json";

std::string RequestId(const http::Request& request) {
  const std::string_view given = request.Header("x-request-id");
  const bool usable = !given.empty() && given.size() <= 128 &&
                      given.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
                          std::string_view::npos;
  return usable ? std::string(given) : NewUid();
}

std::string BearerToken(const http::Request& request) {
  const std::string_view value = request.Header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() || strncasecmp(value.data(), kScheme.data(), kScheme.size()) != 0) return "";
  return std::string(value.substr(value.find_first_not_of(' ', kScheme.size())));
}

// "\"v\"" -> "v". RFC 9110 8.8.3; a weak one cannot match for a write, so it keeps its W/ and fails.
std::string EtagOf(std::string_view header) {
  if (header.size() >= 2 && header.front() == '"' && header.back() == '"') header = header.substr(1, header.size() - 2);
  return std::string(header);
}

Error Invalid(std::string field, std::string description) {
  Error error = InvalidArgument("INVALID_REQUEST", "{}: {}", field, description);
  error.violations.push_back({std::move(field), std::move(description), 0, 0});
  return error;
}

// A scalar by its text, as in the path or the query.
bool SetScalar(Message& message, const FieldDescriptor* field, const std::string& value) {
  const Reflection* reflection = message.GetReflection();
  char* end = nullptr;
  errno = 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(&message, field, value);
      return true;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (value != "true" && value != "false") return false;
      reflection->SetBool(&message, field, value == "true");
      return true;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64: {
      const long long number = strtoll(value.c_str(), &end, 10);
      if (value.empty() || *end != '\0' || errno != 0) return false;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
        reflection->SetInt64(&message, field, number);
      } else {
        if (number < INT32_MIN || number > INT32_MAX) return false;
        reflection->SetInt32(&message, field, static_cast<int32_t>(number));
      }
      return true;
    }
    default:
      return false;
  }
}

const FieldDescriptor* FindField(const Message& message, const std::string& name) {
  const auto* descriptor = message.GetDescriptor();
  const FieldDescriptor* field = descriptor->FindFieldByCamelcaseName(name);
  if (field == nullptr) field = descriptor->FindFieldByName(name);
  return field == nullptr || field->is_repeated() ? nullptr : field;
}

// Query parameters name scalar fields of the request that neither path nor body gives.
void ReadQuery(std::string_view query, const Route& route, const PathTemplate::Bindings& bindings, Message& message,
               std::vector<FieldViolation>& violations) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    std::string name;
    std::string value;
    const bool decoded = PercentDecode(pair.substr(0, equals), true, &name) &&
                         (equals == std::string_view::npos || PercentDecode(pair.substr(equals + 1), true, &value));
    if (!decoded) {
      violations.push_back({std::string(pair.substr(0, equals)), "the query has a broken % escape", 0, 0});
      continue;
    }
    const FieldDescriptor* field = route.body == "*" ? nullptr : FindField(message, name);
    bool taken = field == nullptr || field->name() == route.body;
    for (const auto& [bound, ignored] : bindings) taken = taken || (field != nullptr && field->name() == bound);
    if (taken) {
      violations.push_back({name, "unknown query parameter", 0, 0});
    } else if (!SetScalar(message, field, value)) {
      violations.push_back({name, fmt::format("\"{}\" is not a value of this parameter", value), 0, 0});
    }
  }
}

Message* MutableField(Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return nullptr;
  return message.GetReflection()->MutableMessage(&message, field);
}

// The etag is one string wherever it stands: metadata.resourceVersion in the body, resourceVersion in the query, or
// If-Match.
Status ApplyIfMatch(std::string_view header, const Route& route, Message& request) {
  if (header.empty()) return {};
  const std::string etag = EtagOf(header);
  Message* holder = &request;
  if (!route.body.empty() && route.body != "*") {
    holder = MutableField(*MutableField(request, route.body.c_str()), "metadata");
  }
  const FieldDescriptor* field =
      holder == nullptr ? nullptr : holder->GetDescriptor()->FindFieldByName("resource_version");
  if (field == nullptr) return Invalid("If-Match", "is not understood here");
  const std::string given = holder->GetReflection()->GetString(*holder, field);
  if (!given.empty() && given != etag) return Invalid("If-Match", "differs from resourceVersion");
  holder->GetReflection()->SetString(holder, field, etag);
  return {};
}

// "" for a message that is no resource.
std::string ResourceVersion(const Message& message) {
  const FieldDescriptor* metadata = message.GetDescriptor()->FindFieldByName("metadata");
  if (metadata == nullptr || metadata->is_repeated()) return "";
  const Message& inner = message.GetReflection()->GetMessage(message, metadata);
  const FieldDescriptor* field = inner.GetDescriptor()->FindFieldByName("resource_version");
  return field == nullptr ? "" : inner.GetReflection()->GetString(inner, field);
}

int StatusOf(const Error& error) {
  if (error.reason == "METHOD_NOT_ALLOWED") return 405;
  return HttpStatus(error.code);
}

}  // namespace

http::Response Rest::RenderError(int status, const Error& error, const std::string& request_id) {
  v2::ErrorBody body;
  body.set_code(std::string(CodeName(error.code)));
  body.set_reason(error.reason);
  body.set_message(error.message);
  for (const FieldViolation& violation : error.violations) {
    v2::FieldViolation* out = body.add_field_violations();
    out->set_field(violation.field);
    out->set_description(violation.description);
    out->set_line(violation.line);
    out->set_column(violation.column);
  }
  body.set_request_id(request_id);
  http::Response response{status, {{"Content-Type", kJson}}, document::ToJson(body)};
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

Result<http::Response> Rest::Serve(const http::Request& request, services::CallContext& call,
                                   http::Headers* extra) const {
  const std::string_view target = request.target;
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  const std::string_view query = question == std::string_view::npos ? "" : target.substr(question + 1);
  const std::string_view http_method = request.method == "HEAD" ? std::string_view("GET") : request.method;
  if (path == "/healthz" && http_method == "GET") return http::Response{200, {{"Content-Type", "text/plain"}}, "ok\n"};

  std::vector<std::string> allowed;
  auto match = routes_.Find(http_method, path, &allowed);
  if (!match.ok()) {
    if (!allowed.empty()) extra->emplace_back("Allow", fmt::format("{}", fmt::join(allowed, ", ")));
    return std::move(match).error();
  }
  const Route& route = *match->route;
  const std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(route.method->input_type())->New());
  std::vector<FieldViolation> violations;
  if (!route.body.empty()) {
    Message* body = route.body == "*" ? message.get() : MutableField(*message, route.body.c_str());
    const std::string_view text = request.body.empty() && route.body == "*" ? "{}" : std::string_view(request.body);
    WEIR_ASSIGN(const document::Node node, document::ParseOne(text, {}, document::Syntax::kJson));
    document::ToMessage(node, *body, call.unread);
  } else if (!request.body.empty()) {
    return Invalid("body", "this request takes none");
  }
  for (const auto& [field, value] : match->bindings) {
    SetScalar(*message, message->GetDescriptor()->FindFieldByName(field), value);
  }
  ReadQuery(query, route, match->bindings, *message, violations);
  if (!violations.empty()) {
    Error error =
        InvalidArgument("INVALID_REQUEST", "{}: {}", violations.front().field, violations.front().description);
    error.violations = std::move(violations);
    return error;
  }
  WEIR_TRY(ApplyIfMatch(request.Header("if-match"), route, *message));

  WEIR_ASSIGN(const services::MessagePtr answer, methods_.Call(*route.method, call, *message));
  http::Response response{200, {{"Content-Type", kJson}}, document::ToJson(*answer)};
  const std::string etag = ResourceVersion(*answer);
  if (!etag.empty()) response.headers.emplace_back("ETag", "\"" + etag + "\"");
  return response;
}

http::Response Rest::Handle(http::Request&& request) const {
  services::CallContext call;
  call.request_id = RequestId(request);
  call.token = BearerToken(request);
  call.peer = request.peer;
  http::Headers extra;
  Result<http::Response> served = Serve(request, call, &extra);
  http::Response response =
      served.ok() ? std::move(served).value() : RenderError(StatusOf(served.error()), served.error(), call.request_id);
  for (auto& header : extra) response.headers.push_back(std::move(header));
  response.headers.emplace_back("X-Request-Id", call.request_id);
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace weir::edge
