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

}  // namespace
}  // namespace weir::proxy
