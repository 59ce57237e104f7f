#include "cluster-agent/discovery/file_discovery.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/discovery/stored_facts.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/document/document.h"
#include "libs/facts/check.h"
#include "libs/obs/log.h"

namespace weir::agent {
namespace {

constexpr size_t kFileLimit = 16u << 20;

bool SaysEmpty(const document::Node& document, std::string_view key) {
  const document::Node* node = document.Find(key);
  return node != nullptr && node->type == document::Node::Type::kSequence && node->items.empty();
}

// Whoever writes the file in place may be in the middle of it: so long it must have rested before it is believed
// without having been told that the writer is done.
constexpr std::chrono::seconds kRest{1};

}  // namespace

bool IsSealed(std::string_view text) { return text.ends_with("\n...\n"); }

Result<translate::Facts> ReadDiscovery(std::string_view text, bool has_good, bool sealed) {
  if (has_good && !text.empty() && !text.ends_with('\n')) {
    return FailedPrecondition("DISCOVERY_CUT", "the file does not end with a line end; it may be cut");
  }
  if (has_good && sealed && !text.empty() && !IsSealed(text)) {
    return FailedPrecondition("DISCOVERY_CUT",
                              "the file does not end with the line \"...\" as the one before did; it may be cut");
  }
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
  if (document::ToMessage(document, discovery, violations)) violations = facts::CheckAll(discovery);
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
  return translate::FactsFrom(discovery);
}

struct FileDiscovery::Core {
  FileDiscoveryOptions options;
  std::function<void(const translate::Facts&)> on_facts;
  int inotify = -1;
  int stop = -1;
  std::thread thread;
  std::optional<std::string> last_text;  // Of the newest look, good or bad: the same text is not judged twice.
  std::string served_hash;               // "" = nothing was said yet.
  bool sealed = false;
  bool soon = false;                       // The file is too fresh; look again when it has rested.
  std::optional<translate::Facts> unkept;  // What the disk did not take.
  mutable Mutex mutex;
  DiscoveryState state WEIR_GUARDED_BY(mutex);

  bool Fresh() const {
    std::error_code failed;
    const auto written = std::filesystem::last_write_time(options.path, failed);
    return !failed && options.clock->Wall() - std::chrono::file_clock::to_sys(written) < kRest;
  }

  // Only a finished write or rename (`told`) is read at once; the periodic look takes files that have rested.
  void Look(bool told) {
    soon = !told && Fresh();
    if (soon) return;
    auto text = ReadFile(options.path, kFileLimit);
    if (text.ok()) {
      if (last_text == *text) return;
      last_text = *text;
    }
    bool has_good;
    {
      MutexLock lock(mutex);
      has_good = state.has_reading;
    }
    Result<translate::Facts> facts =
        text.ok() ? ReadDiscovery(*text, has_good, sealed) : Result<translate::Facts>(text.error());
    if (!facts.ok()) return Refuse(facts.error());
    {
      MutexLock lock(mutex);
      state.has_reading = true;
      ++state.accepted;
      state.last_refusal = Error{Code::kOk, "", "", {}, ""};
    }
    const bool was_sealed = std::exchange(sealed, IsSealed(*text));
    if (translate::HashFacts(*facts) == served_hash && sealed == was_sealed) return;
    obs::Log(obs::Level::kInfo, "discovery file read",
             {{"path", options.path},
              {"workloads", std::to_string(facts->workloads.size())},
              {"services", std::to_string(facts->services.size())}});
    Say(*facts);
    Keep(std::move(*facts));
  }

  void Say(const translate::Facts& facts) {
    const std::string hash = translate::HashFacts(facts);
    if (hash == served_hash) return;
    served_hash = hash;
    on_facts(facts);
  }

  void Keep(translate::Facts facts) {
    if (options.last_good_path.empty()) return;
    const Status kept = SaveFacts(options.last_good_path, facts, sealed, options.owner);
    unkept.reset();
    if (!kept.ok()) unkept = std::move(facts);
    MutexLock lock(mutex);
    if (!kept.ok() && state.unkept.empty())
      obs::Log(obs::Level::kError, "the discovered facts could not be kept", {{"error", kept.error().ToString()}});
    state.unkept = kept.ok() ? "" : kept.error().ToString();
    if (kept.ok()) state.kept_refused.clear();  // What was wrong with the files before is mended.
  }

  // What was said before this start; the file is then held against it as if there had been no restart.
  std::optional<translate::Facts> Restore() {
    if (options.last_good_path.empty()) return std::nullopt;
    auto stored = LoadFacts(options.last_good_path, options.owner);
    std::vector<std::string> refused;
    if (stored.ok())
      refused = stored->refused;
    else if (stored.error().code != Code::kNotFound)
      refused.push_back(stored.error().ToString());
    for (const std::string& reason : refused) {
      obs::Log(obs::Level::kError, "kept facts refused", {{"reason", reason}});
    }
    MutexLock lock(mutex);
    state.kept_refused = refused;
    if (!stored.ok()) return std::nullopt;
    state.has_reading = true;
    state.started_from = fmt::format("generation {} of last-good", stored->generation);
    sealed = stored->sealed;
    return std::move(stored->facts);
  }

  void Refuse(const Error& error) {
    {
      MutexLock lock(mutex);
      if (state.last_refusal.code == error.code && state.last_refusal.message == error.message &&
          error.violations.empty() && state.last_refusal.violations.empty()) {
        return;  // Said already.
      }
      state.last_refusal = error;
      ++state.refused;
    }
    if (error.code == Code::kNotFound) last_text.reset();
    obs::Log(obs::Level::kError, "discovery file refused; the last good reading stays",
             {{"path", options.path}, {"reason", error.reason}, {"error", error.message}});
    for (const FieldViolation& violation : error.violations) {
      obs::Log(obs::Level::kError, "discovery file violation",
               {{"path", options.path},
                {"line", std::to_string(violation.line)},
                {"field", violation.field},
                {"error", violation.description}});
    }
  }

  void Run() {
    for (;;) {
      const Duration wait = options.clock->MaxSleep(soon ? std::min<Duration>(options.poll, kRest) : options.poll);
      pollfd fds[2] = {{stop, POLLIN, 0}, {inotify, POLLIN, 0}};
      ::poll(fds, inotify >= 0 ? 2 : 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count()));
      if ((fds[0].revents & POLLIN) != 0) return;
      alignas(inotify_event) char events[4096];
      bool told = false;
      while (inotify >= 0 && ::read(inotify, events, sizeof(events)) > 0) told = true;
      if (unkept) Keep(*std::move(unkept));
      Look(told);
    }
  }
};

FileDiscovery::FileDiscovery(FileDiscoveryOptions options) : core_(std::make_unique<Core>()) {
  core_->options = std::move(options);
  MutexLock lock(core_->mutex);
  core_->state.last_refusal.code = Code::kOk;
}

FileDiscovery::~FileDiscovery() { Stop(); }

Status FileDiscovery::Start(std::function<void(const translate::Facts&)> on_facts) {
  core_->on_facts = std::move(on_facts);
  core_->stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  core_->inotify = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  std::string folder = std::filesystem::path(core_->options.path).parent_path().string();
  if (folder.empty()) folder = ".";
  // The watch stands before the first look, so that no change falls between them.
  if (core_->inotify >= 0 && ::inotify_add_watch(core_->inotify, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
    obs::Log(obs::Level::kWarn, "folder of the discovery file cannot be watched; looking periodically",
             {{"folder", folder}});
  }
  const std::optional<translate::Facts> kept = core_->Restore();
  core_->Look(!kept.has_value());  // With something to serve, a file that is being written can wait.
  if (kept.has_value() && core_->served_hash.empty()) {
    obs::Log(
        obs::Level::kWarn, "starting with the facts that were kept",
        {{"workloads", std::to_string(kept->workloads.size())}, {"services", std::to_string(kept->services.size())}});
    core_->Say(*kept);
  }
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
  MutexLock lock(core_->mutex);
  return core_->state;
}

}  // namespace weir::agent
