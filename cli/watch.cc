#include <charconv>
#include <iostream>
#include <thread>

#include "api/weir/v2/watch.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "libs/base/clock.h"
#include "libs/base/text.h"
#include "libs/resource/validate.h"

namespace weir::cli {
namespace {

constexpr std::chrono::milliseconds kFirstPause(200), kLongestPause(10'000);

// A name that is given is a filter: it may be there under several parents, and not yet.
Result<v2::WatchRequest> RequestOf(const Flags& flags, const Session& session) {
  v2::WatchRequest request;
  WEIR_ASSIGN(const Question question, QuestionOf(flags));
  if (!question.order.empty() || !question.as_of.empty()) return Usage("what is watched comes in the order of time");
  std::string filter = question.filter;
  if (flags.words.empty()) return Usage("watch wants KIND[,KIND…] [NAME] or FULL-NAME");
  if (flags.words.size() > 2) return Usage("watch wants one name; several kinds are joined by commas");
  const std::string& what = flags.words[0];
  if (what.find('/') != std::string::npos) {
    if (flags.words.size() > 1) return Usage("watch wants one FULL-NAME");
    request.set_parent(what);
  } else {
    WEIR_ASSIGN(*request.mutable_parent(), ParentOf(session, ScopeOf(flags)));
    request.set_kinds(what);
  }
  if (flags.words.size() == 2) {
    const std::string name = fmt::format("metadata.name = \"{}\"", flags.words[1]);
    if (!resource::IsDnsLabel(flags.words[1])) return Usage(fmt::format("\"{}\" is not a name", flags.words[1]));
    filter = filter.empty() ? name : fmt::format("({}) AND {}", filter, name);
  }
  request.set_filter(filter);
  request.set_initial(!flags.Has("only-changes"));
  if (flags.Has("timeout")) {
    const std::string text = flags.Get("timeout");
    int seconds = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (failed != std::errc() || end != text.data() + text.size() || seconds < 1) {
      return Usage("--timeout is a number of seconds");
    }
    request.set_seconds(seconds);
  }
  return request;
}

void PrintJson(const v2::WatchEvent& event) {
  document::Node line = document::Node::Map();
  line.Add("type", document::Node::String(v2::WatchEvent::Type_Name(event.type())));
  line.Add("kind", document::Node::String(event.kind()));
  line.Add("fqn", document::Node::String(event.fqn()));
  line.Add("uid", document::Node::String(event.uid()));
  line.Add("revision", document::Node::String(std::to_string(event.revision())));
  const resource::KindInfo* kind = resource::FindKind(event.kind());
  if (kind != nullptr && event.has_resource()) {
    const auto message = resource::NewMessage(kind->kind);
    if (event.resource().UnpackTo(message.get())) line.Add("resource", JsonOf(*message));
  }
  std::cout << document::WriteJson(line) << std::flush;
}

void Print(const v2::WatchEvent& event, const std::string& format) {
  if (event.type() == v2::WatchEvent::BOOKMARK) return;
  if (format == "json") return PrintJson(event);
  if (format == "name") {
    std::cout << event.fqn() << std::endl;
    return;
  }
  std::cout << Printable(fmt::format("{:<9} {:>8}  {:<18} {}", v2::WatchEvent::Type_Name(event.type()),
                                     event.revision(), event.kind(), event.fqn()))
            << std::endl;
}

// What another connection may mend. A watch that has never begun says at once why.
bool WorthAnother(const Error& error, bool begun) {
  if (error.reason == "WATCH_TOO_SLOW" || error.reason == "STOPPING") return true;
  return begun && (error.code == Code::kUnavailable || error.code == Code::kResourceExhausted);
}

}  // namespace

Result<int> Watch(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "json" && format != "name") return Usage("-o of a watch is table, name or json");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(v2::WatchRequest request, RequestOf(flags, session));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const MonoTime end = Clock::Real().Now() + std::chrono::seconds(request.seconds());
  bool begun = false;
  Duration pause = kFirstPause;
  while (true) {
    v2::WatchEvent event;
    const Status ended = client.Stream("Watches/Watch", request, event, [&] {
      begun = true;
      pause = kFirstPause;
      if (!event.position().empty()) {
        request.set_after(event.position());
        request.set_initial(false);
      }
      Print(event, format);
      return true;
    });
    if (ended.ok()) return kExitOk;
    const bool anew =
        begun && (ended.error().reason == "WATCH_EXPIRED" || ended.error().reason == "WATCH_OF_ANOTHER_HISTORY");
    if (!anew && !WorthAnother(ended.error(), begun)) return ended.error();
    std::cerr << "weir: " << ended.error().message << (anew ? "; all that is there follows" : "; watching goes on")
              << "\n";
    if (anew) {
      request.clear_after();
      request.set_initial(true);
    }
    std::this_thread::sleep_for(pause);
    pause = std::min<Duration>(2 * pause, kLongestPause);
    if (request.seconds() == 0) continue;
    const auto left = std::chrono::ceil<std::chrono::seconds>(end - Clock::Real().Now()).count();
    if (left <= 0) return kExitOk;
    request.set_seconds(static_cast<int>(left));
  }
}

Command WatchCommand() {
  return {
      "watch",
      "tell what changes, as it changes",
      R"(Usage: weir watch KIND[,KIND…] [NAME] [-l SELECTOR] [--filter FILTER] [--tenant T] [--workspace W] [--group G]
       weir watch FULL-NAME

First what is there, then every change as it is stored: ADDED, MODIFIED, DELETED. What you may not read any more goes as
if it were deleted, what you may read from now on comes as if it were new. A FULL-NAME is watched with all below it.
After a break the watch goes on where it was by itself, and misses nothing.

  -l, --selector    labels, as in weir get
  --filter          as in weir get
  --only-changes    leave out what is there
  --timeout         end after so many seconds, with exit code 0
  -o FORMAT         table, name (full names) or json (an event a line)

  weir watch tier1gateways
  weir watch workspaces,gatewaygroups --tenant payments
  weir watch gateway shop -o json
  weir watch organizations/o/tenants/payments --only-changes
)",
      {{"tenant", "workspace", "group", "output", "selector", "filter", "timeout"},
       {"only-changes"},
       {{'o', "output"}, {'l', "selector"}}},
      Watch};
}

}  // namespace weir::cli
