#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/weir/v2/status.pb.h"
#include "libs/base/mutex.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"

namespace weir::services {

// Calls that wait for gateways. They hold no thread: one thread looks after all of them. A wait ends when all that its
// revision touches has acknowledged it and is served, after Backends::grace when something from outside is missing (a
// workload, a service, a cluster that is not drained), when its time is up, when its caller has left, or when the
// server stops. Bounds: 1024 in all, 32 of one principal.
class Waits {
 public:
  using Done = std::function<void(std::vector<v2::ResourceStatus>)>;

  explicit Waits(const Backends& backends) : backends_(backends) {}
  ~Waits();  // Stop.
  Waits(const Waits&) = delete;
  Waits& operator=(const Waits&) = delete;

  struct Order {
    std::vector<std::string> fqns;
    int64_t revision = 0;  // Until it has reached every gateway that it touches.
    int seconds = 0;       // 0 = 60.
  };
  // A place for the wait of this call. Once it has one, `call.later` is set to what waits; `render` turns the states of
  // the resources, in their order, into the answer. RESOURCE_EXHAUSTED TOO_MANY_WAITS.
  Status Start(CallContext& call, Order order, std::function<MessagePtr(std::vector<v2::ResourceStatus>)> render);

  // Answers everybody with what is known now; nobody waits from now on. Idempotent.
  void Stop();
  size_t count() const;

  // Of a request's `wait` ("" or "applied") and `wait_seconds` (0 to 300; 0 = 60).
  static void Check(const std::string& wait, int seconds, std::vector<FieldViolation>& violations);

 private:
  struct Wait {
    Order order;
    std::shared_ptr<const void> place;  // Given back with the last copy.
    MonoTime begun;
    MonoTime deadline;
    std::shared_ptr<const std::atomic<bool>> gone;
    Done done;
    std::vector<v2::ResourceStatus> states;  // Of the first resources, all settled.
  };
  // nullptr: too many; `of_one` is how many this principal has.
  std::shared_ptr<const void> TakePlace(const std::string& principal, size_t* of_one);
  void Add(Wait wait);
  void Run();
  bool Advance(Wait& wait, bool ending);  // True: over, and answered unless the caller has left.

  const Backends& backends_;
  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::map<std::string, size_t> places_ WEIR_GUARDED_BY(mutex_);  // Taken, by principal.
  size_t taken_ WEIR_GUARDED_BY(mutex_) = 0;
  std::list<Wait> fresh_ WEIR_GUARDED_BY(mutex_);  // Not seen by the thread yet.
  std::thread thread_ WEIR_GUARDED_BY(mutex_);     // Started by the first wait.
};

}  // namespace weir::services
