#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <csignal>

#include "libs/proxy/engine_test_peers.h"

// Peers whose membership has ended: on new connections, on connections that stand, on resumed ones, on both sides.
namespace weir::proxy {
namespace {

using testing::StartsWith;
using Lowest = std::map<std::string, uint64_t, std::less<>>;

std::shared_ptr<const identity::ValidGenerations> Valid(Lowest lowest) {
  return std::make_shared<const identity::ValidGenerations>(identity::ValidGenerations{std::move(lowest)});
}

// T1 of cluster "edge" in front of T2 of cluster "c1", whose backend answers when it is let.
class GenerationTest : public testing::Test {
 protected:
  static constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2";

  GenerationTest()
      : backend([this](Conn& conn) {
          while (!conn.TakeHead().empty()) {
            ++asked;
            Eventually([this] { return !held || over; });
            if (!conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")) return;
          }
        }) {}
  ~GenerationTest() override { over = true; }

  Identity IdentityOf(const std::string& domain, const std::string& id, identity::ClusterGeneration cluster,
                      Lowest lowest) {
    identity::Authority ca;
    ca.key_pem = *identity::NewKey();
    ca.certificate_pem =
        *identity::SignIntermediate(root, {*identity::MakeCsr(ca.key_pem), domain, cluster, std::chrono::hours(1)});
    Identity identity = weir::proxy::IdentityOf(ca, id);
    identity.roots = root.certificate_pem;
    identity.generations = Valid(std::move(lowest));
    return identity;
  }
  void Run(const Identity& first_is, const Identity& second_is) {
    Config second({At("c1", 1, {backend.port})});
    second.tls = DownstreamTls{true, {{kT1, false}}};
    second.server_names = {"a.example"};
    ASSERT_TRUE(t2.Start({}).ok());
    ASSERT_TRUE(t2.SetIdentity(second_is).ok());
    ASSERT_TRUE(ApplyAndWait(t2, second.Build()).ok());
    Config first({At("c1", 1, {t2.Port("public")}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(t1.SetIdentity(first_is).ok());
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  }
  Identity First(uint64_t generation, Lowest lowest) {
    return IdentityOf("edge.acme", kT1, {"uid-edge", generation}, std::move(lowest));
  }
  Identity Second(uint64_t generation, Lowest lowest) {
    return IdentityOf("c1.acme", kT2, {"uid-c1", generation}, std::move(lowest));
  }
  std::string Ask() {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(kGet);
    return Response(conn).first.substr(9, 3);
  }

  identity::Authority root = *identity::NewRoot("test root");
  std::atomic<int> asked{0};
  std::atomic<bool> held{false}, over{false};
  Backend backend;
  Engine t1, t2;
};

TEST_F(GenerationTest, WhoIsListedOrLaterIsLetIn) {
  Run(First(3, {{"uid-edge", 1}, {"uid-c1", 4}}), Second(4, {{"uid-edge", 2}, {"uid-c1", 1}}));
  EXPECT_EQ(Ask(), "200");
}

TEST_F(GenerationTest, ACallerOfAnEndedGenerationIsRefused) {
  Run(First(1, {{"uid-c1", 1}}), Second(1, {{"uid-edge", 2}}));
  EXPECT_THAT(Ask(), StartsWith("50"));  // As the handshake broke before or after our side was done.
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

TEST_F(GenerationTest, AnUpstreamOfAnEndedGenerationIsRefused) {
  Run(First(1, {{"uid-c1", 2}}), Second(1, {{"uid-edge", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t1.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

// A cluster that was deleted is not listed; one that has its name now has another uid.
TEST_F(GenerationTest, AClusterThatIsNotListedIsRefusedWhateverItsName) {
  Run(First(9, {{"uid-c1", 1}}), Second(1, {{"uid-edge-again", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
}

TEST_F(GenerationTest, AChainWithoutAGenerationIsRefused) {
  Identity bare = weir::proxy::IdentityOf(root, kT1);  // Signed by the root itself.
  bare.generations = Valid({{"uid-c1", 1}});
  Run(bare, Second(1, {{"uid-edge", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_EQ(asked, 0);
}

TEST_F(GenerationTest, ConnectionsStandWhenSomebodyElseEnds) {
  const Identity second = Second(1, {{"uid-edge", 1}, {"uid-other", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  EXPECT_EQ(Ask(), "200");
  Identity next = second;
  next.generations = Valid({{"uid-edge", 1}, {"uid-other", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  EXPECT_EQ(Ask(), "200");
  EXPECT_EQ(t1.GetStats().upstream_connections, 1u);
}

TEST_F(GenerationTest, AnIdleConnectionOfAnEndedCallerIsClosedAtOnce) {
  const Identity second = Second(1, {{"uid-edge", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  EXPECT_EQ(Ask(), "200");
  ASSERT_EQ(t2.GetStats().connections_open, 1u);
  Identity next = second;
  next.generations = Valid({{"uid-edge", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_EQ(asked, 1);
}

TEST_F(GenerationTest, ABusyConnectionOfAnEndedCallerIsClosedAtOnce) {
  const Identity second = Second(1, {{"uid-edge", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  held = true;
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return asked == 1; }));
  Identity next = second;
  next.generations = Valid({{"uid-edge", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 50"));  // While the backend still holds its answer back.
  EXPECT_EQ(t2.GetStats().connections_open, 0u);
}

TEST_F(GenerationTest, ABusyConnectionToAnEndedUpstreamIsClosedAtOnceAndAnIdleOneToo) {
  const Identity first = First(1, {{"uid-c1", 1}});
  Run(first, Second(1, {{"uid-edge", 1}}));
  held = true;
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return asked == 1; }));
  Identity next = first;
  next.generations = Valid({{"uid-c1", 2}});
  ASSERT_TRUE(t1.SetIdentity(next).ok());
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 50"));  // While the backend still holds its answer back.
  held = false;
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  ASSERT_TRUE(t1.SetIdentity(first).ok());
  ASSERT_TRUE(Eventually([&] { return Ask() == "200"; }));
  ASSERT_TRUE(t1.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
}

// ---- Resumption: a ticket must not be a way around.

class Resumer {
 public:
  explicit Resumer(const Identity& identity) : context_(SSL_CTX_new(TLS_client_method())) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL.
    BIO* chain = BIO_new_mem_buf(identity.certificate_chain.data(), -1);
    X509* leaf = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
    X509* issuer = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
    BIO* key_text = BIO_new_mem_buf(identity.private_key.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(key_text, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_, leaf);
    SSL_CTX_add0_chain_cert(context_, issuer);
    SSL_CTX_use_PrivateKey(context_, key);
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context_, this);
    SSL_CTX_sess_set_new_cb(context_, [](SSL* ssl, SSL_SESSION* session) {
      auto* self = static_cast<Resumer*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
      SSL_SESSION_free(std::exchange(self->ticket_, session));
      return 1;
    });
    EVP_PKEY_free(key);
    X509_free(leaf);
    BIO_free(chain);
    BIO_free(key_text);
  }
  ~Resumer() {
    Close();
    SSL_SESSION_free(ticket_);
    SSL_CTX_free(context_);
  }
  // Status code of one request on a new connection, which stays open; "" = no answer.
  std::string Ask(uint16_t port, int version) {
    Close();
    conn_ = std::make_unique<Conn>(Conn::To(port));
    ssl_ = SSL_new(context_);
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
    SSL_set_fd(ssl_, conn_->fd());
    SSL_set_tlsext_host_name(ssl_, "a.example");
    if (ticket_ != nullptr) SSL_set_session(ssl_, ticket_);
    if (SSL_connect(ssl_) != 1) return "";
    return Again();
  }
  std::string Again() {
    SSL_write(ssl_, kGet, sizeof kGet - 1);
    char buffer[4096];
    const int got = SSL_read(ssl_, buffer, sizeof buffer);
    return got < 12 ? "" : std::string(buffer + 9, 3);
  }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  void Close() {
    if (ssl_ != nullptr) {
      SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // Else its ticket is thrown away with it.
      SSL_free(std::exchange(ssl_, nullptr));
    }
    conn_.reset();
  }

 private:
  SSL_CTX* context_;
  SSL_SESSION* ticket_ = nullptr;
  SSL* ssl_ = nullptr;
  std::unique_ptr<Conn> conn_;
};

class Resumption : public GenerationTest, public testing::WithParamInterface<int> {};

TEST_P(Resumption, AResumedConnectionEndsWithItsMembershipAndItsTicketOpensNothing) {
  const Identity second = Second(1, {{"uid-edge", 1}, {"uid-c1", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  Resumer caller(First(1, {}));
  ASSERT_EQ(caller.Ask(t2.Port("public"), GetParam()), "200");
  for (int again = 0; again < 3; ++again) {  // By a ticket of a resumed connection, too.
    ASSERT_EQ(caller.Ask(t2.Port("public"), GetParam()), "200");
    ASSERT_TRUE(caller.resumed());
  }
  Identity next = second;
  next.generations = Valid({{"uid-edge", 1}, {"uid-c1", 2}});  // Somebody else's end leaves it standing.
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_EQ(caller.Again(), "200");
  next.generations = Valid({{"uid-edge", 2}, {"uid-c1", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  EXPECT_EQ(caller.Again(), "");
  EXPECT_EQ(caller.Ask(t2.Port("public"), GetParam()), "");
}

INSTANTIATE_TEST_SUITE_P(EachVersion, Resumption, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

}  // namespace
}  // namespace weir::proxy
