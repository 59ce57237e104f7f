#include "libs/base/admission.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>

namespace weir {

std::string SourceOf(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
    return text;
  }
  if (address->sa_family != AF_INET6) return text;
  in6_addr six = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&six)) {
    inet_ntop(AF_INET, &six.s6_addr[12], text, sizeof text);
    return text;
  }
  std::fill(six.s6_addr + 8, six.s6_addr + 16, uint8_t{0});
  inet_ntop(AF_INET6, &six, text, sizeof text);
  return text;
}

std::string SourceOf(std::string_view address) {
  const std::string text(address.substr(0, address.find('%')));  // Without a zone.
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  if (inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) != 1) return text;
  const std::string source = SourceOf(reinterpret_cast<const sockaddr*>(&six));
  return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) ? source : source + "/64";
}

void Admission::Silence(Id id, Entry& entry) {
  entry.silent = true;
  entry.in_all = silent_.insert(silent_.end(), id);
  std::list<Id>& of_source = sources_[entry.source].silent;
  entry.in_source = of_source.insert(of_source.end(), id);
}

void Admission::Remove(std::map<Id, Entry>::iterator at) {
  const auto source = sources_.find(at->second.source);
  if (at->second.silent) {
    silent_.erase(at->second.in_all);
    source->second.silent.erase(at->second.in_source);
  }
  if (--source->second.count == 0) sources_.erase(source);
  entries_.erase(at);
}

std::function<void()> Admission::TakeOldest(const std::list<Id>& silent) {
  if (silent.empty()) return nullptr;
  const auto at = entries_.find(silent.front());
  std::function<void()> close = std::move(at->second.close);
  Remove(at);
  return close;
}

std::optional<Admission::Id> Admission::Enter(const std::string& source, std::function<void()> close) {
  std::function<void()> goes;
  std::optional<Id> id;
  {
    MutexLock lock(mutex_);
    const auto known = sources_.find(source);
    const bool source_full = known != sources_.end() && known->second.count >= per_source_;
    if (source_full) {
      goes = TakeOldest(known->second.silent);
    } else if (entries_.size() >= total_) {
      goes = TakeOldest(silent_);
    }
    if (entries_.size() < total_ && (!source_full || goes)) {
      id = next_++;
      ++sources_[source].count;
      Entry& entry = entries_[*id];
      entry.source = source;
      entry.close = std::move(close);
      Silence(*id, entry);
    }
  }
  if (goes) goes();
  return id;
}

void Admission::SetSilent(Id id, bool silent) {
  MutexLock lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.silent == silent) return;
  if (silent) return Silence(id, at->second);
  at->second.silent = false;
  silent_.erase(at->second.in_all);
  sources_[at->second.source].silent.erase(at->second.in_source);
}

void Admission::Leave(Id id) {
  MutexLock lock(mutex_);
  const auto at = entries_.find(id);
  if (at != entries_.end()) Remove(at);
}

bool Admission::CloseOldestSilent() {
  std::function<void()> goes;
  {
    MutexLock lock(mutex_);
    goes = TakeOldest(silent_);
  }
  if (goes) goes();
  return goes != nullptr;
}

size_t Admission::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace weir
