#include "tests/support/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "libs/base/mutex.h"

namespace weir::test {

double Span::Share(const std::string& backend) const {
  const auto found = by_backend.find(backend);
  const uint64_t answered = requests - failed;
  return found == by_backend.end() || answered == 0
             ? 0
             : static_cast<double>(found->second) / static_cast<double>(answered);
}

std::string Span::ToString() const {
  std::string out = fmt::format("{} requests, {} failed", requests, failed);
  const char* separator = ": ";
  for (const auto& [error, count] : errors) {
    out += fmt::format("{}{} x {}", separator, error, count);
    separator = ", ";
  }
  out += fmt::format("; slowest {:.2f} s", slowest);
  separator = "; ";
  for (const auto& [backend, count] : by_backend) {
    out += fmt::format("{}{} {}", separator, backend.empty() ? "?" : backend, count);
    separator = ", ";
  }
  return out;
}

void Timeline::Add(Sample sample) {
  const MutexLock lock(mutex_);
  samples_.push_back(std::move(sample));
}

Span Timeline::Between(double from, double to) const {
  Span span;
  const MutexLock lock(mutex_);
  for (const Sample& sample : samples_) {
    if (sample.end < from || sample.end >= to) continue;
    ++span.requests;
    span.slowest = std::max(span.slowest, sample.end - sample.begin);
    if (sample.failed()) {
      ++span.failed;
      ++span.errors[sample.error];
    } else {
      ++span.by_backend[sample.backend];
    }
  }
  return span;
}

std::vector<Sample> Timeline::Samples() const {
  const MutexLock lock(mutex_);
  return samples_;
}

std::optional<double> Timeline::LastFailure(double from) const {
  std::optional<double> last;
  const MutexLock lock(mutex_);
  for (const Sample& sample : samples_) {
    if (sample.failed() && sample.end >= from) last = std::max(last.value_or(sample.end), sample.end);
  }
  return last;
}

std::optional<double> Timeline::SharesReached(const std::map<std::string, double>& wanted, double from,
                                              double tolerance, double window, uint64_t least) const {
  std::vector<std::pair<double, const std::string*>> answers;  // By end.
  const double now = Now();
  const MutexLock lock(mutex_);
  for (const Sample& sample : samples_) {
    if (sample.end >= from && !sample.failed()) answers.emplace_back(sample.end, &sample.backend);
  }
  std::sort(answers.begin(), answers.end());
  size_t first = 0, after = 0;
  std::map<std::string, uint64_t> inside;
  for (double begin = from; begin + window <= now; begin += 0.05) {
    for (; after < answers.size() && answers[after].first < begin + window; ++after) ++inside[*answers[after].second];
    for (; first < after && answers[first].first < begin; ++first) --inside[*answers[first].second];
    const auto total = static_cast<double>(after - first);
    if (after - first < least) continue;
    const bool reached = std::all_of(wanted.begin(), wanted.end(), [&](const auto& want) {
      const auto found = inside.find(want.first);
      const double share = found == inside.end() ? 0 : static_cast<double>(found->second) / total;
      return std::abs(share - want.second) <= tolerance;
    });
    if (reached) return begin + window;
  }
  return std::nullopt;
}

Traffic::Traffic(LoadOptions options) {
  options.requests = 0;
  options.timeline = &timeline_;
  options.stop = [this] { return stop_.load(); };
  thread_ = std::thread([options = std::move(options)] { (void)RunLoad(options); });
}

void Traffic::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Traffic::RunUntil(double seconds) const {
  const double left = seconds - Now();
  if (left > 0) std::this_thread::sleep_for(std::chrono::duration<double>(left));
}

}  // namespace weir::test
