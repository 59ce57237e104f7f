#include "mgmt-server/services/wave_rules.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/cluster.pb.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::services {
namespace {

using ::testing::ElementsAre;

v2::ChangeSet In(const std::string& waves) {
  v2::ChangeSet set;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(waves, &set)) << waves;
  return set;
}

TEST(WaveRules, NameTheFieldThatIsWrong) {
  const struct {
    const char* waves;
    const char* field;  // "" = nothing is wrong.
  } cases[] = {
      {"waves { clusters: 'a' }", ""},
      {"waves { region: 'eu' labels { key: 'ring' value: '1' } }", ""},
      {"waves { clusters: 'a' gate { min_success_rate: 50 min_requests: 1 bake_time { seconds: 1 } } }", ""},
      {"waves { clusters: 'a' gate { min_success_rate: 100 ready_timeout { seconds: 3600 } } }", ""},
      {"waves {}", "waves[0]"},
      {"waves { clusters: 'a' } waves { clusters: 'b' region: 'eu' }", "waves[1]"},
      {"waves { clusters: '' }", "waves[0]"},
      {"waves { clusters: 'a' gate { min_success_rate: 0.99 } }", "waves[0].gate.minSuccessRate"},
      {"waves { clusters: 'a' gate { min_success_rate: 100.1 } }", "waves[0].gate.minSuccessRate"},
      {"waves { clusters: 'a' gate { min_success_rate: nan } }", "waves[0].gate.minSuccessRate"},
      {"waves { clusters: 'a' gate { min_requests: -1 } }", "waves[0].gate.minRequests"},
      {"waves { clusters: 'a' gate { min_requests: 1000000001 } }", "waves[0].gate.minRequests"},
      {"waves { clusters: 'a' gate { bake_time { seconds: 0 } } }", "waves[0].gate.bakeTime"},
      {"waves { clusters: 'a' gate { bake_time { seconds: 86401 } } }", "waves[0].gate.bakeTime"},
      {"waves { clusters: 'a' gate { bake_time { seconds: 1 nanos: 5 } } }", "waves[0].gate.bakeTime"},
      {"waves { clusters: 'a' gate { ready_timeout { seconds: 3601 } } }", "waves[0].gate.readyTimeout"},
  };
  for (const auto& each : cases) {
    std::vector<FieldViolation> violations;
    CheckWaves(In(each.waves).waves(), violations);
    ASSERT_EQ(violations.size(), each.field[0] == '\0' ? 0u : 1u) << each.waves;
    if (!violations.empty()) {
      EXPECT_EQ(violations[0].field, each.field) << each.waves;
    }
  }
  v2::ChangeSet many;
  for (int i = 0; i < 21; ++i) many.add_waves()->add_clusters("c");
  std::vector<FieldViolation> violations;
  CheckWaves(many.waves(), violations);
  EXPECT_EQ(violations.size(), 1u);
}

// Three clusters are concerned: a and b in eu, of which a is the first ring, and c in us; d is not.
class Placing : public ::testing::Test {
 protected:
  Placing() {
    for (const auto& [name, spec] : std::map<std::string, std::string>{
             {"a", "metadata { labels { key: 'ring' value: '1' } } spec { locality { region: 'eu' } }"},
             {"b", "spec { locality { region: 'eu' } }"},
             {"c", "spec { locality { region: 'us' } }"},
             {"d", "spec { locality { region: 'us' } }"}}) {
      v2::Cluster cluster;
      EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(spec, &cluster));
      const std::string fqn = "organizations/o/clusters/" + name;
      EXPECT_TRUE(store_
                      ->Write([&](store::Txn& txn) {
                        return txn.Put({"Cluster", fqn, cluster.SerializeAsString(), {}, std::nullopt});
                      })
                      .ok());
      if (name != "d") concerned_.clusters.insert(fqn);
    }
  }
  std::vector<std::string> Place(const std::string& waves) {
    const auto placed = PlaceInWaves(*store_->Read(), "organizations/o", In(waves).waves(), concerned_);
    std::vector<std::string> lines;
    if (!placed.ok()) {
      lines.push_back(placed.error().reason);
      for (const auto& violation : placed.error().violations) lines.push_back(violation.field);
      return lines;
    }
    for (const v2::WaveProgress& wave : *placed) {
      std::string line;
      for (const std::string& cluster : wave.clusters()) line += cluster;
      lines.push_back(fmt::format("{} {}/{}/{}/{}{}", line, wave.gate().min_success_rate(), wave.gate().min_requests(),
                                  wave.gate().bake_time().seconds(), wave.gate().ready_timeout().seconds(),
                                  wave.gate().without_traffic() ? " quiet" : ""));
      EXPECT_EQ(wave.state(), v2::WaveProgress::PENDING);
    }
    return lines;
  }

  store::TempStore store_;
  Concerned concerned_;
};

TEST_F(Placing, PutsEveryConcernedClusterIntoOneWaveAndTheRestIntoALastOne) {
  EXPECT_THAT(Place("waves { clusters: 'b' }"), ElementsAre("b 99/100/60/60", "ac 99/100/60/60"));
  EXPECT_THAT(Place("waves { labels { key: 'ring' value: '1' } gate { min_requests: 5 bake_time { seconds: 7 } } } "
                    "waves { region: 'eu' gate { min_success_rate: 95 without_traffic: true } }"),
              ElementsAre("a 99/5/7/60", "b 95/5/7/60 quiet", "c 95/5/7/60 quiet"));
  EXPECT_THAT(Place("waves { clusters: 'c' } waves { clusters: 'b' clusters: 'a' }"),
              ElementsAre("c 99/100/60/60", "ba 99/100/60/60"));
}

TEST_F(Placing, NamesWhoIsNotConcernedOrStandsTwice) {
  EXPECT_THAT(Place("waves { clusters: 'a' clusters: 'd' }"), ElementsAre("WAVES_UNKNOWN", "waves[0].clusters[1]"));
  EXPECT_THAT(Place("waves { clusters: 'a' } waves { clusters: 'b' clusters: 'a' }"),
              ElementsAre("WAVES_UNKNOWN", "waves[1].clusters[1]"));
  EXPECT_THAT(Place("waves { clusters: 'c' } waves { region: 'us' }"), ElementsAre("WAVES_UNKNOWN", "waves[1]"));
  EXPECT_THAT(Place("waves { region: 'eu' labels { key: 'ring' value: '2' } }"),
              ElementsAre("WAVES_UNKNOWN", "waves[0]"));
  concerned_.clusters.clear();
  EXPECT_THAT(Place("waves { region: 'eu' }"), ElementsAre("WAVES_EMPTY"));
}

v2::WaveEvidence Counted(const char* host, const char* cluster, int64_t requests, int64_t errors) {
  v2::WaveEvidence one;
  one.set_host(host);
  one.set_cluster(cluster);
  one.set_gateway("edge");
  one.set_requests(requests);
  one.set_errors(errors);
  return one;
}

TEST(WaveCounts, PassStopOrGoOn) {
  using Verdict = WaveCount::Verdict;
  const struct {
    const char* what;
    std::vector<v2::WaveEvidence> counted;
    bool over, quiet;
    Verdict verdict;
  } cases[] = {
      {"nothing yet", {}, false, false, Verdict::kGoesOn},
      {"too few, and all fail", {Counted("h", "c", 99, 99)}, false, false, Verdict::kGoesOn},
      {"enough, just bad", {Counted("h", "c", 100, 2)}, false, false, Verdict::kSuccessRate},
      {"bad only together", {Counted("h", "c", 60, 1), Counted("i", "c", 60, 1)}, false, false, Verdict::kSuccessRate},
      {"a bad host among many good ones",
       {Counted("h", "c", 100, 9), Counted("i", "c", 9000, 0)},
       false,
       false,
       Verdict::kSuccessRate},
      {"a bad cluster of a good host",
       {Counted("h", "c", 9000, 0), Counted("h", "d", 100, 9)},
       false,
       false,
       Verdict::kSuccessRate},
      {"reports add up", {Counted("h", "c", 50, 1), Counted("h", "c", 50, 1)}, false, false, Verdict::kSuccessRate},
      {"over and good", {Counted("h", "c", 100, 1)}, true, false, Verdict::kPassed},
      {"over and quiet", {Counted("h", "c", 99, 0)}, true, false, Verdict::kInconclusive},
      {"over and silent", {}, true, false, Verdict::kInconclusive},
      {"over, silent, and that is all right", {}, true, true, Verdict::kPassed},
      {"over, quiet, and that is all right", {Counted("h", "c", 50, 0)}, true, true, Verdict::kPassed},
      {"over, and of the few too many fail", {Counted("h", "c", 50, 25)}, true, true, Verdict::kSuccessRate},
  };
  for (const auto& each : cases) {
    v2::WaveGate gate;
    gate.set_min_success_rate(99);
    gate.set_min_requests(100);
    gate.set_without_traffic(each.quiet);
    WaveCount count;
    count.Add(each.counted);
    EXPECT_TRUE(count.Judge(gate, each.over) == each.verdict) << each.what;
  }
}

TEST(WaveCounts, ShowTheWorstFirstAndNoMoreThanTwenty) {
  WaveCount count;
  for (int i = 0; i < 30; ++i) count.Add({Counted(fmt::format("h{}", i).c_str(), "c", 100, i)});
  v2::WaveProgress wave;
  wave.mutable_gate()->set_min_success_rate(99.5);
  count.ShowIn(wave);
  EXPECT_EQ(wave.evidence_size(), 20);
  EXPECT_EQ(wave.evidence(0).host(), "h29");
  EXPECT_EQ(SayRate(wave), "435 of 3000 requests failed: 85.5% succeeded, 99.5% have to");
}

}  // namespace
}  // namespace weir::services
