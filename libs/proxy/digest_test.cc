#include "libs/proxy/digest.h"

#include <gtest/gtest.h>

namespace weir::proxy {
namespace {

using State = DigestReader::State;
using traffic::Evidence;

constexpr char kHead[] = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";

std::string Chunked(std::string_view text) {
  std::string out;
  AppendChunk(text, out);
  return out;
}
State Feed(DigestReader& reader, const std::string& bytes) { return reader.Feed(bytes.data(), bytes.size()); }

TEST(DigestReader, TellsWhoCannotServe) {
  std::string text(DigestHello());
  AppendDown("a.example", "no_endpoint", text);
  AppendDown("b.example", "partial", text);
  AppendUnsure("c.example", text);
  text += "ready 1\n";
  const std::string all = kHead + Chunked(text) + Chunked("up a.example\nnews from the future\ndown d.example held\n") +
                          Chunked("beat 2\n");
  for (const size_t step : {size_t{1}, size_t{7}, all.size()}) {
    DigestReader reader;
    for (size_t at = 0; at < all.size(); at += step) {
      ASSERT_EQ(reader.Feed(all.data() + at, std::min(step, all.size() - at)), State::kMore);
    }
    EXPECT_TRUE(reader.ready());
    EXPECT_EQ(reader.beats(), 2u);
    EXPECT_EQ(reader.Of("a.example").evidence, Evidence::kGood);
    EXPECT_EQ(reader.Of("b.example").evidence, Evidence::kGood);  // It serves a part, and does not say which.
    EXPECT_EQ(reader.Of("b.example").rules, nullptr);
    EXPECT_EQ(reader.Of("c.example").evidence, Evidence::kNone);
    EXPECT_EQ(reader.Of("d.example").evidence, Evidence::kBad);
    EXPECT_EQ(reader.Of("unheard.example").evidence, Evidence::kGood);
    EXPECT_EQ(reader.TakeChanged(), (std::vector<std::string>{"a.example", "d.example"}));
    EXPECT_TRUE(reader.TakeChanged().empty());
  }
}

TEST(DigestReader, KnowsAPeerWithoutADigest) {
  for (const char* answer : {"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                             "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", "HTTP/1.1 503 No\r\n\r\n"}) {
    DigestReader reader;
    EXPECT_EQ(Feed(reader, answer), State::kNoDigest) << answer;
  }
}

TEST(DigestReader, BelievesNoGarbage) {
  for (const std::string& body : {Chunked("weir-health 2\n"), Chunked("hello\n"), std::string("zz\r\n"),
                                  Chunked("weir-health 1\ndown \n"), Chunked("weir-health 1\ndown a\tb x\n"),
                                  Chunked("weir-health 1\n" + std::string(DigestReader::kMaxLine + 1, 'x'))}) {
    DigestReader reader;
    EXPECT_EQ(Feed(reader, kHead + body), State::kGarbage) << body;
    EXPECT_EQ(Feed(reader, Chunked("weir-health 1\nready 1\n")), State::kGarbage);
    EXPECT_FALSE(reader.ready());
  }
  DigestReader endless;
  EXPECT_EQ(Feed(endless, std::string(DigestReader::kMaxHead + 1, 'a')), State::kGarbage);
}

TEST(DigestReader, BoundsWhatItRemembers) {
  DigestReader reader;
  ASSERT_EQ(Feed(reader, kHead + Chunked(DigestHello())), State::kMore);
  State state = State::kMore;
  for (size_t i = 0; i <= DigestReader::kMaxHosts && state == State::kMore; ++i) {
    state = Feed(reader, Chunked(fmt::format("down host{}.example x\n", i)));
  }
  EXPECT_EQ(state, State::kGarbage);
  EXPECT_EQ(reader.hosts(), DigestReader::kMaxHosts);
}

TEST(DigestReader, SeesTheEnd) {
  DigestReader reader;
  EXPECT_EQ(Feed(reader, kHead + Chunked("weir-health 1\nready 1\n") + Chunked("draining\n")), State::kMore);
  EXPECT_TRUE(reader.draining());
  EXPECT_EQ(Feed(reader, "0\r\n\r\n"), State::kEnded);
}

// ---- Rules of a host

std::string Begun() { return kHead + Chunked("weir-health 1\n"); }

TEST(DigestReader, RulesComeBackAsTheyWereSaid) {
  traffic::RuleHealths rules = {{traffic::PathKind::kExact, "/a", true},
                                {traffic::PathKind::kPathSeparated, "/b%41 c", false},
                                {traffic::PathKind::kPrefix, "", true},
                                {traffic::PathKind::kPrefix, "/", false}};
  for (int c = 0; c < 256; ++c) rules[3].path.push_back(static_cast<char>(c));
  std::string text;
  AppendPartial("a.example", rules, text);
  EXPECT_EQ(text.find('\0'), std::string::npos);
  DigestReader reader;
  ASSERT_EQ(Feed(reader, Begun() + Chunked(text + "ready 1\n")), State::kMore);
  EXPECT_EQ(reader.Of("a.example").evidence, Evidence::kGood);
  ASSERT_NE(reader.Of("a.example").rules, nullptr);
  EXPECT_EQ(*reader.Of("a.example").rules, rules);
  ASSERT_EQ(Feed(reader, Chunked("up a.example\n")), State::kMore);
  EXPECT_EQ(reader.Of("a.example").rules, nullptr);
}

TEST(DigestReader, RulesAreThoseOfTheirHost) {
  DigestReader reader;
  ASSERT_EQ(Feed(reader, Begun() + Chunked("rule a down prefix /x\ndown b partial\ndown a partial\n"
                                           "rule c down prefix /x\nrule d up exact /y\ndown d partial\n"
                                           "rule e down prefix /x\nunsure e\ndown e partial\n")),
            State::kMore);
  EXPECT_EQ(reader.Of("b").rules, nullptr);
  EXPECT_EQ(reader.Of("a").rules, nullptr);  // They were told before another host's word.
  ASSERT_NE(reader.Of("d").rules, nullptr);
  EXPECT_EQ(reader.Of("d").rules->size(), 1u);
  EXPECT_EQ(reader.Of("d").rules->front().path, "/y");
  EXPECT_EQ(reader.Of("e").rules, nullptr);
}

TEST(DigestReader, BelievesNoGarbageOfRules) {
  for (const char* line : {"rule a maybe prefix /", "rule a up sideways /", "rule  up prefix /", "rule a", "rule a up",
                           "rule a up prefix /%", "rule a up prefix /%4", "rule a up prefix /%4G",
                           "rule a up prefix /%G4", "rule a up prefix /%ff", "rule a\x7f up prefix /"}) {
    DigestReader reader;
    EXPECT_EQ(Feed(reader, Begun() + Chunked(std::string(line) + "\n")), State::kGarbage) << line;
  }
}

TEST(DigestReader, BoundsTheRulesOfAHost) {
  const std::string rule = "rule a down prefix /x\n";
  std::string most;
  for (size_t i = 0; i < DigestReader::kMaxRulesOfAHost; ++i) most += rule;
  DigestReader reader;
  ASSERT_EQ(Feed(reader, Begun() + Chunked(most)), State::kMore);
  EXPECT_EQ(Feed(reader, Chunked(rule)), State::kGarbage);
}

// What is told anew of a host takes the place of what was told of it.
TEST(DigestReader, BoundsTheRulesOfAllHosts) {
  const auto rules_of = [](size_t host, size_t rules, size_t path) {
    std::string text;
    for (size_t i = 0; i < rules; ++i) text += fmt::format("rule h{} down prefix /{}\n", host, std::string(path, 'x'));
    return Chunked(text + fmt::format("down h{} partial\n", host));
  };
  for (const bool bytes : {false, true}) {
    const size_t rules = bytes ? 512 : DigestReader::kMaxRulesOfAHost, path = bytes ? 8'000 : 0;
    const size_t hosts = bytes ? 2 : DigestReader::kMaxRules / rules;
    DigestReader reader;
    ASSERT_EQ(Feed(reader, Begun()), State::kMore);
    for (int turn = 0; turn < 2; ++turn) {
      for (size_t host = 0; host < hosts; ++host) {
        ASSERT_EQ(Feed(reader, rules_of(host, rules, path)), State::kMore) << turn << " " << host;
      }
    }
    ASSERT_EQ(Feed(reader, Chunked("up h0\n") + rules_of(hosts, rules, path)), State::kMore);
    EXPECT_EQ(Feed(reader, rules_of(hosts + 1, bytes ? 512 : 1, path)), State::kGarbage);
  }
}

// The writer stays within what the reader takes, and says less where it does not fit.
TEST(AppendPartial, StaysWithinTheBoundsOfTheReader) {
  const auto read = [](const traffic::RuleHealths& rules) {
    std::string text;
    AppendPartial("a", rules, text);
    DigestReader reader;
    EXPECT_EQ(Feed(reader, Begun() + Chunked(text)), State::kMore);
    EXPECT_EQ(reader.Of("a").evidence, Evidence::kGood);
    return reader.Of("a").rules == nullptr ? 0 : reader.Of("a").rules->size();
  };
  EXPECT_EQ(read(traffic::RuleHealths(DigestReader::kMaxRulesOfAHost)), DigestReader::kMaxRulesOfAHost);
  EXPECT_EQ(read(traffic::RuleHealths(DigestReader::kMaxRulesOfAHost + 1)), 0u);
  const size_t around = std::string_view("rule a up prefix ").size();
  for (size_t line = DigestReader::kMaxLine - 2; line < DigestReader::kMaxLine + 2; ++line) {
    traffic::RuleHealths rules(3);
    rules[1].path = std::string(line - around, 'x');
    EXPECT_EQ(read(rules), line < DigestReader::kMaxLine ? 3u : 0u) << line;
    rules[1].path = std::string((line - around) / 3 + 1, ' ');  // Escaped.
    read(rules);
  }
}

TEST(DigestReader, TakesLinesAndNamesUpToTheirBounds) {
  const auto feed = [](const std::string& lines) {
    DigestReader reader;
    return Feed(reader, Begun() + Chunked(lines));
  };
  EXPECT_EQ(feed(std::string(DigestReader::kMaxLine, 'x') + "\n"), State::kMore);
  EXPECT_EQ(feed(std::string(DigestReader::kMaxLine, 'x')), State::kMore);
  EXPECT_EQ(feed(std::string(DigestReader::kMaxLine + 1, 'x') + "\n"), State::kGarbage);
  EXPECT_EQ(feed("down " + std::string(255, 'h') + " x\n"), State::kMore);
  EXPECT_EQ(feed("down " + std::string(256, 'h') + " x\n"), State::kGarbage);
  EXPECT_EQ(feed("up h\x7f\n"), State::kGarbage);
  EXPECT_EQ(feed("up h\n"), State::kMore);
}

TEST(DigestReader, CountsNoBeatBeforeItIsReady) {
  DigestReader reader;
  ASSERT_EQ(Feed(reader, Begun() + Chunked("beat 1\ndown a x\n")), State::kMore);
  EXPECT_EQ(reader.beats(), 0u);
  EXPECT_FALSE(reader.ready());
  EXPECT_TRUE(reader.TakeChanged().empty());  // It belongs to the complete state.
  ASSERT_EQ(Feed(reader, Chunked("ready 1\n")), State::kMore);
  EXPECT_EQ(reader.beats(), 1u);
}

TEST(DigestReader, BoundsWhatChangesBetweenTwoLooks) {
  DigestReader reader;
  ASSERT_EQ(Feed(reader, Begun() + Chunked("ready 1\n")), State::kMore);
  std::string many;
  for (int i = 0; i < 65'536; ++i) many += "up h\n";
  ASSERT_EQ(Feed(reader, Chunked(many)), State::kMore);
  EXPECT_EQ(reader.TakeChanged().size(), 65'536u);
  ASSERT_EQ(Feed(reader, Chunked(many)), State::kMore);
  EXPECT_EQ(Feed(reader, Chunked("up h\n")), State::kGarbage);
}

TEST(DigestReader, AHostThatIsServedAgainMakesPlaceForAnother) {
  DigestReader reader;
  std::string text;
  for (size_t i = 0; i < DigestReader::kMaxHosts; ++i) text += fmt::format("down h{} x\n", i);
  ASSERT_EQ(Feed(reader, Begun() + Chunked(text)), State::kMore);
  ASSERT_EQ(Feed(reader, Chunked("down h0 y\nup h1\ndown another x\n")), State::kMore);
  EXPECT_EQ(Feed(reader, Chunked("down h1 x\n")), State::kGarbage);
}

TEST(AppendChunk, EndsNothingWithAnEmptyText) {
  std::string out;
  AppendChunk("", out);
  EXPECT_EQ(out, "");  // An empty chunk would be the end.
  AppendChunk("hello", out);
  EXPECT_EQ(out, "5\r\nhello\r\n");
}

TEST(DigestReader, WaitsForNoInterimAnswer) {
  DigestReader reader;
  EXPECT_EQ(Feed(reader, "HTTP/1.1 100 Continue\r\n\r\n"), State::kGarbage);
}

}  // namespace
}  // namespace weir::proxy
