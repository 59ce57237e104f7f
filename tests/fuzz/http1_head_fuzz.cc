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

using weir::codec::ChunkReader;

// The body must end at the same byte, and read the same, however its bytes arrive. `forwarded`: what goes on in chunks.
size_t EndOfBody(const char* data, size_t size, size_t step, ChunkReader::Strictness strictness,
                 std::string* forwarded = nullptr) {
  ChunkReader reader(strictness);
  size_t at = 0;
  while (at < size) {
    size_t left = std::min(step, size - at);
    while (left > 0) {
      const auto run = reader.Next(data + at, left);
      if (run.kind == ChunkReader::Kind::kBad) return SIZE_MAX;
      Require(run.size > 0 && run.size <= left);
      const bool stays = run.kind == ChunkReader::Kind::kData || run.kind == ChunkReader::Kind::kFraming;
      if (stays && forwarded != nullptr) forwarded->append(data + at, run.size);
      at += run.size;
      left -= run.size;
      if (run.kind == ChunkReader::Kind::kEnd) {
        if (forwarded != nullptr) forwarded->append(ChunkReader::kLastChunk);
        return at;
      }
    }
  }
  return SIZE_MAX - 1;
}

void CheckBody(const char* data, size_t size, ChunkReader::Strictness strictness) {
  std::string by_one, at_once, again;
  const size_t end = EndOfBody(data, size, 1, strictness, &by_one);
  Require(end == EndOfBody(data, size, std::max<size_t>(size, 1), strictness, &at_once));
  if (end == SIZE_MAX) return;
  Require(by_one == at_once);
  if (end == SIZE_MAX - 1) return;
  // What is forwarded is as strict as can be, and nothing is left to do to it.
  Require(EndOfBody(at_once.data(), at_once.size(), 7, ChunkReader::Strictness::kRequest, &again) == at_once.size());
  Require(again == at_once);
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
    Require(request.size <= size && request.size <= kOutside.bytes && !request.host.empty() && !request.target.empty());
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
    CheckBody(data + request.size, size - request.size, ChunkReader::Strictness::kRequest);
  }
  static ResponseHead response;
  if (ParseResponse(data, size, false, response) == Parse::kComplete) {
    Require(response.size <= size && response.status >= 100 && response.status <= 999);
    CheckBody(data + response.size, size - response.size, ChunkReader::Strictness::kAnswer);
  }
  return 0;
}
