#include "mgmt-server/services/page_tokens.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "libs/base/ids.h"

namespace weir::services {
namespace {

constexpr const char* kKeyName = "page-token-key";
constexpr size_t kKeyBytes = 32;
constexpr size_t kMacBytes = 16;
constexpr size_t kMaxToken = 4096;

std::string Mac(const std::string& key, const std::string& question, std::string_view last) {
  // The length keeps question and name apart.
  const std::string text = fmt::format("{}:{}{}", question.size(), question, last);
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out, &size);
  return {reinterpret_cast<const char*>(out), kMacBytes};
}

std::string FromHex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (text.size() % 2 != 0) return "";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return "";
    out.push_back(static_cast<char>(high * 16 + low));
  }
  return out;
}

}  // namespace

Result<std::string> PageTokens::Key() const {
  if (const std::string* key = store_.Read()->FindCaMaterial(kKeyName)) return *key;
  return store_.Write([](store::Txn& txn) -> Result<std::string> {
    if (const std::string* key = txn.view().FindCaMaterial(kKeyName)) return *key;
    std::string fresh = RandomBytes(kKeyBytes);
    WEIR_TRY(txn.PutCaMaterial(kKeyName, fresh));
    return fresh;
  });
}

Result<std::string> PageTokens::Make(const Question& question, std::string_view last) const {
  WEIR_ASSIGN(const std::string key, Key());
  return ToHex(Mac(key, question, last) + std::string(last));
}

Result<std::string> PageTokens::Open(const Question& question, std::string_view token) const {
  WEIR_ASSIGN(const std::string key, Key());
  const std::string bytes = token.size() <= kMaxToken ? FromHex(token) : "";
  if (bytes.size() > kMacBytes) {
    std::string last = bytes.substr(kMacBytes);
    if (ConstantTimeEquals(bytes.substr(0, kMacBytes), Mac(key, question, last))) return last;
  }
  Error error = InvalidArgument("BAD_PAGE_TOKEN", "this page token belongs to no page of this list");
  error.violations.push_back(
      {.field = "pageToken",
       .description = "must be the nextPageToken of the same question; leave it out to begin anew"});
  return error;
}

}  // namespace weir::services
