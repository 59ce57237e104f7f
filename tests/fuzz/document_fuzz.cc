// Any bytes at the document reader: no crash, bounded, and errors carry a reason.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "libs/document/document.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace weir;
  if (size > 64 * 1024) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  document::Limits limits;
  limits.nodes = 10'000;
  limits.alias_nodes = 1'000;
  for (const auto syntax : {document::Syntax::kYaml, document::Syntax::kJson}) {
    const auto parsed = document::Parse(text, limits, syntax);
    if (!parsed.ok() && parsed.error().reason.empty()) std::abort();
  }
  return 0;
}
