#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "deploy/demo/demo.h"

namespace {

constexpr char kHelp[] =
    "weir-demo: a whole Weir on this machine, with real requests\n\n"
    "  --bin-dir DIR     where the programs are (default build/release/bin)\n"
    "  --folder DIR      state, logs and report.json (default build/demo)\n"
    "  --documents DIR   the YAML it applies (default deploy/demo)\n"
    "  --requests N      per phase, at least 10000 (default 12000)\n"
    "  --once            end after the report, like DEMO_ONCE=1\n";

bool ReadFlags(int argc, char** argv, weir::demo::DemoOptions& options, bool& once) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--once") {
      once = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : nullptr;
    if (value == nullptr) return false;
    if (flag == "--bin-dir")
      options.bin_dir = value;
    else if (flag == "--folder")
      options.folder = value;
    else if (flag == "--documents")
      options.documents = value;
    else if (flag == "--requests")
      options.requests_per_phase = std::max(10'000ull, std::strtoull(value, nullptr, 10));
    else
      return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  weir::demo::DemoOptions options;
  const char* variable = std::getenv("DEMO_ONCE");
  bool once = variable != nullptr && std::string_view(variable) != "" && std::string_view(variable) != "0";
  if (!ReadFlags(argc, argv, options, once)) {
    std::fputs(kHelp, argc == 2 && std::string_view(argv[1]) == "--help" ? stdout : stderr);
    return argc == 2 && std::string_view(argv[1]) == "--help" ? 0 : 2;
  }
  // Blocked before any thread exists. While things come up a Ctrl-C ends us at once, and every process dies with us;
  // once all stands they are ended in order.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  static std::atomic<bool> stands{false}, stop{false};
  std::thread([signals] {
    for (;;) {
      int number = 0;
      sigwait(&signals, &number);
      if (!stands || stop) {
        std::fputs("\nstopped; every process of the demo ends with it\n", stderr);
        _exit(128 + number);
      }
      stop = true;
      stop.notify_all();
    }
  }).detach();

  weir::demo::Demo demo(options);
  const weir::Status outcome = demo.Run();
  if (!outcome.ok()) {
    std::fflush(stdout);
    std::fprintf(stderr, "\nweir-demo: %s: %s\n", outcome.error().reason.c_str(), outcome.error().message.c_str());
    return 1;
  }
  stands = true;
  if (!once) {
    demo.PrintHowToGoOn();
    stop.wait(false);
    std::printf("\nending all processes\n");
    std::fflush(stdout);
  }
  demo.fleet().StopAll();
  return 0;
}
