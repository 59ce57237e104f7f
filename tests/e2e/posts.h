#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/scene.h"
#include "tests/support/timeline.h"

// Requests that must not happen twice, beside whatever else a test does. Every one has an id, and the apps write down
// what arrives, on disk, so that also a killed app's word counts.
namespace weir::e2e {

constexpr char kOrders[] = "orders.example.com";  // A host of their own: they take nothing of the shares of kHost.

// kOrders at the same gateways as kHost, 75/25 over c1 and c2; waits until requests to it are answered.
Status AddOrders(Scene& scene);

// One way to send them.
struct PostKind {
  const char* name;
  size_t body;     // Bytes.
  bool key;        // With Idempotency-Key: may be repeated, and nothing of it may fail while somebody can serve.
  double rate;     // A second.
  unsigned delay;  // Milliseconds that the app takes, so that some are under way whenever something happens.
  unsigned connections;
};
// A small body, one that is kept for a repetition, one that is too large for it (64 KiB).
const std::vector<PostKind>& PostKinds();

struct PostVerdict {
  uint64_t sent = 0;
  uint64_t failed = 0;    // Without a key.
  uint64_t repeated = 0;  // Arrived more than once; only those with a key may.
  std::string wrong;      // First rule that is broken; "" = none.
  std::string ToString() const;
};

class Posts {
 public:
  Posts(const Scene& scene, std::vector<test::Target> tier1s);
  // What is right of those that failed, besides that each has a status of 502 and a reason.
  struct Allowed {
    uint64_t failed = 0;  // Without a key: as many as may have been under way at somebody who died.
    bool nobody = false;  // For a time nobody could serve: any number, 503 and 504 too, with a key too.
    bool stock = false;   // Stock Envoy tries what may be repeated three times, and says 503 of what it lost.
  };
  // Ends them and asks the apps.
  PostVerdict Judge(const Allowed& allowed);
  // Under way at the same time at most.
  static uint64_t Connections();

 private:
  const Scene& scene_;
  std::vector<std::unique_ptr<test::Traffic>> traffic_;  // As PostKinds().
};

}  // namespace weir::e2e
