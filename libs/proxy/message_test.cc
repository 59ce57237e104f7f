#include "libs/proxy/message.h"

#include <gtest/gtest.h>

#include <memory>

// Bytes in, bytes out: what becomes of a request and of an answer on their way through. Beside each odd form stands
// what nginx 1.22 and HAProxy 2.6 do with it: P pass, R repair, X refuse.

namespace weir::proxy {
namespace {

std::string ForwardedRequest(const std::string& text, bool trusted) {
  auto head = std::make_unique<codec::RequestHead>();
  if (codec::ParseRequest(text.data(), text.size(), *head) != codec::Parse::kComplete) {
    return "refused: " + std::string(head->error);
  }
  Forwarding forwarding;
  forwarding.trusted = trusted;
  forwarding.peer = "10.0.0.1";
  forwarding.proto = "https";
  forwarding.request_id = trusted ? "" : "id";
  std::string out;
  WriteRequestHead(*head, head->target, forwarding, out);
  return out;
}

std::string WithLine(const std::string& line) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + line + "\r\nX-Stay: 1\r\n\r\n";
}

const char* const kSaidByProxies[] = {
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Forwarded-By",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Method",
    "X-Forwarded-TlsClientCert",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tomorrow",
    "X-Forwarded",
    "Forwarded",
    "Forwarded-For",
    "Forwarded-Proto",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "Client-IP",
    "Fastly-Client-IP",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "X-ProxyUser-Ip",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Remote-User",
    "Remote-User",
    "Remote-Addr",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Forwarded-For",
    "X-Rewrite-URL",
    "X-Host",
    "X-HTTP-Host-Override",
    "SSL-Client-Cert",
    "SSL-Client-S-DN",
    "X-SSL-Client-Verify",
    "X-SSL-Client-CN",
    "X-Client-Cert",
    "X-Weir-Role",
    "X-Envoy-Original-Path",
};

TEST(RequestMessage, BelievesNoProxyFromOutside) {
  for (const std::string name : kSaidByProxies) {
    for (const bool lower : {false, true}) {
      std::string written = name;
      if (lower) {
        for (char& c : written) c = static_cast<char>(std::tolower(c));
      }
      const std::string out = ForwardedRequest(WithLine(written + ": forged"), false);
      EXPECT_EQ(out.find("forged"), std::string::npos) << out;
      EXPECT_NE(out.find("X-Stay: 1\r\n"), std::string::npos) << out;
      const std::string inside = ForwardedRequest(WithLine(written + ": ours"), true);
      EXPECT_NE(inside.find("\r\n" + written + ": ours\r\n"), std::string::npos) << inside;
    }
  }
}

TEST(RequestMessage, DropsWhatIsForThisHopAlone) {
  for (const std::string name : {"Proxy", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Keep-Alive",
                                 "TE", "Trailer", "Upgrade", "HTTP2-Settings"}) {
    for (const bool trusted : {false, true}) {
      const std::string out = ForwardedRequest(WithLine(name + ": gone"), trusted);
      EXPECT_EQ(out.find("gone"), std::string::npos) << out;
    }
  }
}

TEST(RequestMessage, LeavesTheApplicationsHeadersAlone) {
  for (const std::string name : {"X-Client-Version", "X-Original-Filename", "X-Remote-Id", "Client-Id", "Date",
                                 "Cookie", "X-Hostname", "X-Realm", "X-Request-Start", "X-Fwd", "Remote", "Viaduct",
                                 "X", "X-", "traceparent", "tracestate", "b3", "x-b3-traceid", "x-ot-span-context"}) {
    const std::string out = ForwardedRequest(WithLine(name + ": kept"), false);
    EXPECT_NE(out.find("\r\n" + name + ": kept\r\n"), std::string::npos) << out;
  }
}

TEST(RequestMessage, AddsItselfToVia) {
  const std::string out = ForwardedRequest(WithLine("Via: 1.0 fred"), false);
  EXPECT_NE(out.find("\r\nVia: 1.0 fred\r\n"), std::string::npos) << out;
  EXPECT_TRUE(out.ends_with("\r\nvia: 1.1 weir\r\n\r\n")) << out;
}

TEST(RequestMessage, CountsForwardsDown) {
  const auto says = [](const std::string& method, const std::string& hops) {
    const std::string out =
        ForwardedRequest(method + " / HTTP/1.1\r\nHost: a\r\nMax-Forwards: " + hops + "\r\n\r\n", false);
    const size_t at = out.find("orwards: ");
    return at == std::string::npos ? "" : out.substr(at + 9, out.find("\r\n", at) - at - 9);
  };
  EXPECT_EQ(says("OPTIONS", "10"), "9");
  EXPECT_EQ(says("TRACE", "1"), "0");
  EXPECT_EQ(says("TRACE", "99999999999"), "999");
  EXPECT_EQ(says("GET", "10"), "10");
  EXPECT_EQ(says("OPTIONS", "many"), "many");
}

TEST(RequestMessage, RefusesUnderscores) {
  EXPECT_EQ(ForwardedRequest(WithLine("X_Forwarded_For: 1"), false), "refused: underscore_in_header_name");
  EXPECT_EQ(ForwardedRequest(WithLine("user_id: 1"), true), "refused: underscore_in_header_name");
}

// ---- Answers

// What the caller gets of `text`, fed in pieces of `step` bytes behind the head, then the end of the connection.
std::string ForwardedAnswer(const std::string& text, size_t step, bool http_1_0 = false) {
  auto head = std::make_unique<codec::ResponseHead>();
  if (codec::ParseResponse(text.data(), text.size(), false, *head) != codec::Parse::kComplete) {
    return "refused: " + std::string(head->error);
  }
  Body body;
  body.Begin(*head, codec::ChunkReader::Strictness::kAnswer);
  body.unchunk = http_1_0;
  body.rechunk = head->body == codec::BodyKind::kToClose && !http_1_0;
  std::string out;
  WriteResponseHead(*head, {.unchunk = body.unchunk, .chunk = body.rechunk, .date = "now"}, out);
  const auto send = [&](const iovec* parts, int count) {
    for (int i = 0; i < count; ++i) out.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    return true;
  };
  for (size_t at = head->size; at < text.size() && !body.done; at += step) {
    BodyPieces pieces;
    if (FeedBody(body, text.data() + at, std::min(step, text.size() - at), pieces, send).bad) return "cut: " + out;
  }
  if (head->body == codec::BodyKind::kToClose && body.rechunk) out += codec::ChunkReader::kLastChunk;
  return out;
}

TEST(ResponseMessage, NormalizesWhatCannotBeMisread) {
  const std::string ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string hello = chunked.substr(0, chunked.size() - 2) + "date: now\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  const struct {
    const char* name;  // "+": nginx 1.22 and HAProxy 2.6 pass or repair it too.
    std::string in, out;
  } cases[] = {
      {"extension +", chunked + "5;foo=bar\r\nhello\r\n0\r\n\r\n", hello},
      {"space behind the size +", chunked + "5  \r\nhello\r\n0\r\n\r\n", hello},
      {"16 digits +", chunked + "0000000000000005\r\nhello\r\n0\r\n\r\n", hello},
      {"length in a trailer +", chunked + "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", hello},
      {"equal lengths +", ok + "Content-Length: 5\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
       ok + "A: b\r\ncontent-length: 5\r\ndate: now\r\n\r\nhello"},
      {"list of equal lengths", ok + "Content-Length: 5, 5\r\n\r\nhello",
       ok + "content-length: 5\r\ndate: now\r\n\r\nhello"},
      {"length and chunked +", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
       hello},
      {"999 +", "HTTP/1.1 999 Denied\r\nContent-Length: 5\r\n\r\nhello",
       "HTTP/1.1 999 Denied\r\nContent-Length: 5\r\ndate: now\r\n\r\nhello"},
      {"600 +", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
       "HTTP/1.1 600 X\r\nContent-Length: 0\r\ndate: now\r\n\r\n"},
      {"HTTP/1.2 +", "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
       ok + "Content-Length: 5\r\ndate: now\r\n\r\nhello"},
      {"Connection names the length +", ok + "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
       ok + "Content-Length: 5\r\ndate: now\r\n\r\nhello"},
      {"Connection with no name +", ok + "Connection: \"x y\"\r\nContent-Length: 5\r\n\r\nhello",
       ok + "Content-Length: 5\r\ndate: now\r\n\r\nhello"},
      {"space before the colon", ok + "Content-Length : 5\r\nX\t:  y \r\n\r\nhello",
       ok + "Content-Length: 5\r\nX: y\r\ndate: now\r\n\r\nhello"},
      {"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
       "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n"},
      {"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
       "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n"},
      {"its own date", ok + "Date: then\r\nContent-Length: 0\r\n\r\n", ok + "Date: then\r\nContent-Length: 0\r\n\r\n"},
      {"underscore", ok + "x_y: 1\r\nContent-Length: 0\r\n\r\n",
       ok + "x_y: 1\r\nContent-Length: 0\r\ndate: now\r\n\r\n"},
      {"bare LF +", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "refused: bad_status_line"},
      {"other lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "refused: bad_content_length"},
      {"folded", ok + "X: a\r\n b\r\n\r\n", "refused: bad_header_name"},
  };
  for (const auto& c : cases) {
    for (const size_t step : {size_t{1}, size_t{3}, size_t{4000}}) {
      EXPECT_EQ(ForwardedAnswer(c.in, step), c.out) << c.name << " " << step;
    }
  }
}

TEST(ResponseMessage, ShowsWhereABodyWithoutFramingEnds) {
  const std::string in = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello world, sixteen!";
  const std::string head = "HTTP/1.1 200 OK\r\nA: b\r\n";
  EXPECT_EQ(ForwardedAnswer(in, 100),
            head + "transfer-encoding: chunked\r\ndate: now\r\n\r\n15\r\nhello world, sixteen!" + "\r\n0\r\n\r\n");
  EXPECT_EQ(ForwardedAnswer(in, 16), head + "transfer-encoding: chunked\r\ndate: now\r\n\r\n10\r\nhello world, six" +
                                         "\r\n5\r\nteen!\r\n0\r\n\r\n");
  EXPECT_EQ(ForwardedAnswer(in, 16, true), head + "date: now\r\n\r\nhello world, sixteen!");
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n";
  EXPECT_EQ(ForwardedAnswer(chunked, 4, true), "HTTP/1.1 200 OK\r\ndate: now\r\n\r\nhello");
}

// Nobody can be sure what follows on such a connection: it serves no other request.
TEST(ResponseMessage, TrustsNoConnectionOfAnAnswerThatContradictsItself) {
  for (const std::string text : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                                 "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                                 "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    auto head = std::make_unique<codec::ResponseHead>();
    ASSERT_EQ(codec::ParseResponse(text.data(), text.size(), false, *head), codec::Parse::kComplete) << text;
    EXPECT_TRUE(head->close) << text;
  }
}

}  // namespace
}  // namespace weir::proxy
