#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "libs/proxy/engine.h"

namespace weir::proxy {

// Calls `done` once: OK after every worker has arrived, CANCELLED when one cannot any more because of Stop.
class Everybody {
 public:
  Everybody(size_t workers, Engine::Done done) : missing_(workers), done_(std::move(done)) {}
  ~Everybody() {
    if (done_ && missing_ > 0) done_(Cancelled("STOPPED", "the engine was stopped"));
  }
  void Arrive() {
    if (--missing_ == 0 && done_) done_(Status());
  }

 private:
  std::atomic<size_t> missing_;
  Engine::Done done_;
};

}  // namespace weir::proxy
