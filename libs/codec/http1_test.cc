#include "libs/codec/http1.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace weir::codec {
namespace {

struct Parsed {
  Parse result;
  std::string error;
  std::unique_ptr<RequestHead> head = std::make_unique<RequestHead>();
};

Parsed Request(const std::string& text) {
  Parsed parsed;
  static std::string kept;
  kept = text;
  parsed.result = ParseRequest(kept.data(), kept.size(), *parsed.head);
  parsed.error = std::string(parsed.head->error);
  return parsed;
}

std::string Get(const std::string& headers) { return "GET / HTTP/1.1\r\nHost: a.example\r\n" + headers + "\r\n"; }

TEST(RequestHead, ReadsWhatAProxyNeeds) {
  const auto parsed =
      Request("POST /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\nX-Request-Id: 7\r\n\r\nhello");
  ASSERT_EQ(parsed.result, Parse::kComplete) << parsed.error;
  EXPECT_EQ(parsed.head->method, "POST");
  EXPECT_EQ(parsed.head->target, "/a?b=c");
  EXPECT_EQ(parsed.head->host, "a.example:80");
  EXPECT_EQ(parsed.head->body, BodyKind::kLength);
  EXPECT_EQ(parsed.head->content_length, 5u);
  EXPECT_EQ(parsed.head->request_id, "7");
  EXPECT_FALSE(parsed.head->close);
}

TEST(RequestHead, WaitsForTheEmptyLineWhereverTheBytesStop) {
  const std::string whole = Get("Accept: */*\r\n");
  RequestHead head;
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(ParseRequest(whole.data(), size, head), Parse::kIncomplete) << size;
  }
  EXPECT_EQ(ParseRequest(whole.data(), whole.size(), head), Parse::kComplete);
}

TEST(RequestHead, RefusesEveryAmbiguousFraming) {
  const struct {
    const char* name;
    std::string text;
  } cases[] = {
      {"length and chunked", Get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")},
      {"chunked and length", Get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")},
      {"two lengths", Get("Content-Length: 5\r\nContent-Length: 6\r\n")},
      {"two equal lengths", Get("Content-Length: 5\r\nContent-Length: 5\r\n")},
      {"length list", Get("Content-Length: 5, 5\r\n")},
      {"plus sign", Get("Content-Length: +5\r\n")},
      {"minus sign", Get("Content-Length: -5\r\n")},
      {"hex length", Get("Content-Length: 0x5\r\n")},
      {"empty length", Get("Content-Length:\r\n")},
      {"length overflow", Get("Content-Length: 99999999999999999999\r\n")},
      {"space in length", Get("Content-Length: 5 5\r\n")},
      {"two encodings", Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
      {"unknown encoding", Get("Transfer-Encoding: xchunked\r\n")},
      {"identity encoding", Get("Transfer-Encoding: identity\r\n")},
      {"encoding list", Get("Transfer-Encoding: gzip, chunked\r\n")},
      {"encoding with control", Get("Transfer-Encoding: \x0b"
                                    "chunked\r\n")},
      {"space before colon", Get("Content-Length : 5\r\n")},
      {"tab before colon", Get("Transfer-Encoding\t: chunked\r\n")},
      {"obs-fold", Get("X-A: b\r\n c\r\n")},
      {"leading space", Get(" X-A: b\r\n")},
      {"bare LF", "GET / HTTP/1.1\nHost: a.example\n\n"},
      {"bare LF in a header", Get("X-A: b\nContent-Length: 5\r\n")},
      {"bare CR in a value", Get("X-A: b\rc\r\n")},
      {"NUL in a value", Get(std::string("X-A: b\0c\r\n", 10))},
      {"empty name", Get(": b\r\n")},
      {"no colon", Get("X-A\r\n")},
      {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"no host", "GET / HTTP/1.1\r\n\r\n"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
      {"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {"absolute form of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"},
      {"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
      {"HTTP/0.9", "GET /\r\n\r\n"},
      {"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"},
      {"TLS bytes", std::string("\x16\x03\x01\x00", 4)},
      {"connection takes away the length", Get("Connection: content-length\r\nContent-Length: 5\r\n")},
      {"port out of range", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
      {"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
      {"underscore in a name", Get("content_length: 5\r\n")},
      {"connection takes away the authorization", Get("Connection: close, authorization\r\nAuthorization: b\r\n")},
  };
  for (const auto& c : cases) EXPECT_EQ(Request(c.text).result, Parse::kBad) << c.name;
}

TEST(RequestHead, BoundsSizeAndCount) {
  std::string many;
  for (int i = 0; i < 101; ++i) many += "X-A: b\r\n";
  EXPECT_EQ(Request(Get(many)).error, "too_many_headers");
  const auto large = Request(Get("X-A: " + std::string(61 * 1024, 'a') + "\r\n"));
  EXPECT_EQ(large.error, "head_too_large");
  EXPECT_EQ(large.head->error_status, 431);
  EXPECT_EQ(Request("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n").head->error_status, 414);
}

TEST(RequestHead, DropsWhatConnectionLists) {
  const auto parsed = Request(Get("Connection: x-hop, close\r\nX-Hop: 1\r\nX-Stay: 2\r\n"));
  ASSERT_EQ(parsed.result, Parse::kComplete);
  EXPECT_TRUE(parsed.head->close);
  for (size_t i = 0; i < parsed.head->count; ++i) {
    const HeaderLine& line = parsed.head->lines[i];
    EXPECT_EQ(line.dropped, parsed.head->Name(line) == "X-Hop");
  }
}

TEST(ResponseHead, KnowsWhereTheBodyEnds) {
  ResponseHead head;
  const auto body = [&](const std::string& text, bool to_head) {
    EXPECT_EQ(ParseResponse(text.data(), text.size(), to_head, head), Parse::kComplete) << text;
    return head.body;
  };
  EXPECT_EQ(body("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false), BodyKind::kLength);
  EXPECT_EQ(body("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true), BodyKind::kNone);
  EXPECT_EQ(body("HTTP/1.1 204 No Content\r\n\r\n", false), BodyKind::kNone);
  EXPECT_EQ(body("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false), BodyKind::kNone);
  EXPECT_EQ(body("HTTP/1.1 100 Continue\r\n\r\n", false), BodyKind::kNone);
  EXPECT_EQ(body("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false), BodyKind::kChunked);
  EXPECT_EQ(body("HTTP/1.0 200 OK\r\n\r\n", false), BodyKind::kToClose);
  EXPECT_TRUE(head.close);
}

TEST(ResponseHead, RefusesWhatNobodyCanAgreeOn) {
  for (const std::string text :
       {"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3,\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3, 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\nxxxxxx",
        "HTTP/2.0 200 OK\r\n\r\n", "HTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 3\n\n"}) {
    ResponseHead head;
    EXPECT_EQ(ParseResponse(text.data(), text.size(), false, head), Parse::kBad) << text;
  }
}

TEST(CanonicalTarget, GivesPolicyRouteAndUpstreamOnePath) {
  const struct {
    std::string target, canonical;
  } cases[] = {
      {"/", "/"},
      {"/a/b?x=../y", "/a/b?x=../y"},
      {"/public/../admin", "/admin"},
      {"/./admin", "/admin"},
      {"//admin", "/admin"},
      {"/a//b///c", "/a/b/c"},
      {"/%61dmin", "/admin"},
      {"/a/%2e%2e/admin", "/admin"},
      {"/a/%2E/b", "/a/b"},
      {"/caf%c3%a9", "/caf%C3%A9"},
      {"/a/..", "/"},
      {"/a/.", "/a/"},
      {"/a/b/..", "/a/"},
      {"/.well-known/x", "/.well-known/x"},
      {"/a;v=1", "/a;v=1"},
      {"/a%20b", "/a%20b"},
      {"*", "*"},
      {"?q=1", "/?q=1"},
  };
  for (const auto& c : cases) {
    std::string out;
    const PathResult result = CanonicalTarget(c.target, out);
    EXPECT_NE(result, PathResult::kRefused) << c.target;
    EXPECT_EQ(result == PathResult::kSame ? c.target : out, c.canonical) << c.target;
  }
}

TEST(CanonicalTarget, RefusesWhatDecodersReadDifferently) {
  for (const std::string target : {"/a%2fadmin",
                                   "/a%2Fadmin",
                                   "/a%5cadmin",
                                   "/a\\admin",
                                   "/a%00",
                                   "/a%0d%0a",
                                   "/%252e%252e/admin",
                                   "/%252fadmin",
                                   "/%25%32e%25%32e/admin",
                                   "/%252%65%252%65/admin",
                                   "/%25%32%66admin",
                                   "/a/%25%3253e//%25/../c",
                                   "/%c0%ae%c0%ae/admin",
                                   "/..",
                                   "/../admin",
                                   "/a/../../admin",
                                   "/a/..;x=1/admin",
                                   "/a/.;/b",
                                   "/admin#x",
                                   "/a?b#c",
                                   "/a%",
                                   "/a%2",
                                   "/a%zz",
                                   "?q#f",
                                   "/caf\xc3\xa9"}) {
    std::string out;
    EXPECT_EQ(CanonicalTarget(target, out), PathResult::kRefused) << target;
  }
}

// Whoever reads a canonical target again finds nothing to do, however its escapes were escaped.
TEST(CanonicalTarget, IsCanonicalOnceAndForAll) {
  const std::vector<std::string> pieces = {"%", "25", "%25", "%32", "%35", "2", "5",   "e", "E", "%65", "%2e",    "%2E",
                                           ".", "..", "/",   "//",  "%2f", "f", "%66", "a", ";", "%20", "%c3%a9", "?q"};
  std::mt19937 random(1);
  size_t rewritten = 0, refused = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string target = "/";
    for (size_t n = random() % 9; n > 0; --n) target += pieces[random() % pieces.size()];
    std::string once, twice;
    const PathResult result = CanonicalTarget(target, once);
    refused += result == PathResult::kRefused;
    if (result != PathResult::kRewritten) continue;
    ++rewritten;
    ASSERT_EQ(CanonicalTarget(once, twice), PathResult::kSame) << target << " became " << once << ", then " << twice;
  }
  EXPECT_GT(rewritten, 20'000u);
  EXPECT_GT(refused, 20'000u);
}

// Feeds in pieces of `step` bytes; answers what is forwarded in chunks, or "bad" or "open".
std::string Rechunked(const std::string& text, size_t step, ChunkReader::Strictness strictness,
                      size_t* consumed = nullptr, std::string* data = nullptr) {
  ChunkReader reader(strictness);
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    size_t left = std::min(step, text.size() - at);
    while (left > 0) {
      const auto run = reader.Next(text.data() + at, left);
      if (run.kind == ChunkReader::Kind::kBad) return "bad";
      const bool is_data = run.kind == ChunkReader::Kind::kData;
      if (is_data || run.kind == ChunkReader::Kind::kFraming) out.append(text, at, run.size);
      if (is_data && data != nullptr) data->append(text, at, run.size);
      at += run.size;
      left -= run.size;
      if (consumed != nullptr) *consumed = at;
      if (run.kind == ChunkReader::Kind::kEnd) return out.append(ChunkReader::kLastChunk);
    }
  }
  return "open";
}

constexpr auto kRequest = ChunkReader::Strictness::kRequest;
constexpr auto kAnswer = ChunkReader::Strictness::kAnswer;

TEST(ChunkReader, FollowsTheBodyHoweverItArrives) {
  const std::string body = "5\r\nhello\r\n1\r\n \r\n05\r\nworld\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n";
  for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1000}}) {
    size_t consumed = 0;
    std::string data;
    EXPECT_EQ(Rechunked(body + "GET", step, kRequest, &consumed, &data),
              "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n")
        << step;
    EXPECT_EQ(data, "hello world") << step;
    EXPECT_EQ(consumed, body.size()) << step;
  }
}

// What nginx 1.22 and HAProxy 2.6 both take; "" = refused.
TEST(ChunkReader, ForwardsThePlainestForm) {
  const std::string plain = "5\r\nhello\r\n0\r\n\r\n", ten = "a\r\nhellohello\r\n0\r\n\r\n";
  const struct {
    const char* name;
    std::string body, of_request, of_answer;
  } cases[] = {
      {"plain", plain, plain, plain},
      {"extension", "5; foo = bar\r\nhello\r\n0\r\n\r\n", plain, plain},
      {"quoted extension", "5;a=\"b;c\"\r\nhello\r\n0;d\r\n\r\n", plain, plain},
      {"space before an extension", "5 \t; a = b\r\nhello\r\n0\r\n\r\n", "", plain},
      {"space behind the size", "5  \r\nhello\r\n0 \r\n\r\n", "", plain},
      {"upper-case digit", "A\r\nhellohello\r\n0\r\n\r\n", "A" + ten.substr(1), "A" + ten.substr(1)},
      {"zeros", "0005\r\nhello\r\n000\r\n\r\n", plain, plain},
      {"16 digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", plain, plain},
      {"17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", "", plain},
      {"513 digits", std::string(512, '0') + "5\r\nhello\r\n0\r\n\r\n", "", ""},
      {"extension without end", "5;" + std::string(600, 'a') + "\r\nhello\r\n0\r\n\r\n", "", ""},
      {"trailer", "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", plain, plain},
      {"length in a trailer", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", "", plain},
      {"encoding in a trailer", "5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", "", plain},
      {"host in a trailer", "5\r\nhello\r\n0\r\nHost: b\r\n\r\n", "", plain},
  };
  for (const auto& c : cases) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{5}, size_t{4000}}) {
      const auto or_bad = [](const std::string& text) { return text.empty() ? "bad" : text; };
      EXPECT_EQ(Rechunked(c.body, step, kRequest), or_bad(c.of_request)) << c.name << " " << step;
      EXPECT_EQ(Rechunked(c.body, step, kAnswer), or_bad(c.of_answer)) << c.name << " " << step;
    }
  }
}

TEST(ChunkReader, RefusesEveryTrick) {
  for (const std::string body : {"5\nhello\r\n0\r\n\r\n",
                                 "5\r\nhello\n0\r\n\r\n",
                                 "5;a\nb\r\nhello\r\n0\r\n\r\n",
                                 "5;a=b\rc\r\nhello\r\n0\r\n\r\n",
                                 "5;\x7f\r\nhello\r\n",
                                 "5 5\r\nhello\r\n",
                                 "5 a\r\nhello\r\n",
                                 " 5\r\nhello\r\n",
                                 ";5\r\nhello\r\n",
                                 "0x5\r\nhello\r\n0\r\n\r\n",
                                 "\r\n",
                                 "-1\r\n",
                                 "+5\r\nhello\r\n",
                                 "10000000000000000\r\n",
                                 "5\r\nhello!\r\n",
                                 "0\r\n X: b\r\n\r\n",
                                 "0\r\nX : b\r\n\r\n",
                                 "0\r\nX: b\n\r\n",
                                 "0\r\n\n",
                                 "0\r\nX: b\rc\r\n\r\n"}) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      EXPECT_EQ(Rechunked(body, step, kRequest), "bad") << body;
      EXPECT_EQ(Rechunked(body, step, kAnswer), "bad") << body;
    }
  }
}

// Every field that says where a body ends or who is asked, named by Connection: there or not, alone or among others.
TEST(RequestHead, ConnectionTakesNoFramingAway) {
  for (const std::string name :
       {"transfer-encoding", "Transfer-Encoding", "content-length", "Content-LENGTH", "host"}) {
    for (const std::string& list : {name, "close, " + name, name + ",keep-alive", "x-a ,\t" + name + "  "}) {
      for (const std::string line : {"", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"}) {
        const auto parsed = Request(Get("Connection: " + list + "\r\n" + line));
        EXPECT_EQ(parsed.result, Parse::kBad) << list << " " << line;
        EXPECT_EQ(parsed.error, "bad_connection_header") << list;
        const auto behind = Request(Get(line + "Connection: x-b\r\nConnection: " + list + "\r\n"));
        EXPECT_EQ(behind.result, Parse::kBad) << list << " " << line;
      }
    }
  }
}

TEST(RequestHead, CostsNoMoreForManyConnectionTokens) {
  const auto list = [](int count) {
    std::string out = "Connection: ";
    for (int i = 0; i < count; ++i) out += "x-" + std::to_string(i) + ",";
    return Get(out + "\r\nX-31: a\r\n");
  };
  const auto most = Request(list(32));
  ASSERT_EQ(most.result, Parse::kComplete) << most.error;
  EXPECT_TRUE(most.head->lines[2].dropped);
  EXPECT_EQ(Request(list(33)).error, "bad_connection_header");
  EXPECT_EQ(Request(Get("Connection: a\r\n" + std::string("Connection: ") + std::string(32, 'b') + "\r\n")).result,
            Parse::kComplete);
}

TEST(RequestHead, TakesTheAbsoluteForm) {
  const struct {
    std::string line, host, target, error;
  } cases[] = {
      {"GET http://A.example/x?y", "a.example", "/x?y", ""},
      {"GET http://a.example:80/", "a.example", "/", ""},
      {"GET http://a.example/", "a.example:80", "/", ""},
      {"GET https://a.example:443/", "a.example", "/", ""},
      {"GET HTTP://a.example", "a.example", "/", ""},
      {"OPTIONS http://a.example", "a.example", "*", ""},
      {"OPTIONS http://a.example/", "a.example", "/", ""},
      {"GET http://a.example?q=1", "a.example", "?q=1", ""},
      {"GET http://a.example:8080/", "a.example:8080", "/", ""},
      {"GET http://a.example:8080/", "a.example", "", "host_mismatch"},
      {"GET http://a.example:443/", "a.example", "", "host_mismatch"},
      {"GET http://b.example/", "a.example", "", "host_mismatch"},
      {"GET http://u@a.example/", "a.example", "", "host_mismatch"},
      {"GET http:///", "a.example", "", "host_mismatch"},
      {"GET ftp://a.example/", "a.example", "", "bad_target"},
      {"GET a.example", "a.example", "", "bad_target"},
      {"GET *", "a.example", "", "bad_target"},
      {"GET ", "a.example", "", "bad_target"},
  };
  for (const auto& c : cases) {
    const auto parsed = Request(c.line + " HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n");
    EXPECT_EQ(parsed.error, c.error) << c.line;
    if (c.error.empty()) {
      EXPECT_EQ(parsed.head->target, c.target) << c.line;
    }
  }
}

TEST(RequestHead, TakesEveryMinorVersion) {
  const auto version = [](const std::string& text) { return Request("GET / " + text + "\r\nHost: a\r\n\r\n"); };
  EXPECT_EQ(version("HTTP/1.2").result, Parse::kComplete);
  EXPECT_EQ(version("HTTP/1.9").head->minor, 1);
  EXPECT_FALSE(version("HTTP/1.9").head->close);
  EXPECT_TRUE(version("HTTP/1.0").head->close);
  const struct {
    const char* text;
    int status;
  } bad[] = {{"HTTP/2.0", 505},  {"HTTP/0.9", 505}, {"HTTP/1.1 ", 400}, {"HTTP/1.", 400},
             {"HTTP/1.10", 400}, {"HTTP/1,1", 400}, {"HTTQ/1.1", 400},  {"", 400}};
  for (const auto& c : bad) {
    EXPECT_EQ(version(c.text).result, Parse::kBad) << c.text;
    EXPECT_EQ(version(c.text).head->error_status, c.status) << c.text;
  }
}

TEST(RequestHead, KnowsAWebSocketAndACircle) {
  EXPECT_TRUE(Request(Get("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n")).head->websocket);
  EXPECT_TRUE(Request(Get("Upgrade: h2c, websocket\r\nConnection: upgrade\r\n")).head->websocket);
  EXPECT_FALSE(Request(Get("Upgrade: websocket\r\n")).head->websocket);
  EXPECT_FALSE(Request(Get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")).head->websocket);
  EXPECT_EQ(Request(Get("Via: 1.1 weir, 1.0 fred (x),1.1 Weir\r\nVia: 1.1 weir (y)\r\n")).head->via_weir, 3u);
  EXPECT_EQ(Request(Get("Via: 1.1 weirdo, weir, 1.1 aweir\r\n")).head->via_weir, 0u);
}

}  // namespace
}  // namespace weir::codec
