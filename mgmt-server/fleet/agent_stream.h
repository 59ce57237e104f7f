#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/rpc/stream_writer.h"
#include "mgmt-server/fleet/facts_intake.h"
#include "mgmt-server/fleet/memberships.h"

namespace weir::fleet {

// One agent's report stream. Messages are handed on one at a time: the next is read when the one before was dealt with.
class AgentStream final : public grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::ServerMessage>,
                          public std::enable_shared_from_this<AgentStream> {
 public:
  struct Handler {
    // Deals with `message` on some thread and calls `next` once (with an error to end the stream).
    std::function<void(std::shared_ptr<AgentStream>, std::function<void(Status)> next)> message;
    std::function<void(AgentStream&)> done;
  };
  // `member`: whose agent it is; an empty cluster = nobody's, and the stream is being refused.
  AgentStream(Handler handler, Member member, const Clock& clock, grpc::CallbackServerContext* context);

  void Begin();
  void Close(const Error& reason);  // Thread-safe.
  // False: the agent does not read; the stream is broken off.
  bool Send(agent::v1::ServerMessage message);
  MonoTime last_heard() const;

  const std::string& cluster() const { return member_.cluster; }
  const Member& member() const { return member_; }
  const std::string& peer() const { return peer_; }  // gRPC's form, "ipv4:127.0.0.1:5000".
  // Of the handler, which sees one message at a time:
  agent::v1::AgentMessage in;
  uint64_t last_sequence = 0;  // Of the last delta taken in; 0 = none on this stream.
  FactsParts parts;
  bool greeted = false;
  std::string instance;  // Of its Hello; then it does not change.

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  const Handler handler_;
  const Member member_;
  const std::string peer_;
  const Clock& clock_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<AgentStream> self_;
  rpc::StreamWriter<agent::v1::ServerMessage, AgentStream> writer_{this, 64};
  mutable Mutex mutex_;
  MonoTime heard_ WEIR_GUARDED_BY(mutex_);
  // Messages being dealt with: no Finish before the next read is started, or it would be started on a dead call.
  int busy_ WEIR_GUARDED_BY(mutex_) = 0;
  std::optional<Error> closing_ WEIR_GUARDED_BY(mutex_);

  void Next(const Status& status);
  void Finalize();
};

}  // namespace weir::fleet
