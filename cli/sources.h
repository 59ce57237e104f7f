#pragma once

#include <string>
#include <vector>

#include "libs/base/result.h"

namespace weir::cli {

// Several files as one text of documents; knows which line came from where.
struct Sources {
  struct Part {
    std::string name;
    int first_line = 1;  // In `text`.
  };
  std::string text;
  std::vector<Part> parts;

  std::string PlaceOf(int line, int column) const;  // "a.yaml:12:3: "; "" for line 0.
};
// Files, folders (every .yaml, .yml and .json below), "-". USAGE when one cannot be read or there is nothing;
// BAD_DOCUMENT with its place for what is no text (not UTF-8, control characters). `may_be_empty`: that there is no
// document is no fault.
Result<Sources> ReadSources(const std::vector<std::string>& paths, bool may_be_empty = false);

}  // namespace weir::cli
