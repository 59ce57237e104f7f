#pragma once

#include <fmt/format.h>

#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weir {

// The canonical RPC codes (google.rpc.Code); the numbers are theirs.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view CodeName(Code code);  // "INVALID_ARGUMENT"
int HttpStatus(Code code);             // The one table; REST and data path answer with it.

// One thing wrong with the caller's input. `line` and `column` count from 1; 0 = not from a document.
struct FieldViolation {
  std::string field;        // JSON path: "spec.externalServers[0].clusters[1].weight"
  std::string description;  // What is wrong and what to do about it.
  int line = 0;
  int column = 0;
};

// Why something failed. `reason` is stable UPPER_SNAKE; `message` is for the caller, `cause` only for the log.
struct Error {
  Code code = Code::kUnknown;
  std::string reason;
  std::string message;
  std::vector<FieldViolation> violations;
  std::string cause;

  Error& WithCause(std::string text) & {
    cause = std::move(text);
    return *this;
  }
  Error&& WithCause(std::string text) && {
    cause = std::move(text);
    return std::move(*this);
  }
  // "INVALID_ARGUMENT GATEWAY_HOST_TAKEN: message; field: description"
  std::string ToString() const;
};

#define WEIR_ERROR_MAKER(Name)                                                                                  \
  template <typename... Args>                                                                                   \
  Error Name(std::string_view reason, fmt::format_string<Args...> format, Args&&... args) {                     \
    return Error{Code::k##Name, std::string(reason), fmt::format(format, std::forward<Args>(args)...), {}, {}}; \
  }
WEIR_ERROR_MAKER(Cancelled)
WEIR_ERROR_MAKER(Unknown)
WEIR_ERROR_MAKER(InvalidArgument)
WEIR_ERROR_MAKER(DeadlineExceeded)
WEIR_ERROR_MAKER(NotFound)
WEIR_ERROR_MAKER(AlreadyExists)
WEIR_ERROR_MAKER(PermissionDenied)
WEIR_ERROR_MAKER(ResourceExhausted)
WEIR_ERROR_MAKER(FailedPrecondition)
WEIR_ERROR_MAKER(Aborted)
WEIR_ERROR_MAKER(OutOfRange)
WEIR_ERROR_MAKER(Unimplemented)
WEIR_ERROR_MAKER(Internal)
WEIR_ERROR_MAKER(Unavailable)
WEIR_ERROR_MAKER(DataLoss)
WEIR_ERROR_MAKER(Unauthenticated)
#undef WEIR_ERROR_MAKER

// A value or the Error that stood in its way. Result<void> holds success or an Error.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & {
    assert(!ok());
    return *error_;
  }
  const Error& error() const& {
    assert(!ok());
    return *error_;
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

#define WEIR_CONCAT_(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_(a, b)
// WEIR_TRY(DoIt()): returns the error to the caller. WEIR_ASSIGN(auto x, Make()): unwraps or returns.
#define WEIR_TRY(expr)                                      \
  do {                                                      \
    auto weir_try = (expr);                                 \
    if (!weir_try.ok()) return std::move(weir_try).error(); \
  } while (false)
#define WEIR_ASSIGN(lhs, expr) WEIR_ASSIGN_(WEIR_CONCAT(weir_result_, __LINE__), lhs, expr)
#define WEIR_ASSIGN_(tmp, lhs, expr)            \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  lhs = std::move(tmp).value()

}  // namespace weir
