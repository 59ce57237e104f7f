#include "libs/xds/protocol/last_good.h"

#include "libs/base/last_good_file.h"

// docs/formats/last-good.md describes what is written here.
namespace weir::xds {
namespace {

constexpr LastGoodKind kKind{"weir-last-good", 2};

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

Error Corrupt(std::string_view what) { return DataLoss("LAST_GOOD_CORRUPT", "{}", what); }

std::string EncodeBody(const Snapshot& snapshot, std::string_view owner, WallTime now) {
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
  PutText(&body, snapshot.origin);
  PutNumber(&body, snapshot.types.size());
  for (const auto& [type, entries] : snapshot.types) PutText(&body, type);
  PutNumber(&body, count);
  return body + resources;
}

Result<LastGood> DecodeBody(std::string_view bytes, std::string_view owner) {
  Reader reader{bytes};
  LastGood good;
  good.written = WallTime(std::chrono::milliseconds(reader.Number()));
  const std::string written_for = reader.Text();
  good.snapshot.origin = reader.Text();
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

}  // namespace

std::string EncodeLastGood(const Snapshot& snapshot, std::string_view owner, WallTime now) {
  return EncodeLastGoodFile(kKind, EncodeBody(snapshot, owner, now));
}

Result<LastGood> DecodeLastGood(std::string_view bytes, std::string_view owner) {
  WEIR_ASSIGN(const std::string_view body, DecodeLastGoodFile(kKind, bytes));
  return DecodeBody(body, owner);
}

Status WriteLastGood(const std::string& path, const Snapshot& snapshot, std::string_view owner, WallTime now) {
  size_t lasting = 0;
  for (const auto& [type, entries] : snapshot.types) {
    if (entries == nullptr) continue;
    for (const auto& [name, resource] : *entries) lasting += resource->ttl <= Duration::zero();
  }
  if (lasting == 0) return FailedPrecondition("LAST_GOOD_EMPTY", "an empty configuration is not kept");
  const std::string fresh = EncodeBody(snapshot, owner, now);
  return WriteLastGoodFile(path, kKind, fresh, [&](std::string_view body) -> Status {
    WEIR_ASSIGN(const LastGood newest, DecodeBody(body, owner));
    // The same but for its time: it is replaced where it stands, so that the older generation stays another one.
    if (body.substr(8) == std::string_view(fresh).substr(8)) return Aborted("LAST_GOOD_SAME", "nothing differs");
    return {};
  });
}

Result<LastGood> ReadLastGood(const std::string& path, std::string_view owner) {
  LastGood good;
  WEIR_ASSIGN(LastGoodBody read, ReadLastGoodFile(path, kKind, [&](std::string_view body) -> Status {
                WEIR_ASSIGN(good, DecodeBody(body, owner));
                return {};
              }));
  good.generation = read.generation;
  good.refused = std::move(read.refused);
  return good;
}

}  // namespace weir::xds
