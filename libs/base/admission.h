#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/mutex.h"

struct sockaddr;

namespace weir {

// Whom an address stands for: IPv4 by itself, however it is written; IPv6 by its /64, the least that one host gets.
std::string SourceOf(const sockaddr* address);
// The same of an address as text, with "/64" behind that of IPv6; what is no address stands for itself.
std::string SourceOf(std::string_view address);

// Who may hold a connection: so many in all, so many from one source. Where a bound is reached, the one that has been
// silent longest goes (of that source, or of all), so that silence costs nobody else a place; where nobody is silent,
// the newcomer goes. Thread-safe.
class Admission {
 public:
  Admission(size_t total, size_t per_source) : total_(total), per_source_(per_source) {}

  using Id = uint64_t;
  // `close` is called at most once, from any thread, when the connection has to go; it must not call back. It counts as
  // silent from now on. nullopt: no place.
  std::optional<Id> Enter(const std::string& source, std::function<void()> close);
  // No request of it is under way (it may be sending a head), or one is.
  void SetSilent(Id id, bool silent);
  void Leave(Id id);         // Nothing happens for one that had to go.
  bool CloseOldestSilent();  // False: nobody is silent.
  size_t size() const;

 private:
  struct Entry {
    std::string source;
    std::function<void()> close;
    bool silent = true;
    std::list<Id>::iterator in_all, in_source;  // While silent.
  };
  struct Source {
    size_t count = 0;
    std::list<Id> silent;  // Longest first.
  };
  void Silence(Id id, Entry& entry) WEIR_REQUIRES(mutex_);
  void Remove(std::map<Id, Entry>::iterator at) WEIR_REQUIRES(mutex_);
  std::function<void()> TakeOldest(const std::list<Id>& silent) WEIR_REQUIRES(mutex_);

  const size_t total_;
  const size_t per_source_;
  mutable Mutex mutex_;
  Id next_ WEIR_GUARDED_BY(mutex_) = 1;
  std::map<Id, Entry> entries_ WEIR_GUARDED_BY(mutex_);
  std::map<std::string, Source> sources_ WEIR_GUARDED_BY(mutex_);
  std::list<Id> silent_ WEIR_GUARDED_BY(mutex_);  // Longest first.
};

}  // namespace weir
