#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <queue>
#include <sstream>
#include <thread>

#include "libs/base/mutex.h"

namespace weir::test {
namespace {

using Steady = std::chrono::steady_clock;

// The parent-death signal follows the thread that forked, so one thread that never ends forks for all.
class Spawner {
 public:
  static Spawner& Get() {
    static auto* const spawner = new Spawner;
    return *spawner;
  }
  pid_t Fork(std::function<pid_t()> fork) {
    std::packaged_task<pid_t()> task(std::move(fork));
    auto result = task.get_future();
    {
      const MutexLock lock(mutex_);
      tasks_.push(std::move(task));
    }
    wake_.NotifyOne();
    return result.get();
  }

 private:
  Spawner() {
    std::thread([this] {
      for (;;) {
        MutexLock lock(mutex_);
        wake_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return !tasks_.empty(); });
        auto task = std::move(tasks_.front());
        tasks_.pop();
        lock.Unlock();
        task();
      }
    }).detach();
  }
  Mutex mutex_;
  CondVar wake_;
  std::queue<std::packaged_task<pid_t()>> tasks_ WEIR_GUARDED_BY(mutex_);
};

std::vector<std::string> Environment(const std::vector<std::string>& more) {
  std::vector<std::string> out = more;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::string_view(*entry).starts_with("WEIR_")) continue;  // A user's settings must not bend the fleet.
    out.emplace_back(*entry);
  }
  return out;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

struct Descriptors {
  int in = -1;
  int out = -1;
  int err = -1;
};

// The hard limit stays, so that GiveRoom needs no right.
void LimitFiles(pid_t pid, rlim_t bytes) {
  rlimit limit{};
  prlimit(pid, RLIMIT_FSIZE, nullptr, &limit);
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  prlimit(pid, RLIMIT_FSIZE, &limit, nullptr);
}

// Between fork and exec only async-signal-safe calls: everything is prepared before.
pid_t ForkExec(const Command& command, const Descriptors& fds) {
  const std::vector<std::string> env = Environment(command.env);
  const std::vector<char*> argv = Pointers(command.argv), envp = Pointers(env);
  const pid_t parent = getpid();
  return Spawner::Get().Fork([&]() -> pid_t {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setpgid(0, 0);  // Ctrl-C reaches us, not them: we end them in order.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    dup2(fds.in, 0);
    dup2(fds.out, 1);
    dup2(fds.err, 2);
    if (command.full_disk) {
      signal(SIGXFSZ, SIG_IGN);
      LimitFiles(0, 0);
    }
    if (!command.folder.empty() && chdir(command.folder.c_str()) != 0) _exit(127);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  });
}

Status CheckProgram(const Command& command) {
  if (command.argv.empty() || access(command.argv[0].c_str(), X_OK) != 0) {
    return NotFound("PROGRAM_MISSING", "there is no program {}; build it first",
                    command.argv.empty() ? "" : command.argv[0]);
  }
  return {};
}

int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

sockaddr_in Socket(const std::string& address, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

}  // namespace

Result<std::unique_ptr<Process>> Process::Start(Command command) {
  WEIR_TRY(CheckProgram(command));
  const std::string log = command.log_file.empty() ? "/dev/null" : command.log_file;
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0 || null < 0) {
    if (null >= 0) close(null);
    return Internal("SPAWN_FAILED", "cannot write {}: {}", log, std::strerror(errno));
  }
  const pid_t pid = ForkExec(command, {null, out, out});
  close(null);
  close(out);
  if (pid < 0) return Internal("SPAWN_FAILED", "cannot start {}", command.argv[0]);
  const int pidfd = OpenPidfd(pid);
  if (pidfd < 0) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return Internal("SPAWN_FAILED", "no pidfd: {}", std::strerror(errno));
  }
  return std::unique_ptr<Process>(new Process(std::move(command), pid, pidfd));
}

Process::~Process() {
  Kill();
  close(pidfd_);
}

std::optional<int> Process::WaitExit(Milliseconds deadline) {
  if (exit_) return exit_;
  const auto end = Steady::now() + deadline;
  for (;;) {
    pollfd waiting{pidfd_, POLLIN, 0};
    const auto left = std::chrono::ceil<Milliseconds>(end - Steady::now()).count();
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(0, left)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_) return exit_ = 255;
    return exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

bool Process::Running() { return !WaitExit(Milliseconds(0)).has_value(); }

void Process::Signal(int signal) {
  if (!exit_) syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
}
void Process::Freeze() { Signal(SIGSTOP); }
void Process::Thaw() { Signal(SIGCONT); }
void Process::Kill() {
  Signal(SIGKILL);
  while (!WaitExit(Milliseconds(1000))) {
  }
}

Result<int> Process::Terminate(Milliseconds deadline) {
  Signal(SIGTERM);
  Thaw();
  if (const auto code = WaitExit(deadline)) return *code;
  Kill();
  return DeadlineExceeded("DID_NOT_END", "{} did not end within {} ms of SIGTERM and was killed", name(),
                          deadline.count());
}

void Process::GiveRoom() { LimitFiles(pid_, RLIM_INFINITY); }

std::string Process::Log() const { return ReadAll(command_.log_file); }

std::string Process::LogTail(size_t lines) const {
  const std::string log = Log();
  size_t at = log.size();
  for (size_t i = 0; i <= lines && at != std::string::npos && at > 0; ++i) at = log.rfind('\n', at - 1);
  return at == std::string::npos || at == 0 ? log : log.substr(at + 1);
}

uint64_t Process::ResidentBytes() const {
  std::istringstream in(ReadAll(fmt::format("/proc/{}/statm", pid_)));
  uint64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t Process::CpuNanoseconds() const {
  uint64_t sum = 0;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid_), error)) {
    std::istringstream in(ReadAll(task.path().string() + "/schedstat"));
    uint64_t nanoseconds = 0;
    in >> nanoseconds;
    sum += nanoseconds;
  }
  return sum;
}

Status WaitUntil(std::string_view what, Milliseconds deadline, Process* process, const std::function<bool()>& done) {
  const auto end = Steady::now() + deadline;
  for (auto pause = Milliseconds(1); !done(); pause = std::min(pause * 2, Milliseconds(20))) {
    if (process == nullptr) {
      std::this_thread::sleep_for(pause);
    } else if (const auto code = process->WaitExit(pause)) {
      return FailedPrecondition("PROCESS_ENDED",
                                "{} ended with {} while we waited for {}; the end of its log ({}):\n{}",
                                process->name(), *code, what, process->command().log_file, process->LogTail());
    }
    if (Steady::now() > end) {
      return DeadlineExceeded("NOT_READY", "waited {} ms for {}{}", deadline.count(), what,
                              process == nullptr ? ""
                                                 : fmt::format("; the end of the log of {} ({}):\n{}", process->name(),
                                                               process->command().log_file, process->LogTail()));
    }
  }
  return {};
}

bool CanConnect(const std::string& address, uint16_t port) {
  const sockaddr_in to = Socket(address, port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool ok = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  close(fd);
  return ok;
}

Status CheckPortFree(const std::string& address, uint16_t port) {
  const sockaddr_in to = Socket(address, port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 && listen(fd, 1) == 0;
  const int why = errno;
  close(fd);
  if (bound) return {};
  return FailedPrecondition("PORT_IN_USE", "{}:{} cannot be used: {}", address, port, std::strerror(why));
}

Status WaitForPort(Process* process, const std::string& address, uint16_t port, Milliseconds deadline) {
  return WaitUntil(fmt::format("{}:{}", address, port), deadline, process, [&] { return CanConnect(address, port); });
}
Status WaitForFile(Process* process, const std::string& path, Milliseconds deadline) {
  return WaitUntil(path, deadline, process, [&] { return access(path.c_str(), F_OK) == 0; });
}
Status WaitForLog(Process* process, std::string_view text, Milliseconds deadline) {
  return WaitUntil(fmt::format("\"{}\" in the log", text), deadline, process,
                   [&] { return process->Log().find(text) != std::string::npos; });
}

Result<Finished> RunCommand(Command command, Milliseconds deadline, std::string_view input) {
  WEIR_TRY(CheckProgram(command));
  int in[2], out[2], err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    return Internal("SPAWN_FAILED", "no pipe: {}", std::strerror(errno));
  }
  const pid_t pid = ForkExec(command, {in[0], out[1], err[1]});
  for (const int fd : {in[0], out[1], err[1]}) close(fd);
  signal(SIGPIPE, SIG_IGN);
  // A pipe holds 64 KiB; inputs here are documents and passwords.
  (void)!write(in[1], input.data(), std::min<size_t>(input.size(), 60'000));
  close(in[1]);
  Finished finished;
  const auto end = Steady::now() + deadline;
  pollfd reading[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  bool timed_out = false;
  while (reading[0].fd >= 0 || reading[1].fd >= 0) {
    const auto left = std::chrono::ceil<Milliseconds>(end - Steady::now()).count();
    if (left <= 0) {
      timed_out = true;
      break;
    }
    if (poll(reading, 2, static_cast<int>(left)) < 0 && errno != EINTR) break;
    for (int i = 0; i < 2; ++i) {
      if (reading[i].fd < 0 || reading[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t got = read(reading[i].fd, buffer, sizeof buffer);
      if (got > 0)
        (i == 0 ? finished.out : finished.err).append(buffer, static_cast<size_t>(got));
      else
        reading[i].fd = -1;
    }
  }
  close(out[0]);
  close(err[0]);
  if (timed_out && pid > 0) kill(pid, SIGKILL);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return Internal("SPAWN_FAILED", "cannot run {}", command.argv[0]);
  if (timed_out) return DeadlineExceeded("TIMEOUT", "{} did not end within {} ms", command.name, deadline.count());
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

}  // namespace weir::test
