#include "tests/integration/thief.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "libs/base/mutex.h"

namespace weir::thief {
namespace {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using CertPtr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freer<SSL_free>>;

BioPtr Bio(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }
CertPtr ReadCert(const std::string& pem) {
  return CertPtr(PEM_read_bio_X509(Bio(pem).get(), nullptr, nullptr, nullptr));
}
KeyPtr ReadKey(const std::string& pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(Bio(pem).get(), nullptr, nullptr, nullptr));
}
std::string Pem(X509* certificate) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

CertPtr Blank(const std::string& common_name, X509* issuer, EVP_PKEY* key, std::chrono::seconds begin,
              std::chrono::seconds end) {
  static long serial = 1000;
  CertPtr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begin.count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), end.count());
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

void Extend(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void AddSans(X509* certificate, const std::vector<Forgery::San>& sans) {
  if (sans.empty()) return;
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  for (const auto& san : sans) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_STRING* value = ASN1_STRING_type_new(san.type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    ASN1_STRING_set(value, san.value.data(), static_cast<int>(san.value.size()));
    GENERAL_NAME_set0_value(name, san.type, value);
    sk_GENERAL_NAME_push(names, name);
  }
  X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
  GENERAL_NAMES_free(names);
}

int ChooseAlpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size, void*) {
  if (in_size < 1) return SSL_TLSEXT_ERR_NOACK;
  *out = in + 1;  // Whatever the client likes best.
  *size = in[0];
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::string Forge(const identity::Authority& issuer, const Forgery& forgery, const std::string& key_pem) {
  const CertPtr parent = ReadCert(issuer.certificate_pem);
  const KeyPtr key = ReadKey(key_pem), signing = ReadKey(issuer.key_pem);
  const CertPtr leaf = Blank(forgery.common_name, parent.get(), key.get(), forgery.not_before, forgery.not_after);
  AddSans(leaf.get(), forgery.sans);
  EXPECT_NE(X509_sign(leaf.get(), signing.get(), EVP_sha256()), 0);
  return Pem(leaf.get());
}

identity::Authority WeakIntermediate(const identity::Authority& root, const std::string& trust_domain) {
  identity::Authority made;
  made.key_pem = *identity::NewKey();
  const CertPtr parent = ReadCert(root.certificate_pem);
  const KeyPtr key = ReadKey(made.key_pem), signing = ReadKey(root.key_pem);
  const CertPtr own =
      Blank(trust_domain, parent.get(), key.get(), std::chrono::seconds(-3600), std::chrono::seconds(3600));
  Extend(own.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  Extend(own.get(), NID_key_usage, "critical,keyCertSign,digitalSignature");
  Extend(own.get(), NID_name_constraints,
         "critical,permitted;URI:" + trust_domain + ",permitted;DNS:" + trust_domain +
             ",permitted;DNS:svc,permitted;DNS:cluster.local,excluded;IP:0.0.0.0/0.0.0.0");
  EXPECT_NE(X509_sign(own.get(), signing.get(), EVP_sha256()), 0);
  made.certificate_pem = Pem(own.get());
  return made;
}

Thief::Thief(std::string chain_pem, std::string key_pem)
    : chain_pem_(std::move(chain_pem)), key_pem_(std::move(key_pem)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(listen(listener_, 16), 0);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

Thief::~Thief() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    if (open_ >= 0) shutdown(open_, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

bool Thief::WaitForOne() {
  MutexLock lock(mutex_);
  return changed_.WaitRealTime(mutex_, std::chrono::seconds(10), [&]() WEIR_REQUIRES(mutex_) { return ended_ > 0; });
}

std::string Thief::Heard() {
  MutexLock lock(mutex_);
  return heard_;
}

void Thief::Run() {
  sigset_t broken_pipe;  // A client that hangs up in the middle of the handshake. Only this thread does not mind.
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    {
      MutexLock lock(mutex_);
      if (!stopped_) open_ = fd;
    }
    Serve(fd);
    MutexLock lock(mutex_);
    open_ = -1;
    close(fd);
    ++ended_;
    changed_.NotifyAll();
  }
}

void Thief::Serve(int fd) {
  const timeval limit{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const ContextPtr context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseAlpn, nullptr);
  // Whoever wants to show who he is may do so.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  const BioPtr chain = Bio(chain_pem_);
  const CertPtr leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context.get(), leaf.get());
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(context.get(), next);
  }
  SSL_CTX_use_PrivateKey(context.get(), ReadKey(key_pem_).get());
  const SslPtr ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  if (SSL_accept(ssl.get()) != 1) return;
  char buffer[16384];
  const int got = SSL_read(ssl.get(), buffer, sizeof(buffer));
  if (got <= 0) return;
  MutexLock lock(mutex_);
  heard_.append(buffer, static_cast<size_t>(got));
}

}  // namespace weir::thief
