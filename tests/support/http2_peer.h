#pragma once

#include <openssl/ssl.h>
#include <poll.h>

#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/real_time.h"

namespace weir {

// A client of HTTP/2 over TLS that believes any certificate, says that it is one, and from then on only listens.
class Http2Peer {
 public:
  explicit Http2Peer(const std::string& address) : context_(SSL_CTX_new(TLS_client_method())) {
    static constexpr unsigned char kAlpn[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context_, kAlpn, sizeof kAlpn);
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, address.c_str());
    if (BIO_do_connect(bio_) != 1) return;
    static constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";  // And empty settings.
    BIO_write(bio_, kPreface, sizeof kPreface - 1);
  }
  ~Http2Peer() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  Http2Peer(const Http2Peer&) = delete;
  Http2Peer& operator=(const Http2Peer&) = delete;

  // What the server's first frame says of a setting; nullopt: nothing.
  std::optional<uint32_t> Setting(uint16_t id) {
    if (!Read(9) || read_[3] != 4) return std::nullopt;
    const size_t size = Number(0, 3);
    if (!Read(9 + size)) return std::nullopt;
    for (size_t at = 9; at + 6 <= 9 + size; at += 6) {
      if (Number(at, 2) == id) return Number(at + 2, 4);
    }
    return std::nullopt;
  }
  // All that the server said until it ended the connection; "" = it did not.
  std::string ToTheEnd() { return !Read(std::string::npos) && ended_ ? read_ : ""; }

  static constexpr uint16_t kMaxConcurrentStreams = 3;

 private:
  bool Read(size_t bytes) {
    int fd = -1;
    BIO_get_fd(bio_, &fd);
    const Stopwatch watch;
    while (read_.size() < bytes) {
      pollfd polled{fd, POLLIN, 0};
      if (BIO_pending(bio_) == 0 && poll(&polled, 1, 100) == 0) {
        if (watch.Elapsed() > std::chrono::seconds(20)) return false;  // How long a broken test may take.
        continue;
      }
      char buffer[4096];
      const int got = BIO_read(bio_, buffer, sizeof buffer);
      if (got <= 0) return !(ended_ = true);
      read_.append(buffer, static_cast<size_t>(got));
    }
    return true;
  }
  uint32_t Number(size_t at, size_t size) const {
    uint32_t number = 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | static_cast<uint8_t>(read_[at + i]);
    return number;
  }

  SSL_CTX* context_;
  BIO* bio_;
  std::string read_;
  bool ended_ = false;
};

}  // namespace weir
