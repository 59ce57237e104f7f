#include "libs/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "libs/base/fd.h"

namespace weir {
namespace {

Error FromErrno(std::string_view reason, const std::string& path, int error) {
  const Code code = error == ENOENT                      ? Code::kNotFound
                    : error == EACCES || error == EPERM  ? Code::kPermissionDenied
                    : error == ENOSPC || error == EDQUOT ? Code::kResourceExhausted
                                                         : Code::kUnavailable;
  return Error{code,
               std::string(error == ENOENT ? "FILE_MISSING" : reason),
               fmt::format("{}: {}", path, std::strerror(error)),
               {},
               {}};
}

Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno("FILE_WRITE", path, errno);
    content.remove_prefix(static_cast<size_t>(n));
  }
  if (::fsync(fd) != 0) return FromErrno("FILE_WRITE", path, errno);
  return {};
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return FromErrno("FILE_READ", path, errno);
  std::string content;
  char chunk[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno("FILE_READ", path, errno);
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > limit) {
      return ResourceExhausted("FILE_TOO_LARGE", "{} is larger than {} bytes", path, limit);
    }
    content.append(chunk, static_cast<size_t>(n));
  }
}

Status WriteFileAtomic(const std::string& path, std::string_view content, mode_t mode) {
  static std::atomic<unsigned> sequence{0};
  const std::string temporary = fmt::format("{}.tmp.{}.{}", path, ::getpid(), sequence.fetch_add(1));
  {
    const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (fd.get() < 0) return FromErrno("FILE_WRITE", path, errno);
    ::fchmod(fd.get(), mode);  // The caller's mode, whatever the umask.
    if (auto written = WriteAll(fd.get(), content, path); !written.ok()) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    return FromErrno("FILE_WRITE", path, error);
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Fd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return FromErrno("FILE_WRITE", folder, errno);
  return {};
}

Status WriteFileIfDifferent(const std::string& path, std::string_view content, mode_t mode) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) == 0 && (facts.st_mode & 07777) == mode) {
    const auto stands = ReadFile(path, content.size());
    // Whoever wrote it may not have waited for the disk.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (stands.ok() && *stands == content && fd && ::fsync(fd.get()) == 0) return {};
  }
  return WriteFileAtomic(path, content, mode);
}

Status MakeFolders(const std::string& path, mode_t mode) {
  std::string prefix;
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    prefix = path.substr(0, at);
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) return FromErrno("FILE_WRITE", prefix, errno);
  }
  return {};
}

}  // namespace weir
