#include "libs/process/stop_signals.h"

#include <pthread.h>
#include <sys/signalfd.h>

namespace weir::process {

StopSignals::StopSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

int StopSignals::Wait() const {
  int came = 0;
  sigwait(&signals_, &came);
  return came;
}

int StopSignals::NewDescriptor() const { return signalfd(-1, &signals_, SFD_CLOEXEC); }

}  // namespace weir::process
