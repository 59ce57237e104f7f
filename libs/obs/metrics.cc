#include "libs/obs/metrics.h"

#include <fmt/format.h>

#include <iterator>

#include "libs/base/mutex.h"

namespace weir::obs {

Value& Metrics::Series(const std::string& name, const std::string& help, const char* type, const Labels& labels) {
  const MutexLock lock(mutex_);
  Family& family = families_[name];
  if (family.type.empty()) {
    family.type = type;
    family.help = help;
  }
  return family.series[labels];
}

Value& Metrics::Counter(const std::string& name, const std::string& help, const Labels& labels) {
  return Series(name, help, "counter", labels);
}

Value& Metrics::Gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Series(name, help, "gauge", labels);
}

void Metrics::AddSource(std::function<void(std::string&)> source) {
  const MutexLock lock(mutex_);
  sources_.push_back(std::move(source));
}

std::string Metrics::Render() const {
  std::string out;
  const MutexLock lock(mutex_);
  for (const auto& [name, family] : families_) {
    AppendFamily(out, name, family.type, family.help);
    for (const auto& [labels, value] : family.series) AppendSample(out, name, labels, static_cast<double>(value.Get()));
  }
  for (const auto& source : sources_) source(out);
  return out;
}

void AppendFamily(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void AppendSample(std::string& out, std::string_view name, const Labels& labels, double value) {
  out += name;
  char separator = '{';
  for (const auto& [key, text] : labels) {
    out += separator;
    separator = ',';
    out += key;
    out += "=\"";
    for (const char c : text) {
      if (c == '\n') {
        out += "\\n";
        continue;
      }
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  if (!labels.empty()) out += '}';
  fmt::format_to(std::back_inserter(out), " {}\n", value);
}

}  // namespace weir::obs
