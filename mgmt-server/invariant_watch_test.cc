#include "mgmt-server/invariant_watch.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "api/weir/v2/invariant.pb.h"
#include "api/weir/v2/server_state.grpc.pb.h"
#include "mgmt-server/store/temp_store.h"
#include "mgmt-server/test_receivers.h"

namespace weir::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What the metrics say, and which Invariants were judged.
class Watch : public ::testing::Test {
 protected:
  void Put(const std::string& name, const std::string& spec) {
    v2::Invariant invariant;
    *invariant.mutable_spec() = spec.empty() ? v2::InvariantSpec() : CanServe();
    ASSERT_TRUE(temp_
                    ->Write([&](store::Txn& txn) -> Status {
                      return Ignore(txn.Put({"Invariant",
                                             "organizations/o/invariants/" + name,
                                             invariant.SerializeAsString(),
                                             {},
                                             std::nullopt}));
                    })
                    .ok());
  }
  void Delete(const std::string& name) {
    ASSERT_TRUE(
        temp_
            ->Write([&](store::Txn& txn) -> Status { return Ignore(txn.Delete("organizations/o/invariants/" + name)); })
            .ok());
  }
  static Status Ignore(const Result<store::ResourcePtr>& result) { return result.ok() ? Status() : result.error(); }
  static v2::InvariantSpec CanServe() {
    v2::InvariantSpec spec;
    spec.mutable_min_clusters()->set_can_serve(true);
    return spec;
  }
  std::string Metrics() {
    std::string out;
    watch_.Render(out);
    return out;
  }
  std::vector<std::string> Look() {
    judged_.clear();
    watch_.Look();
    return std::exchange(judged_, {});
  }

  store::TempStore temp_;
  std::map<std::string, v2::ResourceStatus::State> states_;  // READY where it says nothing.
  std::vector<std::string> judged_;
  int64_t revision_ = 1;
  InvariantWatch watch_{*temp_,
                        {.judge = [this](const std::string& fqn) -> Result<v2::ResourceStatus> {
                           const std::string name = fqn.substr(fqn.rfind('/') + 1);
                           judged_.push_back(name);
                           v2::ResourceStatus status;
                           const auto said = states_.find(name);
                           status.set_state(said == states_.end() ? v2::ResourceStatus::READY : said->second);
                           return status;
                         },
                         .pushed = [this] { return std::pair(revision_, uint64_t{0}); }}};
};

TEST_F(Watch, TellsWhatIsBrokenAndWhatHoldsAgain) {
  Put("a", "");
  Put("b", "");
  states_ = {{"a", v2::ResourceStatus::FAILED}, {"b", v2::ResourceStatus::PARTIAL}};
  EXPECT_THAT(Look(), ElementsAre("a", "b"));
  EXPECT_EQ(watch_.broken(), 1u);
  EXPECT_THAT(Metrics(), HasSubstr("weir_invariant_broken{invariant=\"organizations/o/invariants/a\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_invariant_broken{invariant=\"organizations/o/invariants/b\"} 0"));
  EXPECT_THAT(Metrics(), HasSubstr("weir_invariant_unknown{invariant=\"organizations/o/invariants/b\"} 1"));
  states_ = {{"a", v2::ResourceStatus::ACCEPTED}};
  ++revision_;
  Look();
  EXPECT_EQ(watch_.broken(), 1u) << "what is not pushed yet says nothing";
  EXPECT_THAT(Metrics(), HasSubstr("weir_invariant_unknown{invariant=\"organizations/o/invariants/b\"} 0"));
  states_ = {};
  Look();
  EXPECT_EQ(watch_.broken(), 0u);
  states_ = {{"b", v2::ResourceStatus::FAILED}};
  ++revision_;
  Look();
  EXPECT_EQ(watch_.broken(), 1u);
  Delete("b");
  Look();
  EXPECT_EQ(watch_.broken(), 0u);
  EXPECT_THAT(Metrics(), Not(HasSubstr("invariants/b")));
}

TEST_F(Watch, LooksAgainAtWhatMayHaveChanged) {
  Put("intent", "");
  Put("served", "can serve");
  EXPECT_THAT(Look(), ElementsAre("intent", "served"));
  EXPECT_THAT(Look(), ElementsAre("served")) << "gateways say something new all the time";
  ++revision_;
  EXPECT_THAT(Look(), ElementsAre("intent", "served"));
  Put("intent", "can serve");
  EXPECT_THAT(Look(), ElementsAre("intent", "served")) << "another version";
}

TEST_F(Watch, JudgesABoundedNumberAtOnceAndAllInTheEnd) {
  for (size_t i = 0; i < InvariantWatch::kMostAtOnce + 50; ++i) Put(fmt::format("i{:03}", i), "can serve");
  EXPECT_EQ(Look().size(), InvariantWatch::kMostAtOnce);
  const auto next = Look();
  EXPECT_EQ(next.size(), InvariantWatch::kMostAtOnce);
  EXPECT_EQ(next.front(), fmt::format("i{:03}", InvariantWatch::kMostAtOnce)) << "it goes on where it was";
}

// The whole server: agents break a condition and mend it.
class Alarm : public TwoReceivers {
 protected:
  void SetUp() override {
    bootstrap_.set_admin("unix:/tmp/weir-invariant-" + RandomHex(8));
    TwoReceivers::SetUp();
  }
  std::string TryApply(const std::string& documents) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    v2::ApplyDocumentsResponse response;
    grpc::ClientContext context;
    const auto applied = v2::Documents::NewStub(channel_)->Apply(&context, request, &response);
    return applied.ok() ? "" : rpc::FromGrpc(applied).reason;
  }
  bool IsAlarming() {
    v2::ServerStatus status;
    grpc::ClientContext context;
    EXPECT_TRUE(v2::ServerState::NewStub(channel_)->GetServerStatus(&context, {}, &status).ok());
    return std::any_of(status.alarms().begin(), status.alarms().end(),
                       [](const auto& alarm) { return alarm.reason() == "INVARIANT_BROKEN"; });
  }
  std::string Metrics() const {
    const std::string path = server_->info().admin.substr(5);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, path.c_str(), sizeof to.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    constexpr std::string_view kAsk = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, kAsk.data(), kAsk.size()), static_cast<ssize_t>(kAsk.size()));
    std::string text(65536, '\0');
    size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<size_t>(got)) {
      got = std::max<ssize_t>(0, read(fd, text.data() + size, text.size() - size));
    }
    close(fd);
    return text.substr(0, size);
  }
  static constexpr char kServed[] = "organizations/acme/invariants/served";
  static constexpr char kBroken[] = "weir_invariant_broken{invariant=\"organizations/acme/invariants/served\"} 1";
  static constexpr char kHolds[] = "weir_invariant_broken{invariant=\"organizations/acme/invariants/served\"} 0";
};

constexpr char kServedByTwo[] = R"(apiVersion: api.weir.dev/v2
kind: Invariant
metadata: {name: served, organization: acme}
spec: {minClusters: {host: shop.example.com, count: 2, canServe: true}}
)";
constexpr char kOneOnly[] = R"(apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: shop, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: n, labels: {app: t1}}
  externalServers:
  - {name: s, hostname: shop.example.com, port: 80, clusters: [{name: c1, weight: 1}]}
)";

TEST_F(Alarm, IsRaisedByFactsAndEndsWithThem) {
  Apply(kServedByTwo);
  WaitForStatus(kServed, [](const auto& now) { return now.state() == v2::ResourceStatus::READY; });
  EXPECT_TRUE(Eventually([&] { return Metrics().find(kHolds) != std::string::npos; }));
  EXPECT_FALSE(IsAlarming());

  receivers_[1]->Run({"app/web-1"}, {{"app", "t2"}});  // The tier-2 gateway of c2 is gone.
  const auto broken = WaitForStatus(kServed, [](const auto& now) { return now.state() == v2::ResourceStatus::FAILED; });
  EXPECT_EQ(broken.reason(), "INVARIANT_BROKEN");
  EXPECT_THAT(broken.message(), HasSubstr("of gateway n/gw of edge, 1 of 2 clusters can serve shop.example.com: c2"));
  EXPECT_EQ(Wait(kServed, 20).reason(), "INVARIANT_BROKEN") << "a wait ends at once";
  EXPECT_TRUE(Eventually([&] { return Metrics().find(kBroken) != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] { return IsAlarming(); }));
  EXPECT_EQ(TryApply(kOneOnly), "INVARIANT_BROKEN") << "what is broken by facts is held by intent";

  Serve(*receivers_[1]);
  WaitForStatus(kServed, [](const auto& now) { return now.state() == v2::ResourceStatus::READY; });
  EXPECT_TRUE(Eventually([&] { return Metrics().find(kHolds) != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] { return !IsAlarming(); }));
}

TEST_F(Alarm, IsNotRaisedByWhoIsNotHeard) {
  Apply(kServedByTwo);
  WaitForStatus(kServed, [](const auto& now) { return now.state() == v2::ResourceStatus::READY; });
  channel_.reset();
  agent_.reset();
  receivers_.clear();
  server_.reset();
  Start();  // Nobody has said anything yet.
  const auto unknown =
      WaitForStatus(kServed, [](const auto& now) { return now.state() == v2::ResourceStatus::PARTIAL; });
  EXPECT_EQ(unknown.reason(), "DISCONNECTED");
  EXPECT_THAT(unknown.message(), HasSubstr("n/gw"));
  EXPECT_FALSE(IsAlarming());
  EXPECT_EQ(TryApply(kOneOnly), "INVARIANT_BROKEN") << "a restart forgets no condition";
}

}  // namespace
}  // namespace weir::server
