#include "libs/gateway/load_reports.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "api/weir/agent/v1/traffic.grpc.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/dialect/dialect.h"
#include "libs/obs/log.h"
#include "libs/process/backoff.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"

namespace weir::gateway {
namespace {

using envoy::service::load_stats::v3::LoadReportingService;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;

constexpr Duration kInterval = std::chrono::seconds(1);
constexpr Duration kHealthInterval = std::chrono::milliseconds(200);  // READY waits for it.
constexpr Duration kHealthAtLeast = std::chrono::seconds(10);
constexpr process::Backoff::Bounds kPause{std::chrono::seconds(1), std::chrono::seconds(3)};  // After a loss.
constexpr std::chrono::seconds kAnswerWithin{5};

bool IsKnown(std::chrono::system_clock::time_point time) { return time.time_since_epoch().count() > 0; }

void FillHealth(const proxy::SetHealthReport& set, agent::v1::SetHealth* out) {
  out->set_destination_set(set.set);
  for (const proxy::LocalityHealthReport& locality : set.localities) {
    auto* cluster = out->add_clusters();
    cluster->set_cluster(locality.cluster);
    cluster->set_can_serve(locality.can_serve);
    cluster->set_reason(locality.reason);
    cluster->set_returning(locality.returning);
    cluster->set_unchecked(locality.unchecked);
    if (IsKnown(locality.since)) *cluster->mutable_since() = rpc::ToTimestamp(locality.since);
    for (const proxy::EvidenceReport& evidence : locality.evidence) {
      auto* one = cluster->add_evidence();
      one->set_endpoint(evidence.endpoint);
      one->set_source(evidence.source);
      one->set_healthy(evidence.healthy);
      one->set_text(evidence.text);
      if (IsKnown(evidence.time)) *one->mutable_time() = rpc::ToTimestamp(evidence.time);
    }
  }
}

// Of everything but times and texts, which change with each observation.
uint64_t HashOf(const proxy::SetHealthReport& set) {
  std::string text;
  const auto to = std::back_inserter(text);
  fmt::format_to(to, "{}\n", set.set);
  for (const proxy::LocalityHealthReport& locality : set.localities) {
    fmt::format_to(to, " {} {} {} {} {}\n", locality.cluster, locality.reason, locality.can_serve, locality.returning,
                   locality.unchecked);
    for (const proxy::EvidenceReport& evidence : locality.evidence) {
      fmt::format_to(to, "  {} {} {}\n", evidence.endpoint, evidence.source, evidence.healthy);
    }
  }
  return Fnv1a(text);
}

}  // namespace

std::vector<LoadStatsRequest> LoadDifference::Take(const std::vector<proxy::ShareReport>& now, Duration interval) {
  if (now.empty()) return {};  // Nothing is served, or the engine had no time to answer: as before.
  // All the clusters of a set go together, if one of them has news.
  std::map<std::string, std::map<std::string, Said>> totals;
  for (const proxy::ShareReport& share : now) {
    Said& total = totals[share.set][share.cluster];
    total.requests += share.requests;
    total.errors += share.errors;
    total.intended = share.intended;
  }
  std::vector<LoadStatsRequest> out;
  std::map<Key, Said> next;
  for (const auto& [set, clusters] : totals) {
    envoy::config::endpoint::v3::ClusterStats stats;
    bool news = restarted_;
    for (const auto& [cluster, total] : clusters) {
      const auto before = said_.find({set, cluster});
      // A total below the last one: the engine counts anew.
      const Said base = before != said_.end() && before->second.requests <= total.requests ? before->second : Said{};
      const uint64_t requests = total.requests - base.requests;
      const uint64_t errors = std::min(requests, total.errors - std::min(total.errors, base.errors));
      news = news || requests > 0 || before == said_.end() || before->second.intended != total.intended;
      auto* locality = stats.add_upstream_locality_stats();
      locality->mutable_locality()->set_sub_zone(cluster);
      locality->set_total_issued_requests(requests);
      locality->set_total_successful_requests(requests - errors);
      locality->set_total_error_requests(errors);
      auto* intended = locality->add_load_metric_stats();
      intended->set_metric_name(std::string(dialect::kIntendedShare));
      intended->set_num_requests_finished_with_metric(1);
      intended->set_total_metric_value(total.intended);
      next[{set, cluster}] = total;
    }
    if (!news) continue;
    stats.set_cluster_name(set);
    *stats.mutable_load_report_interval() = google::protobuf::util::TimeUtil::NanosecondsToDuration(interval.count());
    if (out.empty() || out.back().cluster_stats_size() >= static_cast<int>(kMostSetsPerMessage)) out.emplace_back();
    *out.back().add_cluster_stats() = std::move(stats);
  }
  said_ = std::move(next);
  restarted_ = false;
  return out;
}

void HealthDifference::Restart() {
  restarted_ = true;
  said_.clear();
  pending_.clear();
  gone_.clear();
  state_ = 0;
}

void HealthDifference::AddChanges(proxy::HealthChanges news) {
  if (news.whole) {
    pending_.clear();
    gone_.clear();
    for (const auto& [name, hash] : said_) gone_.insert(gone_.end(), name);
  }
  for (std::string& name : news.gone) {
    pending_.erase(name);
    if (said_.contains(name)) gone_.insert(std::move(name));
  }
  for (proxy::SetHealthReport& set : news.sets) {
    gone_.erase(set.set);
    const std::string name = set.set;
    pending_.insert_or_assign(name, std::move(set));
  }
}

std::optional<agent::v1::GatewayHealthReport> HealthDifference::Take() {
  agent::v1::GatewayHealthReport report;
  report.set_full(restarted_);
  report.set_follows(state_);
  for (const std::string& name : std::exchange(gone_, {})) {
    const auto said = said_.find(name);
    report.add_removed_sets(name);
    state_ -= said->second;
    said_.erase(said);
  }
  for (auto at = pending_.begin(); at != pending_.end() && report.sets_size() < kMostSetsPerReport;
       at = pending_.erase(at)) {
    const uint64_t hash = HashOf(at->second);
    const auto [said, first] = said_.try_emplace(at->first, hash);
    if (!first && said->second == hash) continue;
    state_ += hash - (first ? 0 : said->second);
    said->second = hash;
    FillHealth(at->second, report.add_sets());
  }
  report.set_state(state_);
  if (!std::exchange(restarted_, false) && report.sets().empty() && report.removed_sets().empty()) return std::nullopt;
  return report;
}

agent::v1::GatewayHealthReport HealthDifference::Unchanged() const {
  agent::v1::GatewayHealthReport report;
  report.set_follows(state_);
  report.set_state(state_);
  return report;
}

LoadReports::LoadReports(const Settings& settings, LoadSources& sources, const Clock& clock)
    : settings_(settings), sources_(sources), clock_(clock) {}
LoadReports::~LoadReports() { Stop(); }

void LoadReports::Start() {
  loads_said_ = clock_.Now();
  thread_ = std::thread([this] { Run(); });
}

void LoadReports::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    for (grpc::ClientContext* call : calls_) call->TryCancel();
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

bool LoadReports::Wait(Duration time) {
  MutexLock lock(mutex_);
  return !WaitFor(clock_, wake_, mutex_, time, [this]() WEIR_REQUIRES(mutex_) { return stopped_; });
}

bool LoadReports::Enter(grpc::ClientContext* context) {
  MutexLock lock(mutex_);
  if (!stopped_) calls_.push_back(context);
  return !stopped_;
}

void LoadReports::Leave(grpc::ClientContext* context) {
  MutexLock lock(mutex_);
  std::erase(calls_, context);
}

void LoadReports::Run() {
  process::Backoff backoff(kPause);
  do {
    const Status ended = Serve(backoff);
    obs::Log(obs::Level::kDebug, "no load reports to the agent", {{"reason", ended.error().ToString()}});
  } while (Wait(backoff.Next()));
}

Status LoadReports::Serve(process::Backoff& backoff) {
  WEIR_ASSIGN(const auto options, settings_.AgentChannel());
  WEIR_ASSIGN(const auto channel, rpc::MakeChannel(options));
  const auto stub = LoadReportingService::NewStub(channel);
  grpc::ClientContext context;
  if (!Enter(&context)) return Cancelled("STOPPED", "stopped");
  const auto stream = stub->StreamLoadStats(&context);
  LoadStatsRequest hello;
  hello.mutable_node()->set_id(settings_.node_id);
  hello.mutable_node()->set_cluster(settings_.cluster);
  LoadStatsResponse answer;  // It may ask for other intervals; ours is the one it uses.
  bool alive = stream->Write(hello) && stream->Read(&answer);
  if (alive) backoff.Reset();
  difference_.Restart();
  health_.Restart();
  Status told;
  MonoTime next_loads = clock_.Now();
  while (alive && told.ok()) {
    const MonoTime now = clock_.Now();
    if (now >= next_loads) {
      next_loads = now + kInterval;
      const auto shares = sources_.Shares();
      for (const LoadStatsRequest& report : difference_.Take(shares, now - loads_said_)) {
        alive = alive && stream->Write(report);
      }
      loads_said_ = now;
    }
    if (alive) told = TellHealth(channel);
    if (!Wait(kHealthInterval)) break;
  }
  context.TryCancel();
  const grpc::Status status = stream->Finish();
  Leave(&context);
  WEIR_TRY(told);
  return rpc::FromGrpc(status);
}

Status LoadReports::TellHealth(const std::shared_ptr<grpc::Channel>& channel) {
  proxy::HealthChanges news = sources_.TakeHealthChanges(health_.restarted());
  if (!news.answered) return {};  // As before.
  health_.AddChanges(std::move(news));
  bool said = false;
  while (auto report = health_.Take()) {
    WEIR_TRY(SendHealth(channel, std::move(*report)));
    said = true;
  }
  if (said || clock_.Now() - health_time_ < kHealthAtLeast) return {};
  return SendHealth(channel, health_.Unchanged());
}

Status LoadReports::SendHealth(const std::shared_ptr<grpc::Channel>& channel, agent::v1::GatewayHealthReport report) {
  for (std::string& problem : sources_.Problems()) report.add_problems(std::move(problem));
  agent::v1::GatewayHealthAck ack;
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineIn(kAnswerWithin));
  if (!Enter(&context)) return Cancelled("STOPPED", "stopped");
  const grpc::Status status = agent::v1::GatewayHealth::NewStub(channel)->Report(&context, report, &ack);
  Leave(&context);
  if (!status.ok()) return rpc::FromGrpc(status);  // The connection begins anew, and with it everything.
  if (ack.resend()) return Aborted("HEALTH_MISSED", "the agent has missed a report");
  health_time_ = clock_.Now();
  return {};
}

}  // namespace weir::gateway
