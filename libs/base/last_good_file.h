#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir {

// State that a program restarts from, in two generations: `<path>.1` is the newest, `<path>.2` the one before. Each has
// a header with its kind, format version, length and checksum, so that a cut, damaged or foreign file is refused with a
// reason and the older one is used. Format: docs/formats/last-good.md. Files are 0600.
struct LastGoodKind {
  std::string_view magic;  // First word of the file: "weir-membership".
  int version = 1;         // Of the body.
  bool secret = false;     // Holds a key: a file that others may use is refused.
  size_t limit = 256u << 20;
};

// Looks into a body that is whole; an Error refuses it. May keep what it read.
using LastGoodJudge = std::function<Status(std::string_view body)>;

struct LastGoodBody {
  std::string body;
  int generation = 1;                // 1 newest, 2 older.
  std::vector<std::string> refused;  // "<file>: <reason>" of each newer generation that was passed over.
};

// Makes a sound `.1` the `.2` as well, then replaces `.1` in one step: at every moment there is a `.1`. A damaged `.1`
// (or one that `judge` refuses) is overwritten instead: it must not push out a sound older one.
Status WriteLastGoodFile(const std::string& path, const LastGoodKind& kind, std::string_view body,
                         const LastGoodJudge& judge = nullptr);

// The newest generation that is whole and that `judge` takes. NOT_FOUND LAST_GOOD_MISSING: there is none at all. Else
// the reason of the newest that was refused, with both in the message: DATA_LOSS LAST_GOOD_{CORRUPT,CUT},
// FAILED_PRECONDITION LAST_GOOD_{VERSION,OPEN}, or what `judge` says.
Result<LastGoodBody> ReadLastGoodFile(const std::string& path, const LastGoodKind& kind,
                                      const LastGoodJudge& judge = nullptr);

// One generation's bytes.
std::string EncodeLastGoodFile(const LastGoodKind& kind, std::string_view body);
// The body inside `bytes`.
Result<std::string_view> DecodeLastGoodFile(const LastGoodKind& kind, std::string_view bytes);

}  // namespace weir
