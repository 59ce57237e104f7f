#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/result.h"

namespace weir::services {

// One message of a stream. Made into text and into bytes once, however many callers are told it. Thread-safe.
class Said {
 public:
  using Make = std::function<std::string()>;
  Said(std::string type, Make json, Make bytes)
      : type_(std::move(type)), make_json_(std::move(json)), make_bytes_(std::move(bytes)) {}

  const std::string& type() const { return type_; }  // "ADDED"
  // One line.
  const std::string& Json() const {
    std::call_once(json_once_, [this] { json_ = make_json_(); });
    return json_;
  }
  // Serialized; without the position, which is each caller's own.
  const std::string& Bytes() const {
    std::call_once(bytes_once_, [this] { bytes_ = make_bytes_(); });
    return bytes_;
  }

 private:
  const std::string type_;
  const Make make_json_, make_bytes_;
  mutable std::once_flag json_once_, bytes_once_;
  mutable std::string json_, bytes_;
};

// The answer of a method that answers with a stream. The door asks for the next piece when it has sent the last one, so
// that whoever does not read costs one piece. Thread-safe.
class Outflow {
 public:
  struct Item {
    std::shared_ptr<const Said> said;
    std::string position;  // Where to go on after this one; "" = where the one before said.
  };
  struct Piece {
    std::vector<Item> items;
    bool last = false;
    std::optional<Error> error;  // Of the last piece: why the stream ends.
    std::string position;        // Of the last piece: where to go on.
  };
  using Take = std::function<void(Piece)>;

  virtual ~Outflow() = default;
  // Calls `take` once with what comes next, from any thread, perhaps before this returns. Not while the one before is
  // awaited, and not after the last piece.
  virtual void Next(Take take) = 0;
  // Nobody reads any more. `take` may still be called.
  virtual void Leave() = 0;
  // What cuts the caller off who has not taken what he was sent. Before the first Next; called once at most.
  virtual void OnCut(std::function<void()> cut) = 0;
};

}  // namespace weir::services
