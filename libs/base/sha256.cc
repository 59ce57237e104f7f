#include "libs/base/sha256.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "libs/base/ids.h"

namespace weir {

std::string Sha256(std::string_view bytes) {
  // Looked up once: OpenSSL's one-call form looks for it among its providers each time, which takes longer than to hash
  // a token.
  static EVP_MD* const kind = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(digest.data());
  if (kind == nullptr || EVP_Digest(bytes.data(), bytes.size(), out, nullptr, kind, nullptr) != 1) {
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out);
  }
  return digest;
}

std::string Sha256Hex(std::string_view bytes) { return ToHex(Sha256(bytes)); }

}  // namespace weir
