#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir::test {

using Milliseconds = std::chrono::milliseconds;

struct Command {
  std::string name;               // In messages: "weir-agent cluster1".
  std::vector<std::string> argv;  // argv[0] is the program's path.
  std::vector<std::string> env;   // "KEY=value", added to our own environment (WEIR_* of ours are not passed on).
  std::string log_file;           // Standard output and error are appended; "" = /dev/null.
  std::string folder;             // Working directory; "" = ours.
  bool full_disk = false;         // No file takes a byte from it, its log neither (tests/support/full_disk.h).
};

// A real process that dies with us (parent-death signal), watched by a pidfd, so that a reused pid is never hit.
class Process {
 public:
  // NOT_FOUND PROGRAM_MISSING, INTERNAL SPAWN_FAILED.
  static Result<std::unique_ptr<Process>> Start(Command command);
  ~Process();  // kill -9 and reap.
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const Command& command() const { return command_; }
  const std::string& name() const { return command_.name; }
  pid_t pid() const { return pid_; }
  bool Running();
  // Waits up to `deadline`. Exit code, or 128 + signal; unset = still running.
  std::optional<int> WaitExit(Milliseconds deadline);

  void Signal(int signal);
  void Freeze();    // SIGSTOP
  void Thaw();      // SIGCONT
  void Kill();      // kill -9 and reap.
  void GiveRoom();  // Ends Command::full_disk.
  // SIGTERM; kill -9 when it has not ended by `deadline` (DEADLINE_EXCEEDED then). The exit code.
  Result<int> Terminate(Milliseconds deadline = Milliseconds(10'000));

  std::string Log() const;  // All of the log file.
  std::string LogTail(size_t lines = 12) const;
  // Resident memory in bytes, and CPU nanoseconds of all threads so far (/proc/PID/task/*/schedstat).
  uint64_t ResidentBytes() const;
  uint64_t CpuNanoseconds() const;

 private:
  Process(Command command, pid_t pid, int pidfd) : command_(std::move(command)), pid_(pid), pidfd_(pidfd) {}
  Command command_;
  pid_t pid_;
  int pidfd_;
  std::optional<int> exit_;
};

// Asks `done` every few milliseconds until it is true. DEADLINE_EXCEEDED NOT_READY says what was waited for;
// FAILED_PRECONDITION PROCESS_ENDED at once when `process` (may be null) ends before, with the end of its log.
Status WaitUntil(std::string_view what, Milliseconds deadline, Process* process, const std::function<bool()>& done);
Status WaitForPort(Process* process, const std::string& address, uint16_t port, Milliseconds deadline);
Status WaitForFile(Process* process, const std::string& path, Milliseconds deadline);
Status WaitForLog(Process* process, std::string_view text, Milliseconds deadline);

// True when somebody listens there. A frozen process still "listens".
bool CanConnect(const std::string& address, uint16_t port);
// Ok when we could bind it ourselves; else FAILED_PRECONDITION PORT_IN_USE.
Status CheckPortFree(const std::string& address, uint16_t port);
// Runs a command to its end with standard input `input`; its standard output and error.
struct Finished {
  int exit_code = 0;
  std::string out;
  std::string err;
};
Result<Finished> RunCommand(Command command, Milliseconds deadline, std::string_view input = "");

}  // namespace weir::test
