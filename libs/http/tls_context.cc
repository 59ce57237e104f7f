#include "libs/http/tls_context.h"

#include <openssl/ssl.h>

namespace weir::http {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

int ChooseHttp1(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in, unsigned in_length,
                void*) {
  static const unsigned char kHttp1[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kHttp1, sizeof kHttp1 - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Result<std::shared_ptr<SslContext>> MakeContext(const std::string& chain, const std::string& key) {
  auto context = std::make_shared<SslContext>(SslContext::tls_server);
  ErrorCode error;
  context->use_certificate_chain(asio::buffer(chain), error);
  if (error) return InvalidArgument("BAD_CERTIFICATE", "certificate chain: {}", error.message());
  context->use_private_key(asio::buffer(key), SslContext::pem, error);
  if (error) return InvalidArgument("BAD_CERTIFICATE", "private key: {}", error.message());
  SSL_CTX* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(raw, ChooseHttp1, nullptr);
  return context;
}

}  // namespace weir::http
