#pragma once

namespace weir::v2 {
class ResourceStatus;
}

namespace weir::cli {

// After a wait: what is not served yet, and the exit code that follows from it.
class Verdict {
 public:
  void Add(const v2::ResourceStatus& status);  // Prints it unless it is READY.
  int ExitCode() const;                        // kExitOk; kExitRefused when one is FAILED; kExitTimedOut.

 private:
  bool failed_ = false;
  bool waiting_ = false;
};

}  // namespace weir::cli
