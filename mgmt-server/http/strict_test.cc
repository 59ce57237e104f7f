#include <fmt/format.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <semaphore>
#include <set>
#include <thread>

#include "libs/base/text.h"
#include "mgmt-server/http/rest_fixture.h"
#include "tests/support/real_time.h"

// What anybody may send to the REST door, byte by byte, and what it costs.
namespace weir::edge {
namespace {

// A TLS connection that says what it is told.
class Wire {
 public:
  explicit Wire(uint16_t port) : context_(SSL_CTX_new(TLS_client_method())) {
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, ("127.0.0.1:" + std::to_string(port)).c_str());
    connected_ = BIO_do_connect(bio_) == 1;
  }
  ~Wire() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool connected() const { return connected_; }
  void Say(const std::string& bytes) { BIO_write(bio_, bytes.data(), static_cast<int>(bytes.size())); }
  // Everything until the server closes; "TIMEOUT" behind it when it does not.
  std::string Hear(int seconds = 10) {
    std::string heard;
    char buffer[4096];
    int fd = -1;
    BIO_get_fd(bio_, &fd);
    const Stopwatch watch;
    while (true) {
      pollfd polled{fd, POLLIN, 0};
      if (BIO_pending(bio_) == 0 && poll(&polled, 1, 100) == 0) {
        if (watch.Elapsed() > std::chrono::seconds(seconds)) return heard + "TIMEOUT";
        continue;
      }
      const int got = BIO_read(bio_, buffer, sizeof buffer);
      if (got <= 0) return heard;
      heard.append(buffer, static_cast<size_t>(got));
    }
  }

 private:
  SSL_CTX* context_;
  BIO* bio_;
  bool connected_ = false;
};

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

class StrictRest : public RestApi {
 protected:
  std::string Exchange(const std::string& bytes) {
    Wire wire(server_->port());
    EXPECT_TRUE(wire.connected());
    wire.Say(bytes);
    return wire.Hear();
  }
};

TEST_F(StrictRest, ReadsEveryRequestInOneWayOrRefusesIt) {
  const std::string smuggled = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string bad[] = {
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\n",
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\n",
      "POST /v2/login HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
      "GET /healthz HTTP/1.1\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
      "GET http://other/healthz HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET healthz HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /healthz HTTP/1.1\nHost: h\n\n",
      "GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n",
      "GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
  };
  for (const std::string& head : bad) {
    const std::string answer = Exchange(head + smuggled);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << head << answer;
    EXPECT_EQ(CountOf(answer, "\r\nDate: "), 1u) << "what followed ran as a request: " << head << answer;
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
    EXPECT_THAT(answer, HasSubstr("\"reason\":\"BAD_HTTP\""));
    EXPECT_THAT(answer, Not(HasSubstr("TIMEOUT")));
  }
  for (const std::string target : {"/healthz", "http://h/healthz", "https://h/healthz"}) {
    const std::string answer = Exchange("GET " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << target << answer;
  }
  EXPECT_THAT(Exchange("GET /v2/whoami HTTP/1.1\r\nHost: h\r\n\r\nGET https://h/healthz HTTP/1.1\r\nHost: h\r\n"
                       "Connection: close\r\n\r\n"),
              AllOf(HasSubstr("HTTP/1.1 401 "), HasSubstr("HTTP/1.1 200 ")));
}

TEST_F(StrictRest, TakesNoFieldTwiceThatItDecidesBy) {
  for (const char* name :
       {"Authorization", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "X-Request-Id"}) {
    const std::string answer =
        Exchange(fmt::format("GET /healthz HTTP/1.1\r\nHost: h\r\n{0}: a\r\nX: y\r\n{1}: b\r\n\r\n", name,
                             std::string(1, static_cast<char>(name[0] | 0x20)) + (name + 1)));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
    EXPECT_THAT(answer, AllOf(HasSubstr("BAD_HTTP"), HasSubstr(std::string(name) + " more than once")));
  }
}

TEST_F(StrictRest, SaysNothingWithoutDateRequestIdAndSafetyHeaders) {
  const std::string close = "Connection: close\r\n\r\n";
  const std::string requests[] = {
      "GET /healthz HTTP/1.1\r\nHost: h\r\n" + close,
      "GET /v2/whoami HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\n" + close,
      "GET /nothing HTTP/1.1\r\nHost: h\r\n" + close,
      "PATCH /v2/login HTTP/1.1\r\nHost: h\r\n" + close,
      "GET /healthz HTTP/1.1\r\n" + close,
      "POST /v2/documents:apply HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n" + close,
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n" + close,
      "POST /v2/login HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: text/xml\r\n" + close + "{}",
      "GET /" + std::string(40000, 'a') + " HTTP/1.1\r\nHost: h\r\n" + close,
  };
  std::set<std::string> statuses;
  for (const std::string& request : requests) {
    const std::string answer = Exchange(request);
    statuses.insert(answer.substr(9, 3));
    for (const char* name :
         {"\r\nDate: ", " GMT\r\n", "\r\nX-Request-Id: ", "\r\nCache-Control: no-store\r\n",
          "\r\nX-Content-Type-Options: nosniff\r\n", "\r\nX-Frame-Options: DENY\r\n",
          "\r\nReferrer-Policy: no-referrer\r\n", "\r\nContent-Security-Policy: default-src 'none'"}) {
      EXPECT_THAT(answer, HasSubstr(name)) << request.substr(0, 100);
    }
  }
  EXPECT_EQ(statuses, (std::set<std::string>{"200", "401", "404", "405", "400", "413", "415", "431"}));
  EXPECT_THAT(Exchange(requests[1]), HasSubstr("X-Request-Id: mine\r\n"));
}

TEST_F(StrictRest, ReadsNoBodyBeforeItIsKnownWhoSendsIt) {
  // Only the head is sent: an answer shows that nobody waited for the body.
  const std::string head = " HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n";
  const std::string ask = "Expect: 100-continue\r\n";
  for (const std::string& more : {std::string(), ask, std::string("Authorization: Bearer made-up\r\n")}) {
    const std::string answer = Exchange(fmt::format("POST /v2/documents:apply{}{}\r\n", head, more));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 401 ")) << answer;
    EXPECT_TRUE(Exchange(fmt::format("POST /v2/unheard-of{}{}\r\n", head, more)).starts_with("HTTP/1.1 401 "));
  }
  EXPECT_TRUE(Exchange("POST /v2/login" + head + "\r\n").starts_with("HTTP/1.1 413 "));
  const std::string mine = "Authorization: Bearer " + admin_ + "\r\n";
  EXPECT_THAT(Exchange("POST /v2/documents:apply HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n" +
                       mine + "\r\n{} "),
              HasSubstr("INVALID_REQUEST"));
  EXPECT_TRUE(Exchange("POST /v2/documents:apply HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n" + mine + "\r\n")
                  .starts_with("HTTP/1.1 413 "));
}

// All come from one address: it is the principal whose share it is.
TEST_F(StrictRest, DearReadsOfOneKeepNobodyElseWaiting) {
  const std::string eve = NewUser("eve");
  std::counting_semaphore<> begun(0), go(0);
  fleet_.statuses = [&](const std::string&) {
    begun.release();
    go.acquire();
    return std::vector<v2::ResourceStatus>();
  };
  std::vector<std::thread> dear;
  dear.reserve(8);
  for (int i = 0; i < 8; ++i) {
    dear.emplace_back([&] {
      auto client = http::Client::Create(
          {.port = server_->port(), .ca_pem = ca_->anchor_pem(), .spiffe_id = "", .server_name = ""});
      const auto answer =
          client->Do({"GET", "/v2/organizations/demo-org/statuses", {{"Authorization", "Bearer " + admin_}}, "", ""});
      EXPECT_TRUE(answer.ok() && answer->status == 200);
    });
  }
  for (int i = 0; i < 3; ++i) begun.acquire();
  EXPECT_EQ(Send("GET", "/v2/organizations/demo-org/tenants", "", eve).status, 404);
  EXPECT_EQ(Send("GET", "/healthz", "", "").status, 200);
  EXPECT_FALSE(begun.try_acquire()) << "it has more than its share";
  go.release(8);
  for (auto& thread : dear) thread.join();
}

TEST_F(StrictRest, TakesJsonAndNothingElse) {
  const std::string path = "/v2/organizations/demo-org/tenants";
  const std::string body = R"({"metadata":{"name":"t"}})";
  for (const char* type : {"text/xml", "application/x-www-form-urlencoded", "application/jsonp", "json"}) {
    EXPECT_EQ(Send("POST", path, body, admin_, {{"Content-Type", type}}).status, 415) << type;
  }
  EXPECT_EQ(Send("POST", path, body, admin_, {{"Content-Encoding", "gzip"}}).status, 415);
  EXPECT_EQ(Send("POST", path, body, admin_, {{"Content-Type", "Application/JSON; charset=utf-8"}}).status, 200);
}

TEST_F(StrictRest, AnswersInUtf8WhateverCameIn) {
  for (const char* path :
       {"/v2/organizations/demo-org/tenants/%C3%28", "/v2/organizations/demo-org/health?host=%ff",
        "/v2/organizations/demo-org/tenants?%ff=1", "/%80", "/v2/organizations/demo-org/traffic?host=a%00b"}) {
    const Answer answer = Get(path);
    EXPECT_TRUE(IsUtf8(answer.text)) << path;
    EXPECT_TRUE(answer.status == 200 || !answer.reason().empty()) << path << answer.text;
  }
  const Answer body = Post("/v2/organizations/demo-org/tenants", "{\"metadata\":{\"name\":\"\xC3(\"}}");
  EXPECT_EQ(body.status, 400);
  EXPECT_TRUE(IsUtf8(body.text));
}

TEST_F(StrictRest, MatchesVersionsAsHttpSays) {
  const std::string path = "/v2/organizations/demo-org/tenants/t";
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  int changes = 0;
  const auto put = [&](const std::string& if_match, const std::string& version = "") {
    const std::string body = R"({"metadata":{"name":"t","description":")" + std::to_string(++changes) + "\"" +
                             (version.empty() ? "" : R"(,"resourceVersion":)" + version) + "}}";
    return Send("PUT", path, body, admin_, if_match.empty() ? http::Headers{} : http::Headers{{"If-Match", if_match}})
        .status;
  };
  const auto etag = [&] { return Get(path).etag; };
  EXPECT_EQ(put("*"), 200);
  EXPECT_EQ(put(etag()), 200);
  EXPECT_EQ(put("\"other\", " + etag() + ",\"third\""), 200);
  EXPECT_EQ(put(etag().substr(1, etag().size() - 2)), 200) << "bare, as our own tools send it";
  EXPECT_EQ(put("\"other\""), 412);
  EXPECT_EQ(put("\"other\", \"third\""), 412);
  EXPECT_EQ(put("W/" + etag()), 412) << "a weak one does not match for a write";
  EXPECT_EQ(put(","), 400);
  EXPECT_EQ(put("", "\"\\\"" + etag().substr(1, etag().size() - 2) + "\\\"\""), 200) << "the quotes are not part of it";
  EXPECT_EQ(put("", "\"other\""), 409);
  EXPECT_EQ(put(etag(), "\"other\""), 400) << "two different versions";
  EXPECT_EQ(Send("DELETE", path, "", admin_, {{"If-Match", "\"other\""}}).status, 412);
  EXPECT_EQ(Send("DELETE", path, "", admin_, {{"If-Match", "*"}}).status, 200);
  EXPECT_EQ(put("*"), 404);
}

// RFC 9110 section 13.1.2.
TEST_F(StrictRest, AnswersWhoHasTheVersionAlreadyWithoutABody) {
  const std::string path = "/v2/organizations/demo-org/tenants/t";
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  const std::string etag = Get(path).etag;
  const auto get = [&](const std::string& none, const std::string& of) {
    return Send("GET", of, "", admin_, {{"If-None-Match", none}});
  };
  for (const std::string& has : {etag, "W/" + etag, std::string("*"), "\"other\", W/" + etag + " ,\"third\""}) {
    const Answer answer = get(has, path);
    EXPECT_EQ(answer.status, 304) << has;
    EXPECT_EQ(answer.etag, etag) << has;
  }
  for (const char* other : {"\"other\"", "W/\"other\"", ","}) EXPECT_EQ(get(other, path).status, 200) << other;
  EXPECT_EQ(get("*", path + "x").status, 404);
  EXPECT_EQ(get("*", "/v2/organizations/demo-org/tenants").status, 200) << "a list has no version";
  const std::string wire = Exchange("GET " + path + " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + admin_ +
                                    "\r\nIf-None-Match: *\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(wire.starts_with("HTTP/1.1 304 ")) << wire;
  EXPECT_TRUE(wire.ends_with("\r\n\r\n")) << wire;
  EXPECT_THAT(wire, Not(HasSubstr("Content-Length")));
}

TEST_F(StrictRest, TakesANumberAsItIsWrittenOrNotAtAll) {
  const std::string list = "/v2/organizations/demo-org/tenants";
  EXPECT_EQ(Get(list + "?pageSize=1").status, 200);
  for (const char* query : {"?pageSize=1%00abc", "?pageSize=%0b1", "?pageSize=+1", "?pageSize=%2b1", "?pageSize=%201",
                            "?pageSize=1%20", "?pageSize=", "?pageSize=99999999999999999999", "?pageSize=4294967297",
                            "?pageSize=1&pageSize=2", "?pageSize=1&page_size=1", "?pageToken=&pageToken="}) {
    EXPECT_EQ(Get(list + query).status, 400) << query;
  }
}

TEST_F(StrictRest, SignInsThatFailSayWhenToTryAgain) {
  const std::string wrong = R"({"organization":"demo-org","user":"someone","password":"wrong"})";
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Send("POST", "/v2/login", wrong, "").status, 401);
  const Answer answer = Send("POST", "/v2/login", wrong, "");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.reason(), "TOO_MANY_ATTEMPTS");
  const int seconds = std::atoi(std::string(http::FindHeader(answer.headers, "Retry-After")).c_str());
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, 60);
}

// Waits -----------------------------------------------------------------------------------------------------------

class RestWaits : public StrictRest {
 protected:
  void SetUp() override {
    StrictRest::SetUp();
    ASSERT_EQ(Apply(kSurroundings).status, 200);
    fleet_.applied = [this](const std::string& fqn, int64_t) {
      v2::ResourceStatus status;
      status.set_fqn(fqn);
      status.set_state(settled_ ? v2::ResourceStatus::READY : v2::ResourceStatus::ACCEPTED);
      status.set_reason("WAITING_FOR_ACK");
      return status;
    };
  }
  std::unique_ptr<Wire> Wait(const std::string& token, const std::string& seconds = "300") {
    auto wire = std::make_unique<Wire>(server_->port());
    wire->Say("GET /v2/organizations/demo-org/clusters/cluster1/status?wait=applied&waitSeconds=" + seconds +
              " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer " + token + "\r\n\r\n");
    return wire;
  }
  std::atomic<bool> settled_{false};
};

TEST_F(RestWaits, HoldNoThreadAndEndWithTheirCaller) {
  std::vector<std::unique_ptr<Wire>> wires;
  wires.reserve(32);
  for (int i = 0; i < 32; ++i) wires.push_back(Wait(admin_));  // Eight for each thread that the door has.
  ASSERT_TRUE(Eventually([&] { return standing_.waits->count() == 32; }));
  EXPECT_EQ(Get("/v2/whoami").status, 200);
  EXPECT_THAT(Wait(admin_)->Hear(), AllOf(HasSubstr("HTTP/1.1 429 "), HasSubstr("TOO_MANY_WAITS")));
  // Another's place is not taken by that.
  const std::string eve = NewUser("eve");
  ASSERT_EQ(Post("/v2/organizations/demo-org/clusters/cluster1/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  auto hers = Wait(eve);
  ASSERT_TRUE(Eventually([&] { return standing_.waits->count() == 33; }));
  wires.clear();
  EXPECT_TRUE(Eventually([&] { return standing_.waits->count() == 1; })) << "their callers have left";
  auto again = Wait(admin_);
  ASSERT_TRUE(Eventually([&] { return standing_.waits->count() == 2; }));
  settled_ = true;
  EXPECT_THAT(again->Hear(), HasSubstr("\"state\":\"READY\""));
  EXPECT_THAT(hers->Hear(), HasSubstr("\"state\":\"READY\""));
  EXPECT_TRUE(Eventually([&] { return standing_.waits->count() == 0; }));
}

TEST_F(RestWaits, EndWithTheirTimeAndWithTheServer) {
  EXPECT_THAT(Wait(admin_, "1")->Hear(), HasSubstr("WAITING_FOR_ACK"));
  auto wire = Wait(admin_);
  ASSERT_TRUE(Eventually([&] { return standing_.waits->count() == 1; }));
  standing_.waits->Stop();
  EXPECT_THAT(wire->Hear(), HasSubstr("WAITING_FOR_ACK"));
}

TEST_F(RestWaits, ARefusedWaitSaysWhatIsStored) {
  std::vector<std::unique_ptr<Wire>> wires;
  wires.reserve(32);
  for (int i = 0; i < 32; ++i) wires.push_back(Wait(admin_));
  ASSERT_TRUE(Eventually([&] { return standing_.waits->count() == 32; }));
  document::Node body = document::Node::Map();
  body.Add("documents", document::Node::String("{apiVersion: api.weir.dev/v2, kind: Tenant, metadata: {name: late, "
                                               "organization: demo-org}}"));
  body.Add("wait", document::Node::String("applied"));
  const Answer answer = Post("/v2/documents:apply", document::WriteJson(body));
  EXPECT_EQ(answer.status, 200) << answer.text;
  EXPECT_THAT(answer.text, AllOf(HasSubstr("CREATED"), HasSubstr("tenants/late"), HasSubstr("\"revision\":")));
  EXPECT_THAT(answer.Text({"notWaited"}), HasSubstr("ask for the status"));
}

}  // namespace
}  // namespace weir::edge
