#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"

namespace weir::thief {

// A leaf as no signer of ours would make it.
struct Forgery {
  struct San {
    int type;           // GEN_URI, GEN_DNS, GEN_EMAIL, GEN_IPADD of OpenSSL.
    std::string value;  // Raw bytes.
  };
  std::string name;         // For the test's output.
  std::string common_name;  // "" = no subject.
  std::vector<San> sans;
  std::chrono::seconds not_before{-3600};  // From now.
  std::chrono::seconds not_after{3600};
};

// The leaf alone.
std::string Forge(const identity::Authority& issuer, const Forgery& forgery, const std::string& key_pem);
// An intermediate whose constraints forget e-mail, directory and other names and share svc and cluster.local.
identity::Authority WeakIntermediate(const identity::Authority& root, const std::string& trust_domain);

// Stands where a client expects somebody else: accepts on a loopback port of its own, one connection after the other,
// shakes hands with a chain, and notes whatever a client says afterwards. Answers nothing, and hangs up as soon as it
// has heard something.
class Thief {
 public:
  Thief(std::string chain_pem, std::string key_pem);
  ~Thief();
  uint16_t port() const { return port_; }
  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

  // Waits until a connection has ended; false after 10 s.
  bool WaitForOne();
  // Application bytes of all clients so far.
  std::string Heard();

 private:
  void Run();
  void Serve(int fd);

  const std::string chain_pem_, key_pem_;
  int listener_ = -1;
  uint16_t port_ = 0;
  Mutex mutex_;
  CondVar changed_;
  int ended_ WEIR_GUARDED_BY(mutex_) = 0;
  int open_ WEIR_GUARDED_BY(mutex_) = -1;
  std::string heard_ WEIR_GUARDED_BY(mutex_);
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace weir::thief
