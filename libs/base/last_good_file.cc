#include "libs/base/last_good_file.h"

#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "libs/base/file.h"
#include "libs/base/sha256.h"

namespace weir {
namespace {

// Cuts the next line off `bytes`; false: there is none.
bool Line(std::string_view* bytes, std::string_view* line) {
  const size_t end = bytes->find('\n');
  if (end == std::string_view::npos) return false;
  *line = bytes->substr(0, end);
  bytes->remove_prefix(end + 1);
  return true;
}

Error Corrupt(std::string_view what) { return DataLoss("LAST_GOOD_CORRUPT", "{}", what); }
Error Cut(std::string_view what) { return DataLoss("LAST_GOOD_CUT", "{}", what); }

std::string Generation(const std::string& path, int generation) { return path + "." + std::to_string(generation); }

Status CheckPrivate(const LastGoodKind& kind, const std::string& file) {
  struct stat facts{};
  if (!kind.secret || ::stat(file.c_str(), &facts) != 0 || (facts.st_mode & 077) == 0) return {};
  return FailedPrecondition("LAST_GOOD_OPEN", "others may use it; run: chmod 600 {}", file);
}

Status Judge(const LastGoodKind& kind, std::string_view bytes, const LastGoodJudge& judge, std::string_view* body) {
  WEIR_ASSIGN(*body, DecodeLastGoodFile(kind, bytes));
  return judge ? judge(*body) : Status();
}

}  // namespace

std::string EncodeLastGoodFile(const LastGoodKind& kind, std::string_view body) {
  std::string bytes =
      fmt::format("{} {}\nsha256 {}\nbytes {}\n\n", kind.magic, kind.version, Sha256Hex(body), body.size());
  bytes += body;
  return bytes;
}

Result<std::string_view> DecodeLastGoodFile(const LastGoodKind& kind, std::string_view bytes) {
  const std::string magic = fmt::format("{} ", kind.magic);
  if (bytes.empty()) return Cut("the file is empty");
  if (bytes.substr(0, magic.size()) != magic.substr(0, bytes.size())) {
    return Corrupt(fmt::format("not a {} file", kind.magic));
  }
  std::string_view line, sum, length, blank;
  if (!Line(&bytes, &line)) return Cut("the header is cut");
  if (line != fmt::format("{}{}", magic, kind.version)) {
    return FailedPrecondition("LAST_GOOD_VERSION", "format is \"{}\", this program reads {}", line, kind.version);
  }
  if (!Line(&bytes, &sum) || !Line(&bytes, &length) || !Line(&bytes, &blank)) return Cut("the header is cut");
  uint64_t size = 0;
  if (!sum.starts_with("sha256 ") || !length.starts_with("bytes ") || !blank.empty()) return Corrupt("header");
  length.remove_prefix(6);
  const auto parsed = std::from_chars(length.data(), length.data() + length.size(), size);
  if (parsed.ec != std::errc() || parsed.ptr != length.data() + length.size()) return Corrupt("header");
  if (bytes.size() < size) return Cut(fmt::format("{} of {} bytes", bytes.size(), size));
  if (bytes.size() > size) return Corrupt("bytes after the end");
  if (Sha256Hex(bytes) != sum.substr(7)) return Corrupt("the checksum does not match");
  return bytes;
}

Status WriteLastGoodFile(const std::string& path, const LastGoodKind& kind, std::string_view body,
                         const LastGoodJudge& judge) {
  const std::string first = Generation(path, 1), second = Generation(path, 2), link = second + ".tmp";
  const auto newest = ReadFile(first, kind.limit);
  std::string_view unused;
  if (newest.ok() && Judge(kind, *newest, judge, &unused).ok()) {
    ::unlink(link.c_str());  // Left by a crash. Linked, not moved: there is a `.1` at every moment.
    if (::link(first.c_str(), link.c_str()) != 0 || ::rename(link.c_str(), second.c_str()) != 0) {
      return Internal("LAST_GOOD_RENAME", "cannot keep the older generation of {}", path);
    }
  }
  return WriteFileAtomic(Generation(path, 1), EncodeLastGoodFile(kind, body), 0600);
}

Result<LastGoodBody> ReadLastGoodFile(const std::string& path, const LastGoodKind& kind, const LastGoodJudge& judge) {
  std::vector<std::string> refused;
  std::optional<Error> first;
  for (int generation = 1; generation <= 2; ++generation) {
    const std::string file = Generation(path, generation);
    auto bytes = ReadFile(file, kind.limit);
    if (!bytes.ok() && bytes.error().code == Code::kNotFound) continue;  // Not written yet.
    std::string_view body;
    Status status = bytes.ok() ? CheckPrivate(kind, file) : Status(bytes.error());
    if (status.ok()) status = Judge(kind, *bytes, judge, &body);
    if (status.ok()) {
      bytes->erase(0, bytes->size() - body.size());
      return LastGoodBody{std::move(*bytes), generation, std::move(refused)};
    }
    refused.push_back(fmt::format("{}: {}", file, status.error().ToString()));
    if (!first) first = status.error();
  }
  if (!first) return NotFound("LAST_GOOD_MISSING", "no {}.1 nor {}.2", path, path);
  first->message = fmt::format("{}", fmt::join(refused, "; "));
  return *first;
}

}  // namespace weir
