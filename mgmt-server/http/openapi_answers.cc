#include "mgmt-server/http/openapi_answers.h"

#include <string_view>

#include "mgmt-server/http/openapi_schemas.h"
#include "mgmt-server/http/problem.h"

namespace weir::edge {
namespace {

using document::Node;

struct Answer {
  int status;
  std::string_view name;
  std::string_view description;
  std::string_view header;  // Beside those of every answer; "" = none.
  std::string_view header_description;
  bool (*may_come)(const AnswerFacts&);
};

constexpr Answer kAnswers[] = {
    {304, "NotModified", "The caller has this version already (If-None-Match).", "ETag", "The version.",
     [](const AnswerFacts& f) { return f.reads && f.etag; }},
    {400, "BadRequest",
     "The request is not valid, or the state of things forbids it (code FAILED_PRECONDITION); fieldViolations has "
     "every fault.",
     "", "", [](const AnswerFacts&) { return true; }},
    {401, "Unauthenticated",
     "No token, or one that speaks for nobody; of a sign-in: user or password are wrong; of a package: the join token "
     "is.",
     "WWW-Authenticate", "\"Bearer\".", [](const AnswerFacts&) { return true; }},
    {403, "PermissionDenied", "The caller may see it and may not do this; the message names the right that is missing.",
     "", "", [](const AnswerFacts& f) { return f.names && !f.open; }},
    {404, "NotFound", "There is no such thing, or the caller may not see it: the answer is the same.", "", "",
     [](const AnswerFacts& f) { return f.names && !f.open; }},
    {409, "Conflict", "It exists already, or somebody else changed it first.", "", "",
     [](const AnswerFacts& f) { return f.names && !f.reads && !f.open; }},
    {412, "PreconditionFailed", "What is stored is none of the versions in If-Match.", "", "",
     [](const AnswerFacts& f) { return f.if_match; }},
    {413, "TooLarge", "The body is too large.", "", "", [](const AnswerFacts& f) { return f.body; }},
    {415, "UnsupportedMediaType", "The body is not JSON, or is encoded.", "", "",
     [](const AnswerFacts& f) { return f.body; }},
    {429, "TooMany", "A bound of this caller is reached (docs/operating/limits.md).", "Retry-After",
     "Seconds, where it is known when to try again.",
     [](const AnswerFacts& f) { return f.waits || (f.body && !f.reads); }},
    {431, "HeaderTooLarge", "The head of the request is too large.", "", "", [](const AnswerFacts&) { return true; }},
    {500, "InternalError", "A fault of the server; its log has it under the request id.", "", "",
     [](const AnswerFacts&) { return true; }},
    {503, "Unavailable", "The server is busy, stops, or its disk takes nothing; try again.", "", "",
     [](const AnswerFacts&) { return true; }},
};

Node TextHeader(std::string_view description) {
  Node header = Node::Map();
  header.Add("description", TextNode(description));
  header.Add("schema", Node::Map()).Add("type", TextNode("string"));
  return header;
}

}  // namespace

void AddOtherAnswers(const AnswerFacts& facts, Node& responses) {
  for (const Answer& answer : kAnswers) {
    if (answer.may_come(facts)) responses.Add(std::to_string(answer.status), RefNode("responses", answer.name));
  }
}

Node OtherAnswers() {
  Node all = Node::Map();
  for (const Answer& answer : kAnswers) {
    Node node = Node::Map();
    node.Add("description", TextNode(answer.description));
    Node& headers = node.Add("headers", Node::Map());
    headers.Add("X-Request-Id", RefNode("headers", "RequestId"));
    if (!answer.header.empty()) headers.Add(std::string(answer.header), TextHeader(answer.header_description));
    if (answer.status != 304) {
      node.Add("content", Node::Map())
          .Add(std::string(kProblemJson), Node::Map())
          .Add("schema", RefNode("schemas", "ErrorBody"));
    }
    all.Add(std::string(answer.name), std::move(node));
  }
  return all;
}

}  // namespace weir::edge
