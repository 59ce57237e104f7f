#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir {

// Reads a whole file; refuses one above `limit` bytes (RESOURCE_EXHAUSTED FILE_TOO_LARGE).
// A missing file is NOT_FOUND FILE_MISSING.
Result<std::string> ReadFile(const std::string& path, size_t limit = 64u << 20);

// Replaces `path` in one step: temporary file beside it, fsync, rename, fsync of the folder.
// A reader sees the old or the new content, never a part, even across power loss.
Status WriteFileAtomic(const std::string& path, std::string_view content, mode_t mode = 0644);

// The same, but what stands there with this content and mode is only synced: on a full disk a program starts again.
Status WriteFileIfDifferent(const std::string& path, std::string_view content, mode_t mode = 0644);

// mkdir -p.
Status MakeFolders(const std::string& path, mode_t mode = 0755);

}  // namespace weir
