#include "libs/identity/generation.h"

#include <gtest/gtest.h>

#include "libs/identity/certificates.h"
#include "libs/identity/openssl.h"

namespace weir::identity {
namespace {

constexpr char kDomain[] = "c1.acme.test";

struct Mesh {
  Authority root = NewRoot("mesh").value();

  Authority Cluster(const ClusterGeneration& cluster) {
    Authority ca;
    ca.key_pem = NewKey().value();
    ca.certificate_pem =
        SignIntermediate(root, {MakeCsr(ca.key_pem).value(), kDomain, cluster, std::chrono::hours(1)}).value();
    return ca;
  }
  static std::string LeafOf(const Authority& issuer) {
    LeafRequest request;
    request.csr_pem = MakeCsr(NewKey().value()).value();
    request.spiffe_id = std::string("spiffe://") + kDomain + "/ns/n/sa/s";
    return SignLeaf(issuer, request).value();
  }
};

TEST(Generation, StandsInTheIntermediateAndIsReadFromAVerifiedChain) {
  Mesh mesh;
  const ClusterGeneration cluster{"0b8e5c1e-9d1a-4c52-8a53-2f6f3f1d7a10", 18'446'744'073'709'551'615ull};
  const Authority ca = mesh.Cluster(cluster);
  const auto facts = VerifyChain(Mesh::LeafOf(ca) + ca.certificate_pem, mesh.root.certificate_pem);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->cluster, cluster);
  EXPECT_EQ(ReadCertificate(ca.certificate_pem)->cluster, std::nullopt);  // Nothing was verified.
}

TEST(Generation, IsNobodysRightBelowTheRoot) {
  Mesh mesh;
  EXPECT_EQ(VerifyChain(Mesh::LeafOf(mesh.root), mesh.root.certificate_pem)->cluster, std::nullopt);
}

// What a cluster says of itself counts nowhere: not in a certificate beside its chain, nor in one that it signs.
TEST(Generation, CannotBeClaimedByTheClusterItself) {
  Mesh mesh;
  const Authority old = mesh.Cluster({"u", 1});
  const Authority newer = mesh.Cluster({"u", 2});
  const std::string leaf = Mesh::LeafOf(old);
  for (const std::string& chain :
       {leaf + old.certificate_pem + newer.certificate_pem, leaf + newer.certificate_pem + old.certificate_pem}) {
    EXPECT_EQ(VerifyChain(chain, mesh.root.certificate_pem)->cluster, (ClusterGeneration{"u", 1}));
  }
  Authority forged;
  forged.key_pem = NewKey().value();
  forged.certificate_pem =
      SignIntermediate(old, {MakeCsr(forged.key_pem).value(), kDomain, {"u", 9}, std::chrono::minutes(10)}).value();
  // It has its issuer's name, so that no path length counts it (RFC 5280 4.2.1.9); but the root did not sign it.
  const auto facts =
      VerifyChain(Mesh::LeafOf(forged) + forged.certificate_pem + old.certificate_pem, mesh.root.certificate_pem);
  if (facts.ok()) {
    EXPECT_EQ(facts->cluster, (ClusterGeneration{"u", 1}));
  }
}

TEST(Generation, IsRefusedWhenMalformed) {
  Mesh mesh;
  for (const ClusterGeneration& bad :
       {ClusterGeneration{"", 1}, ClusterGeneration{"u", 0}, ClusterGeneration{"u v", 1}, ClusterGeneration{"U", 1},
        ClusterGeneration{std::string(65, 'a'), 1}, ClusterGeneration{"u{", 1}, ClusterGeneration{"u`", 1},
        ClusterGeneration{"u/", 1}, ClusterGeneration{"u:", 1}}) {
    const auto pem =
        SignIntermediate(mesh.root, {MakeCsr(NewKey().value()).value(), kDomain, bad, std::chrono::hours(1)});
    ASSERT_FALSE(pem.ok()) << bad.uid;
    EXPECT_EQ(pem.error().reason, "GENERATION_MALFORMED");
  }
  for (const char* text :
       {"", " ", "u", "u ", " 1", "u 01", "u +1", "u -1", "u 1 ", "u 1x", "u 18446744073709551616"}) {
    EXPECT_EQ(ParseGeneration(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseGeneration("u 7"), (ClusterGeneration{"u", 7}));
  const std::string longest(64, 'z');
  EXPECT_EQ(ParseGeneration(longest + " 7"), (ClusterGeneration{longest, 7}));
  EXPECT_EQ(ParseGeneration("a-0z9 7"), (ClusterGeneration{"a-0z9", 7}));
}

// A certificate with this extension as it is.
CertPtr With(const std::string& der, int times = 1) {
  CertPtr certificate(X509_new());
  const std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>> oid(OBJ_txt2obj(kGenerationOid, 1));
  const std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>> octets(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(octets.get(), reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()));
  for (int i = 0; i < times; ++i) {
    const ExtensionPtr extension(X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, octets.get()));
    EXPECT_EQ(X509_add_ext(certificate.get(), extension.get(), -1), 1);
  }
  return certificate;
}

TEST(Generation, IsReadFromOneWholeTextOnly) {
  EXPECT_EQ(ReadGeneration(With("\x0c\x03u 7").get()), (ClusterGeneration{"u", 7}));
  EXPECT_EQ(ReadGeneration(With("\x0c\x03u 7", 2).get()), std::nullopt);  // Which of the two?
  EXPECT_EQ(ReadGeneration(With("\x0c\x03u 7x").get()), std::nullopt);    // Something lies behind it.
  EXPECT_EQ(ReadGeneration(With("\x0c\x04u 7").get()), std::nullopt);     // It ends too early.
  EXPECT_EQ(ReadGeneration(With("\x13\x03u 7").get()), std::nullopt);     // A text of another kind.
  EXPECT_EQ(ReadGeneration(With("").get()), std::nullopt);
  EXPECT_EQ(ReadGeneration(CertPtr(X509_new()).get()), std::nullopt);
}

TEST(ValidGenerations, AdmitWhoIsListedFromTheLowestOn) {
  const ValidGenerations valid{{{"a", 2}, {"b", 1}}};
  EXPECT_TRUE(valid.Admits(ClusterGeneration{"a", 2}));
  EXPECT_TRUE(valid.Admits(ClusterGeneration{"a", 3}));
  EXPECT_FALSE(valid.Admits(ClusterGeneration{"a", 1}));
  EXPECT_TRUE(valid.Admits(ClusterGeneration{"b", 1}));
  EXPECT_FALSE(valid.Admits(ClusterGeneration{"c", 9}));
  EXPECT_FALSE(valid.Admits(std::nullopt));
}

}  // namespace
}  // namespace weir::identity
