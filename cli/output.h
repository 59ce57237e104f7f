#pragma once

#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/objects.h"

namespace weir::cli {

std::string Joined(const std::vector<std::string>& parts);  // "a, b, c"

// How `-o` prints resources: table, wide (all details and the labels), name (full names), yaml (documents that apply
// takes), json (all that the server says), jsonpath=….
struct Format {
  std::string name = "table";
  std::string path;  // Of jsonpath.
};
// Of -o; USAGE.
Result<Format> FormatOf(const Flags& flags);
// `single`: one was asked for by its name: json and jsonpath then see it and not a list with `items`. USAGE for a
// jsonpath that is none.
Status Print(const std::vector<ResourceMessage>& resources, const Format& format, bool single);

}  // namespace weir::cli
