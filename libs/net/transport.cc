#include "libs/net/transport.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::net {
namespace {
constexpr size_t kRecord = 16 * 1024;  // Plaintext of one TLS record (RFC 8446 section 5.1).
constexpr int kMaxPieces = 16;
}  // namespace

Status Transport::Open(Loop& loop, Fd fd, Watcher* watcher) {
  loop_ = &loop;
  fd_ = std::move(fd);
  readable_ = false;
  return loop.Add(fd_.get(), watcher);
}

void Transport::Close(End end) {
  if (!fd_) return;
  if (end == End::kGoodbye && tls_ != nullptr && unsent() == 0 && !hung_up_) {
    tls_->SendCloseNotify();
    FlushCipher();
  }
  if (end == End::kReset) {
    const linger none{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  fd_.Close();
  readable_ = false;
}

void Transport::ShutdownWrite() {
  if (!fd_) return;
  if (tls_ != nullptr) {
    tls_->SendCloseNotify();
    FlushCipher();
  }
  shut_when_sent_ = unsent() > 0;
  if (!shut_when_sent_) shutdown(fd_.get(), SHUT_WR);
}

void Transport::RecordEvents(uint32_t events) {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hung_up_ = true;
}

ssize_t Transport::RawRead(char* buffer, size_t size) {
  if (!readable_) return kAgain;
  while (true) {
    const ssize_t got = recv(fd_.get(), buffer, size, 0);
    if (got > 0) {
      // A short read has drained the socket; only a hang-up can wait behind it without an event of its own.
      if (static_cast<size_t>(got) < size && !hung_up_) readable_ = false;
      return got;
    }
    if (got == 0) return kEof;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return kBroken;
    readable_ = false;
    return kAgain;
  }
}

ssize_t Transport::Read(char* buffer, size_t size) {
  if (!fd_) return kBroken;
  if (tls_ == nullptr) return RawRead(buffer, size);
  const ssize_t got = tls_->Read(buffer, size);
  if (!FlushCipher()) return kBroken;
  return got;
}

bool Transport::PeerGone() {
  if (!hung_up_) return false;
  char byte;
  const ssize_t got = recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void Transport::Keep(const iovec* pieces, int count, size_t skip) {
  if (sent_ > 0 && sent_ >= queue_.size() / 2) {
    queue_.erase(0, sent_);
    sent_ = 0;
  }
  for (int i = 0; i < count; ++i) {
    if (skip >= pieces[i].iov_len) {
      skip -= pieces[i].iov_len;
      continue;
    }
    queue_.append(static_cast<const char*>(pieces[i].iov_base) + skip, pieces[i].iov_len - skip);
    skip = 0;
  }
}

bool Transport::SendRaw(const iovec* pieces, int count) {
  size_t done = 0;
  if (unsent() == 0) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);
    message.msg_iovlen = static_cast<size_t>(count);
    ssize_t sent;
    do {
      sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
      sent = 0;
    }
    done = static_cast<size_t>(sent);
  }
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += pieces[i].iov_len;
  if (done < total) Keep(pieces, count, done);
  return true;
}

bool Transport::FlushCipher() {
  std::string& cipher = loop_->cipher();
  if (cipher.empty()) return true;
  const iovec piece{cipher.data(), cipher.size()};
  const bool ok = fd_ && SendRaw(&piece, 1);
  cipher.clear();
  return ok;
}

bool Transport::Send(std::string_view bytes) {
  const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return Send(&piece, 1);
}

bool Transport::Send(const iovec* pieces, int count) {
  if (!fd_) return false;
  if (tls_ == nullptr) return SendRaw(pieces, std::min(count, kMaxPieces));
  // Small pieces share a record: a head and its first body bytes travel together.
  char record[kRecord];
  size_t filled = 0;
  bool ok = true;
  for (int i = 0; i < count && ok; ++i) {
    const char* data = static_cast<const char*>(pieces[i].iov_base);
    size_t left = pieces[i].iov_len;
    while (left > 0 && ok) {
      if (filled == 0 && (left >= kRecord || i + 1 == count)) {
        const size_t part = std::min(left, kRecord);
        ok = tls_->Write(data, part);
        data += part;
        left -= part;
        continue;
      }
      const size_t part = std::min(left, kRecord - filled);
      std::copy_n(data, part, record + filled);
      filled += part;
      data += part;
      left -= part;
      if (filled == kRecord) {
        ok = tls_->Write(record, filled);
        filled = 0;
      }
    }
  }
  if (ok && filled > 0) ok = tls_->Write(record, filled);
  return FlushCipher() && ok;
}

bool Transport::Flush() {
  while (unsent() > 0) {
    const ssize_t sent = send(fd_.get(), queue_.data() + sent_, unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    sent_ += static_cast<size_t>(sent);
  }
  if (!queue_.empty()) {
    std::string().swap(queue_);  // An idle connection keeps no buffer.
    sent_ = 0;
  }
  if (std::exchange(shut_when_sent_, false)) shutdown(fd_.get(), SHUT_WR);
  return true;
}

}  // namespace weir::net
