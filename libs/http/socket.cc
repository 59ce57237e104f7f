#include "libs/http/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace weir::http {
namespace {

// Else that grows to megabytes for each connection (tcp_wmem of tcp(7)), and who reads slowly is not noticed.
constexpr int kMostUnsent = 64 << 10;

}  // namespace

void PrepareSocket(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kMostUnsent, sizeof(kMostUnsent));
}

}  // namespace weir::http
