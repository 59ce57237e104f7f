#include "tests/support/downloads.h"

#include <fmt/format.h>

#include <algorithm>

#include "libs/base/mutex.h"
#include "tests/support/http_client.h"
#include "tests/support/process.h"

namespace weir::test {
namespace {

constexpr int kSmallBuffer = 16 * 1024;

// What weir-demo-app sends: lines that number themselves.
const std::string& Lines() {
  static const std::string lines = [] {
    std::string out;
    for (int line = 0; line < 4096; ++line) out += fmt::format("{:015}\n", line);
    return out;
  }();
  return lines;
}

bool Continues(uint64_t at, std::string_view piece) {
  for (size_t i = 0; i < piece.size();) {
    const size_t from = (at + i) % Lines().size();
    const size_t size = std::min(Lines().size() - from, piece.size() - i);
    if (piece.substr(i, size) != std::string_view(Lines()).substr(from, size)) return false;
    i += size;
  }
  return true;
}

}  // namespace

Downloads::Downloads(DownloadOptions options) : options_(std::move(options)), begun_(options_.connections) {
  for (unsigned i = 0; i < options_.connections; ++i) threads_.emplace_back([this, i] { Drive(i); });
}

void Downloads::Drive(unsigned number) {
  do {
    Download one = One(options_.targets[number % options_.targets.size()], begun_[number]);
    // Who is refused at once does not ask again at once.
    if (!one.error.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const MutexLock lock(mutex_);
    ended_.push_back(std::move(one));
  } while (!stop_ && !options_.once);
}

Download Downloads::One(const Target& target, std::atomic<bool>& begun) const {
  Download out;
  out.begin = Now();
  HttpClient client(target.address, target.port);
  if (options_.read_rate > 0) client.SetReceiveBuffer(kSmallBuffer);
  const auto answer =
      client.Open(options_.host, fmt::format("/?bytes={}&rate={}", options_.bytes, options_.served_rate));
  if (!answer.ok()) {
    out.error = answer.error().ToString();
  } else {
    const auto by = answer->headers.find("x-served-by");
    out.backend = by == answer->headers.end() ? "" : by->second;
    const auto reason = answer->headers.find("x-weir-reason");
    if (answer->status != 200)
      out.error = fmt::format("status {} ({})", answer->status, reason == answer->headers.end() ? "" : reason->second);
  }
  while (out.error.empty() && out.bytes < options_.bytes && !abandon_) {
    const auto piece = client.More();
    if (!piece.ok()) {
      out.error = fmt::format("after {} of {} bytes: {}", out.bytes, options_.bytes, piece.error().ToString());
    } else if (piece->empty() || !Continues(out.bytes, *piece)) {
      out.error = fmt::format("wrong bytes after {}", out.bytes);
    } else {
      out.bytes += piece->size();
      bytes_ += piece->size();
      begun = true;
      if (options_.read_rate > 0)
        std::this_thread::sleep_for(std::chrono::duration<double>(static_cast<double>(piece->size()) /
                                                                  static_cast<double>(options_.read_rate)));
    }
  }
  out.end = Now();
  return out;
}

Status Downloads::AllBegun(std::chrono::milliseconds deadline) const {
  return WaitUntil("the first bytes of all downloads", deadline, nullptr, [&] {
    return std::all_of(begun_.begin(), begun_.end(), [](const auto& each) { return each.load(); });
  });
}

std::vector<Download> Downloads::Join() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  const MutexLock lock(mutex_);
  return ended_;
}

std::vector<Download> Downloads::Finish() { return Join(); }

std::vector<Download> Downloads::Abandon() {
  abandon_ = true;
  return Join();
}

}  // namespace weir::test
