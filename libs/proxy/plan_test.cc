#include "libs/proxy/plan.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "libs/identity/openssl.h"
#include "libs/proxy/engine_test_tls_peer.h"

// Which chain a server name leads to, and who somebody is that comes in there.

namespace weir::proxy {
namespace {

std::shared_ptr<Listener> Named(const std::vector<std::vector<std::string>>& chains) {
  auto listener = std::make_shared<Listener>();
  listener->name = "edge";
  listener->address = "127.0.0.1";
  for (const auto& names : chains) {
    listener->chains.push_back({"c", names, DownstreamTls{}, std::make_shared<Routes>()});
  }
  return listener;
}
Result<std::shared_ptr<const Plan>> PlanOf(std::vector<std::shared_ptr<const Listener>> listeners) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->listeners = std::move(listeners);
  return Plan::Build(snapshot, nullptr);
}

TEST(Plan, AServerNameLeadsToTheMostExactChain) {
  const auto plan = PlanOf({Named({{"*.a.example"}, {"x.a.example", "y.example"}, {"*.b.a.example"}, {}})});
  ASSERT_TRUE(plan.ok()) << plan.error().ToString();
  const PlannedListener& listener = *(*plan)->listeners.begin()->second;
  const std::pair<const char*, int> cases[] = {
      {"x.a.example", 1},   {"y.example", 1},     {"n.a.example", 0}, {"n.m.a.example", 0},
      {"n.b.a.example", 2}, {"b.a.example", 0},   {"a.example", 3},   {".a.example", 3},
      {"xa.example", 3},    {"a.example.org", 3}, {"x.y.example", 3}, {"", 3},
  };
  for (const auto& [sni, chain] : cases) EXPECT_EQ(listener.Find(sni).chain, chain) << sni;
}

TEST(Plan, WithoutAFallbackAnUnknownNameLeadsNowhere) {
  const auto plan = PlanOf({Named({{"a.example"}, {"*.a.example"}})});
  ASSERT_TRUE(plan.ok());
  const PlannedListener& listener = *(*plan)->listeners.begin()->second;
  for (const char* sni : {"", "b.example", ".a.example", "aa.example"}) {
    const auto found = listener.Find(sni);
    EXPECT_EQ(found.chain, -1) << sni;
    EXPECT_EQ(listener.RuleOf(found), nullptr);
    EXPECT_FALSE(listener.Admits(found, "spiffe://a/b"));
  }
}

TEST(Plan, RefusesListenersThatContradictThemselves) {
  const auto refused = [](std::vector<std::shared_ptr<const Listener>> listeners) {
    const auto plan = PlanOf(std::move(listeners));
    return plan.ok() ? "" : plan.error().reason;
  };
  EXPECT_EQ(refused({Named({{"a"}, {"b"}, {}})}), "");
  EXPECT_EQ(refused({Named({{"a"}, {"a"}})}), "LISTENER_MALFORMED");
  EXPECT_EQ(refused({Named({{}, {}})}), "LISTENER_MALFORMED");
  auto mixed = Named({{"a"}, {"b"}});
  mixed->chains[1].tls.reset();
  EXPECT_EQ(refused({mixed}), "LISTENER_MALFORMED");
  auto empty = Named({{"a"}});
  empty->chains[0].routes = nullptr;
  EXPECT_EQ(refused({empty}), "LISTENER_MALFORMED");
  auto one = Named({{"a"}}), two = Named({{"b"}});
  two->name = "other";
  one->port = two->port = 18'080;
  EXPECT_EQ(refused({one, two}), "LISTENER_MALFORMED");
  two->port = 18'081;
  EXPECT_EQ(refused({one, two}), "");
}

// ---- Who a peer is: its one URI, and nobody when it has several

class PeerNameTest : public TlsTest {
 protected:
  static constexpr char kMeant[] = "spiffe://c1.acme/ns/t2/sa/t2";
  // An endpoint whose certificate has these names; the status of a request to `kMeant` there.
  std::string StatusOf(const std::string& names) {
    const identity::Authority root = *identity::NewRoot("test root");
    Identity identity = IdentityOf(root, kMeant);
    const identity::CertPtr leaf = std::move(identity::ParseCertificates(identity.certificate_chain)->front());
    const identity::KeyPtr key = std::move(identity::ParseKey(root.key_pem).value());
    X509_EXTENSION_free(X509_delete_ext(leaf.get(), X509_get_ext_by_NID(leaf.get(), NID_subject_alt_name, -1)));
    const identity::ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
    EXPECT_EQ(X509_add_ext(leaf.get(), extension.get(), -1), 1);
    EXPECT_GT(X509_sign(leaf.get(), key.get(), EVP_sha256()), 0);
    identity.certificate_chain = identity::ToPem(leaf.get());
    Backend backend([identity](Conn& conn) {
      TlsPeer tls(identity);
      if (!tls.Accept(conn)) return;
      while (!tls.TakeHead().empty()) tls.Send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
    });
    Engine engine;
    Config first({At("peer", 1, {backend.port}, kMeant)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    EXPECT_TRUE(engine.Start({}).ok());
    EXPECT_TRUE(engine.SetIdentity(IdentityOf(root, kT1)).ok());
    EXPECT_TRUE(ApplyAndWait(engine, first.Build()).ok());
    Conn conn = Conn::To(engine.Port("public"));
    conn.Send(kGet);
    const std::string status = Response(conn).first.substr(9, 3);
    EXPECT_EQ(engine.GetStats().identity_refused, status == "200" ? 0u : 1u) << names;
    return status;
  }
};

TEST_F(PeerNameTest, OneUriIsAnIdentityAndSeveralAreNone) {
  const std::string meant = kMeant;
  EXPECT_EQ(StatusOf("URI:" + meant), "200");
  EXPECT_EQ(StatusOf("DNS:a.example,URI:" + meant), "200");
  EXPECT_EQ(StatusOf("URI:spiffe://c1.acme/ns/x/sa/x,URI:" + meant), "503");
  EXPECT_EQ(StatusOf("URI:" + meant + ",URI:spiffe://c1.acme/ns/x/sa/x"), "503");
  EXPECT_EQ(StatusOf("URI:" + meant + ",URI:" + meant), "503");
  EXPECT_EQ(StatusOf("DNS:a.example"), "503");
  EXPECT_EQ(StatusOf("URI:" + meant + "0"), "503");
}

}  // namespace
}  // namespace weir::proxy
