#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "libs/codec/http1.h"

// The last byte that is taken and the first that is not, and what a head says that was used before.

namespace weir::codec {
namespace {

std::string ErrorOf(const std::string& text) {
  const auto head = std::make_unique<RequestHead>();
  const Parse parsed = ParseRequest(text.data(), text.size(), *head);
  return parsed == Parse::kComplete ? "" : parsed == Parse::kIncomplete ? "incomplete" : std::string(head->error);
}
std::string Get(const std::string& headers) { return "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n"; }

struct Answer {
  explicit Answer(std::string bytes, bool to_head = false) : text(std::move(bytes)) {
    parsed = ParseResponse(text.data(), text.size(), to_head, *head);
  }
  bool Has(std::string_view name) const {
    for (size_t i = 0; i < head->count; ++i) {
      if (!head->lines[i].dropped && head->Name(head->lines[i]) == name) return true;
    }
    return false;
  }
  std::string text;
  std::unique_ptr<ResponseHead> head = std::make_unique<ResponseHead>();
  Parse parsed;
};

TEST(RequestHead, TakesGoodHostsAndNoOthers) {
  const std::string most(255, 'a');
  for (const std::string& good :
       {std::string("a"), std::string("A-b_c.9z0"), std::string("[::1]"), std::string("[2001:DB8::9f]:80"),
        std::string("[::ffff:1.2.3.4]"), std::string("a:"), std::string("a:0"), std::string("a:00080"),
        std::string("a:65535"), most, most + ":65535"}) {
    EXPECT_EQ(ErrorOf("GET / HTTP/1.1\r\nHost: " + good + "\r\n\r\n"), "") << good;
  }
  for (const std::string& bad :
       {std::string(),           most + "a:65535",       std::string("[::1"),   std::string("[::g]"),
        std::string("[::/]"),    std::string("[::`]"),   std::string("[::1]x"), std::string("[::1]1"),
        std::string("a:b"),      std::string("a:8/"),    std::string("a:8:"),   std::string("a:80:80"),
        std::string("a:000080"), std::string("a:65536"), std::string(":80"),    std::string("a{"),
        std::string("a`"),       std::string("a/"),      std::string("a%41"),   std::string("a;")}) {
    EXPECT_NE(ErrorOf("GET / HTTP/1.1\r\nHost: " + bad + "\r\n\r\n"), "") << bad;
  }
}

TEST(RequestHead, TakesOnlyDigitsForALength) {
  for (const char* good : {"0", "9", "000", "123456789012345678"}) {
    EXPECT_EQ(ErrorOf(Get("Content-Length: " + std::string(good) + "\r\n")), "") << good;
  }
  for (const char* bad : {"/", ":", "1/", "1:", "1234567890123456789"}) {
    EXPECT_EQ(ErrorOf(Get("Content-Length: " + std::string(bad) + "\r\n")), "bad_content_length") << bad;
  }
}

TEST(RequestHead, LooksAtTheWholeFirstLine) {
  EXPECT_EQ(ErrorOf(std::string(32, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n"), "");
  EXPECT_EQ(ErrorOf(std::string(33, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n"), "bad_request_line");
  EXPECT_EQ(ErrorOf(std::string(33, 'M')), "bad_request_line");  // Before its end is there.
  EXPECT_EQ(ErrorOf("GET / HTTP/1.1x\nHost: a\r\n\r\n"), "bare_lf");
  EXPECT_EQ(ErrorOf("\n"), "bad_request_line");
  for (const char* target : {"/\x01", "/\x1f", "/\x7f", "/a\tb"}) {
    EXPECT_EQ(ErrorOf("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n"), "bad_target") << target;
  }
  EXPECT_EQ(ErrorOf("GET /" + std::string(kMaxTarget - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), "");
  EXPECT_EQ(ErrorOf("GET /" + std::string(kMaxTarget, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), "target_too_long");
}

TEST(RequestHead, TrimsValuesAndNothingElse) {
  const std::string text = Get("X-A: \t a\t b \t\r\nX-B:\r\nX-C: \t \r\nX-D:d\r\n");
  const auto head = std::make_unique<RequestHead>();
  ASSERT_EQ(ParseRequest(text.data(), text.size(), *head), Parse::kComplete);
  std::vector<std::string> values;
  for (size_t i = 1; i < head->count; ++i) values.emplace_back(head->Value(head->lines[i]));
  EXPECT_EQ(values, (std::vector<std::string>{"a\t b", "", "", "d"}));
}

// One head object serves all requests of a worker.
TEST(RequestHead, KeepsNothingOfTheRequestBefore) {
  const auto head = std::make_unique<RequestHead>();
  const std::string full =
      "POST /x HTTP/1.0\r\nHost: a\r\nX-Request-Id: 7\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\n"
      "Connection: close, upgrade\r\nUpgrade: h2c, websocket\r\nVia: 1.1 weir\r\nMax-Forwards: 3\r\n"
      "X-Forwarded-Proto: https\r\nContent-Length: 5\r\n\r\n";
  ASSERT_EQ(ParseRequest(full.data(), full.size(), *head), Parse::kComplete) << head->error;
  EXPECT_TRUE(head->idempotency_key && head->SafeToRepeat() && head->has_forwarded_proto && head->websocket);
  const std::string half = "GET /y";
  ASSERT_EQ(ParseRequest(half.data(), half.size(), *head), Parse::kIncomplete);
  EXPECT_EQ(head->method, "");
  EXPECT_EQ(head->target, "");
  EXPECT_EQ(head->host, "");
  EXPECT_EQ(head->request_id, "");
  EXPECT_EQ(head->count, 0u);
  EXPECT_EQ(head->content_length, 0u);
  EXPECT_EQ(head->body, BodyKind::kNone);
  EXPECT_FALSE(head->close || head->upgrade || head->idempotency_key || head->has_forwarded_proto || head->websocket ||
               head->expect_continue);
  EXPECT_EQ(head->via_weir, 0u);
  EXPECT_EQ(head->max_forwards, -1);
  EXPECT_FALSE(head->SafeToRepeat());
}

TEST(RequestHead, KnowsWhatMayBeRepeatedAndWhatABodyIs) {
  const auto parse = [](const std::string& method, const std::string& fields) {
    static std::string text;
    text = method + " / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
    auto head = std::make_unique<RequestHead>();
    EXPECT_EQ(ParseRequest(text.data(), text.size(), *head), Parse::kComplete) << text;
    return head;
  };
  for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE"}) EXPECT_TRUE(parse(method, "")->SafeToRepeat());
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "get", "GETS"}) {
    EXPECT_FALSE(parse(method, "")->SafeToRepeat()) << method;
    EXPECT_TRUE(parse(method, "Idempotency-Key: k\r\n")->SafeToRepeat()) << method;
  }
  EXPECT_EQ(parse("POST", "Transfer-Encoding: chunked\r\n")->body, BodyKind::kChunked);
  EXPECT_EQ(parse("POST", "Content-Length: 1\r\n")->body, BodyKind::kLength);
  EXPECT_EQ(parse("POST", "Content-Length: 0\r\n")->body, BodyKind::kNone);
  EXPECT_EQ(parse("POST", "")->body, BodyKind::kNone);
  EXPECT_TRUE(parse("POST", "Expect: 100-continue\r\n")->expect_continue);
  for (const char* method : {"OPTIONS", "TRACE"}) EXPECT_EQ(parse(method, "Max-Forwards: 3\r\n")->max_forwards, 3);
  EXPECT_EQ(parse("GET", "Max-Forwards: 3\r\n")->max_forwards, -1);
}

TEST(RequestHead, TellsTheStatusOfThisFaultAndNotOfTheOneBefore) {
  const auto head = std::make_unique<RequestHead>();
  const auto status = [&](const std::string& text) {
    EXPECT_EQ(ParseRequest(text.data(), text.size(), *head), Parse::kBad) << text;
    return head->error_status;
  };
  EXPECT_EQ(status(Get("Transfer-Encoding: gzip\r\n")), 501);
  EXPECT_EQ(status(Get("X A: b\r\n")), 400);
  EXPECT_EQ(status("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status("GET / HTTP/1./\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status("GET / HTTP//.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\nX A: b\r\n\r\n").head->error_status, 502);
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\nx_a: b\r\n\r\n").parsed, Parse::kComplete);
}

TEST(RequestHead, AnotherUpgradeTakesNoWebSocketAway) {
  const std::string text = Get("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n");
  const auto head = std::make_unique<RequestHead>();
  ASSERT_EQ(ParseRequest(text.data(), text.size(), *head), Parse::kComplete);
  EXPECT_TRUE(head->websocket);
}

TEST(RequestHead, AnEmptyPortIsNone) {
  EXPECT_EQ(ErrorOf("GET http://a:/ HTTP/1.1\r\nHost: a\r\n\r\n"), "");
  EXPECT_EQ(ErrorOf("GET http://a/ HTTP/1.1\r\nHost: a:\r\n\r\n"), "");
  EXPECT_EQ(ErrorOf("GET http://ab/ HTTP/1.1\r\nHost: a\r\n\r\n"), "host_mismatch");
}

TEST(RequestHead, ConnectionListsTokens) {
  EXPECT_EQ(ErrorOf(Get("Connection: x y\r\n")), "bad_connection_header");
  EXPECT_EQ(ErrorOf(Get("Connection: x, (y\r\n")), "bad_connection_header");
  EXPECT_EQ(ErrorOf(Get("Connection: x, , y\r\n")), "");
}

TEST(ResponseHead, LooksAtTheWholeStatusLine) {
  for (const char* good : {"HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 999 Any thing", "HTTP/1.1 100 C",
                           "HTTP/1.1 200 a\tb", "HTTP/1.0 200 \xe9"}) {
    EXPECT_EQ(Answer(good + std::string("\r\n\r\n")).parsed, Parse::kComplete) << good;
  }
  for (const char* bad :
       {"HTTP/1.1 2000 OK", "HTTP/1.1 200OK", "HTTP/1.1_200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 /00 OK",
        "HTTP/1.1 0:0 OK", "HTTP/1.1 20: OK", "HTTP/1.1 099 OK", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\x7fK",
        "HTTP/1.1 20", "HTTP/1.1 ", "HTTP/1.x 200 OK"}) {
    EXPECT_EQ(Answer(bad + std::string("\r\n\r\n")).parsed, Parse::kBad) << bad;
  }
  EXPECT_EQ(Answer("HTTP/1.1 200 OKx\n\r\n").parsed, Parse::kBad);
  const std::string begun = "HTTP/1.1 200 ";
  EXPECT_EQ(Answer(begun + std::string(kMaxTarget - begun.size(), 'a')).parsed, Parse::kIncomplete);
  EXPECT_EQ(Answer(begun + std::string(kMaxTarget + 1 - begun.size(), 'a')).parsed, Parse::kBad);
}

TEST(ResponseHead, LeavesOutFramingThatItMustNotHave) {
  for (const char* framing : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    const Answer none("HTTP/1.1 204 No\r\n" + std::string(framing) + "\r\n");
    ASSERT_EQ(none.parsed, Parse::kComplete);
    EXPECT_EQ(none.head->body, BodyKind::kNone);
    EXPECT_TRUE(none.head->close);  // A body may follow.
    EXPECT_FALSE(none.Has("Content-Length") || none.Has("Transfer-Encoding"));
    EXPECT_EQ(Answer("HTTP/1.1 100 C\r\n" + std::string(framing) + "\r\n").parsed, Parse::kBad);
  }
  const Answer zero("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"),
      interim("HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(zero.head->close || zero.Has("Content-Length") || interim.Has("Content-Length"));
  const Answer unchanged("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(unchanged.Has("Content-Length"));
  EXPECT_FALSE(unchanged.head->close);
  const Answer both("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(both.head->body, BodyKind::kChunked);
  EXPECT_TRUE(both.head->close);  // Nobody is sure of the rest.
  EXPECT_FALSE(both.Has("Content-Length"));
  const Answer chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_FALSE(chunked.head->close);
  EXPECT_TRUE(chunked.Has("Transfer-Encoding"));
}

TEST(ResponseHead, SaysALengthOnce) {
  for (const char* odd : {"Content-Length: 5, 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"}) {
    const Answer twice("HTTP/1.1 200 OK\r\n" + std::string(odd) + "\r\n");
    ASSERT_EQ(twice.parsed, Parse::kComplete);
    EXPECT_TRUE(twice.head->own_length);
    EXPECT_FALSE(twice.Has("Content-Length"));
    EXPECT_EQ(twice.head->content_length, 5u);
  }
  const Answer once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_FALSE(once.head->own_length);
  EXPECT_TRUE(once.Has("Content-Length"));
}

TEST(ResponseHead, AnOldVersionClosesAndHasNoChunks) {
  EXPECT_TRUE(Answer("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n").head->close);
  EXPECT_FALSE(Answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").head->close);
  EXPECT_TRUE(Answer("HTTP/1.1 200 OK\r\n\r\n").head->close);  // Its end is the end of the connection.
  EXPECT_EQ(Answer("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").parsed, Parse::kBad);
}

TEST(ResponseHead, FollowsNoOddWishOfConnection) {
  const Answer answer("HTTP/1.1 200 OK\r\nConnection: content-length, x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\n");
  ASSERT_EQ(answer.parsed, Parse::kComplete);
  EXPECT_TRUE(answer.Has("Content-Length"));
  EXPECT_FALSE(answer.Has("X-Hop"));
  const Answer loose("HTTP/1.1 200 OK\r\nX-A : a\r\nX-B: b\r\n\r\n");
  ASSERT_EQ(loose.parsed, Parse::kComplete);
  EXPECT_TRUE(loose.head->lines[0].loose);
  EXPECT_FALSE(loose.head->lines[1].loose);
}

TEST(ResponseHead, KeepsNothingOfTheAnswerBefore) {
  const auto head = std::make_unique<ResponseHead>();
  const std::string odd = "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5, 5\r\n\r\n";
  ASSERT_EQ(ParseResponse(odd.data(), odd.size(), false, *head), Parse::kComplete);
  EXPECT_TRUE(head->has_date && head->own_length);
  const std::string plain = "HTTP/1.1 204 No\r\n\r\n";
  ASSERT_EQ(ParseResponse(plain.data(), plain.size(), false, *head), Parse::kComplete);
  EXPECT_FALSE(head->has_date || head->own_length || head->close);
  EXPECT_EQ(head->content_length, 0u);
  EXPECT_EQ(head->body, BodyKind::kNone);
}

// Each byte as it may stand in a path, and escaped.
TEST(CanonicalTarget, KnowsEachByte) {
  const std::string unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    std::string out;
    if (byte != '/' && byte != '%' && byte != '?') {
      const bool refused = byte <= 0x20 || byte >= 0x7f || byte == '\\' || byte == '#';
      EXPECT_EQ(CanonicalTarget("/x" + std::string(1, c), out) == PathResult::kRefused, refused) << byte;
    }
    char escaped[8], upper[8];
    std::snprintf(escaped, sizeof escaped, "/x%%%02x", static_cast<unsigned>(byte));
    std::snprintf(upper, sizeof upper, "/x%%%02X", static_cast<unsigned>(byte));
    out.clear();
    const PathResult result = CanonicalTarget(escaped, out);
    if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' || byte == 0xc0 || byte == 0xc1 || byte >= 0xf5) {
      EXPECT_EQ(result, PathResult::kRefused) << byte;
      continue;
    }
    ASSERT_NE(result, PathResult::kRefused) << byte;
    const std::string canonical = result == PathResult::kSame ? escaped : out;
    EXPECT_EQ(canonical, unreserved.find(c) != std::string::npos ? "/x" + std::string(1, c) : upper) << byte;
  }
}

TEST(CanonicalTarget, AnEscapedPercentIsNoEscape) {
  for (const char* good : {"/%25", "/%252", "/%25zz", "/%2520", "/%257e"}) {
    std::string out;
    EXPECT_NE(CanonicalTarget(good, out), PathResult::kRefused) << good;
  }
  for (const char* bad : {"/%252e", "/%252f", "/%255c", "/%2525", "/%2500", "/%251f", "/x%25zz%252e"}) {
    std::string out;
    EXPECT_EQ(CanonicalTarget(bad, out), PathResult::kRefused) << bad;
  }
}

TEST(ChunkReader, TakesTextInExtensionsAndTrailers) {
  const auto end = [](const std::string& text) {
    ChunkReader reader(ChunkReader::Strictness::kRequest);
    for (size_t at = 0; at < text.size();) {
      const auto run = reader.Next(text.data() + at, text.size() - at);
      if (run.kind == ChunkReader::Kind::kBad) return "bad";
      if (run.kind == ChunkReader::Kind::kEnd) return at + run.size == text.size() ? "end" : "early";
      at += run.size;
    }
    return "open";
  };
  EXPECT_STREQ(end("1;a=\t\xe9 b\r\nx\r\n0\r\nX-A: a\tb\xe9\r\n\r\n"), "end");
  EXPECT_STREQ(end("1;a=\x1f\r\nx\r\n0\r\n\r\n"), "bad");
  EXPECT_STREQ(end("1\r\nx\r\n0\r\nX-A: \x1f\r\n\r\n"), "bad");
  EXPECT_STREQ(end("1\r\nx\r\n0\r\nX-A: \x7f\r\n\r\n"), "bad");
}

}  // namespace
}  // namespace weir::codec
