#include "libs/admin/token.h"

#include <sys/stat.h>

#include "libs/base/file.h"
#include "libs/base/ids.h"

namespace weir::admin {

Result<std::string> WriteToken(const std::string& path) {
  const std::string token = RandomHex(32);
  const Status written = WriteFileAtomic(path, token + "\n", 0600);
  if (written.ok()) return token;
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode) || (facts.st_mode & 077) != 0)
    return written.error();
  const auto stands = ReadFile(path, token.size() + 1);
  if (!stands.ok() || stands->size() != token.size() + 1 || !stands->ends_with('\n')) return written.error();
  return stands->substr(0, token.size());
}

}  // namespace weir::admin
