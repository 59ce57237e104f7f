#include "mgmt-server/store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <deque>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/obs/log.h"
#include "mgmt-server/store/feed.h"
#include "mgmt-server/store/sqlite/checkpointer.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/sqlite/file_watch.h"
#include "mgmt-server/store/sqlite/past.h"
#include "mgmt-server/store/sqlite/rows.h"
#include "mgmt-server/store/sqlite/schema.h"
#include "mgmt-server/store/sqlite/store_lock.h"
#include "mgmt-server/store/writer_queue.h"

namespace weir::store {
namespace {

using Call = WriterQueue::Call;

// So long a group may take until it is committed: a call that is dear is not waited for by many.
constexpr std::chrono::milliseconds kGroupTime(25);

// True of changes that reach no gateway: nobody waits for what follows from them.
bool MayWait(const ChangeEvent& event) {
  return std::all_of(event.changes.begin(), event.changes.end(), [](const ResourceChange& change) {
    return change.kind == "Tenant" || change.kind == "User" || change.kind == "AccessBindings";
  });
}

class SqliteStore : public Store {
 public:
  SqliteStore(SqliteOptions options, const Policy& policy) : options_(std::move(options)), policy_(policy) {}

  ~SqliteStore() override {
    writers_.Close();
    checkpointer_.Stop();
    if (started_ && (!options_.closing || options_.closing(StandingOf(*Read(), {})).ok())) db_.EmptyLogOnClose();
    if (changes_) changes_->Close();
    if (facts_) facts_->Close();
  }

  Status Start() {
    if (options_.vfs.empty()) {
      WEIR_TRY(lock_.Take(options_.path));
      const int fd =
          ::open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);  // SQLite's files take this mode.
      if (fd >= 0) ::close(fd);
    }
    WEIR_ASSIGN(db_, Database::Open(options_.path, options_.vfs, false));
    // EXTRA for the change to WAL: else a deleted rollback journal could come back with the power and undo everything.
    WEIR_TRY(
        db_.Execute("PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                    "PRAGMA foreign_keys = ON;"
                    "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
                    "PRAGMA trusted_schema = OFF"));
    WEIR_TRY(Migrate(db_));
    WEIR_TRY(rows_.Prepare(db_));
    WEIR_TRY(LoadPublished());
    MutexLock lock(reader_mutex_);
    WEIR_ASSIGN(reader_, Database::Open(options_.path, options_.vfs, true));
    WEIR_TRY(past_.Open(options_.path, options_.vfs));
    if (options_.vfs.empty()) WEIR_TRY(files_.Begin(options_.path));
    WEIR_TRY(checkpointer_.Start(db_, options_.path, options_.vfs, options_.checkpoint_pages));
    changes_ = std::make_unique<Feed<ChangeEvent>>(
        Read()->revision(), [](const ChangeEvent& event) { return event.revision; },
        [this](int64_t after) { return OlderChanges(after); }, MayWait);
    facts_ = std::make_unique<Feed<FactsEvent>>(
        static_cast<int64_t>(Read()->facts_sequence()),
        [](const FactsEvent& event) { return static_cast<int64_t>(event.sequence); },
        [this](int64_t) {  // What was there is not kept; the subscriber reads the present.
          FactsEvent event;
          event.sequence = Read()->facts_sequence();
          event.resync = true;
          return std::vector<FactsEvent>{event};
        },
        [](const FactsEvent&) { return false; });
    started_ = true;
    return {};
  }

  ViewPtr Read() const override {
    MutexLock lock(published_mutex_);
    return published_;
  }

  Status LastWrite() const override {
    MutexLock lock(published_mutex_);
    return last_write_;
  }

  Result<ViewPtr> ReadAt(int64_t revision) const override { return PastAt(revision, false); }
  Result<ViewPtr> StateAt(int64_t revision) const override { return PastAt(revision, true); }

  Result<std::string> MarkOf(int64_t revision) const override {
    MutexLock lock(reader_mutex_);
    WEIR_ASSIGN(Statement query, reader_.Prepare("SELECT mark FROM revisions WHERE revision = ?"));
    query.Int(revision);
    WEIR_ASSIGN(const bool row, query.Step());
    if (!row) return NotFound("REVISION_UNKNOWN", "no write of this history has the revision {}", revision);
    std::string mark = query.String(0);
    query.Reset();
    return mark;
  }

  Result<std::vector<ResourcePtr>> History(std::string_view fqn, size_t limit, int64_t below) const override {
    return past_.History(fqn, below, limit);
  }
  Result<std::vector<Change>> Changes(const ChangesQuery& query) const override { return past_.Changes(query); }
  Result<Revision> GetRevision(int64_t number) const override { return past_.GetRevision(number); }
  Result<int64_t> RevisionAt(WallTime time) const override { return past_.RevisionAt(time); }
  Result<int64_t> FloorOf(int64_t changes) const override { return past_.FloorOf(changes); }
  Result<int64_t> AuditUntil(WallTime time) const override { return past_.AuditUntil(time); }
  Result<int64_t> LastOtherHolder(std::string_view fqn, std::string_view uid) const override {
    return past_.LastOtherHolder(fqn, uid);
  }
  Result<std::vector<AuditRow>> AuditBefore(int64_t before, size_t limit) const override {
    return past_.AuditBefore(before, limit);
  }

  Result<std::string> KeptAnswer(std::string_view principal_uid, std::string_view key) const override {
    MutexLock lock(reader_mutex_);
    WEIR_ASSIGN(Statement query,
                reader_.Prepare("SELECT answer FROM kept_answers WHERE principal_uid = ? AND key = ?"));
    query.Text(principal_uid).Text(key);
    WEIR_ASSIGN(const bool row, query.Step());
    if (!row) return NotFound("KEY_UNKNOWN", "this idempotency key was not used, or is kept no more");
    std::string answer = query.String(0);
    query.Reset();
    return answer;
  }

  Result<std::vector<AuditRow>> Audit(const AuditQuery& query) const override {
    return past_.AuditAfter(query.after, query.limit);
  }

  std::unique_ptr<Subscription> Subscribe(int64_t after, std::function<void(const ChangeEvent&)> callback) override {
    return changes_->Subscribe(after, std::move(callback));
  }
  std::unique_ptr<Subscription> SubscribeFacts(uint64_t after,
                                               std::function<void(const FactsEvent&)> callback) override {
    return facts_->Subscribe(static_cast<int64_t>(after), std::move(callback));
  }

 protected:
  Status Commit(const std::function<Status(Txn&)>& fn, bool dry_run) override { return writers_.Run(fn, dry_run); }

 private:
  Result<ViewPtr> PastAt(int64_t revision, bool with_graph) const {
    if (revision < 0 || revision > Read()->revision()) {
      return OutOfRange("REVISION_UNKNOWN", "there is no revision {} yet", revision);
    }
    return past_.ReadAt(*Read(), policy_, revision, with_graph);
  }

  // Leaves in the group whom it answered; returns for whom the time did not reach.
  std::vector<Call*> RunGroup(std::vector<Call*>& group) {
    std::vector<Call*> late;
    Status failed = Fence();
    if (failed.ok()) failed = begin_.Run();
    if (failed.ok())
      WriteGroup(group, late);
    else
      FailAll(group, CommitFailed(failed.error()));
    return late;
  }

  static void Cut(size_t at, std::vector<Call*>& group, std::vector<Call*>& late) {
    late.assign(group.begin() + static_cast<std::ptrdiff_t>(at), group.end());
    group.resize(at);
  }

  void WriteGroup(std::vector<Call*>& group, std::vector<Call*>& late) {
    const bool alone = group.size() == 1;
    const MonoTime until = options_.clock->Now() + kGroupTime;
    View working = *Read();
    const uint64_t facts_before = working.facts_sequence();
    Events events;
    Status failed;
    bool dirty = false;
    for (size_t i = 0; i < group.size() && failed.ok(); ++i) {
      if (i > 0 && options_.clock->Now() > until) Cut(i, group, late);
      if (i == group.size()) break;
      failed = RunCall(*group[i], alone, working, events);
      dirty |= failed.ok() && group[i]->changed;
    }
    if (failed.ok() && dirty && working.facts_sequence() != facts_before) {
      failed = rows_.PutFactsSequence(working.facts_sequence());
    }
    if (!dirty && failed.ok()) {  // Nothing to make durable.
      (void)db_.Execute("ROLLBACK");
      return;
    }
    if (failed.ok()) failed = commit_.Run();
    if (!failed.ok()) {
      trusted_ = false;
      (void)rows_.TakeError();
      if (!db_.autocommit()) (void)db_.Execute("ROLLBACK");
      obs::Log(obs::Level::kError, "commit failed", {{"cause", failed.error().cause}});
      return FailAll(group, AfterFailedCommit(failed.error()));
    }
    if (const Status there = files_.StillThere(); !there.ok()) {  // What was synced went where nobody finds it again.
      trusted_ = false;
      obs::Log(obs::Level::kError, "the store's files are gone", {{"error", there.error().ToString()}});
      return FailAll(group, there.error());
    }
    if (options_.committed) options_.committed(StandingOf(working, {files_.LogSalt(), db_.log_pages()}));
    Publish(std::make_shared<const View>(std::move(working)));
    Publish(std::move(events));
  }

  // Of one group.
  struct Events {
    std::vector<ChangeEvent> changes;
    std::vector<ViewPtr> states;  // Of the changes.
    std::vector<FactsEvent> facts;
  };
  void Publish(Events events) {
    for (ViewPtr& state : events.states) {
      states_.push_back(std::move(state));
      if (states_.size() > kStates) states_.pop_front();
    }
    changes_->Publish(events.changes);
    facts_->Publish(events.facts);
  }

  // One caller inside its own savepoint, or `alone` in its transaction, which is rolled back when nothing was changed.
  // An error of the caller stays with it; what is returned fails the group.
  Status RunCall(Call& call, bool alone, View& working, Events& events) {
    const View before = working;
    if (!alone) WEIR_TRY(savepoint_.Run());
    Txn txn(working, rows_, policy_, options_.clock->Wall());
    try {
      call.status = (*call.fn)(txn);
      if (call.status.ok()) call.status = txn.Finish();
    } catch (const std::exception& thrown) {
      call.status = Internal("WRITE_THREW", "internal error").WithCause(thrown.what());
    }
    const Status overlooked = rows_.TakeError();
    if (db_.autocommit()) {  // SQLite gave up the whole transaction.
      return overlooked.ok() ? Unavailable("STORE_IO", "the store cannot be written now") : overlooked;
    }
    if (call.status.ok() && !overlooked.ok()) call.status = overlooked;
    if (!call.status.ok() || call.dry_run) {
      working = before;
      if (alone) return {};
      if (txn.changed() || !overlooked.ok()) WEIR_TRY(rollback_.Run());
      return release_.Run();
    }
    if (!alone) WEIR_TRY(release_.Run());
    call.changed = txn.changed();
    if (txn.event()) {
      // Not make_shared: the events that know it outlive it.
      events.states.push_back(ViewPtr(new View(working)));
      events.changes.push_back(*txn.event());
      events.changes.back().state = events.states.back();
    }
    events.facts.insert(events.facts.end(), txn.facts_events().begin(), txn.facts_events().end());
    return {};
  }

  // After a failed COMMIT its frames may stand unsynced in the log, and a crash now could bring them back. A small
  // commit of our own overwrites their beginning; after it, what is stored is compared with memory.
  Status Fence() {
    if (trusted_) return {};
    WEIR_TRY(files_.StillThere());
    WEIR_TRY(db_.Execute("UPDATE counters SET value = value + 1 WHERE name = 'fence'"));
    const int64_t known = Read()->revision();
    WEIR_TRY(LoadPublished());
    if (Read()->revision() > known) changes_->Publish(OlderChanges(known));
    trusted_ = true;
    return {};
  }

  // Fenced at once, before anybody is told: "nothing was stored" must hold whatever happens to the power next.
  Error AfterFailedCommit(const Error& cause) {
    const ViewPtr before = Read();
    const Status fenced = Fence();
    const ViewPtr after = Read();
    if (fenced.ok() && after->revision() == before->revision() && after->facts_sequence() == before->facts_sequence() &&
        after->audit_count() == before->audit_count()) {
      return CommitFailed(cause);
    }
    return Unknown("COMMIT_UNKNOWN",
                   "the disk failed and does not say whether the change was stored; read it again before you repeat it")
        .WithCause(cause.cause.empty() ? cause.message : cause.cause);
  }

  static Standing StandingOf(const View& view, const LogPosition& log) {
    return {view.lineages().back(), view.revision(), log};
  }

  static Error CommitFailed(const Error& cause) {
    if (cause.reason == "STORE_GONE") return cause;
    return Unavailable("COMMIT_FAILED", "nothing was stored: the store cannot be written now")
        .WithCause(cause.cause.empty() ? cause.message : cause.cause);
  }

  void FailAll(const std::vector<Call*>& group, const Error& error) {
    {
      MutexLock lock(published_mutex_);
      last_write_ = error;
    }
    for (Call* call : group) call->status = error;
  }

  Status LoadPublished() {
    auto view = std::make_shared<View>(policy_.Rights());
    WEIR_TRY(Load(db_, policy_, *view));
    WEIR_ASSIGN(begin_, db_.Prepare("BEGIN IMMEDIATE"));
    WEIR_ASSIGN(commit_, db_.Prepare("COMMIT"));
    WEIR_ASSIGN(savepoint_, db_.Prepare("SAVEPOINT caller"));
    WEIR_ASSIGN(rollback_, db_.Prepare("ROLLBACK TO caller"));
    WEIR_ASSIGN(release_, db_.Prepare("RELEASE caller"));
    if (const ViewPtr known = Read()) {  // Who is connected is known to this process only.
      ViewLoader loader(*view);
      known->ForEachFacts([&](const ClusterFactsPtr& facts) {
        const ClusterFactsPtr stored = view->Facts(facts->cluster_uid);
        if (!stored || !facts->connected) return;
        auto connected = std::make_shared<ClusterFacts>(*stored);
        connected->connected = true;
        loader.Add(ClusterFactsPtr(std::move(connected)));
      });
    }
    Publish(std::move(view));
    return {};
  }

  void Publish(ViewPtr view) {
    MutexLock lock(published_mutex_);
    published_.swap(view);
    last_write_ = {};
  }

  std::vector<ChangeEvent> OlderChanges(int64_t after) const {
    MutexLock lock(reader_mutex_);
    auto events = ReadChanges(reader_, after);
    return events.ok() ? std::move(events).value() : std::vector<ChangeEvent>();
  }

  const SqliteOptions options_;
  const Policy& policy_;
  StoreLock lock_;
  FileWatch files_;
  Database db_;  // The leader's only, once started.
  Checkpointer checkpointer_;
  WriterQueue writers_{options_.max_group, options_.waits, [this](auto& group) { return RunGroup(group); }};
  SqliteRows rows_;
  Statement begin_, commit_, savepoint_, rollback_, release_;
  bool started_ = false;
  bool trusted_ = true;  // False after a failed COMMIT, until Fence.
  mutable Mutex reader_mutex_;
  mutable Database reader_ WEIR_GUARDED_BY(reader_mutex_);
  PastReader past_;
  mutable Mutex published_mutex_;
  std::deque<ViewPtr> states_;  // Of the last revisions; the leader's only.
  ViewPtr published_ WEIR_GUARDED_BY(published_mutex_);
  Status last_write_ WEIR_GUARDED_BY(published_mutex_);
  std::unique_ptr<Feed<ChangeEvent>> changes_;
  std::unique_ptr<Feed<FactsEvent>> facts_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenSqlite(SqliteOptions options, const Policy& policy) {
  auto store = std::make_unique<SqliteStore>(std::move(options), policy);
  WEIR_TRY(store->Start());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace weir::store
