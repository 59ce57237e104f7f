// Any bytes as the health digest of a peer: no crash, bounded memory, and the same meaning however they arrive.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "libs/proxy/digest.h"

namespace {

using weir::proxy::DigestReader;

void Require(bool holds) {
  if (!holds) std::abort();
}

DigestReader::State Read(DigestReader& reader, const char* data, size_t size, size_t step) {
  DigestReader::State state = DigestReader::State::kMore;
  for (size_t at = 0; at < size; at += step) {
    const size_t part = std::min(step, size - at);
    // An exact copy, so that the sanitizer sees one byte too far.
    const std::unique_ptr<char[]> copy(new char[part]);
    std::copy_n(data + at, part, copy.get());
    const DigestReader::State before = state;
    state = reader.Feed(copy.get(), part);
    Require(before == DigestReader::State::kMore || state == before);  // No way back.
  }
  return state;
}

void Same(const uint8_t* bytes, size_t size) {
  const auto* data = reinterpret_cast<const char*>(bytes);
  DigestReader whole, pieces;
  const DigestReader::State state = Read(whole, data, size, size);
  Require(Read(pieces, data, size, 1 + size % 7) == state);
  Require(whole.hosts() <= DigestReader::kMaxHosts && pieces.hosts() == whole.hosts());
  Require(whole.ready() == pieces.ready() && whole.beats() == pieces.beats());
  Require(whole.draining() == pieces.draining() && whole.status() == pieces.status());
  const auto changed = whole.TakeChanged();
  Require(changed == pieces.TakeChanged());
  Require(whole.ready() || changed.empty());
  for (const auto& host : changed) {
    Require(!host.empty() && host.find_first_of(" \r\n") == std::string::npos);
    const DigestReader::Host one = whole.Of(host), other = pieces.Of(host);
    Require(one.evidence == other.evidence && (one.rules == nullptr) == (other.rules == nullptr));
    Require(one.rules == nullptr ||
            (*one.rules == *other.rules && one.rules->size() <= DigestReader::kMaxRulesOfAHost));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  Same(bytes, size);
  // And as the text behind a good head, so that lines are reached.
  std::string framed = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  weir::proxy::AppendChunk(weir::proxy::DigestHello(), framed);
  weir::proxy::AppendChunk({reinterpret_cast<const char*>(bytes), size}, framed);
  Same(reinterpret_cast<const uint8_t*>(framed.data()), framed.size());
  return 0;
}
