#include "mgmt-server/http/rest.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>

#include "api/descriptors.h"
#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "libs/base/text.h"
#include "libs/codec/http1.h"
#include "libs/document/document.h"
#include "libs/process/version.h"
#include "libs/rpc/server.h"
#include "mgmt-server/http/event_stream.h"
#include "mgmt-server/http/openapi.h"
#include "mgmt-server/http/openapi_comments.h"
#include "mgmt-server/http/parameters.h"
#include "mgmt-server/http/problem.h"
#include "mgmt-server/services/call.h"

namespace weir::edge {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr const char* kJson = "application/json";

constexpr size_t kOpenBody = 16u << 10;  // Of a request that nobody vouches for.
constexpr size_t kBody = 2u << 20;       // Documents of 1 MiB, escaped as a JSON string.

std::string RequestId(std::string_view given) {
  const bool usable = !given.empty() && given.size() <= 128 &&
                      given.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
                          std::string_view::npos;
  return usable ? std::string(given) : NewUid();
}

// "*" or a list of quoted etags (RFC 9110 section 13.1.1); bare ones are taken too. A weak one never matches for a
// write, so it keeps its W/ and fails.
std::vector<std::string> EtagsOf(std::string_view header) {
  std::vector<std::string> etags;
  while (!header.empty()) {
    const size_t start = header.find_first_not_of(" \t,");
    if (start == std::string_view::npos) break;
    header.remove_prefix(start);
    const bool quoted = header.front() == '"';
    const size_t end = quoted ? header.find('"', 1) : header.find_first_of(" \t,");
    if (quoted && end == std::string_view::npos) return {std::string(header)};
    etags.emplace_back(quoted ? header.substr(1, end - 1) : header.substr(0, end));
    header.remove_prefix(std::min(header.size(), end == std::string_view::npos ? end : end + (quoted ? 1 : 0)));
  }
  return etags;
}

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return AsciiLower(x) == AsciiLower(y); });
}

// Of "application/json; charset=utf-8" (RFC 9110 section 8.3.1).
bool IsJson(std::string_view media_type) {
  return SameName(media_type.substr(0, media_type.find_first_of("; \t")), kJson);
}

// What every answer carries: it is for its caller only, and a browser that is led here runs and frames nothing. No
// Strict-Transport-Security: it would bind every other port of this host name too.
void Finish(http::Response& response, const std::string& request_id) {
  response.headers.emplace_back("X-Request-Id", request_id);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("X-Frame-Options", "DENY");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
}

Error Invalid(std::string field, std::string description) {
  Error error = InvalidArgument("INVALID_REQUEST", "{}: {}", field, description);
  error.violations.push_back({std::move(field), std::move(description), 0, 0});
  return error;
}

Message* MutableField(Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return nullptr;
  return message.GetReflection()->MutableMessage(&message, field);
}

Status ReadBody(std::string_view text, const Route& route, Message& message, services::CallContext& call) {
  if (route.body.empty()) return text.empty() ? Status() : Invalid("body", "this request takes none");
  Message* body = route.body == "*" ? &message : MutableField(message, route.body.c_str());
  if (text.empty() && route.body == "*") text = "{}";
  WEIR_ASSIGN(const document::Node node, document::ParseOne(text, {}, document::Syntax::kJson));
  if (node.IsNull()) return Invalid("body", "must be an object");
  document::ToMessage(node, *body, call.unread);
  return {};
}

// The etag is one string wherever it stands: metadata.resourceVersion in the body, resourceVersion in the query, or
// If-Match, which may name several or any.
Status ApplyIfMatch(std::string_view header, const Route& route, Message& request, services::CallContext& call) {
  if (header.empty()) return {};
  Message* holder = &request;
  if (!route.body.empty() && route.body != "*") {
    holder = MutableField(*MutableField(request, route.body.c_str()), "metadata");
  }
  const FieldDescriptor* field =
      holder == nullptr ? nullptr : holder->GetDescriptor()->FindFieldByName("resource_version");
  if (field == nullptr) return Invalid("If-Match", "is not understood here");
  call.if_match = EtagsOf(header);
  if (call.if_match.empty()) return Invalid("If-Match", "names no version");
  const std::string given = services::EtagText(holder->GetReflection()->GetString(*holder, field));
  const bool fits = given.empty() || call.if_match.front() == "*" ||
                    std::find(call.if_match.begin(), call.if_match.end(), given) != call.if_match.end();
  if (!fits) return Invalid("If-Match", "differs from resourceVersion");
  return {};
}

// Where a stream goes on: the last position that its caller was told, which browsers send by themselves.
Status ApplyLastEventId(std::string_view header, const Route& route, Message& request) {
  if (header.empty() || !route.method->server_streaming()) return {};
  const FieldDescriptor* after = request.GetDescriptor()->FindFieldByName("after");
  // It is later than what the request itself said, when it was made first.
  request.GetReflection()->SetString(&request, after, std::string(header));
  if (const auto* initial = request.GetDescriptor()->FindFieldByName("initial"); initial != nullptr) {
    request.GetReflection()->ClearField(&request, initial);
  }
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

int StatusOf(const Error& error, const services::CallContext& call) {
  if (error.reason == "METHOD_NOT_ALLOWED") return 405;
  if (error.reason == "DOCUMENT_TOO_LARGE") return 413;
  if (error.reason == "ETAG_MISMATCH" && !call.if_match.empty()) return 412;
  return HttpStatus(error.code);
}

// A field that this door decides by and that stands more than once, so that two readers could take two values; "" =
// none.
std::string_view Repeated(const codec::RequestHead& head) {
  for (const std::string_view name : {"Authorization", "Content-Encoding", "Content-Type", "If-Match", "If-None-Match",
                                      "X-Request-Id", "Expect", "Last-Event-ID", "Idempotency-Key"}) {
    size_t count = 0;
    for (size_t i = 0; i < head.count; ++i) count += SameName(head.Name(head.lines[i]), name);
    if (count > 1) return name;
  }
  return {};
}

// RFC 9110 section 13.1.2, by weak comparison: the caller has this version already.
bool NoneMatchFails(std::string_view header, std::string_view etag) {
  if (header.empty() || etag.empty()) return false;
  for (const std::string& given : EtagsOf(header)) {
    std::string_view one = given;
    if (one.starts_with("W/\"") && one.ends_with('"')) one = one.substr(3, one.size() - 4);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

http::Response Versioned(const http::Request& request, const std::string& etag,
                         const std::function<std::string()>& body) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const bool has_it = reads && NoneMatchFails(request.Header("if-none-match"), etag);
  http::Response response{304, {}, ""};
  if (!has_it) response = {200, {{"Content-Type", kJson}}, body()};
  if (!etag.empty()) response.headers.emplace_back("ETag", "\"" + etag + "\"");
  return response;
}

http::Response Rendered(const Message& answer, const http::Request& request) {
  return Versioned(request, ResourceVersion(answer), [&] { return document::ToJson(answer); });
}

}  // namespace

Rest::Rest(const services::MethodTable& methods)
    : methods_(methods),
      routes_(PublicServices()),
      openapi_(OpenApi(PublicServices(), methods, Comments(api::Descriptors()), process::kVersion)),
      openapi_etag_(Sha256Hex(openapi_).substr(0, 32)) {}

http::Response Rest::RenderError(int status, const Error& error, const std::string& request_id) {
  http::Response response{
      status, {{"Content-Type", std::string(kProblemJson)}}, document::ToJson(Problem(status, error, request_id))};
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  Finish(response, request_id);
  return response;
}

Result<services::MethodTable::Admission> Rest::Admit(const codec::RequestHead& head,
                                                     std::string_view authorization) const {
  std::vector<std::string> allowed;
  const auto match = routes_.Find(head.method, head.target.substr(0, head.target.find('?')), &allowed);
  return methods_.Admit(match.ok() ? match->route->method->full_name() : "",
                        std::string(rpc::BearerToken(authorization)));
}

http::Screening Rest::Screen(std::string_view bytes) const {
  static thread_local codec::RequestHead head;  // Large; used again and again.
  http::Screening screening;
  const codec::Parse parsed = codec::ParseRequest(bytes.data(), bytes.size(), head);
  if (parsed == codec::Parse::kIncomplete) return screening;
  const auto find = [&](std::string_view name) -> std::string_view {
    for (size_t i = 0; i < head.count; ++i) {
      if (SameName(head.Name(head.lines[i]), name)) return head.Value(head.lines[i]);
    }
    return {};
  };
  const auto refuse = [&](int status, const Error& error) {
    const std::string_view id = parsed == codec::Parse::kComplete ? find("x-request-id") : std::string_view();
    screening.refusal = RenderError(status, error, RequestId(id));
    return screening;
  };
  if (parsed == codec::Parse::kComplete) {
    if (const std::string_view twice = Repeated(head); !twice.empty()) {
      return refuse(400, InvalidArgument("BAD_HTTP", "not a proper HTTP/1.1 request: {} more than once", twice));
    }
  }
  if (parsed == codec::Parse::kBad) {
    // A coding that is not known makes the end of the body unknown too: this is no request.
    const int status = head.error == "unknown_transfer_encoding" ? 400 : head.error_status;
    return refuse(status, InvalidArgument("BAD_HTTP", "not a proper HTTP/1.1 request: {}", head.error));
  }
  screening.head = head.size;
  screening.target = head.target;
  const auto admission = Admit(head, find("authorization"));
  if (admission.ok()) screening.owner = admission->principal;
  if (head.body == codec::BodyKind::kNone) return screening;
  if (const std::string_view coding = find("content-encoding"); !coding.empty() && coding != "identity")
    return refuse(415, InvalidArgument("CONTENT_ENCODING", "send the body as it is, without Content-Encoding"));
  if (const std::string_view type = find("content-type"); !type.empty() && !IsJson(type))
    return refuse(415, InvalidArgument("CONTENT_TYPE", "send JSON, with Content-Type: application/json"));
  if (!admission.ok()) return refuse(HttpStatus(admission.error().code), admission.error());
  screening.body_limit = admission->anonymous ? kOpenBody : kBody;
  return screening;
}

std::optional<Result<http::Response>> Rest::Page(std::string_view path, const http::Request& request,
                                                 const services::CallContext& call, http::Headers* extra) const {
  if (path != "/healthz" && path != "/openapi.json") return std::nullopt;
  if (request.method != "GET" && request.method != "HEAD") {
    extra->emplace_back("Allow", "GET");
    return Unimplemented("METHOD_NOT_ALLOWED", "{} is not possible here", request.method);
  }
  if (path == "/healthz") return http::Response{200, {{"Content-Type", "text/plain"}}, "ok\n"};
  if (const auto admission = methods_.Admit("", call.token); !admission.ok()) return admission.error();
  return Versioned(request, openapi_etag_, [this] { return openapi_; });
}

Result<http::Response> Rest::Serve(const http::Request& request, services::CallContext& call,
                                   http::Headers* extra) const {
  const std::string_view target = request.target;
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  const std::string_view query = question == std::string_view::npos ? "" : target.substr(question + 1);
  const std::string_view http_method = request.method == "HEAD" ? std::string_view("GET") : request.method;
  if (auto page = Page(path, request, call, extra)) return std::move(*page);

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
  WEIR_TRY(ReadBody(request.body, route, *message, call));
  for (const auto& [field, value] : match->bindings) BindField(*message, field, value, violations);
  ReadQuery(query, route, match->bindings, *message, violations);
  if (!violations.empty()) {
    Error error =
        InvalidArgument("INVALID_REQUEST", "{}: {}", violations.front().field, violations.front().description);
    error.violations = std::move(violations);
    return error;
  }
  WEIR_TRY(ApplyIfMatch(request.Header("if-match"), route, *message, call));

  WEIR_TRY(ApplyLastEventId(request.Header("last-event-id"), route, *message));

  WEIR_ASSIGN(const services::MessagePtr answer, methods_.Call(*route.method, call, *message));
  if (call.stream != nullptr) {
    http::Response response{200, {{"Content-Type", std::string(kEventStream)}}, ""};
    response.stream = ServerSentEvents(std::move(call.stream), call.request_id);
    return response;
  }
  return call.later ? http::Response{} : Rendered(*answer, request);
}

http::Response Rest::Handle(http::Request&& request) const {
  services::CallContext call;
  call.request_id = RequestId(request.Header("x-request-id"));
  call.token = std::string(rpc::BearerToken(request.Header("authorization")));
  call.peer = request.peer;
  call.idempotency_key = services::EtagText(request.Header("idempotency-key"));
  call.gone = request.gone;
  http::Headers extra;
  Result<http::Response> served = Serve(request, call, &extra);
  if (served.ok() && call.later) {
    const auto send = [id = call.request_id](const std::function<void(http::Response)>& respond,
                                             const Result<services::MessagePtr>& answer) {
      if (!answer.ok()) return respond(RenderError(HttpStatus(answer.error().code), answer.error(), id));
      http::Response response = Rendered(**answer, {});
      Finish(response, id);
      respond(std::move(response));
    };
    http::Response response;
    response.later = [send, later = std::move(call.later)](std::function<void(http::Response)> respond) {
      later(
          [send, respond = std::move(respond)](const Result<services::MessagePtr>& answer) { send(respond, answer); });
    };
    return response;
  }
  if (!served.ok()) {
    http::Response response = RenderError(StatusOf(served.error(), call), served.error(), call.request_id);
    for (auto& header : extra) response.headers.push_back(std::move(header));
    if (call.retry_after > Duration(0)) {
      response.headers.emplace_back("Retry-After",
                                    std::to_string(std::chrono::ceil<std::chrono::seconds>(call.retry_after).count()));
    }
    return response;
  }
  http::Response response = std::move(served).value();
  Finish(response, call.request_id);
  return response;
}

}  // namespace weir::edge
