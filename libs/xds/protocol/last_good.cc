#include "libs/xds/protocol/last_good.h"

#include <fmt/ranges.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "libs/base/file.h"
#include "libs/base/ids.h"

// docs/formats/last-good.md describes what is written here.
namespace weir::xds {
namespace {

constexpr std::string_view kMagic = "weir-last-good ";
constexpr int kFormat = 1;
constexpr size_t kFileLimit = 256u << 20;

std::string Sha256(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return ToHex({reinterpret_cast<const char*>(digest), sizeof digest});
}

void PutNumber(std::string* out, uint64_t number) {  // 8 bytes, little endian.
  for (int i = 0; i < 8; ++i) *out += static_cast<char>((number >> (8 * i)) & 0xff);
}
void PutText(std::string* out, std::string_view text) {
  PutNumber(out, text.size());
  *out += text;
}

// Reads what the two above wrote; `ok` turns false for good at the first read past the end.
struct Reader {
  std::string_view rest;
  bool ok = true;

  uint64_t Number() {
    if (rest.size() < 8) ok = false;
    if (!ok) return 0;
    uint64_t number = 0;
    for (int i = 0; i < 8; ++i) number |= uint64_t(static_cast<unsigned char>(rest[i])) << (8 * i);
    rest.remove_prefix(8);
    return number;
  }
  std::string Text() {
    const uint64_t size = Number();
    if (size > rest.size()) ok = false;
    if (!ok) return {};
    std::string text(rest.substr(0, size));
    rest.remove_prefix(size);
    return text;
  }
};

// Cuts the next line off `bytes`; false: there is none.
bool Line(std::string_view* bytes, std::string_view* line) {
  const size_t end = bytes->find('\n');
  if (end == std::string_view::npos) return false;
  *line = bytes->substr(0, end);
  bytes->remove_prefix(end + 1);
  return true;
}

Error Corrupt(std::string_view what) { return DataLoss("LAST_GOOD_CORRUPT", "{}", what); }

std::string Generation(const std::string& path, int generation) { return path + "." + std::to_string(generation); }

}  // namespace

std::string EncodeLastGood(const Snapshot& snapshot, std::string_view owner, WallTime now) {
  std::string body;
  uint64_t count = 0;
  std::string resources;
  for (const auto& [type, entries] : snapshot.types) {
    if (entries == nullptr) continue;
    for (const auto& [name, resource] : *entries) {
      if (resource->ttl > Duration::zero()) continue;
      PutText(&resources, type);
      PutText(&resources, name);
      PutText(&resources, resource->version);
      PutText(&resources, resource->value);
      ++count;
    }
  }
  PutNumber(&body, std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  PutText(&body, owner);
  PutNumber(&body, snapshot.types.size());
  for (const auto& [type, entries] : snapshot.types) PutText(&body, type);
  PutNumber(&body, count);
  body += resources;
  return fmt::format("{}{}\nsha256 {}\nbytes {}\n\n", kMagic, kFormat, Sha256(body), body.size()) + body;
}

Result<LastGood> DecodeLastGood(std::string_view bytes, std::string_view owner) {
  std::string_view line;
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size())) return Corrupt("not a last-good file");
  if (!Line(&bytes, &line)) return DataLoss("LAST_GOOD_CUT", "the header is cut");
  if (line != fmt::format("{}{}", kMagic, kFormat)) {
    return FailedPrecondition("LAST_GOOD_VERSION", "format is \"{}\", this program reads {}", line, kFormat);
  }
  std::string_view sum, length, blank;
  if (!Line(&bytes, &sum) || !Line(&bytes, &length) || !Line(&bytes, &blank)) {
    return DataLoss("LAST_GOOD_CUT", "the header is cut");
  }
  uint64_t size = 0;
  if (!sum.starts_with("sha256 ") || !length.starts_with("bytes ") || !blank.empty()) return Corrupt("header");
  length.remove_prefix(6);
  const auto parsed = std::from_chars(length.data(), length.data() + length.size(), size);
  if (parsed.ec != std::errc() || parsed.ptr != length.data() + length.size()) return Corrupt("header");
  if (bytes.size() < size) return DataLoss("LAST_GOOD_CUT", "{} of {} bytes", bytes.size(), size);
  if (bytes.size() > size) return Corrupt("bytes after the end");
  if (Sha256(bytes) != sum.substr(7)) return Corrupt("the checksum does not match");

  Reader reader{bytes};
  LastGood good;
  good.written = WallTime(std::chrono::milliseconds(reader.Number()));
  const std::string written_for = reader.Text();
  std::map<std::string, std::shared_ptr<Resources>> types;
  const uint64_t type_count = reader.Number();
  for (uint64_t i = 0; i < type_count && reader.ok; ++i) types[reader.Text()] = std::make_shared<Resources>();
  const uint64_t count = reader.Number();
  for (uint64_t i = 0; i < count && reader.ok; ++i) {
    auto resource = std::make_shared<Resource>();
    const std::string type = reader.Text();
    resource->name = reader.Text();
    resource->version = reader.Text();
    resource->value = reader.Text();
    if (!types.contains(type)) return Corrupt("resource of an undeclared type");
    (*types[type])[resource->name] = std::move(resource);
  }
  if (!reader.ok || !reader.rest.empty()) return Corrupt("content");
  if (written_for != owner) {
    return FailedPrecondition("LAST_GOOD_OWNER", "written for \"{}\", not for \"{}\"", written_for, owner);
  }
  if (count == 0) return FailedPrecondition("LAST_GOOD_EMPTY", "it holds no resource");
  for (auto& [type, entries] : types) good.snapshot.types[type] = std::move(entries);
  return good;
}

Status WriteLastGood(const std::string& path, const Snapshot& snapshot, std::string_view owner, WallTime now) {
  size_t lasting = 0;
  for (const auto& [type, entries] : snapshot.types) {
    if (entries == nullptr) continue;
    for (const auto& [name, resource] : *entries) lasting += resource->ttl <= Duration::zero();
  }
  if (lasting == 0) return FailedPrecondition("LAST_GOOD_EMPTY", "an empty configuration is not kept");
  // A damaged newest generation must not push out a whole older one.
  const auto newest = ReadFile(Generation(path, 1), kFileLimit);
  if (newest.ok() && DecodeLastGood(*newest, owner).ok() &&
      ::rename(Generation(path, 1).c_str(), Generation(path, 2).c_str()) != 0) {
    return Internal("LAST_GOOD_RENAME", "cannot keep the older generation of {}", path);
  }
  return WriteFileAtomic(Generation(path, 1), EncodeLastGood(snapshot, owner, now), 0600);
}

Result<LastGood> ReadLastGood(const std::string& path, std::string_view owner) {
  std::optional<Error> first;
  std::vector<std::string> refused;
  for (int generation = 1; generation <= 2; ++generation) {
    const std::string file = Generation(path, generation);
    auto bytes = ReadFile(file, kFileLimit);
    Result<LastGood> good = bytes.ok() ? DecodeLastGood(*bytes, owner) : Result<LastGood>(bytes.error());
    if (good.ok()) {
      good->generation = generation;
      good->refused = std::move(refused);
      return good;
    }
    if (good.error().code == Code::kNotFound) continue;  // Not written yet, or between the two renames.
    refused.push_back(fmt::format("{}: {}", file, good.error().ToString()));
    if (!first) first = good.error();
  }
  if (!first) return NotFound("LAST_GOOD_MISSING", "no {}.1 nor {}.2", path, path);
  first->message = fmt::format("{}", fmt::join(refused, "; "));
  return *first;
}

}  // namespace weir::xds
