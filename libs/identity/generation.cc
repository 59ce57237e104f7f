#include "libs/identity/generation.h"

#include <openssl/asn1.h>

#include <algorithm>
#include <charconv>

#include "libs/identity/openssl.h"

namespace weir::identity {
namespace {

using ObjectPtr = std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>>;
using Utf8Ptr = std::unique_ptr<ASN1_UTF8STRING, Freer<ASN1_UTF8STRING_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>>;

const ASN1_OBJECT* Oid() {
  static const ObjectPtr oid(OBJ_txt2obj(kGenerationOid, 1));
  return oid.get();
}

bool IsUid(std::string_view uid) {
  return !uid.empty() && uid.size() <= 64 && std::all_of(uid.begin(), uid.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

std::optional<ClusterGeneration> ParseGeneration(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || !IsUid(text.substr(0, space))) return std::nullopt;
  const std::string_view number = text.substr(space + 1);
  ClusterGeneration cluster{std::string(text.substr(0, space)), 0};
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), cluster.generation);
  if (error != std::errc() || std::to_string(cluster.generation) != number || cluster.generation == 0) {
    return std::nullopt;
  }
  return cluster;
}

std::optional<ClusterGeneration> ReadGeneration(const x509_st* certificate) {
  const int at = X509_get_ext_by_OBJ(certificate, Oid(), -1);
  if (at < 0 || X509_get_ext_by_OBJ(certificate, Oid(), at) >= 0) return std::nullopt;
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
  const unsigned char* der = ASN1_STRING_get0_data(value);
  const int size = ASN1_STRING_length(value);
  const unsigned char* read = der;
  const Utf8Ptr text(d2i_ASN1_UTF8STRING(nullptr, &read, size));
  if (text == nullptr || read != der + size) {
    OpensslReason();
    return std::nullopt;
  }
  return ParseGeneration({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text.get())),
                          static_cast<size_t>(ASN1_STRING_length(text.get()))});
}

std::optional<ClusterGeneration> GenerationOfVerified(const stack_st_X509* chain) {
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  return count < 3 ? std::nullopt : ReadGeneration(sk_X509_value(chain, count - 2));
}

Status AddGeneration(x509_st* certificate, const ClusterGeneration& cluster) {
  const std::string value = fmt::format("{} {}", cluster.uid, cluster.generation);
  if (!ParseGeneration(value)) {
    return InvalidArgument("GENERATION_MALFORMED", "\"{}\" is not a cluster's uid and generation",
                           value.substr(0, 128));
  }
  const Utf8Ptr text(ASN1_UTF8STRING_new());
  const OctetsPtr octets(ASN1_OCTET_STRING_new());
  unsigned char* der = nullptr;
  ASN1_STRING_set(text.get(), value.data(), static_cast<int>(value.size()));
  const int size = i2d_ASN1_UTF8STRING(text.get(), &der);
  if (size > 0) ASN1_OCTET_STRING_set(octets.get(), der, size);
  OPENSSL_free(der);
  const ExtensionPtr extension(X509_EXTENSION_create_by_OBJ(nullptr, Oid(), 0, octets.get()));
  if (size <= 0 || extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Internal("OPENSSL", "could not add the generation").WithCause(OpensslReason());
  }
  return {};
}

bool ValidGenerations::Forgives(const x509_st* expired_leaf) const {
  int days = 0, seconds = 0;  // Until now.
  if (expired_grace.count() <= 0) return false;
  if (ASN1_TIME_diff(&days, &seconds, X509_get0_notAfter(expired_leaf), nullptr) != 1) return false;
  return std::chrono::seconds(days * 86'400LL + seconds) <= expired_grace;
}

bool ValidGenerations::Admits(const std::optional<ClusterGeneration>& cluster) const {
  if (!cluster) return false;
  const auto found = lowest.find(cluster->uid);
  return found != lowest.end() && cluster->generation >= found->second;
}

}  // namespace weir::identity
