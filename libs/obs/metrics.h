#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/mutex.h"

namespace weir::obs {

using Labels = std::map<std::string, std::string>;

// A value that may be written from any thread.
class Value {
 public:
  void Add(int64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  void Set(int64_t to) { value_.store(to, std::memory_order_relaxed); }
  int64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// What a program tells Prometheus. Series live as long as the registry; sources add what they keep elsewhere (the
// engine's per-worker counters).
class Metrics {
 public:
  Value& Counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Value& Gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  // Called on each render, with the text so far; appends whole families.
  void AddSource(std::function<void(std::string&)> source);
  // Text exposition format 0.0.4.
  std::string Render() const;

 private:
  struct Family {
    std::string type;
    std::string help;
    std::map<Labels, Value> series;
  };
  Value& Series(const std::string& name, const std::string& help, const char* type, const Labels& labels);

  mutable Mutex mutex_;
  std::map<std::string, Family> families_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::function<void(std::string&)>> sources_ WEIR_GUARDED_BY(mutex_);
};

// name{key="value",…} value\n with the escapes of the format.
void AppendSample(std::string& out, std::string_view name, const Labels& labels, double value);
void AppendFamily(std::string& out, std::string_view name, std::string_view type, std::string_view help);

}  // namespace weir::obs
