#include "mgmt-server/http/problem.h"

namespace weir::edge {
namespace {

constexpr std::string_view kTag = "tag:weir.dev,2026:";

// GATEWAY_HOST_TAKEN -> "Gateway host taken".
std::string InWords(std::string_view reason) {
  std::string words(reason);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == '_') words[i] = ' ';
    if (i > 0 && words[i] >= 'A' && words[i] <= 'Z') words[i] = static_cast<char>(words[i] - 'A' + 'a');
  }
  return words;
}

}  // namespace

std::string ProblemType(std::string_view reason) { return fmt::format("{}error/{}", kTag, reason); }

v2::ErrorBody Problem(int status, const Error& error, const std::string& request_id) {
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
  body.set_type(ProblemType(error.reason));
  body.set_title(InWords(error.reason));
  body.set_status(status);
  body.set_detail(error.message);
  body.set_instance(fmt::format("{}request/{}", kTag, request_id));
  return body;
}

}  // namespace weir::edge
