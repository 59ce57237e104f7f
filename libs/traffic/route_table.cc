#include "libs/traffic/route_table.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

namespace weir::traffic {
namespace {

char Fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// FNV-1a over the folded name: short names, no seed needed because the set of keys is the operator's own.
uint64_t HashFolded(std::string_view name) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(Fold(c))) * 1099511628211ull;
  return hash ^ (hash >> 32);
}

bool EqualsFolded(std::string_view folded, std::string_view name) {
  return folded.size() == name.size() &&
         std::equal(folded.begin(), folded.end(), name.begin(), [](char a, char b) { return a == Fold(b); });
}

std::string_view WithoutQuery(std::string_view path) { return path.substr(0, path.find_first_of("?#")); }

// "Host:80", "host:*" -> "host". Empty: not a form that is served.
std::string Canonical(std::string_view domain) {
  if (domain.ends_with(":*")) domain.remove_suffix(2);
  domain = WithoutPort(domain);
  if (domain.empty() || domain.size() > kMaxHost) return {};
  const bool wildcard = domain == "*" || domain.starts_with("*.");
  if (domain.find('*', wildcard ? 1 : 0) != std::string_view::npos) return {};
  std::string out(domain);
  std::transform(out.begin(), out.end(), out.begin(), Fold);
  return out;
}

}  // namespace

std::string CanonicalDomain(std::string_view domain) { return Canonical(domain); }

std::string_view WithoutPort(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    return close == std::string_view::npos ? authority : authority.substr(0, close + 1);
  }
  authority = authority.substr(0, authority.rfind(':'));
  if (authority.size() > 1 && authority.ends_with('.')) authority.remove_suffix(1);
  return authority;
}

std::string_view FoldedHost(std::string_view authority, std::array<char, kMaxHost>& out) {
  const std::string_view name = WithoutPort(authority);
  if (name.size() > out.size()) return name;
  std::transform(name.begin(), name.end(), out.begin(), Fold);
  return {out.data(), name.size()};
}

bool Accepts(PathKind kind, std::string_view path, std::string_view request_path) {
  switch (kind) {
    case PathKind::kExact:
      return request_path == path;
    case PathKind::kPathSeparated:
      return request_path.starts_with(path) && (request_path.size() == path.size() || request_path[path.size()] == '/');
    case PathKind::kPrefix:
      return request_path.starts_with(path);
  }
  return false;
}

const RouteRule* VirtualHost::Match(std::string_view path) const {
  path = WithoutQuery(path);
  for (const RouteRule& rule : rules) {
    if (rule.Accepts(path)) return &rule;
  }
  return nullptr;
}

Result<RouteTable> RouteTable::Build(std::vector<std::shared_ptr<const VirtualHost>> hosts) {
  RouteTable table;
  table.hosts_ = std::move(hosts);
  std::vector<std::pair<std::string, uint32_t>> keys;
  for (uint32_t i = 0; i < table.hosts_.size(); ++i) {
    for (const std::string& domain : table.hosts_[i]->domains) {
      std::string key = Canonical(domain);
      if (key.empty()) {
        return InvalidArgument("BAD_DOMAIN", "domain '{}' of {} is neither a name, '*.suffix' nor '*'", domain,
                               table.hosts_[i]->name);
      }
      keys.emplace_back(std::move(key), i);
    }
  }
  size_t capacity = 8;
  while (capacity < keys.size() * 2) capacity *= 2;
  table.slots_.resize(capacity);
  for (auto& [key, host] : keys) {
    if (key == "*") {
      if (table.any_host_ >= 0 && table.any_host_ != host) {
        return InvalidArgument("DUPLICATE_DOMAIN", "domain '*' stands in {} and in {}",
                               table.hosts_[static_cast<size_t>(table.any_host_)]->name, table.hosts_[host]->name);
      }
      table.any_host_ = host;
      continue;
    }
    // A suffix is kept as ".suffix": no host name starts with a dot, so both live in one map.
    const std::string_view stored = key[0] == '*' ? std::string_view(key).substr(1) : std::string_view(key);
    if (const Slot* taken = table.Find(stored)) {
      if (taken->host == host) continue;
      return InvalidArgument("DUPLICATE_DOMAIN", "domain '{}' stands in {} and in {}", key,
                             table.hosts_[taken->host]->name, table.hosts_[host]->name);
    }
    if (key[0] == '*') table.suffix_lengths_.push_back(static_cast<uint32_t>(stored.size()));
    table.keys_.push_back(std::make_unique<std::string>(stored));
    size_t at = HashFolded(stored) & (capacity - 1);
    while (!table.slots_[at].key.empty()) at = (at + 1) & (capacity - 1);
    table.slots_[at] = Slot{*table.keys_.back(), host};
  }
  auto& lengths = table.suffix_lengths_;
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  return table;
}

const RouteTable::Slot* RouteTable::Find(std::string_view name) const {
  if (slots_.empty() || name.empty()) return nullptr;
  const size_t mask = slots_.size() - 1;
  for (size_t at = HashFolded(name) & mask; !slots_[at].key.empty(); at = (at + 1) & mask) {
    if (EqualsFolded(slots_[at].key, name)) return &slots_[at];
  }
  return nullptr;
}

RouteTable::Found RouteTable::FindHost(std::string_view authority) const {
  const std::string_view name = WithoutPort(authority);
  if (name.size() > kMaxHost) return {};
  const Slot* slot = name.starts_with('.') ? nullptr : Find(name);
  for (size_t i = 0; slot == nullptr && i < suffix_lengths_.size(); ++i) {
    const size_t length = suffix_lengths_[i];
    if (length < name.size()) slot = Find(name.substr(name.size() - length));
    // A slot found by a suffix is a wildcard only if it starts with the dot.
    if (slot != nullptr && slot->key[0] != '.') slot = nullptr;
  }
  if (slot != nullptr) return {hosts_[slot->host].get(), nullptr, slot->host};
  if (any_host_ < 0) return {};
  return {hosts_[static_cast<size_t>(any_host_)].get(), nullptr, static_cast<uint32_t>(any_host_)};
}

RouteTable::Found RouteTable::Match(std::string_view authority, std::string_view path) const {
  Found found = FindHost(authority);
  if (found.host != nullptr) found.rule = found.host->Match(path);
  return found;
}

}  // namespace weir::traffic
