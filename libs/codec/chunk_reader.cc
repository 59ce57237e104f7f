#include "libs/codec/http1_bytes.h"

namespace weir::codec {

ChunkReader::Run ChunkReader::Next(const char* data, size_t size) {
  if (state_ == State::kData) {
    const size_t take = left_ < size ? static_cast<size_t>(left_) : size;
    left_ -= take;
    if (left_ == 0) state_ = State::kDataCr;
    return {Kind::kData, take};
  }
  const Kind kind = KindOf(data[0]);
  size_t i = 0;
  do {
    if (!Step(data[i++])) return {Kind::kBad, 0};
  } while (i < size && kind != Kind::kEnd && state_ != State::kData && KindOf(data[i]) == kind);
  return {kind, i};
}

// What `c`, the next byte, will be.
ChunkReader::Kind ChunkReader::KindOf(char c) const {
  const bool has_data = left_ > 0;
  switch (state_) {
    case State::kSize:
      if (c == '0') return has_data ? Kind::kFraming : Kind::kDropped;
      if (c == '\r') return has_data ? Kind::kFraming : Kind::kDropped;
      return Hex(c) > 0 ? Kind::kFraming : Kind::kDropped;
    case State::kSizeSpace:
    case State::kExtension:
      return c == '\r' && has_data ? Kind::kFraming : Kind::kDropped;
    case State::kSizeLf:
      return has_data ? Kind::kFraming : Kind::kDropped;
    case State::kData:
    case State::kDataCr:
    case State::kDataLf:
      return Kind::kFraming;
    case State::kEndLf:
      return Kind::kEnd;
    default:
      return Kind::kDropped;
  }
}

bool ChunkReader::Step(char c) {
  switch (state_) {
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r';
    case State::kDataLf:
      state_ = State::kSize;
      return c == '\n';
    case State::kSizeLf:
      line_bytes_ = digits_ = 0;
      state_ = left_ > 0 ? State::kData : State::kTrailerStart;
      return c == '\n';
    case State::kSize:
    case State::kSizeSpace:
    case State::kExtension:
      return ++line_bytes_ <= kMaxSizeLine && StepSize(c);
    default:
      return ++trailer_bytes_ <= kMaxTrailers && StepTrailer(c);
  }
}

bool ChunkReader::StepSize(char c) {
  const bool strict = strictness_ == Strictness::kRequest;
  if (state_ == State::kSize) {
    if (const int digit = Hex(c); digit >= 0) {
      left_ = left_ * 16 + static_cast<uint64_t>(digit);
      digits_ = left_ > 0 ? static_cast<uint8_t>(digits_ + 1) : uint8_t{0};
      return digits_ <= 15 && (!strict || line_bytes_ <= 16);
    }
    if (line_bytes_ == 1) return false;  // No digit at all.
  }
  if (c == '\r') {
    state_ = State::kSizeLf;
    return true;
  }
  if (state_ == State::kExtension) return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t';
  state_ = c == ';' ? State::kExtension : State::kSizeSpace;
  return c == ';' || (!strict && (c == ' ' || c == '\t'));
}

bool ChunkReader::StepTrailer(char c) {
  switch (state_) {
    case State::kTrailerStart:
      if (c == '\r') {
        state_ = State::kEndLf;
        return true;
      }
      state_ = State::kTrailerName;
      name_hash_ = (kFnvBasis ^ static_cast<unsigned char>(Lower(c))) * kFnvPrime;
      return IsToken(c);
    case State::kTrailerName:
      if (c == ':') {
        state_ = State::kTrailerValue;
        if (strictness_ == Strictness::kAnswer) return true;
        for (const std::string_view name : {"content-length", "transfer-encoding", "host", "connection", "trailer"}) {
          if (name_hash_ == HashName(name)) return false;
        }
        return true;
      }
      name_hash_ = (name_hash_ ^ static_cast<unsigned char>(Lower(c))) * kFnvPrime;
      return IsToken(c);
    case State::kTrailerValue:
      if (c == '\r') state_ = State::kTrailerLf;
      return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t' || c == '\r';
    case State::kTrailerLf:
      state_ = State::kTrailerStart;
      return c == '\n';
    case State::kEndLf:
      return c == '\n';
    default:
      return false;
  }
}

}  // namespace weir::codec
