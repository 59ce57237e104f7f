#pragma once

#include "libs/document/document.h"

namespace weir::edge {

// What of an operation decides which answers it may give.
struct AnswerFacts {
  bool open = false;      // Asks for no token.
  bool reads = false;     // GET.
  bool body = false;      // Takes one.
  bool names = false;     // Its path or body names something that may be missing or another's.
  bool waits = false;     // Can be asked to answer later.
  bool if_match = false;  // Takes an etag as precondition.
  bool etag = false;      // A read whose answer has one.
};

// Adds a reference for every status that is not 200 (HttpStatus and rest.cc's own) to an operation's responses.
void AddOtherAnswers(const AnswerFacts& facts, document::Node& responses);

// components/responses, to which those refer.
document::Node OtherAnswers();

}  // namespace weir::edge
