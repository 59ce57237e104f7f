// Any bytes at the HTTP/1 parsers: no crash, and what they promise holds whatever a peer sends.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "libs/codec/http1.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// The body must end at the same byte however its bytes arrive.
size_t EndOfBody(const char* data, size_t size, size_t step) {
  weir::codec::ChunkReader reader;
  size_t at = 0;
  while (at < size) {
    size_t left = std::min(step, size - at);
    while (left > 0) {
      const auto run = reader.Next(data + at, left);
      if (run.kind == weir::codec::ChunkReader::Kind::kBad) return SIZE_MAX;
      Require(run.size > 0 && run.size <= left);
      at += run.size;
      left -= run.size;
      if (run.kind == weir::codec::ChunkReader::Kind::kEnd) return at;
    }
  }
  return SIZE_MAX - 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace weir::codec;
  if (size == 0) return 0;
  // An exact copy, so that the sanitizer sees one byte too far.
  const std::unique_ptr<char[]> copy(new char[size]);
  std::copy_n(bytes, size, copy.get());
  const char* data = copy.get();

  static RequestHead request;
  if (ParseRequest(data, size, request) == Parse::kComplete) {
    Require(request.size <= size && request.size <= kMaxHead && !request.host.empty() && !request.target.empty());
    Require(std::string_view(data, request.size).ends_with("\r\n\r\n"));
    for (size_t i = 0; i < request.count; ++i) {
      Require(request.Value(request.lines[i]).find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos);
    }
    RequestHead again;
    Require(ParseRequest(data, request.size, again) == Parse::kComplete && again.size == request.size);
    std::string path;
    const PathResult result = CanonicalTarget(request.target, path);
    if (result == PathResult::kRewritten) {
      std::string twice;  // Canonical means: nothing is left to do.
      Require(CanonicalTarget(path, twice) == PathResult::kSame);
    }
    if (result != PathResult::kRefused && request.target != "*") {
      std::string_view final = result == PathResult::kSame ? request.target : std::string_view(path);
      final = final.substr(0, final.find('?'));
      Require(final.front() == '/' && final.find("//") == std::string_view::npos);
      Require(final.find("/../") == std::string_view::npos && !final.ends_with("/.."));
    }
    Require(EndOfBody(data + request.size, size - request.size, 1) ==
            EndOfBody(data + request.size, size - request.size, size));
  }
  static ResponseHead response;
  if (ParseResponse(data, size, false, response) == Parse::kComplete) {
    Require(response.size <= size && response.status >= 100 && response.status <= 599);
  }
  return 0;
}
