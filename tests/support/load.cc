#include "tests/support/load.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "libs/base/mutex.h"
#include "tests/support/http_client.h"
#include "tests/support/timeline.h"

namespace weir::test {
namespace {

using Steady = std::chrono::steady_clock;

struct Shared {
  const LoadOptions& options;
  const Steady::time_point start = Steady::now();
  std::atomic<uint64_t> begun{0};
  std::atomic<uint64_t> done{0};
};

// "" = answered as wanted.
std::string ErrorOf(const Result<HttpAnswer>& answer) {
  if (!answer.ok()) return answer.error().ToString();
  if (answer->status >= 200 && answer->status < 300) return "";
  const auto reason = answer->headers.find("x-weir-reason");
  return fmt::format("status {}{}", answer->status, reason == answer->headers.end() ? "" : " (" + reason->second + ")");
}

Result<HttpAnswer> Send(HttpClient& client, const LoadOptions& options, const std::string& id) {
  std::string headers = options.headers;
  if (!id.empty()) headers += fmt::format("X-Demo-Id: {}\r\n", id);
  auto answer = client.Do(options.method, options.host, options.path, options.body, headers);
  if (options.new_connections) client.Close();
  return answer;
}

// One connection's work.
void Drive(Shared& shared, const Target& target, LoadReport& report, std::vector<float>& latencies) {
  const LoadOptions& options = shared.options;
  HttpClient client(target.address, target.port, options.timeout);
  for (;;) {
    if (options.stop && options.stop()) return;
    const uint64_t number = shared.begun.fetch_add(1);
    if (options.requests != 0 && number >= options.requests) return;
    auto due = Steady::now();
    if (options.rate > 0) {
      due = shared.start + std::chrono::duration_cast<Steady::duration>(
                               std::chrono::duration<double>(static_cast<double>(number) / options.rate));
      std::this_thread::sleep_until(due);
    }
    std::string id = options.ids.empty() ? "" : fmt::format("{}-{}", options.ids, number);
    const auto answer = Send(client, options, id);
    const auto end = Steady::now();
    latencies.push_back(std::chrono::duration<float, std::milli>(end - due).count());
    ++report.requests;
    shared.done.fetch_add(1);
    const std::string error = ErrorOf(answer);
    std::string backend;
    if (answer.ok()) {
      const auto header = answer->headers.find(options.backend_header);
      if (header != answer->headers.end()) backend = header->second;
    }
    if (error.empty()) {
      ++report.by_backend[backend];
    } else {
      ++report.failed;
      if (report.first_error.empty())
        report.first_error = answer.ok() ? error + ": " + answer->body.substr(0, 200) : error;
    }
    if (options.timeline == nullptr) continue;
    const auto since = [&](Steady::time_point time) {
      return std::chrono::duration<double>(time - options.timeline->start()).count();
    };
    options.timeline->Add(
        {since(due), since(end), answer.ok() ? answer->status : 0, std::move(backend), error, std::move(id)});
  }
}

}  // namespace

double LoadReport::Share(const std::string& backend) const {
  const auto found = by_backend.find(backend);
  return requests == 0 || found == by_backend.end()
             ? 0
             : static_cast<double>(found->second) / static_cast<double>(requests);
}

void LoadReport::Add(const LoadReport& other) {
  requests += other.requests;
  failed += other.failed;
  for (const auto& [backend, count] : other.by_backend) by_backend[backend] += count;
  if (first_error.empty()) first_error = other.first_error;
}

LoadReport RunLoad(const LoadOptions& options) {
  Shared shared{options};
  const unsigned connections = std::max(1u, options.connections);
  std::vector<LoadReport> reports(connections);
  std::vector<std::vector<float>> latencies(connections);
  std::vector<std::thread> threads;
  std::atomic<unsigned> running{connections};
  Mutex mutex;
  CondVar ended;
  for (unsigned i = 0; i < connections; ++i) {
    threads.emplace_back([&, i] {
      Drive(shared, options.targets[i % options.targets.size()], reports[i], latencies[i]);
      const MutexLock lock(mutex);
      --running;
      ended.NotifyOne();
    });
  }
  {
    MutexLock lock(mutex);
    while (!ended.WaitRealTime(mutex, std::chrono::milliseconds(100), [&] { return running == 0; })) {
      if (options.progress) options.progress(shared.done);
    }
  }
  for (auto& thread : threads) thread.join();
  if (options.progress) options.progress(shared.done);
  LoadReport total;
  std::vector<float> all;
  for (unsigned i = 0; i < connections; ++i) {
    total.Add(reports[i]);
    all.insert(all.end(), latencies[i].begin(), latencies[i].end());
  }
  total.seconds = std::chrono::duration<double>(Steady::now() - shared.start).count();
  std::sort(all.begin(), all.end());
  if (!all.empty()) {
    total.p50_ms = all[all.size() / 2];
    total.p99_ms = all[std::min(all.size() - 1, all.size() * 99 / 100)];
    total.max_ms = all.back();
  }
  return total;
}

}  // namespace weir::test
