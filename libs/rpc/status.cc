#include "libs/rpc/status.h"

#include <algorithm>

#include "api/weir/v2/error.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/base/text.h"

namespace weir::rpc {

namespace {

// An error travels in the trailers, for which clients have 8 KiB unless told otherwise: what is more would take the
// whole error with it.
constexpr size_t kMostTrailers = 7 * 1024;  // Of message and details, as they are sent.
constexpr size_t kMostMessage = 1024;
constexpr size_t kMostOfOne = 512;  // Of the field of a violation, and of its description.
constexpr size_t kRemark = 64;      // That there are more.

std::string Cut(std::string_view text, size_t size) {
  const std::string whole = ToUtf8(text);
  return whole.size() <= size ? whole : std::string(Shortened(whole, size)) + "...";
}

// Bytes of it as grpc-message: all but printable ASCII takes three.
size_t SentSize(std::string_view message) {
  size_t size = 0;
  for (const char c : message) size += c < 0x20 || c > 0x7e || c == '%' ? 3 : 1;
  return size;
}

// As many as `room` bytes hold; the last one says how many more there are.
void AddViolations(const std::vector<FieldViolation>& all, size_t room, v2::ErrorBody* body) {
  for (size_t i = 0; i < all.size(); ++i) {
    auto* field = body->add_field_violations();
    field->set_field(Cut(all[i].field, kMostOfOne));
    field->set_description(Cut(all[i].description, kMostOfOne));
    field->set_line(all[i].line);
    field->set_column(all[i].column);
    if (body->ByteSizeLong() + (i + 1 < all.size() ? kRemark : 0) <= room) continue;
    *field = {};
    field->set_description(fmt::format("and {} more, not listed here", all.size() - i));
    return;
  }
}

}  // namespace

grpc::Status ToGrpc(const Error& error, std::string_view request_id) {
  const std::string message = Cut(error.message, kMostMessage);
  v2::ErrorBody body;
  body.set_code(std::string(CodeName(error.code)));
  body.set_reason(error.reason);
  body.set_message(message);
  body.set_request_id(std::string(request_id));
  google::rpc::Status detail;
  detail.set_code(static_cast<int>(error.code));
  detail.set_message(message);
  const size_t around = detail.ByteSizeLong() + kRemark;               // Any's type URL, lengths.
  const size_t encoded = (kMostTrailers - SentSize(message)) / 4 * 3;  // Details are sent in base 64.
  AddViolations(error.violations, encoded - std::min(encoded, around), &body);
  detail.add_details()->PackFrom(body);
  return {static_cast<grpc::StatusCode>(error.code), message, detail.SerializeAsString()};
}

grpc::Status ToGrpc(const Status& status, std::string_view request_id) {
  return status.ok() ? grpc::Status::OK : ToGrpc(status.error(), request_id);
}

Error FromGrpc(const grpc::Status& status) {
  Error error;
  error.code = static_cast<Code>(status.error_code());
  error.message = status.error_message();
  google::rpc::Status detail;
  v2::ErrorBody body;
  if (!status.error_details().empty() && detail.ParseFromString(status.error_details())) {
    for (const auto& any : detail.details()) {
      if (!any.Is<v2::ErrorBody>() || !any.UnpackTo(&body)) continue;
      error.reason = body.reason();
      for (const auto& field : body.field_violations()) {
        error.violations.push_back({field.field(), field.description(), field.line(), field.column()});
      }
    }
  }
  // What AdmitCalls refused.
  const size_t word = error.message.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
  if (error.reason.empty() && word != std::string::npos && word > 2 && error.message.compare(word, 2, ": ") == 0) {
    error.reason = error.message.substr(0, word);
    error.message.erase(0, word + 2);
  }
  if (error.reason.empty()) error.reason = fmt::format("RPC_{}", CodeName(error.code));
  return error;
}

}  // namespace weir::rpc
