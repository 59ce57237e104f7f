#include "tests/conformance/power_loss_disk.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"

namespace weir {
namespace {

struct Pending {
  int64_t offset;
  std::string bytes;
  bool truncate = false;  // To `offset`.
};

void Apply(std::string& content, const Pending& change, size_t length) {
  if (change.truncate) {
    content.resize(static_cast<size_t>(change.offset));
    return;
  }
  const size_t end = static_cast<size_t>(change.offset) + length;
  if (content.size() < end) content.resize(end);
  content.replace(static_cast<size_t>(change.offset), length, change.bytes, 0, length);
}

struct Node {
  std::string durable;
  std::string current;
  std::vector<Pending> pending;
  bool durable_name = false;  // Its folder entry was synced.
  bool syncs_folder = false;  // As unix: the first sync of a new journal or log syncs the folder too.
  bool gone = false;          // Deleted, but the folder was not synced.
  bool database = false;      // Neither a journal nor a log.
  int shared = 0;             // File locks.
  void* reserved = nullptr;
  void* exclusive = nullptr;
  std::vector<std::unique_ptr<char[]>> shm;
  struct Slot {
    int shared = 0;
    void* exclusive = nullptr;
  };
  std::array<Slot, SQLITE_SHM_NLOCK> slots;
};

// What fails next, and how often.
struct Failing {
  int code = 0, times = 0;
  int Next() { return times > 0 ? (--times, code) : SQLITE_OK; }
};
thread_local int64_t database_writes = 0;

}  // namespace

struct PowerLossDisk::State {
  Mutex mutex;
  std::string name;
  sqlite3_vfs vfs{};
  std::map<std::string, std::shared_ptr<Node>> files WEIR_GUARDED_BY(mutex);
  int64_t left WEIR_GUARDED_BY(mutex) = -1;  // Operations until the cut; -1 = no cut planned.
  // The power is off; the operation that met the cut has still reached the disk's queue.
  bool cut WEIR_GUARDED_BY(mutex) = false;
  Failing failing_syncs WEIR_GUARDED_BY(mutex), failing_writes WEIR_GUARDED_BY(mutex);
  int slow_sync WEIR_GUARDED_BY(mutex) = 0;
  std::atomic<int64_t> syncs{0};

  void SyncFolder() WEIR_REQUIRES(mutex) {
    std::erase_if(files, [](const auto& file) { return file.second->gone; });
    for (auto& [path, node] : files) node->durable_name = true;
  }
  bool Step() WEIR_REQUIRES(mutex) {
    if (cut) return false;
    if (left > 0 && --left == 0) cut = true;
    return true;
  }
};

namespace {

using State = PowerLossDisk::State;

struct File {
  sqlite3_file base;
  State* state;
  std::shared_ptr<Node>* node;
  int level;
  unsigned shm_shared;
  unsigned shm_exclusive;
};

File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }

int Close(sqlite3_file* base) {
  delete Of(base)->node;
  Of(base)->node = nullptr;
  return SQLITE_OK;
}

int Read(sqlite3_file* base, void* to, int amount, sqlite3_int64 offset) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  if (file.state->cut) return SQLITE_IOERR_READ;
  const std::string& content = (*file.node)->current;
  const auto size = static_cast<sqlite3_int64>(content.size());
  const auto have = std::clamp<sqlite3_int64>(size - offset, 0, amount);
  if (have > 0) std::memcpy(to, content.data() + offset, static_cast<size_t>(have));
  if (have == amount) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + have, 0, static_cast<size_t>(amount - have));
  return SQLITE_IOERR_SHORT_READ;
}

int Change(File& file, Pending change) {
  State& state = *file.state;
  MutexLock lock(state.mutex);
  if (const int failure = change.truncate ? 0 : state.failing_writes.Next(); failure != 0) return failure;
  if (!state.Step()) return SQLITE_IOERR_WRITE;
  Node& node = **file.node;
  database_writes += node.database ? 1 : 0;
  Apply(node.current, change, change.bytes.size());
  node.pending.push_back(std::move(change));
  return state.cut ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

int Write(sqlite3_file* base, const void* from, int amount, sqlite3_int64 offset) {
  return Change(*Of(base), {offset, std::string(static_cast<const char*>(from), static_cast<size_t>(amount))});
}
int Truncate(sqlite3_file* base, sqlite3_int64 size) { return Change(*Of(base), {size, {}, true}); }

int Sync(sqlite3_file* base, int) {
  File& file = *Of(base);
  State& state = *file.state;
  ++state.syncs;
  int slow = 0;
  {
    MutexLock lock(state.mutex);
    if (const int failure = state.failing_syncs.Next(); failure != SQLITE_OK) return failure;
    if (!state.Step() || state.cut) return SQLITE_IOERR_FSYNC;  // Cut in the middle of it: the pending may be torn.
    Node& node = **file.node;
    node.durable = node.current;
    node.pending.clear();
    if (std::exchange(node.syncs_folder, false)) state.SyncFolder();
    slow = state.slow_sync;
  }
  if (slow > 0) ::usleep(static_cast<useconds_t>(slow));
  return SQLITE_OK;
}

int FileSize(sqlite3_file* base, sqlite3_int64* size) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  *size = static_cast<sqlite3_int64>((*file.node)->current.size());
  return SQLITE_OK;
}

int Lock(sqlite3_file* base, int level) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  Node& node = **file.node;
  if (file.level >= level) return SQLITE_OK;
  if (file.level == SQLITE_LOCK_NONE) {
    if (node.exclusive != nullptr) return SQLITE_BUSY;
    ++node.shared;
    file.level = SQLITE_LOCK_SHARED;
  }
  if (level >= SQLITE_LOCK_RESERVED) {
    if (node.reserved != nullptr && node.reserved != &file) return SQLITE_BUSY;
    node.reserved = &file;
    file.level = SQLITE_LOCK_RESERVED;
  }
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    if (node.shared > 1) return SQLITE_BUSY;
    node.exclusive = &file;
    file.level = SQLITE_LOCK_EXCLUSIVE;
  }
  return SQLITE_OK;
}

int Unlock(sqlite3_file* base, int level) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  Node& node = **file.node;
  if (file.level <= level) return SQLITE_OK;
  if (node.exclusive == &file) node.exclusive = nullptr;
  if (node.reserved == &file) node.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE) --node.shared;
  file.level = level;
  return SQLITE_OK;
}

int CheckReserved(sqlite3_file* base, int* reserved) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  *reserved = (*file.node)->reserved != nullptr ? 1 : 0;
  return SQLITE_OK;
}

int Control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return 4096; }
int Characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int ShmMap(sqlite3_file* base, int region, int size, int extend, void volatile** to) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  auto& shm = (*file.node)->shm;
  *to = nullptr;
  if (static_cast<size_t>(region) >= shm.size() && extend == 0) return SQLITE_OK;
  while (static_cast<size_t>(region) >= shm.size()) {
    shm.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));  // Zeroed.
  }
  *to = shm[static_cast<size_t>(region)].get();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* base, int offset, int count, int flags) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  auto& slots = (*file.node)->slots;
  const unsigned mask = ((1u << count) - 1) << offset;
  const auto each = [&](auto&& visit) {
    for (int i = offset; i < offset + count; ++i) visit(slots[static_cast<size_t>(i)], 1u << i);
  };
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    each([&](Node::Slot& slot, unsigned bit) {
      if ((file.shm_exclusive & bit) != 0) slot.exclusive = nullptr;
      if ((file.shm_shared & bit) != 0) --slot.shared;
    });
    file.shm_exclusive &= ~mask;
    file.shm_shared &= ~mask;
    return SQLITE_OK;
  }
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  bool busy = false;
  each([&](Node::Slot& slot, unsigned bit) {
    if (slot.exclusive != nullptr && slot.exclusive != &file) busy = true;
    if (exclusive && slot.shared > ((file.shm_shared & bit) != 0 ? 1 : 0)) busy = true;
  });
  if (busy) return SQLITE_BUSY;
  each([&](Node::Slot& slot, unsigned bit) {
    if (exclusive) {
      slot.exclusive = &file;
      file.shm_exclusive |= bit;
    } else if ((file.shm_shared & bit) == 0) {
      ++slot.shared;
      file.shm_shared |= bit;
    }
  });
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file* base) { MutexLock lock(Of(base)->state->mutex); }

int ShmUnmap(sqlite3_file* base, int remove) {
  File& file = *Of(base);
  MutexLock lock(file.state->mutex);
  if (remove != 0) (*file.node)->shm.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    2,        Close,         Read,    Write,      Truncate,        Sync,   FileSize, Lock,
    Unlock,   CheckReserved, Control, SectorSize, Characteristics, ShmMap, ShmLock,  ShmBarrier,
    ShmUnmap, nullptr,       nullptr};

State& Of(sqlite3_vfs* vfs) { return *static_cast<State*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* base, int flags, int* out_flags) {
  State& state = Of(vfs);
  MutexLock lock(state.mutex);
  base->pMethods = nullptr;
  if (state.cut) return SQLITE_CANTOPEN;
  File& file = *Of(base);
  auto node = std::make_shared<Node>();
  if (name != nullptr) {
    auto& stored = state.files[name];
    if (!stored || stored->gone) {
      if ((flags & SQLITE_OPEN_CREATE) == 0) {
        if (!stored) state.files.erase(name);
        return SQLITE_CANTOPEN;
      }
      if (!stored) stored = node;
      stored->gone = false;
      stored->syncs_folder = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
      stored->current.clear();
      stored->pending.push_back({0, {}, true});
    }
    node = stored;
  }
  node->database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  file.state = &state;
  file.node = new std::shared_ptr<Node>(std::move(node));
  file.level = SQLITE_LOCK_NONE;
  file.shm_shared = file.shm_exclusive = 0;
  base->pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  State& state = Of(vfs);
  MutexLock lock(state.mutex);
  const auto found = state.files.find(name);
  if (found == state.files.end() || found->second->gone) return SQLITE_IOERR_DELETE_NOENT;
  if (!state.Step()) return SQLITE_IOERR_DELETE;
  found->second->gone = true;
  if (sync_folder != 0 && !state.cut) state.SyncFolder();
  return state.cut ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

int Access(sqlite3_vfs* vfs, const char* name, int, int* result) {
  State& state = Of(vfs);
  MutexLock lock(state.mutex);
  const auto found = state.files.find(name);
  *result = found != state.files.end() && !found->second->gone ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* to) {
  sqlite3_snprintf(size, to, "%s", name);
  return SQLITE_OK;
}

}  // namespace

PowerLossDisk::PowerLossDisk() : state_(std::make_unique<State>()) {
  static std::atomic<int> next{0};
  state_->name = "power-loss-" + std::to_string(++next);
  sqlite3_initialize();
  sqlite3_vfs& vfs = state_->vfs;
  vfs = *sqlite3_vfs_find(nullptr);  // Randomness, sleep and time are the system's.
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = 512;
  vfs.pNext = nullptr;
  vfs.zName = state_->name.c_str();
  vfs.pAppData = state_.get();
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  sqlite3_vfs_register(&vfs, 0);
}

PowerLossDisk::~PowerLossDisk() { sqlite3_vfs_unregister(&state_->vfs); }

const std::string& PowerLossDisk::vfs() const { return state_->name; }

void PowerLossDisk::CutAfter(int operations) {
  MutexLock lock(state_->mutex);
  state_->left = operations;
}

bool PowerLossDisk::cut() const {
  MutexLock lock(state_->mutex);
  return state_->cut;
}

void PowerLossDisk::Reboot(std::mt19937& random) {
  MutexLock lock(state_->mutex);
  for (auto at = state_->files.begin(); at != state_->files.end();) {
    Node& node = *at->second;
    const bool name_lost = (!node.durable_name && random() % 2 == 0) || (node.gone && random() % 2 == 0);
    if (name_lost) {
      at = state_->files.erase(at);
      continue;
    }
    const unsigned mood = random() % 4;  // All lost, all kept, or each for itself.
    std::string content = node.durable;
    for (const Pending& change : node.pending) {
      const unsigned fate = mood == 0 ? 0 : mood == 1 ? 1 : random() % 3;
      if (fate == 0) continue;
      size_t length = change.bytes.size();
      if (fate == 2 && length > 0) {  // Torn, mostly between sectors.
        length = random() % 4 == 0 ? random() % length : random() % (length / 512 + 1) * 512;
      }
      Apply(content, change, length);
    }
    auto survivor = std::make_shared<Node>();
    survivor->durable = survivor->current = std::move(content);
    survivor->durable_name = true;
    at->second = std::move(survivor);
    ++at;
  }
  state_->cut = false;
  state_->left = -1;
  state_->failing_syncs = state_->failing_writes = {};
}

void PowerLossDisk::FailSyncs(int code, int times) {
  MutexLock lock(state_->mutex);
  state_->failing_syncs = {code, times};
}
void PowerLossDisk::FailWrites(int code, int times) {
  MutexLock lock(state_->mutex);
  state_->failing_writes = {code, times};
}
void PowerLossDisk::SlowSyncs(int microseconds) {
  MutexLock lock(state_->mutex);
  state_->slow_sync = microseconds;
}
int64_t PowerLossDisk::syncs() const { return state_->syncs; }
int64_t PowerLossDisk::DatabaseWritesOfThisThread() { return database_writes; }

}  // namespace weir
