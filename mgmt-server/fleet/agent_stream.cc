#include "mgmt-server/fleet/agent_stream.h"

#include "libs/base/mutex.h"
#include "libs/rpc/status.h"

namespace weir::fleet {

AgentStream::AgentStream(Handler handler, Member member, const Clock& clock, grpc::CallbackServerContext* context)
    : handler_(std::move(handler)),
      member_(std::move(member)),
      peer_(context->peer()),
      clock_(clock),
      context_(context),
      heard_(clock.Now()) {}

void AgentStream::Begin() {
  self_ = shared_from_this();
  StartRead(&in);
}

void AgentStream::Close(const Error& reason) {
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    closing_ = reason;
    if (busy_ > 0) return;  // Next sees to it.
  }
  Finalize();
}

void AgentStream::Finalize() {
  const auto keep = shared_from_this();
  if (writer_.queued() > 0) context_->TryCancel();  // A write to a stopped agent may never end by itself.
  Error reason;
  {
    MutexLock lock(mutex_);
    reason = *closing_;
  }
  writer_.Close([this, reason] { Finish(rpc::ToGrpc(reason)); }, false);
}

void AgentStream::Next(const Status& status) {
  bool read;
  {
    MutexLock lock(mutex_);
    if (!status.ok() && !closing_) closing_ = status.error();
    read = !closing_;
  }
  if (read) StartRead(&in);
  {
    MutexLock lock(mutex_);
    if (--busy_ > 0 || !closing_) return;
  }
  Finalize();
}

bool AgentStream::Send(agent::v1::ServerMessage message) {
  if (writer_.Write(std::move(message))) return true;
  Close(Unavailable("SEND_QUEUE_FULL", "the agent does not read"));
  return false;
}

MonoTime AgentStream::last_heard() const {
  MutexLock lock(mutex_);
  return heard_;
}

void AgentStream::OnReadDone(bool ok) {
  if (!ok) {
    Close(Cancelled("AGENT_LEFT", "the agent closed the stream"));
    return;
  }
  {
    MutexLock lock(mutex_);
    heard_ = clock_.Now();
    ++busy_;
  }
  handler_.message(self_, [self = self_](Status status) { self->Next(status); });
}

void AgentStream::OnWriteDone(bool ok) {
  writer_.OnWriteDone(ok);
  if (!ok) Close(Cancelled("AGENT_LEFT", "a write failed"));
}

void AgentStream::OnCancel() { Close(Cancelled("AGENT_LEFT", "the call was cancelled")); }

void AgentStream::OnDone() {
  handler_.done(*this);
  self_.reset();  // Last line: this may be the end of it.
}

}  // namespace weir::fleet
