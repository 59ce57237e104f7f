#include "libs/identity/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include <array>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "libs/identity/certificates.h"

namespace weir::identity {
namespace {

constexpr std::string_view kPrefix = "weir-join-1.";
constexpr std::string_view kRejoinPrefix = "weir-rejoin-1.";
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool IsHex64(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) text += kAlphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) text += kAlphabet[(bits << (6 - count)) & 63];
  return text;
}

Result<std::string> FromBase64Url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return InvalidArgument("BASE64_MALFORMED", "not base64url text");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>((bits >> count) & 255);
    }
  }
  // A whole last byte and zero bits after it: one text per value.
  if (count >= 6 || (bits & ((1u << count) - 1)) != 0) {
    return InvalidArgument("BASE64_MALFORMED", "not base64url text");
  }
  return bytes;
}

JoinToken JoinToken::New(std::string cluster_fqn, std::string anchor_sha256) {
  return {RandomHex(32), std::move(cluster_fqn), std::move(anchor_sha256), false};
}

std::string JoinToken::ToText() const {
  return std::string(rejoin ? kRejoinPrefix : kPrefix) + Base64Url(secret + "\n" + anchor_sha256 + "\n" + cluster_fqn);
}

Result<JoinToken> JoinToken::Parse(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const Error malformed = InvalidArgument("JOIN_TOKEN_MALFORMED", "not a join token; ask the server for a new one");
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos || text.size() > 4096) return malformed;
  text = text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
  const bool rejoin = text.starts_with(kRejoinPrefix);
  if (!rejoin && !text.starts_with(kPrefix)) return malformed;
  const Result<std::string> body = FromBase64Url(text.substr(rejoin ? kRejoinPrefix.size() : kPrefix.size()));
  if (!body.ok() || body->size() < 131 || (*body)[64] != '\n' || (*body)[129] != '\n') return malformed;
  JoinToken token{body->substr(0, 64), body->substr(130), body->substr(65, 64), rejoin};
  if (!IsHex64(token.secret) || !IsHex64(token.anchor_sha256) || token.cluster().empty()) return malformed;
  return token;
}

std::string JoinToken::cluster() const { return cluster_fqn.substr(cluster_fqn.rfind('/') + 1); }

std::string JoinToken::SecretHash() const { return Sha256Hex(secret); }

std::string NewWorkloadKey() { return RandomHex(32); }

std::string WorkloadToken(const std::string& key, std::string_view workload) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(workload.data()),
       workload.size(), out, &size);
  return ToHex({reinterpret_cast<const char*>(out), size});
}

Status WriteSecretFile(const std::string& path, std::string_view content) {
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) WEIR_TRY(MakeFolders(path.substr(0, slash), 0700));
  return WriteFileAtomic(path, content, 0600);
}

Result<std::string> ReadSecretFile(const std::string& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
    return FailedPrecondition("SECRET_FILE_OPEN", "{} can be read by others; run: chmod 600 {}", path, path);
  }
  return ReadFile(path, 1u << 20);
}

}  // namespace weir::identity
