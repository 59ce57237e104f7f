#pragma once

#include <string>

#include "libs/base/clock.h"
#include "libs/http/http.h"

// What the server writes around the bodies of its answers.
namespace weir::http {

// Status line and fields, with Date, the framing of the body, and "Connection: close" when asked for.
void AppendHead(const Response& response, bool close, const Clock& clock, std::string& out);
// One chunk of a body that comes piece by piece, and its end behind the last one (RFC 9112 section 7.1).
void AppendChunk(const Source::Piece& piece, std::string& out);

}  // namespace weir::http
