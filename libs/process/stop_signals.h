#pragma once

#include <csignal>

namespace weir::process {

// SIGTERM and SIGINT as something to wait for; SIGPIPE is ignored. Made first in main, before any thread exists, so
// that every thread inherits it and only who waits here sees them.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int Wait() const;  // Blocks; the signal that came.
  // The same as a descriptor for poll(2), readable when one came; -1 = there is none left.
  int NewDescriptor() const;

 private:
  sigset_t signals_;
};

}  // namespace weir::process
