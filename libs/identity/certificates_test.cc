#include "libs/identity/certificates.h"

#include <gtest/gtest.h>

#include "libs/identity/openssl.h"
#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

constexpr const char* kDomainA = "cluster-a.acme.weir.internal";
constexpr const char* kDomainB = "cluster-b.acme.weir.internal";

struct Org {
  ManualClock clock;
  Authority root = NewRoot("acme", clock).value();

  Authority Cluster(const std::string& domain) {
    Authority cluster;
    cluster.key_pem = NewKey().value();
    cluster.certificate_pem =
        SignIntermediate(root, {MakeCsr(cluster.key_pem).value(), domain, {"uid", 1}, std::chrono::hours(720)}, clock)
            .value();
    return cluster;
  }
  std::string Chain(const Authority& cluster, LeafRequest request) {
    request.csr_pem = MakeCsr(NewKey().value()).value();
    auto leaf = SignLeaf(cluster, request, clock);
    EXPECT_TRUE(leaf.ok()) << leaf.error().ToString();
    return leaf.value() + cluster.certificate_pem;
  }
  Result<CertificateFacts> Verify(const std::string& chain) { return VerifyChain(chain, root.certificate_pem, clock); }
};

LeafRequest Named(const std::string& spiffe_id, std::vector<std::string> dns = {}) {
  LeafRequest request;
  request.spiffe_id = spiffe_id;
  request.dns_names = std::move(dns);
  return request;
}

TEST(Certificates, ALeafOfItsOwnClusterVerifies) {
  Org org;
  const Authority a = org.Cluster(kDomainA);
  const std::string id = WorkloadSpiffeId(kDomainA, "shop", "web");
  const auto facts = org.Verify(org.Chain(a, Named(id, {AgentDnsName(kDomainA), kDomainA})));
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->spiffe_id, id);
  EXPECT_EQ(facts->subject, "");
  EXPECT_EQ(facts->dns_names.size(), 2u);
  EXPECT_FALSE(facts->is_authority);
}

TEST(Certificates, AStolenIntermediateOfOneClusterCannotSpeakForAnother) {
  Org org;
  const Authority a = org.Cluster(kDomainA);
  EXPECT_FALSE(org.Verify(org.Chain(a, Named(WorkloadSpiffeId(kDomainB, "shop", "web")))).ok());
  EXPECT_FALSE(org.Verify(org.Chain(a, Named("spiffe://x." + std::string(kDomainA) + "/ns/a/sa/b"))).ok());
  EXPECT_FALSE(org.Verify(org.Chain(a, Named("", {AgentDnsName(kDomainB)}))).ok());
  for (const char* name : {"www.example.com", "weir-server.weir.svc.cluster.local", "web.shop.svc", "svc",
                           "cluster.local", "localhost", "acme.weir.internal", "*.acme.weir.internal"}) {
    EXPECT_FALSE(org.Verify(org.Chain(a, Named("", {name}))).ok()) << name;
  }
  LeafRequest ip = Named(WorkloadSpiffeId(kDomainA, "shop", "web"));
  for (const char* address : {"10.0.0.1", "2001:db8::1"}) {
    ip.ip_addresses = {address};
    const auto refused = org.Verify(org.Chain(a, ip));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().reason, "CERTIFICATE_REFUSED");
  }
}

// A constraint that is not critical may be passed over by who does not know it (RFC 5280 4.2).
TEST(Certificates, AnIntermediatesNameConstraintsAreCriticalAndWhole) {
  Org org;
  const Authority a = org.Cluster(kDomainA);
  const CertPtr certificate = std::move(ParseCertificates(a.certificate_pem)->front());
  int critical = -1;
  const std::unique_ptr<NAME_CONSTRAINTS, Freer<NAME_CONSTRAINTS_free>> constraints(
      static_cast<NAME_CONSTRAINTS*>(X509_get_ext_d2i(certificate.get(), NID_name_constraints, &critical, nullptr)));
  ASSERT_NE(constraints, nullptr);
  EXPECT_EQ(critical, 1);
  const auto list = [](const STACK_OF(GENERAL_SUBTREE) * subtrees) {
    std::vector<std::string> texts;
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); ++i) {
      const BioPtr out(BIO_new(BIO_s_mem()));
      const GENERAL_NAME* base = sk_GENERAL_SUBTREE_value(subtrees, i)->base;
      if (base->type == GEN_IPADD) {
        texts.push_back(fmt::format("IP:{}", ASN1_STRING_length(base->d.iPAddress)));
      } else {
        GENERAL_NAME_print(out.get(), const_cast<GENERAL_NAME*>(base));
        texts.push_back(BioText(out.get()));
      }
    }
    return texts;
  };
  const std::string domain = kDomainA;
  EXPECT_EQ(list(constraints->permittedSubtrees),
            (std::vector<std::string>{"URI:" + domain, "DNS:" + domain, "email:nobody@invalid"}));
  EXPECT_EQ(list(constraints->excludedSubtrees),
            (std::vector<std::string>{"email:nobody@invalid", "DirName:", "IP:8", "IP:32"}));
}

TEST(Certificates, AStolenIntermediateCannotMakeAnotherIntermediate) {
  Org org;
  const Authority a = org.Cluster(kDomainA);
  Authority fake;
  fake.key_pem = NewKey().value();
  fake.certificate_pem =
      SignIntermediate(a, {MakeCsr(fake.key_pem).value(), kDomainB, {"uid-b", 1}, std::chrono::hours(1)}, org.clock)
          .value();
  const std::string chain = org.Chain(fake, Named(WorkloadSpiffeId(kDomainB, "shop", "web")));
  EXPECT_FALSE(org.Verify(chain + a.certificate_pem).ok());
}

TEST(Certificates, AnotherRootIsNotTrusted) {
  Org org, other;
  const std::string chain = other.Chain(other.Cluster(kDomainA), Named(WorkloadSpiffeId(kDomainA, "a", "b")));
  EXPECT_FALSE(org.Verify(chain).ok());
}

TEST(Certificates, ALeafNeverOutlivesItsIssuer) {
  Org org;
  Authority a = org.Cluster(kDomainA);
  org.clock.Advance(std::chrono::hours(719));
  const auto facts = org.Verify(org.Chain(a, Named(WorkloadSpiffeId(kDomainA, "a", "b"))));
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->not_after, ReadCertificate(a.certificate_pem)->not_after);
  org.clock.Advance(std::chrono::hours(2));
  EXPECT_EQ(SignLeaf(a, Named("spiffe://" + std::string(kDomainA))).ok(), false);
}

TEST(Certificates, AnExpiredLeafIsRefused) {
  Org org;
  const std::string chain = org.Chain(org.Cluster(kDomainA), Named(WorkloadSpiffeId(kDomainA, "a", "b")));
  org.clock.Advance(std::chrono::hours(25));
  EXPECT_FALSE(org.Verify(chain).ok());
}

TEST(Certificates, TheCsrGivesItsKeyAndNothingElse) {
  Org org;
  LeafRequest request = Named(WorkloadSpiffeId(kDomainA, "a", "b"));
  request.csr_pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
  const auto malformed = SignLeaf(org.Cluster(kDomainA), request, org.clock);
  ASSERT_FALSE(malformed.ok());
  EXPECT_EQ(malformed.error().reason, "CSR_MALFORMED");
  request.csr_pem = MakeCsr(NewKey().value()).value();
  request.spiffe_id = "spiffe://a/b,DNS:evil";
  EXPECT_EQ(SignLeaf(org.Cluster(kDomainA), request, org.clock).error().reason, "SPIFFE_ID_MALFORMED");
}

TEST(Certificates, KnowsWhichKeyBelongsToACertificate) {
  Org org;
  EXPECT_TRUE(CheckKeyMatches(org.root.certificate_pem, org.root.key_pem).ok());
  EXPECT_EQ(CheckKeyMatches(org.root.certificate_pem, NewKey().value()).error().reason, "KEY_MISMATCH");
}

TEST(Certificates, SplitsABundleAndHashesEachCertificate) {
  Org org, other;
  const auto parts = SplitBundle(org.root.certificate_pem + other.root.certificate_pem);
  ASSERT_TRUE(parts.ok());
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ(CertificateSha256((*parts)[1]).value(), CertificateSha256(other.root.certificate_pem).value());
  EXPECT_FALSE(SplitBundle("nothing").ok());
}

TEST(Certificates, RenewalComesAroundHalfTheLifetime) {
  CertificateFacts facts;
  facts.not_after = facts.not_before + std::chrono::hours(100);
  EXPECT_EQ(RenewAt(facts, 0.5) - facts.not_before, std::chrono::hours(50));
  for (int i = 0; i < 100; ++i) {
    const Duration pause = RenewIn(facts, facts.not_before + std::chrono::hours(50));
    EXPECT_GE(pause, std::chrono::hours(20));
    EXPECT_LE(pause, std::chrono::hours(30));
  }
  EXPECT_EQ(RenewIn(facts, facts.not_after + std::chrono::hours(1)), Duration(0));
}

TEST(Certificates, SignedByAClockThatIsAheadAreValidNowHoweverShortTheirLife) {
  ManualClock right, ahead;
  ahead.JumpWall(std::chrono::minutes(100));
  for (const Duration life : {Duration(std::chrono::hours(3)), Duration(std::chrono::hours(24))}) {
    const auto root = NewRoot("acme", ahead, std::chrono::hours(1000));
    ASSERT_TRUE(root.ok());
    const auto facts = ReadCertificate(root->certificate_pem);
    EXPECT_LE(facts->not_before, right.Wall());
    LeafRequest request;
    request.csr_pem = MakeCsr(NewKey().value()).value();
    request.spiffe_id = WorkloadSpiffeId("edge.acme.test", "shop", "web");
    request.lifetime = life;
    const auto leaf = SignLeaf(*root, request, ahead);
    ASSERT_TRUE(leaf.ok()) << leaf.error().ToString();
    EXPECT_LE(ReadCertificate(*leaf)->not_before, right.Wall());
  }
}

// ---- What an authority does not sign

TEST(SignLeaf, RefusesWhatIsNoName) {
  Org org;
  const auto sign = [&](LeafRequest request) {
    request.csr_pem = MakeCsr(NewKey().value()).value();
    const auto leaf = SignLeaf(org.root, request, org.clock);
    return leaf.ok() ? "" : leaf.error().reason;
  };
  EXPECT_EQ(sign({}), "LEAF_NAMELESS");
  for (const std::string& good :
       {std::string("a"), std::string("az09-_.x"), std::string("*.a"), std::string("z.0"), std::string(253, 'a')}) {
    EXPECT_EQ(sign(Named("", {good})), "") << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("A"), std::string("a,DNS:b"), std::string("a b"), std::string("a{"),
        std::string("a`"), std::string("a/"), std::string("a:"), std::string("a\n"), std::string(254, 'a')}) {
    EXPECT_EQ(sign(Named("", {"ok", bad})), "DNS_NAME_MALFORMED") << bad;
  }
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "1.2.3.4,URI:spiffe://x/y", "::g"}) {
    LeafRequest request = Named("", {"ok"});
    request.ip_addresses = {bad};
    EXPECT_EQ(sign(request), "IP_ADDRESS_MALFORMED") << bad;
  }
}

TEST(SignLeaf, LivesTenSecondsTo397Days) {
  Org org;
  const auto sign = [&](Duration lifetime) {
    LeafRequest request = Named("spiffe://a/b");
    request.csr_pem = MakeCsr(NewKey().value()).value();
    request.lifetime = lifetime;
    const auto leaf = SignLeaf(org.root, request, org.clock);
    return leaf.ok() ? "" : leaf.error().reason;
  };
  EXPECT_EQ(sign(std::chrono::seconds(10)), "");
  EXPECT_EQ(sign(std::chrono::hours(24 * 397)), "");
  EXPECT_EQ(sign(std::chrono::seconds(10) - Duration(1)), "LEAF_LIFETIME");
  EXPECT_EQ(sign(std::chrono::hours(24 * 397) + Duration(1)), "LEAF_LIFETIME");
}

TEST(SignIntermediate, RefusesWhatIsNoTrustDomain) {
  Org org;
  const std::string csr = MakeCsr(NewKey().value()).value();
  for (const std::string& bad : {std::string(), std::string(".a"), std::string("*.a"), std::string("a.*"),
                                 std::string("A"), std::string("a,DNS:b"), std::string(254, 'a')}) {
    const auto signed_ca = SignIntermediate(org.root, {csr, bad, {"u", 1}, std::chrono::hours(1)}, org.clock);
    ASSERT_FALSE(signed_ca.ok()) << bad;
    EXPECT_EQ(signed_ca.error().reason, "TRUST_DOMAIN_MALFORMED") << bad;
  }
}

// Who asks for a certificate of a key must have that key.
TEST(ParseCsr, ProvesThatItsKeyIsHeld) {
  const std::string pem = MakeCsr(NewKey().value()).value();
  const RequestPtr request = std::move(ParseCsr(pem).value());
  const KeyPtr others = std::move(ParseKey(NewKey().value()).value());
  ASSERT_EQ(X509_REQ_set_pubkey(request.get(), others.get()), 1);  // The signature stays.
  const BioPtr out(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_X509_REQ(out.get(), request.get()), 1);
  const std::string stolen = BioText(out.get());
  EXPECT_EQ(ParseCsr(stolen).error().reason, "CSR_MALFORMED");
  Org org;
  LeafRequest leaf = Named("spiffe://a/b");
  leaf.csr_pem = stolen;
  EXPECT_EQ(SignLeaf(org.root, leaf, org.clock).error().reason, "CSR_MALFORMED");
  EXPECT_EQ(SignIntermediate(org.root, {stolen, "a", {"u", 1}, std::chrono::hours(1)}, org.clock).error().reason,
            "CSR_MALFORMED");
}

TEST(Certificates, ALeafIsForHandshakesOnly) {
  Org org;
  LeafRequest request = Named("spiffe://a/b");
  request.csr_pem = MakeCsr(NewKey().value()).value();
  const CertPtr leaf = std::move(ParseCertificates(SignLeaf(org.root, request, org.clock).value())->front());
  EXPECT_EQ(X509_get_key_usage(leaf.get()), static_cast<uint32_t>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(X509_get_extended_key_usage(leaf.get()), static_cast<uint32_t>(XKU_SSL_SERVER | XKU_SSL_CLIENT));
  EXPECT_EQ(X509_check_ca(leaf.get()), 0);
  EXPECT_EQ(X509_get_version(leaf.get()), X509_VERSION_3);
}

TEST(Certificates, TellWhatStandsInThem) {
  Org org;
  LeafRequest request = Named("spiffe://a/b", {"a", "b"});
  request.csr_pem = MakeCsr(NewKey().value()).value();
  request.ip_addresses = {"10.0.0.1", "2001:db8::1"};
  request.lifetime = std::chrono::hours(2);
  const auto leaf = ReadCertificate(SignLeaf(org.root, request, org.clock).value());
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(leaf->ip_addresses, request.ip_addresses);
  EXPECT_EQ(leaf->dns_names, request.dns_names);
  EXPECT_EQ(leaf->other_names, 0);
  EXPECT_LE(leaf->not_before, org.clock.Wall());
  EXPECT_GT(leaf->not_before, org.clock.Wall() - std::chrono::hours(25));
  EXPECT_LE(leaf->not_after, org.clock.Wall() + std::chrono::hours(2));
  EXPECT_GT(leaf->not_after, org.clock.Wall() + std::chrono::hours(1));
  for (int i = 0; i < 16; ++i) {  // Positive and of one length (RFC 5280 4.1.2.2), whatever the dice say.
    const auto serial = ReadCertificate(SignLeaf(org.root, request, org.clock).value())->serial;
    EXPECT_EQ(serial.size(), 32u);
    EXPECT_TRUE(serial[0] >= '4' && serial[0] <= '7') << serial;
  }
  EXPECT_NE(ReadCertificate(org.root.certificate_pem)->subject.find("acme"), std::string::npos);
}

}  // namespace
}  // namespace weir::identity
