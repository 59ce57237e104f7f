#include "mgmt-server/store/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace weir::store {

std::string Sha256(std::string_view bytes) {
  std::string digest(32, '\0');
  unsigned int size = 0;
  // Fails only without memory or without the algorithm; nothing sensible can go on then.
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha256(),
                 nullptr) != 1 ||
      size != digest.size()) {
    std::abort();
  }
  return digest;
}

}  // namespace weir::store
