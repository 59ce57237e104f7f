#include "cluster-agent/discovery/file_discovery.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/file.h"
#include "libs/document/document.h"
#include "libs/obs/log.h"

namespace weir::agent {
namespace {

constexpr size_t kFileLimit = 16u << 20;

bool SaysEmpty(const document::Node& document, std::string_view key) {
  const document::Node* node = document.Find(key);
  return node != nullptr && node->type == document::Node::Type::kSequence && node->items.empty();
}

}  // namespace

Result<Facts> ReadDiscovery(std::string_view text, bool has_good) {
  document::Limits limits;
  limits.bytes = kFileLimit;
  limits.nodes = 4'000'000;
  WEIR_ASSIGN(std::vector<document::Node> documents, document::Parse(text, limits));
  if (documents.size() > 1) {
    return InvalidArgument("DISCOVERY_INVALID", "the file holds {} documents; one is wanted", documents.size());
  }
  const document::Node nothing = document::Node::Map();
  const document::Node& document = documents.empty() ? nothing : documents.front();
  v1::Discovery discovery;
  std::vector<FieldViolation> violations;
  if (document::ToMessage(document, discovery, violations)) ValidateDiscovery(discovery, violations);
  if (!violations.empty()) {
    document::Locate(document, violations);
    Error error = InvalidArgument("DISCOVERY_INVALID", "the discovery file has {} faults", violations.size());
    error.violations = std::move(violations);
    return error;
  }
  if (has_good && discovery.workloads().empty() && discovery.services().empty() &&
      !(SaysEmpty(document, "workloads") && SaysEmpty(document, "services"))) {
    return FailedPrecondition("DISCOVERY_EMPTY",
                              "the file declares nothing; say `workloads: []` and `services: []` if that is meant");
  }
  return FactsFrom(discovery);
}

struct FileDiscovery::Core {
  std::string path;
  Duration poll;
  std::function<void(const Facts&)> on_facts;
  int inotify = -1;
  int stop = -1;
  std::thread thread;
  std::optional<std::string> last_text;  // Of the newest look, good or bad: the same text is not judged twice.
  std::string served_hash;
  mutable std::mutex mutex;  // Guards state.
  DiscoveryState state;

  // Whoever writes the file in place may be in the middle of it: a cut YAML list is a valid shorter list. So only a
  // finished write or rename (`told`) is read at once; the periodic look takes files that have rested.
  void Look(bool told) {
    std::error_code failed;
    const auto written = std::filesystem::last_write_time(path, failed);
    if (!told && !failed && std::filesystem::file_time_type::clock::now() - written < std::chrono::seconds(1)) return;
    auto text = ReadFile(path, kFileLimit);
    if (text.ok()) {
      if (last_text == *text) return;
      last_text = *text;
    }
    bool has_good;
    {
      std::lock_guard lock(mutex);
      has_good = state.has_reading;
    }
    Result<Facts> facts = text.ok() ? ReadDiscovery(*text, has_good) : Result<Facts>(text.error());
    if (!facts.ok()) return Refuse(facts.error());
    const std::string hash = HashFacts(*facts);
    const bool changed = !has_good || hash != served_hash;
    {
      std::lock_guard lock(mutex);
      state.has_reading = true;
      ++state.accepted;
      state.last_refusal = Error{Code::kOk, "", "", {}, ""};
    }
    if (!changed) return;
    served_hash = hash;
    obs::Log(obs::Level::kInfo, "discovery file read",
             {{"path", path},
              {"workloads", std::to_string(facts->workloads.size())},
              {"services", std::to_string(facts->services.size())}});
    on_facts(*facts);
  }

  void Refuse(const Error& error) {
    {
      std::lock_guard lock(mutex);
      if (state.last_refusal.code == error.code && state.last_refusal.message == error.message &&
          error.violations.empty() && state.last_refusal.violations.empty()) {
        return;  // Said already.
      }
      state.last_refusal = error;
      ++state.refused;
    }
    if (error.code == Code::kNotFound) last_text.reset();
    obs::Log(obs::Level::kError, "discovery file refused; the last good reading stays",
             {{"path", path}, {"reason", error.reason}, {"error", error.message}});
    for (const FieldViolation& violation : error.violations) {
      obs::Log(obs::Level::kError, "discovery file violation",
               {{"path", path},
                {"line", std::to_string(violation.line)},
                {"field", violation.field},
                {"error", violation.description}});
    }
  }

  void Run() {
    const int timeout_ms = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(poll).count());
    for (;;) {
      pollfd fds[2] = {{stop, POLLIN, 0}, {inotify, POLLIN, 0}};
      ::poll(fds, inotify >= 0 ? 2 : 1, timeout_ms);
      if ((fds[0].revents & POLLIN) != 0) return;
      alignas(inotify_event) char events[4096];
      bool told = false;
      while (inotify >= 0 && ::read(inotify, events, sizeof(events)) > 0) told = true;
      Look(told);
    }
  }
};

FileDiscovery::FileDiscovery(std::string path, Duration poll) : core_(std::make_unique<Core>()) {
  core_->path = std::move(path);
  core_->poll = poll;
  core_->state.last_refusal.code = Code::kOk;
}

FileDiscovery::~FileDiscovery() { Stop(); }

Status FileDiscovery::Start(std::function<void(const Facts&)> on_facts) {
  core_->on_facts = std::move(on_facts);
  core_->stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  core_->inotify = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  std::string folder = std::filesystem::path(core_->path).parent_path().string();
  if (folder.empty()) folder = ".";
  // The watch stands before the first look, so that no change falls between them.
  if (core_->inotify >= 0 && ::inotify_add_watch(core_->inotify, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
    obs::Log(obs::Level::kWarn, "folder of the discovery file cannot be watched; looking periodically",
             {{"folder", folder}});
  }
  core_->Look(true);
  core_->thread = std::thread([this] { core_->Run(); });
  return {};
}

void FileDiscovery::Stop() {
  if (!core_->thread.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(core_->stop, &one, sizeof(one));
  core_->thread.join();
  ::close(core_->stop);
  if (core_->inotify >= 0) ::close(core_->inotify);
}

DiscoveryState FileDiscovery::State() const {
  std::lock_guard lock(core_->mutex);
  return core_->state;
}

}  // namespace weir::agent
