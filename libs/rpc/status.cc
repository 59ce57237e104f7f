#include "libs/rpc/status.h"

#include "api/weir/v2/error.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/base/text.h"

namespace weir::rpc {

grpc::Status ToGrpc(const Error& error, std::string_view request_id) {
  v2::ErrorBody body;
  body.set_code(std::string(CodeName(error.code)));
  body.set_reason(error.reason);
  body.set_message(ToUtf8(error.message));
  body.set_request_id(std::string(request_id));
  for (const FieldViolation& violation : error.violations) {
    auto* field = body.add_field_violations();
    field->set_field(ToUtf8(violation.field));
    field->set_description(ToUtf8(violation.description));
    field->set_line(violation.line);
    field->set_column(violation.column);
  }
  google::rpc::Status detail;
  detail.set_code(static_cast<int>(error.code));
  detail.set_message(ToUtf8(error.message));
  detail.add_details()->PackFrom(body);
  return {static_cast<grpc::StatusCode>(error.code), error.message, detail.SerializeAsString()};
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
