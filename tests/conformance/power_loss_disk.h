#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>

namespace weir {

// A disk in memory, as a SQLite VFS, that forgets like a real one: what was not synced may survive, vanish or be torn,
// each write for itself. Thread-safe.
class PowerLossDisk {
 public:
  PowerLossDisk();   // Registers the VFS.
  ~PowerLossDisk();  // Every connection must be closed.
  const std::string& vfs() const;

  // The power goes after this many more writes, syncs, truncations or deletions; everything fails from then on.
  void CutAfter(int operations);
  bool cut() const;
  // Power is back: what survived is what is there. Every connection must be closed.
  void Reboot(std::mt19937& random);

  // The next `times` syncs fail with this SQLite code (their bytes stay unsynced); writes likewise.
  void FailSyncs(int code, int times);
  void FailWrites(int code, int times);
  void SlowSyncs(int microseconds);
  int64_t syncs() const;
  // How often this thread wrote into a database itself, not its log, on any such disk.
  static int64_t DatabaseWritesOfThisThread();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace weir
