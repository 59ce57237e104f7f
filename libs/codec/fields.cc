#include <array>

#include "libs/codec/http1_bytes.h"
#include "libs/dialect/dialect.h"

// Which header is what.

namespace weir::codec {
namespace {

template <size_t N>
bool IsOneOf(std::string_view name, const std::array<std::string_view, N>& all) {
  for (const std::string_view one : all) {
    if (Is(name, one)) return true;
  }
  return false;
}

// "x-...": families by their prefix, because a list of names is never complete.
Field ClassifyX(std::string_view name) {
  static constexpr std::array<std::string_view, 13> kForwarded = {
      "x-real-ip",     "x-real-port",   "x-client-ip",         "x-cluster-client-ip", "x-client-cert",
      "x-rewrite-url", "x-host",        "x-remote-ip",         "x-remote-addr",       "x-proxyuser-ip",
      "x-remote-user", "x-remote-host", "x-http-host-override"};
  if (name.size() < 6) return Field::kOther;
  switch (name[2] | 0x20) {
    case 'w':
      return Begins(name, dialect::kOwnHeaders) ? Field::kInternal : Field::kOther;
    case 'e':
      return Begins(name, "x-envoy-") ? Field::kInternal : Field::kOther;
    case 'f':
      if (!Begins(name, "x-forwarded")) return Field::kOther;
      if (Is(name, "x-forwarded-for")) return Field::kForwardedFor;
      return Is(name, "x-forwarded-proto") ? Field::kForwardedProto : Field::kForwarded;
    case 'o':
      return IsOneOf(name, std::array<std::string_view, 6>{"x-original-url", "x-original-uri", "x-original-host",
                                                           "x-original-method", "x-original-proto",
                                                           "x-original-forwarded-for"})
                 ? Field::kForwarded
                 : Field::kOther;
    case 's':
      return Begins(name, "x-ssl-") ? Field::kForwarded : Field::kOther;
    case 'r':
      if (Is(name, "x-request-id")) return Field::kRequestId;
      [[fallthrough]];
    case 'c':
    case 'h':
    case 'p':
      return IsOneOf(name, kForwarded) ? Field::kForwarded : Field::kOther;
    default:
      return Field::kOther;
  }
}

Field ClassifyP(std::string_view name) {
  if (Is(name, "proxy") || Is(name, "proxy-connection") || Is(name, "proxy-authenticate") ||
      Is(name, "proxy-authorization")) {
    return Field::kHopByHop;  // "Proxy" is nobody's header, but CGI makes HTTP_PROXY of it (CVE-2016-5385).
  }
  return Is(name, "proxy-client-ip") ? Field::kForwarded : Field::kOther;
}

}  // namespace

// By the first letter: most names are done after one look.
Field Classify(std::string_view name) {
  switch (name[0] | 0x20) {
    case 'c':
      if (Is(name, "connection")) return Field::kConnection;
      if (Is(name, "content-length")) return Field::kContentLength;
      return Is(name, "client-ip") || Begins(name, "cf-connecting-ip") ? Field::kForwarded : Field::kOther;
    case 'd':
      return Is(name, "date") ? Field::kDate : Field::kOther;
    case 'e':
      return Is(name, "expect") ? Field::kExpect : Field::kOther;
    case 'f':
      return Begins(name, "forwarded") || Is(name, "fastly-client-ip") ? Field::kForwarded : Field::kOther;
    case 'h':
      if (Is(name, "host")) return Field::kHost;
      return Is(name, "http2-settings") ? Field::kHopByHop : Field::kOther;
    case 'i':
      return Is(name, "idempotency-key") ? Field::kIdempotencyKey : Field::kOther;
    case 'k':
      return Is(name, "keep-alive") ? Field::kHopByHop : Field::kOther;
    case 'm':
      return Is(name, "max-forwards") ? Field::kMaxForwards : Field::kOther;
    case 'p':
      return ClassifyP(name);
    case 'r':
      return Is(name, "remote-user") || Is(name, "remote-addr") ? Field::kForwarded : Field::kOther;
    case 's':
      return Begins(name, "ssl-client-") ? Field::kForwarded : Field::kOther;
    case 't':
      if (Is(name, "transfer-encoding")) return Field::kTransferEncoding;
      if (Is(name, "te") || Is(name, "trailer")) return Field::kHopByHop;
      return Is(name, "true-client-ip") ? Field::kForwarded : Field::kOther;
    case 'u':
      return Is(name, "upgrade") ? Field::kUpgrade : Field::kOther;
    case 'v':
      return Is(name, "via") ? Field::kVia : Field::kOther;
    case 'w':
      return Is(name, "wl-proxy-client-ip") ? Field::kForwarded : Field::kOther;
    case 'x':
      return ClassifyX(name);
    default:
      return Field::kOther;
  }
}

}  // namespace weir::codec
