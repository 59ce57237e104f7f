#pragma once

#include <memory>
#include <string>

#include "libs/http/http.h"
#include "mgmt-server/services/outflow.h"

namespace weir::edge {

inline constexpr std::string_view kEventStream = "text/event-stream";

// A stream of answers as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): `event`
// is the type, `id` the position, `data` the message. What ends it before its time is a last event ERROR.
std::shared_ptr<http::Source> ServerSentEvents(std::shared_ptr<services::Outflow> outflow, std::string request_id);

}  // namespace weir::edge
