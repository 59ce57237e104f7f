#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>

#include "api/weir/v2/packages.pb.h"
#include "libs/base/fd.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/base/sha256.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/txn.h"

namespace weir::services {
namespace {

constexpr int64_t kPiece = 1 << 20;
constexpr int64_t kMostBytes = 256 << 20;  // Of one package.
constexpr size_t kMostPackages = 256;

// What dpkg names a file: NAME_VERSION_ARCHITECTURE.deb (Debian policy 5.6.1, 5.6.12). Nothing else of the folder is
// seen.
bool TakeApart(const std::string& file, v2::Package& package) {
  static const std::regex kName("([a-z0-9][a-z0-9+.-]{1,63})_([0-9A-Za-z.+~-]{1,64})_([a-z0-9-]{1,32})\\.deb");
  std::smatch parts;
  if (file.size() > 200 || !std::regex_match(file, parts, kName)) return false;
  package.set_file(file);
  package.set_name(parts[1]);
  package.set_version(parts[2]);
  package.set_architecture(parts[3]);
  return true;
}

// The folder of packages, read anew at each question; a file's hash is taken once for as long as it is the same file.
class Shelf {
 public:
  explicit Shelf(std::string folder) : folder_(std::move(folder)) {}

  Result<v2::ListPackagesResponse> List() {
    if (folder_.empty()) return Off();
    std::vector<v2::Package> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
      v2::Package package;
      if (!TakeApart(entry.path().filename().string(), package)) continue;
      if (found.size() == kMostPackages) break;
      if (Describe(package)) found.push_back(std::move(package));
    }
    if (error) {
      return FailedPrecondition("PACKAGES_OFF", "the server's folder of packages cannot be read: {}", error.message());
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.file() < b.file(); });
    v2::ListPackagesResponse response;
    *response.mutable_items() = {found.begin(), found.end()};
    return response;
  }

  Result<v2::FetchPackageResponse> Piece(const std::string& file, int64_t offset) const {
    if (folder_.empty()) return Off();
    v2::Package named;
    struct stat facts{};
    const Fd fd = TakeApart(file, named) ? Open(file, facts) : Fd();
    if (!fd) return Wrong("PACKAGE_UNKNOWN", "file", "is no package that the server has");
    if (offset < 0 || offset > facts.st_size) {
      return Wrong("INVALID_REQUEST", "offset", fmt::format("must be 0 to {}", facts.st_size));
    }
    std::string bytes(static_cast<size_t>(std::min<int64_t>(kPiece, facts.st_size - offset)), '\0');
    const ssize_t got = pread(fd.get(), bytes.data(), bytes.size(), offset);
    if (got != static_cast<ssize_t>(bytes.size())) {
      return Unavailable("PACKAGE_CHANGED", "the package changed while it was read; start again");
    }
    v2::FetchPackageResponse response;
    response.set_content(std::move(bytes));
    response.set_size_bytes(facts.st_size);
    return response;
  }

 private:
  static Error Wrong(const char* reason, const char* field, std::string description) {
    Error error = InvalidArgument(reason, "{}: {}", field, description);
    error.violations.push_back({.field = field, .description = std::move(description)});
    return error;
  }
  static Error Off() {
    return FailedPrecondition("PACKAGES_OFF",
                              "this server hands out no packages; start it with --packages-dir FOLDER, or carry them "
                              "in the script from a folder of yours (--packages)");
  }

  // Nothing for what is no plain file, or is larger than any package.
  Fd Open(const std::string& file, struct stat& facts) const {
    Fd fd(open((folder_ + "/" + file).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd || fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size > kMostBytes) return Fd();
    return fd;
  }

  bool Describe(v2::Package& package) {
    struct stat facts{};
    const Fd fd = Open(package.file(), facts);
    if (!fd) return false;
    const Key key{package.file(), facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec};
    MutexLock lock(mutex_);
    auto known = hashes_.find(key);
    if (known == hashes_.end()) {
      const auto bytes = ReadFile(folder_ + "/" + package.file(), kMostBytes);
      if (!bytes.ok() || bytes->size() != static_cast<size_t>(facts.st_size)) return false;
      if (hashes_.size() > kMostPackages) hashes_.clear();
      known = hashes_.emplace(key, Sha256Hex(*bytes)).first;
    }
    package.set_size_bytes(facts.st_size);
    package.set_sha256(known->second);
    return true;
  }

  using Key = std::tuple<std::string, ino_t, off_t, time_t, long>;
  const std::string folder_;
  Mutex mutex_;
  std::map<Key, std::string> hashes_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace

void AddPackages(MethodTable& table, const Backends& backends) {
  const auto shelf = std::make_shared<Shelf>(backends.packages_dir);
  table.Add<v2::ListPackagesRequest, v2::ListPackagesResponse>(
      "weir.v2.Packages.ListPackages", [shelf](CallContext&, const v2::ListPackagesRequest&) { return shelf->List(); });
  table.Add<v2::FetchPackageRequest, v2::FetchPackageResponse>(
      "weir.v2.Packages.FetchPackage",
      [shelf, &backends](CallContext&, const v2::FetchPackageRequest& request) -> Result<v2::FetchPackageResponse> {
        WEIR_ASSIGN(const std::string hash, ca::JoinTokenHash(request.join_token()));
        WEIR_TRY(store::CheckJoinToken(*backends.store->Read(), hash, backends.clock->Wall()));
        return shelf->Piece(request.file(), request.offset());
      },
      /*anonymous=*/true);
}

}  // namespace weir::services
