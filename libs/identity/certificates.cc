#include "libs/identity/certificates.h"

#include <arpa/inet.h>
#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

#include "libs/base/ids.h"
#include "libs/identity/name_constraints.h"
#include "libs/identity/openssl.h"
#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

// Clocks differ, and some are wrong by an hour (a time zone in the wrong place): a certificate is good from this long
// before it was made.
constexpr Duration kBackdate = std::chrono::hours(2);

Error Broken(std::string_view what) { return Internal("OPENSSL", "could not {}", what).WithCause(OpensslReason()); }

time_t Seconds(WallTime time) { return std::chrono::system_clock::to_time_t(time); }

WallTime FromAsn1(const ASN1_TIME* time) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&tm));
}

std::string Asn1Text(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<size_t>(ASN1_STRING_length(text))};
}

Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Broken(fmt::format("add extension {}", OBJ_nid2sn(nid)));
  }
  return {};
}

bool SafeName(std::string_view name) {  // No character that OpenSSL's extension syntax would interpret.
  return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == '*';
  });
}

bool IsIp(const std::string& text) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

// Version 3, random serial, names and times; the caller adds extensions and signs. Without a common name the subject is
// empty: directory names are excluded below a cluster's intermediate.
Result<CertPtr> NewCertificate(EVP_PKEY* key, const std::string& common_name, X509* issuer, Duration lifetime,
                               const Clock& clock) {
  CertPtr certificate(X509_new());
  if (certificate == nullptr || X509_set_version(certificate.get(), X509_VERSION_3) != 1) return Broken("allocate");
  std::string serial = RandomBytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // Positive and always 16 bytes (RFC 5280 4.1.2.2).
  const BigPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));

  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const auto add = [&](const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
  };
  if (!common_name.empty()) {
    add("O", "Weir");
    add("CN", common_name.substr(0, 64));
  }
  X509_set_issuer_name(certificate.get(), issuer != nullptr ? X509_get_subject_name(issuer) : subject);

  WallTime end = clock.Wall() + std::chrono::duration_cast<WallTime::duration>(lifetime);
  if (issuer != nullptr) end = std::min(end, FromAsn1(X509_get0_notAfter(issuer)));
  // Clocks differ, whatever the life of the certificate is.
  const WallTime begin = clock.Wall() - std::chrono::duration_cast<WallTime::duration>(kBackdate);
  if (end <= clock.Wall()) return FailedPrecondition("ISSUER_EXPIRED", "the issuing certificate has expired");
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), Seconds(begin));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), Seconds(end));
  if (X509_set_pubkey(certificate.get(), key) != 1) return Broken("set the key");
  return certificate;
}

Result<std::string> Sign(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return Broken("sign");
  return ToPem(certificate);
}

struct OpenAuthority {
  CertPtr certificate;
  KeyPtr key;
};

Result<OpenAuthority> Open(const Authority& authority) {
  WEIR_ASSIGN(auto certificates, ParseCertificates(authority.certificate_pem));
  WEIR_ASSIGN(auto key, ParseKey(authority.key_pem));
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    OpensslReason();
    return InvalidArgument("KEY_MISMATCH", "the authority's key does not belong to its certificate");
  }
  return OpenAuthority{std::move(certificates.front()), std::move(key)};
}

Result<KeyPtr> KeyOfCsr(std::string_view csr_pem) {
  WEIR_ASSIGN(const auto request, ParseCsr(csr_pem));
  return KeyPtr(X509_REQ_get_pubkey(request.get()));
}

void ReadNames(X509* certificate, CertificateFacts& facts, int& uris) {
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) {
      ++uris;
      facts.spiffe_id = Asn1Text(name->d.uniformResourceIdentifier);
    } else if (name->type == GEN_DNS) {
      facts.dns_names.push_back(Asn1Text(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      const std::string raw = Asn1Text(name->d.iPAddress);
      char text[INET6_ADDRSTRLEN] = {};
      inet_ntop(raw.size() == 4 ? AF_INET : AF_INET6, raw.data(), text, sizeof(text));
      if (raw.size() == 4 || raw.size() == 16) facts.ip_addresses.emplace_back(text);
    } else {
      ++facts.other_names;
    }
  }
}

Result<CertificateFacts> FactsOf(X509* certificate) {
  CertificateFacts facts;
  facts.not_before = FromAsn1(X509_get0_notBefore(certificate));
  facts.not_after = FromAsn1(X509_get0_notAfter(certificate));
  const BigPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (serial != nullptr) {
    std::string raw(static_cast<size_t>(BN_num_bytes(serial.get())), '\0');
    BN_bn2bin(serial.get(), reinterpret_cast<unsigned char*>(raw.data()));
    facts.serial = ToHex(raw);
  }
  const BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  facts.subject = BioText(out.get());
  facts.is_authority = X509_check_ca(certificate) == 1;
  int uris = 0;
  ReadNames(certificate, facts, uris);
  OpensslReason();
  if (uris > 1)
    return InvalidArgument("CERTIFICATE_MALFORMED", "the certificate has {} URI names instead of one", uris);
  return facts;
}

}  // namespace

Result<KeyPtr> ParseKey(std::string_view pem) {
  const BioPtr bio = MemoryBio(pem);
  // A callback that gives no passphrase: OpenSSL would otherwise ask at the terminal.
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (key == nullptr) return InvalidArgument("KEY_MALFORMED", "not a PEM private key").WithCause(OpensslReason());
  return key;
}

Result<std::vector<CertPtr>> ParseCertificates(std::string_view pem) {
  const BioPtr bio = MemoryBio(pem);
  std::vector<CertPtr> certificates;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) certificates.emplace_back(one);
  const unsigned long last = ERR_peek_last_error();
  const std::string reason = OpensslReason();
  if (certificates.empty() || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {  // That one means: the end.
    return InvalidArgument("CERTIFICATE_MALFORMED", "not a PEM certificate").WithCause(reason);
  }
  return certificates;
}

Result<RequestPtr> ParseCsr(std::string_view pem) {
  const BioPtr bio = MemoryBio(pem);
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) {
    return InvalidArgument("CSR_MALFORMED", "not a PEM certificate request").WithCause(OpensslReason());
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    return InvalidArgument("CSR_MALFORMED", "the certificate request is not signed by its own key")
        .WithCause(OpensslReason());
  }
  if (EVP_PKEY_get_security_bits(key) < 112) {  // NIST SP 800-57: P-256 has 128, RSA 2048 has 112.
    return InvalidArgument("CSR_MALFORMED", "the key is too weak; use P-256 or RSA with 2048 bits or more");
  }
  return request;
}

std::string ToPem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return BioText(bio.get());
}

Result<std::string> NewKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (key == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Broken("make a key");
  }
  return BioText(bio.get());
}

Result<std::string> MakeCsr(std::string_view key_pem) {
  WEIR_ASSIGN(const auto key, ParseKey(key_pem));
  const RequestPtr request(X509_REQ_new());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Weir"), 4, -1, 0);
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return Broken("make a certificate request");
  }
  return BioText(bio.get());
}

namespace {

Result<Authority> NewAuthority(const std::string& common_name, int path_length, const std::string& spiffe_id,
                               Duration lifetime, const Clock& clock) {
  Authority made;
  WEIR_ASSIGN(made.key_pem, NewKey());
  WEIR_ASSIGN(const auto key, ParseKey(made.key_pem));
  WEIR_ASSIGN(const auto certificate, NewCertificate(key.get(), common_name, nullptr, lifetime, clock));
  X509* self = certificate.get();
  WEIR_TRY(AddExtension(self, self, NID_basic_constraints, fmt::format("critical,CA:TRUE,pathlen:{}", path_length)));
  WEIR_TRY(AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  WEIR_TRY(AddExtension(self, self, NID_subject_key_identifier, "hash"));
  if (!spiffe_id.empty()) WEIR_TRY(AddExtension(self, self, NID_subject_alt_name, "URI:" + spiffe_id));
  WEIR_ASSIGN(made.certificate_pem, Sign(self, key.get()));
  return made;
}

}  // namespace

Result<Authority> NewRoot(std::string_view common_name, const Clock& clock, Duration lifetime) {
  return NewAuthority(std::string(common_name), 1, "", lifetime, clock);
}

Result<Authority> NewServerAnchor(const Clock& clock, Duration lifetime) {
  const std::string domain = RandomHex(8) + ".weir-server";
  return NewAuthority("Weir server anchor " + domain, 0, "spiffe://" + domain, lifetime, clock);
}

Result<std::string> SignIntermediate(const Authority& mesh_root, const IntermediateRequest& request,
                                     const Clock& clock) {
  const std::string& domain = request.trust_domain;
  if (!SafeName(domain) || domain.front() == '.' || domain.find('*') != std::string::npos) {
    return InvalidArgument("TRUST_DOMAIN_MALFORMED", "\"{}\" is not a trust domain", domain.substr(0, 256));
  }
  WEIR_ASSIGN(const auto issuer, Open(mesh_root));
  WEIR_ASSIGN(const auto key, KeyOfCsr(request.csr_pem));
  WEIR_ASSIGN(const auto certificate,
              NewCertificate(key.get(), domain, issuer.certificate.get(), request.lifetime, clock));
  X509* self = certificate.get();
  X509* parent = issuer.certificate.get();
  WEIR_TRY(AddExtension(self, parent, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  WEIR_TRY(AddExtension(self, parent, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature"));
  WEIR_TRY(AddExtension(self, parent, NID_subject_key_identifier, "hash"));
  WEIR_TRY(AddExtension(self, parent, NID_authority_key_identifier, "keyid:always"));
  WEIR_TRY(ConstrainNames(self, domain));
  WEIR_TRY(AddGeneration(self, request.cluster));
  return Sign(self, issuer.key.get());
}

Result<std::string> SignLeaf(const Authority& issuer, const LeafRequest& request, const Clock& clock) {
  std::string names;
  if (!request.spiffe_id.empty()) {
    WEIR_ASSIGN(const auto id, SpiffeId::Parse(request.spiffe_id));  // Also: no comma that would add a name.
    names += ",URI:" + id.ToString();
  }
  for (const std::string& name : request.dns_names) {
    if (!SafeName(name)) return InvalidArgument("DNS_NAME_MALFORMED", "\"{}\" is not a DNS name", name);
    names += ",DNS:" + name;
  }
  for (const std::string& ip : request.ip_addresses) {
    if (!IsIp(ip)) return InvalidArgument("IP_ADDRESS_MALFORMED", "\"{}\" is not an IP address", ip);
    names += ",IP:" + ip;
  }
  if (names.empty()) return InvalidArgument("LEAF_NAMELESS", "a leaf needs a name");
  if (request.lifetime < std::chrono::seconds(10) || request.lifetime > std::chrono::hours(24 * 397)) {
    return InvalidArgument("LEAF_LIFETIME", "the lifetime of a leaf must be 10 s to 397 days");
  }
  WEIR_ASSIGN(const auto signer, Open(issuer));
  WEIR_ASSIGN(const auto key, KeyOfCsr(request.csr_pem));
  WEIR_ASSIGN(const auto certificate, NewCertificate(key.get(), "", signer.certificate.get(), request.lifetime, clock));
  X509* self = certificate.get();
  X509* parent = signer.certificate.get();
  WEIR_TRY(AddExtension(self, parent, NID_basic_constraints, "critical,CA:FALSE"));
  WEIR_TRY(AddExtension(self, parent, NID_key_usage, "critical,digitalSignature"));
  WEIR_TRY(AddExtension(self, parent, NID_ext_key_usage, "serverAuth,clientAuth"));
  WEIR_TRY(AddExtension(self, parent, NID_authority_key_identifier, "keyid:always"));
  WEIR_TRY(AddExtension(self, parent, NID_subject_alt_name, "critical" + names));
  return Sign(self, signer.key.get());
}

Result<CertificateFacts> ReadCertificate(std::string_view pem) {
  WEIR_ASSIGN(const auto certificates, ParseCertificates(pem));
  return FactsOf(certificates.front().get());
}

Result<std::vector<std::string>> SplitBundle(std::string_view pem) {
  WEIR_ASSIGN(const auto certificates, ParseCertificates(pem));
  std::vector<std::string> blocks;
  for (const CertPtr& one : certificates) blocks.push_back(ToPem(one.get()));
  return blocks;
}

bool IsLeaf(const X509* certificate) {
  auto* self = const_cast<X509*>(certificate);  // OpenSSL keeps what it has read of the extensions there.
  const uint32_t flags = X509_get_extension_flags(self);
  if ((flags & (EXFLAG_CA | EXFLAG_INVALID)) != 0) return false;
  return (flags & EXFLAG_KUSAGE) == 0 || (X509_get_key_usage(self) & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) == 0;
}

Result<CertificateFacts> VerifyChain(std::string_view chain_pem, std::string_view roots_pem, const Clock& clock) {
  WEIR_ASSIGN(const auto chain, ParseCertificates(chain_pem));
  WEIR_ASSIGN(const auto roots, ParseCertificates(roots_pem));
  const StorePtr store(X509_STORE_new());
  for (const CertPtr& root : roots) X509_STORE_add_cert(store.get(), root.get());
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> between(
      sk_X509_new_null(), +[](STACK_OF(X509) * stack) { sk_X509_free(stack); });
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].get());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between.get()) != 1) {
    return Broken("verify");
  }
  X509_STORE_CTX_set_time(context.get(), 0, Seconds(clock.Wall()));
  if (X509_verify_cert(context.get()) != 1) {
    const int code = X509_STORE_CTX_get_error(context.get());
    OpensslReason();
    const bool of_time = code == X509_V_ERR_CERT_NOT_YET_VALID || code == X509_V_ERR_CERT_HAS_EXPIRED;
    return Unauthenticated("CERTIFICATE_REFUSED", "the certificate is not trusted: {}{}",
                           X509_verify_cert_error_string(code),
                           of_time ? "; this machine's clock says " + Rfc3339(clock.Wall()) : "");
  }
  WEIR_ASSIGN(CertificateFacts facts, FactsOf(chain.front().get()));
  if (!IsLeaf(chain.front().get())) {
    return Unauthenticated("CERTIFICATE_REFUSED",
                           "the certificate is not trusted: {} is not a leaf, it may sign others",
                           facts.spiffe_id.empty() ? "it" : facts.spiffe_id);
  }
  facts.cluster = GenerationOfVerified(X509_STORE_CTX_get0_chain(context.get()));
  return facts;
}

Status CheckKeyMatches(std::string_view certificate_pem, std::string_view key_pem) {
  WEIR_ASSIGN(const auto certificates, ParseCertificates(certificate_pem));
  WEIR_ASSIGN(const auto key, ParseKey(key_pem));
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    OpensslReason();
    return InvalidArgument("KEY_MISMATCH", "the key does not belong to the certificate");
  }
  return {};
}

Result<std::string> CertificateSha256(std::string_view pem) {
  WEIR_ASSIGN(const auto certificates, ParseCertificates(pem));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificates.front().get(), EVP_sha256(), digest, &size) != 1) return Broken("digest");
  return ToHex({reinterpret_cast<const char*>(digest), size});
}

WallTime RenewAt(const CertificateFacts& facts, double random01) {
  const auto lifetime = facts.not_after - facts.not_before;
  return facts.not_before + std::chrono::duration_cast<WallTime::duration>(lifetime * (0.4 + 0.2 * random01));
}

Duration RenewIn(const CertificateFacts& facts, WallTime now) {
  const std::string raw = RandomBytes(2);
  const auto number = static_cast<unsigned char>(raw[0]) * 256u + static_cast<unsigned char>(raw[1]);
  const Duration left = std::max<Duration>(facts.not_after - now, Duration(0));
  return std::chrono::duration_cast<Duration>(left * (0.4 + 0.2 * (number / 65536.0)));
}

}  // namespace weir::identity
