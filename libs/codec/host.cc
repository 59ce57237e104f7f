#include <algorithm>

#include "libs/codec/http1_bytes.h"

// Whom a request means.

namespace weir::codec {
namespace {

// Without the port that the scheme has by default.
std::string_view WithoutDefaultPort(std::string_view authority, bool https) {
  const std::string_view port = https ? ":443" : ":80";
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  if (authority.ends_with(':')) authority.remove_suffix(1);
  return authority;
}

}  // namespace

bool GoodHost(std::string_view host) {
  if (host.empty() || host.size() > 255 + 6) return false;
  size_t i = 0;
  if (host[0] == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    for (i = 1; i < close; ++i) {
      const char c = Lower(host[i]);
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.')) return false;
    }
    i = close + 1;
  } else {
    for (; i < host.size() && host[i] != ':'; ++i) {
      const char c = Lower(host[i]);
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_')) return false;
    }
    if (i == 0) return false;
  }
  if (i == host.size()) return true;
  if (host[i] != ':' || host.size() - i > 6) return false;
  uint32_t port = 0;
  for (++i; i < host.size(); ++i) {
    if (host[i] < '0' || host[i] > '9') return false;
    port = port * 10 + static_cast<uint32_t>(host[i] - '0');
  }
  return port <= 65535;
}

bool SameHost(std::string_view a, std::string_view b, bool https) {
  a = WithoutDefaultPort(a, https);
  b = WithoutDefaultPort(b, https);
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

size_t SchemeOf(std::string_view target) { return Begins(target, "http://") ? 7 : Begins(target, "https://") ? 8 : 0; }

std::string_view AuthorityOf(std::string_view target) {
  const size_t scheme = SchemeOf(target);
  if (scheme == 0) return {};
  return target.substr(scheme, std::min(target.find_first_of("/?#", scheme), target.size()) - scheme);
}

}  // namespace weir::codec
