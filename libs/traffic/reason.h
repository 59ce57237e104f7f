#pragma once

#include <cstdint>
#include <string_view>

namespace weir::traffic {

// Why a cluster cannot serve, or why a request was not served. The one list, and with Word the one table:
// x-weir-reason, access log, metrics, reports to the server and the command line say these words and no others.
enum class Reason : uint8_t {
  kNone,
  // About a cluster as a destination, from what stands farthest from an answer to what is closest to one: where several
  // are out, the last of these explains most.
  kDrained,               // An administrator took it out.
  kNoGateway,             // No tier-2 gateway of it is known.
  kNoSuchDestinationSet,  // The destination set does not exist.
  kGatewaysDown,          // None of its tier-2 gateways answers.
  kDraining,              // The process itself is about to stop.
  kNoSuchHost,            // The gateway does not know the host.
  kNoEndpoint,            // Nobody behind them can serve.
  kPartial,               // Some rules of the host cannot be served.
  kHeld,                  // Answers again, but was judged down less than the hold ago.
  // About a request.
  kNoClusterCanServe,  // Nobody could be chosen for it.
  kPanic,              // Nobody could, and somebody was asked all the same.
  kConnectFailed,      // No connection came about.
  kLocalShortage,      // This process has no descriptor, buffer or port left.
  kClusterDown,        // Sent, then its endpoint was judged dead.
  kUpstreamClosed,     // Sent, then the connection ended in order, without an answer.
  kUpstreamLost,       // Sent, then the connection broke.
  kUpstreamStalled,    // Its body was not read in time.
  kRequestTimeout,     // Sent, and not answered in time.
};

std::string_view Word(Reason reason);      // "no_endpoint"; "" for kNone.
Reason ReasonOf(std::string_view word);    // kNone: not one of these words.
std::string_view Sentence(Reason reason);  // About a cluster, for people: "none of its tier-2 gateways answers".
// The request was sent to nobody that could have executed it, so repeating it is safe whatever it does.
bool ReachedNobody(Reason reason);

// What one request taught about the endpoint it went to.
enum class Failure : uint8_t {
  kNone,     // Nothing.
  kConnect,  // Nobody is there: no connection, no TLS, or its proxy reached no application.
  kLost,     // It broke off without an answer.
  kSilent,   // It took the request and said nothing.
};
// What the proxy in front of one pod says about that pod when it answers with a status of 500 or more and this word in
// x-weir-reason. Other words than those above are about bytes of the pod that could not be understood: kLost. Of an
// answer without the header nothing follows, whatever its status: it is the application's own.
Failure FailureBehind(std::string_view word);

}  // namespace weir::traffic
