#include "mgmt-server/authn/attempts.h"

#include <fmt/format.h>

#include <algorithm>

#include "libs/base/mutex.h"

namespace weir::authn {
namespace {

constexpr std::chrono::minutes kWindow(1);
constexpr size_t kMaxEntries = 10'000;

// A source has no blank, so no two pairs have one key.
std::string PairKey(std::string_view user, std::string_view source) { return fmt::format("{} {}", source, user); }

}  // namespace

std::optional<Duration> Attempts::Ledger::Wait(const std::string& key, size_t limit, MonoTime now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  std::deque<MonoTime>& failures = found->second->failures;
  while (!failures.empty() && failures.front() <= now - kWindow) failures.pop_front();
  if (failures.size() < limit) return std::nullopt;
  return failures[failures.size() - limit] + kWindow - now;
}

void Attempts::Ledger::Add(const std::string& key, MonoTime now) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    if (entries_.size() >= kMaxEntries) {
      by_key_.erase(entries_.front().key);
      entries_.pop_front();
    }
    found = by_key_.emplace(key, entries_.insert(entries_.end(), Entry{key, {}})).first;
  } else {
    entries_.splice(entries_.end(), entries_, found->second);
  }
  found->second->failures.push_back(now);
}

void Attempts::Ledger::RemoveLast(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  if (!found->second->failures.empty()) found->second->failures.pop_back();
  if (found->second->failures.empty()) Forget(key);
}

void Attempts::Ledger::Forget(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  entries_.erase(found->second);
  by_key_.erase(found);
}

Attempts::Attempts(size_t per_pair, size_t per_source, const Clock& clock)
    : per_pair_(per_pair), per_source_(per_source), clock_(clock) {}

std::optional<Duration> Attempts::Begin(std::string_view user, std::string_view source) {
  const std::string pair = PairKey(user, source);
  const std::string from(source);
  MutexLock lock(mutex_);
  const MonoTime now = clock_.Now();
  const auto pair_wait = pairs_.Wait(pair, per_pair_, now);
  const auto source_wait = sources_.Wait(from, per_source_, now);
  if (pair_wait || source_wait) return std::max(pair_wait.value_or(Duration(0)), source_wait.value_or(Duration(0)));
  pairs_.Add(pair, now);
  sources_.Add(from, now);
  return std::nullopt;
}

void Attempts::Forgive(std::string_view user, std::string_view source) {
  MutexLock lock(mutex_);
  pairs_.Forget(PairKey(user, source));
  sources_.RemoveLast(std::string(source));
}

void Attempts::Withdraw(std::string_view user, std::string_view source) {
  MutexLock lock(mutex_);
  pairs_.RemoveLast(PairKey(user, source));
  sources_.RemoveLast(std::string(source));
}

}  // namespace weir::authn
