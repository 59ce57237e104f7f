#include "libs/traffic/reason.h"

#include <algorithm>
#include <array>

namespace weir::traffic {
namespace {

struct Row {
  Reason reason;
  std::string_view word;
  std::string_view sentence;
};

constexpr std::array kRows = {
    Row{Reason::kNone, "", ""},
    Row{Reason::kDrained, "drained", "it is drained"},
    Row{Reason::kNoGateway, "no_gateway", "no tier-2 gateway of it serves this host"},
    Row{Reason::kNoSuchDestinationSet, "no_such_cluster", "the destination does not exist there"},
    Row{Reason::kGatewaysDown, "gateways_down", "none of its tier-2 gateways answers"},
    Row{Reason::kDraining, "draining", "its gateway is about to stop"},
    Row{Reason::kNoSuchHost, "no_such_host", "its gateways do not know this host"},
    Row{Reason::kNoEndpoint, "no_endpoint", "its gateways answer, but nothing healthy stands behind them"},
    Row{Reason::kPartial, "partial", "some rules of the host cannot be served there"},
    Row{Reason::kHeld, "held", "it was judged down a moment ago and is held out a little longer"},
    Row{Reason::kNoClusterCanServe, "no_cluster_can_serve", "nobody could be chosen"},
    Row{Reason::kPanic, "panic", "nobody can serve, and all are asked all the same"},
    Row{Reason::kConnectFailed, "connect_failed", "no connection came about"},
    Row{Reason::kLocalShortage, "local_shortage", "the gateway itself ran out of descriptors, buffers or ports"},
    Row{Reason::kClusterDown, "cluster_down", "it was judged dead while the request waited"},
    Row{Reason::kUpstreamClosed, "upstream_closed", "the connection ended without an answer"},
    Row{Reason::kUpstreamLost, "upstream_lost", "the connection broke without an answer"},
    Row{Reason::kUpstreamStalled, "upstream_stalled", "the body was not read in time"},
    Row{Reason::kRequestTimeout, "request_timeout", "no answer came in time"},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].reason) != i) return false;
  }
  return kRows.size() == static_cast<size_t>(Reason::kRequestTimeout) + 1;
}
static_assert(InOrder());

const Row& RowOf(Reason reason) { return kRows[std::min(static_cast<size_t>(reason), kRows.size() - 1)]; }

}  // namespace

std::string_view Word(Reason reason) { return RowOf(reason).word; }
std::string_view Sentence(Reason reason) { return RowOf(reason).sentence; }

Reason ReasonOf(std::string_view word) {
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& one) { return one.word == word; });
  return row == kRows.end() ? Reason::kNone : row->reason;
}

bool ReachedNobody(Reason reason) {
  return reason == Reason::kNoClusterCanServe || reason == Reason::kConnectFailed || reason == Reason::kLocalShortage ||
         reason == Reason::kNoSuchDestinationSet;
}

Failure FailureBehind(std::string_view word) {
  if (word.empty()) return Failure::kNone;
  switch (ReasonOf(word)) {
    case Reason::kNone:  // What its bytes were: "bad_status_line", "bad_chunk", and what a later version may say.
    case Reason::kUpstreamClosed:
    case Reason::kUpstreamLost:
      return Failure::kLost;
    case Reason::kUpstreamStalled:
    case Reason::kRequestTimeout:
      return Failure::kSilent;
    case Reason::kNoClusterCanServe:
    case Reason::kConnectFailed:
    case Reason::kClusterDown:
    case Reason::kNoEndpoint:
      return Failure::kConnect;
    default:  // Its proxy stops, knows the host not yet, or is itself short of something: nothing about the pod.
      return Failure::kNone;
  }
}

}  // namespace weir::traffic
