#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir::traffic {

enum class PathKind : uint8_t {
  kPrefix,         // "/a" takes "/a", "/ab" and "/a/b"; "/" takes everything.
  kExact,          // "/a" takes "/a" only.
  kPathSeparated,  // "/a" takes "/a" and "/a/b", not "/ab". No trailing slash.
};

// Does a rule of this kind with this path take a request for `request_path` (canonical, without query)?
bool Accepts(PathKind kind, std::string_view path, std::string_view request_path);

// One rule of a host. `action` is the caller's own number for what to do (index into its actions).
struct RouteRule {
  PathKind kind = PathKind::kPrefix;
  std::string path = "/";
  uint32_t action = 0;

  bool Accepts(std::string_view request_path) const { return traffic::Accepts(kind, path, request_path); }
};

// One virtual host: its domains and its rules in the order given; the first that accepts wins. Never changes once in
// a table, so tables share it across versions.
struct VirtualHost {
  std::string name;
  // "host", "*.suffix" or "*"; case does not matter, a port (":80", ":*") is ignored.
  std::vector<std::string> domains;
  std::vector<RouteRule> rules;

  // nullptr when no rule accepts. `path` may carry a query ("?..."); it is not looked at.
  const RouteRule* Match(std::string_view path) const;
};

// Which virtual host and rule a request takes. Immutable after Build, so workers read it without a lock; matching
// allocates nothing. Order of hosts: exact name, then the longest wildcard suffix, then "*" (Envoy v3
// VirtualHost.domains).
class RouteTable {
 public:
  struct Found {
    const VirtualHost* host = nullptr;  // nullptr: no such host.
    const RouteRule* rule = nullptr;    // nullptr: no such path on that host.
    uint32_t host_index = 0;            // Into the vector given to Build.
  };

  RouteTable() = default;
  // INVALID_ARGUMENT DUPLICATE_DOMAIN when two hosts claim one domain, BAD_DOMAIN for a form that is not served.
  static Result<RouteTable> Build(std::vector<std::shared_ptr<const VirtualHost>> hosts);

  // `authority` as in Host or :authority, any case, with or without port and the dot of the root.
  Found Match(std::string_view authority, std::string_view path) const;
  Found FindHost(std::string_view authority) const;  // The host only; rule stays nullptr.

  const std::vector<std::shared_ptr<const VirtualHost>>& hosts() const { return hosts_; }

 private:
  struct Slot {
    std::string_view key;  // Into keys_; empty = free.
    uint32_t host = 0;
  };
  const Slot* Find(std::string_view name) const;

  std::vector<std::shared_ptr<const VirtualHost>> hosts_;
  std::vector<std::unique_ptr<std::string>> keys_;
  std::vector<Slot> slots_;               // Open addressing, a power of two, at most half full.
  std::vector<uint32_t> suffix_lengths_;  // Of wildcard suffixes (".suffix"), longest first, unique.
  int64_t any_host_ = -1;
};

// A virtual host's domain as tables compare it: lower case, without a port. "" = not a form that is served.
std::string CanonicalDomain(std::string_view domain);
// "Example.com:8080" -> "Example.com"; "[::1]:80" -> "[::1]"; "example.com." -> "example.com" (the root of the DNS).
std::string_view WithoutPort(std::string_view authority);

// The same in lower case, in `out`; what is longer than a host name can be stays as it is.
constexpr size_t kMaxHost = 255;
std::string_view FoldedHost(std::string_view authority, std::array<char, kMaxHost>& out);

}  // namespace weir::traffic
