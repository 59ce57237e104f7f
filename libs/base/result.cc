#include "libs/base/result.h"

#include <array>

namespace weir {
namespace {

struct CodeRow {
  std::string_view name;
  int http;
};

// google.rpc.Code to HTTP, as google/rpc/code.proto documents it.
constexpr std::array<CodeRow, 17> kCodes{{
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
}};

const CodeRow& Row(Code code) {
  const auto index = static_cast<size_t>(code);
  return kCodes[index < kCodes.size() ? index : 2];
}

}  // namespace

std::string_view CodeName(Code code) { return Row(code).name; }
int HttpStatus(Code code) { return Row(code).http; }

std::string Error::ToString() const {
  std::string text = fmt::format("{} {}: {}", CodeName(code), reason, message);
  for (const FieldViolation& violation : violations) {
    text += fmt::format("; {}: {}", violation.field, violation.description);
  }
  return text;
}

}  // namespace weir
