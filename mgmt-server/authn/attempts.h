#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace weir::authn {

// Counts attempts that failed within the last minute, per (user, source) and per source. It locks nobody out: whoever
// guesses is slowed down where he stands, and the right password keeps working from everywhere else. Thread-safe;
// remembers at most 10,000 of each, those unused longest are forgotten first.
class Attempts {
 public:
  // per_pair: of one user from one source; per_source: of all users together from one source.
  Attempts(size_t per_pair, size_t per_source, const Clock& clock);

  // Counts an attempt as failed before its outcome is known, so that many at once get no more than one after the
  // other. A value: it must not be made, and how long until one may be.
  std::optional<Duration> Begin(std::string_view user, std::string_view source);
  // It turned out right: forgets the failures of this user from this source, and this attempt of the source.
  void Forgive(std::string_view user, std::string_view source);
  // It was never made (nobody had time for it).
  void Withdraw(std::string_view user, std::string_view source);

 private:
  // Failures by key, least recently used first.
  class Ledger {
   public:
    std::optional<Duration> Wait(const std::string& key, size_t limit, MonoTime now);
    void Add(const std::string& key, MonoTime now);
    void RemoveLast(const std::string& key);
    void Forget(const std::string& key);

   private:
    struct Entry {
      std::string key;
      std::deque<MonoTime> failures;
    };
    std::list<Entry> entries_;
    std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  };

  const size_t per_pair_;
  const size_t per_source_;
  const Clock& clock_;
  Mutex mutex_;
  Ledger pairs_ WEIR_GUARDED_BY(mutex_);
  Ledger sources_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::authn
