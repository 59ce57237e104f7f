#include "cluster-agent/link/reports.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <optional>
#include <thread>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/agent/v1/agent.pb.h"
#include "cluster-agent/link/answers.h"
#include "cluster-agent/link/parts.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"
#include "libs/rpc/stream_writer.h"
#include "libs/rpc/time.h"

namespace weir::agent {
namespace {

constexpr size_t kQueueLimit = 4096;
constexpr Duration kTrafficInterval = std::chrono::milliseconds(200);

}  // namespace

struct Reports::Core {
  // One stream. Only the link thread writes; gRPC's threads put in what they read and wake it.
  class Session : public grpc::ClientBidiReactor<v1::AgentMessage, v1::ServerMessage> {
   public:
    explicit Session(Core* core) : core_(core) {}
    void OnReadDone(bool ok) override {
      if (!ok) return;
      core_->Take(std::move(in_));
      in_.Clear();
      StartRead(&in_);
    }
    void OnWriteDone(bool ok) override { writer.OnWriteDone(ok); }
    void OnDone(const grpc::Status& status) override {
      Error over = status.ok() ? Unavailable("STREAM_CLOSED", "stream closed") : FromServer(status);
      MutexLock lock(core_->mutex);
      core_->ended = std::move(over);
      core_->wake.NotifyAll();
    }
    void Begin() {
      AddHold();
      StartRead(&in_);
      StartCall();
    }

    grpc::ClientContext context;
    rpc::StreamWriter<v1::AgentMessage, Session> writer{this, kQueueLimit};

   private:
    Core* core_;
    v1::ServerMessage in_;
  };

  Core(ReportSources& s, ReportsOptions o) : sources(s), options(std::move(o)) {}

  ReportSources& sources;
  const ReportsOptions options;
  std::thread thread;

  mutable Mutex mutex;
  CondVar wake;
  bool stopping WEIR_GUARDED_BY(mutex) = false;
  bool reconnect WEIR_GUARDED_BY(mutex) = false;
  bool connected WEIR_GUARDED_BY(mutex) = false;
  bool applied_changed WEIR_GUARDED_BY(mutex) = false;
  std::optional<translate::Facts> facts WEIR_GUARDED_BY(mutex);  // As discovered now.
  bool facts_changed WEIR_GUARDED_BY(mutex) = false;
  std::optional<Error> ended WEIR_GUARDED_BY(mutex);  // The stream is over, and why.
  bool duplicate WEIR_GUARDED_BY(mutex) = false;      // The server refused this agent beside another one; said once.
  std::vector<v1::ServerMessage> inbox WEIR_GUARDED_BY(mutex);
  MonoTime heard WEIR_GUARDED_BY(mutex);
  std::atomic<Duration> clock_ahead{Duration{0}};  // Asked for while the problems of this link are collected.
  mutable Mutex held_mutex;                        // Asked for as clock_ahead is.
  std::string held WEIR_GUARDED_BY(held_mutex);
  std::optional<std::string> server_hash
      WEIR_GUARDED_BY(mutex);  // What the server has, while nothing was discovered yet.

  // Only the server knows it: to this end a stream on which nothing is pushed looks like one with nothing to push.
  void TakeHeld(const std::string& reason) {
    MutexLock lock(held_mutex);
    if (reason == held) return;
    held = reason;
    obs::Log(held.empty() ? obs::Level::kInfo : obs::Level::kError,
             held.empty() ? "the server pushes intent again"
                          : "the server pushes nothing: STATE_CONFLICT; what is held goes on",
             {{"reason", reason}});
  }

  void Take(v1::ServerMessage message) {
    MutexLock lock(mutex);
    heard = options.clock->Now();
    if (message.has_heartbeat() && message.heartbeat().has_time()) {
      clock_ahead = options.clock->Wall() - rpc::FromTimestamp(message.heartbeat().time());
    }
    if (message.has_heartbeat()) TakeHeld(message.heartbeat().held());
    if (message.has_state()) {  // Acknowledgements and heartbeats only prove life.
      inbox.push_back(std::move(message));
      wake.NotifyAll();
    }
  }

  void Run() {
    process::Backoff backoff({options.backoff_min, options.backoff_max});
    for (;;) {
      const bool was_connected = Serve();
      MutexLock lock(mutex);
      if (stopping) return;
      if (was_connected) backoff.Reset();
      reconnect = false;
      WaitFor(*options.clock, wake, mutex, backoff.Next(),
              [&]() WEIR_REQUIRES(mutex) { return stopping || reconnect; });
      reconnect = false;
      if (stopping) return;
    }
  }

  // One stream from dial to end; whether the server ever answered on it.
  bool Serve() {
    const auto channel = rpc::MakeChannel(sources.Channel());
    if (!channel.ok()) {
      obs::Log(obs::Level::kError, "report stream: no channel", {{"error", channel.error().ToString()}});
      return false;
    }
    {
      MutexLock lock(mutex);
      ended.reset();
      inbox.clear();
      server_hash.reset();
      heard = options.clock->Now();
    }
    auto stub = v1::AgentReports::NewStub(*channel);
    Session session(this);
    stub->async()->Report(&session.context, &session);
    session.Begin();
    v1::AgentMessage hello;
    hello.mutable_hello()->set_version(options.version);
    hello.mutable_hello()->set_instance(options.instance);
    hello.mutable_hello()->set_leaf_lifetime_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(options.leaf_lifetime).count());
    session.writer.Write(std::move(hello));
    const bool answered = Converse(&session);
    session.context.TryCancel();
    session.writer.Close([] {}, false);
    session.RemoveHold();
    MutexLock lock(mutex);
    wake.Wait(mutex, [&]() WEIR_REQUIRES(mutex) { return ended.has_value(); });  // OnDone has run; the session may go.
    const bool was_duplicate = std::exchange(duplicate, ended->reason == "DUPLICATE_AGENT");
    if (duplicate && !was_duplicate) {
      obs::Log(obs::Level::kError, "the server refuses this agent beside another one", {{"reason", ended->message}});
    } else if (connected || !(stopping || duplicate)) {
      obs::Log(answered ? obs::Level::kWarn : obs::Level::kInfo, "report stream to the server lost",
               {{"reason", ended->message}});
    }
    connected = false;
    const bool fenced = duplicate;
    lock.Unlock();
    if (fenced) sources.OnDuplicate();
    return answered;
  }

  bool Converse(Session* session) {
    std::optional<translate::Facts> told;  // What the server has; unset until it has said so.
    uint64_t sequence = 0;
    uint64_t beats = 0;
    bool answered = false;
    bool taken_over = false;  // The other one has gone.
    MonoTime next_beat = options.clock->Now() + options.heartbeat;
    MonoTime next_traffic = options.clock->Now();
    bool traffic_told = false;
    std::string problems_told;
    MutexLock lock(mutex);
    for (;;) {
      const MonoTime look = std::min({next_beat, next_traffic, heard + options.heartbeat * options.misses});
      WaitUntil(*options.clock, wake, mutex, look, [&]() WEIR_REQUIRES(mutex) {
        return stopping || reconnect || ended.has_value() || !inbox.empty() ||
               (answered && (applied_changed || (facts_changed && told.has_value())));
      });
      if (stopping || reconnect || ended.has_value()) return answered;
      const MonoTime now = options.clock->Now();
      if (now - heard >= options.heartbeat * options.misses) {
        obs::Log(obs::Level::kWarn, "no heartbeat from the server; dialling anew");
        return answered;
      }
      std::vector<v1::AgentMessage> out;
      if (now >= next_beat) {
        next_beat = now + options.heartbeat;
        out.emplace_back().mutable_heartbeat()->set_sequence(++beats);
      }
      const std::vector<v1::ServerMessage> messages = std::exchange(inbox, {});
      for (const v1::ServerMessage& message : messages) {
        if (!answered) {
          answered = connected = true;
          taken_over = std::exchange(duplicate, false);
          applied_changed = true;
          obs::Log(obs::Level::kInfo, "report stream to the server stands");
          AddApplied(true, &out);
        }
        if (!facts.has_value()) {
          told = translate::Facts{};  // Nothing discovered yet: the first reading is compared with what the server has.
          server_hash = message.state().hash();
          continue;
        }
        Compare(message.state().hash(), &told, &sequence, &out);
      }
      if (answered && applied_changed) AddApplied(false, &out);
      if (now >= next_traffic) {
        next_traffic = now + kTrafficInterval;
        if (answered) AddTraffic(!std::exchange(traffic_told, true), &out);
        if (answered) AddProblems(&problems_told, &out);
      }
      if (answered && facts_changed && facts.has_value() && told.has_value()) {
        facts_changed = false;
        if (server_hash.has_value()) {
          Compare(*std::exchange(server_hash, std::nullopt), &told, &sequence, &out);
        } else {
          v1::FactsDelta delta;
          if (translate::DiffFacts(*told, *facts, &delta)) Say(std::move(delta), &sequence, &out);
          told = facts;
        }
      }
      lock.Unlock();
      if (std::exchange(taken_over, false)) sources.OnDuplicate();
      bool written = true;
      for (v1::AgentMessage& message : out) written = written && session->writer.Write(std::move(message));
      lock.Lock();
      if (!written) return answered;
    }
  }

  // The server has facts with this hash: the same, or everything is sent.
  void Compare(const std::string& hash, std::optional<translate::Facts>* told, uint64_t* sequence,
               std::vector<v1::AgentMessage>* out) WEIR_REQUIRES(mutex) {
    facts_changed = false;
    *told = *facts;
    if (hash == translate::HashFacts(*facts)) return;
    v1::FactsDelta full;
    translate::FullFacts(*facts, &full);
    Say(std::move(full), sequence, out);
  }

  static void Say(v1::FactsDelta delta, uint64_t* sequence, std::vector<v1::AgentMessage>* out) {
    delta.set_sequence(++*sequence);
    for (v1::AgentMessage& part : InParts(std::move(delta))) out->push_back(std::move(part));
  }

  void AddApplied(bool full, std::vector<v1::AgentMessage>* out) WEIR_REQUIRES(mutex) {
    applied_changed = false;
    v1::Applied applied;
    if (!sources.Applied(full, &applied)) return;
    for (v1::AgentMessage& part : InParts(applied)) out->push_back(std::move(part));
  }

  void AddProblems(std::string* told, std::vector<v1::AgentMessage>* out) {
    v1::AgentMessage message;
    sources.AddProblems(message.mutable_problems());
    std::string now = message.problems().SerializeAsString();
    if (now == *told) return;
    *told = std::move(now);
    out->push_back(std::move(message));
  }

  void AddTraffic(bool full, std::vector<v1::AgentMessage>* out) {
    std::vector<v1::GatewayTraffic> gateways;
    if (!sources.Traffic(full, &gateways)) return;
    for (v1::GatewayTraffic& gateway : gateways) *out->emplace_back().mutable_traffic() = std::move(gateway);
  }
};

Reports::Reports(ReportSources& sources, ReportsOptions options)
    : core_(std::make_shared<Core>(sources, std::move(options))) {}
Reports::~Reports() { Stop(); }

void Reports::Start() {
  core_->thread = std::thread([core = core_] { core->Run(); });
}

void Reports::Stop() {
  {
    MutexLock lock(core_->mutex);
    core_->stopping = true;
  }
  core_->wake.NotifyAll();
  if (core_->thread.joinable()) core_->thread.join();
}

void Reports::SetFacts(translate::Facts facts) {
  MutexLock lock(core_->mutex);
  core_->facts = std::move(facts);
  core_->facts_changed = true;
  core_->wake.NotifyAll();
}

void Reports::AppliedChanged() {
  MutexLock lock(core_->mutex);
  core_->applied_changed = true;
  core_->wake.NotifyAll();
}

void Reports::Reconnect() {
  MutexLock lock(core_->mutex);
  core_->reconnect = true;
  core_->wake.NotifyAll();
}

Duration Reports::ClockAhead() const { return core_->clock_ahead; }

std::string Reports::WhyHeld() const {
  MutexLock lock(core_->held_mutex);
  return core_->held;
}

bool Reports::Connected() const {
  MutexLock lock(core_->mutex);
  return core_->connected;
}

}  // namespace weir::agent
