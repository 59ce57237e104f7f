#include "libs/identity/name_constraints.h"

#include <string_view>

namespace weir::identity {
namespace {

using ConstraintsPtr = std::unique_ptr<NAME_CONSTRAINTS, Freer<NAME_CONSTRAINTS_free>>;
using NamePtr = std::unique_ptr<GENERAL_NAME, Freer<GENERAL_NAME_free>>;
using SubtreePtr = std::unique_ptr<GENERAL_SUBTREE, Freer<GENERAL_SUBTREE_free>>;

// There is no form that means every e-mail address in all verifiers. What names of a kind must match is the permitted
// list, and what stands in both lists is excluded: so not even this one is left.
constexpr std::string_view kNobody = "nobody@invalid";

bool Add(STACK_OF(GENERAL_SUBTREE) * *list, NamePtr name) {
  if (name == nullptr) return false;
  if (*list == nullptr) *list = sk_GENERAL_SUBTREE_new_null();
  SubtreePtr subtree(GENERAL_SUBTREE_new());
  if (*list == nullptr || subtree == nullptr) return false;
  GENERAL_NAME_free(subtree->base);
  subtree->base = name.release();
  if (sk_GENERAL_SUBTREE_push(*list, subtree.get()) == 0) return false;
  static_cast<void>(subtree.release());
  return true;
}

NamePtr Text(int type, std::string_view value) {
  NamePtr name(GENERAL_NAME_new());
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  if (name == nullptr || text == nullptr || ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) != 1) {
    ASN1_IA5STRING_free(text);
    return nullptr;
  }
  GENERAL_NAME_set0_value(name.get(), type, text);
  return name;
}

NamePtr EveryAddress(int bytes) {  // Address and mask, all zero.
  NamePtr name(GENERAL_NAME_new());
  ASN1_OCTET_STRING* range = ASN1_OCTET_STRING_new();
  const std::string zeros(static_cast<size_t>(bytes) * 2, '\0');
  if (name == nullptr || range == nullptr ||
      ASN1_OCTET_STRING_set(range, reinterpret_cast<const unsigned char*>(zeros.data()), bytes * 2) != 1) {
    ASN1_OCTET_STRING_free(range);
    return nullptr;
  }
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, range);
  return name;
}

NamePtr EveryDirectoryName() {  // The empty one begins all others.
  NamePtr name(GENERAL_NAME_new());
  X509_NAME* empty = X509_NAME_new();
  if (name == nullptr || empty == nullptr) {
    X509_NAME_free(empty);
    return nullptr;
  }
  GENERAL_NAME_set0_value(name.get(), GEN_DIRNAME, empty);
  return name;
}

}  // namespace

Status ConstrainNames(X509* intermediate, const std::string& trust_domain) {
  const ConstraintsPtr constraints(NAME_CONSTRAINTS_new());
  const bool made = constraints != nullptr &&
                    // A URI without a leading dot means this host alone, a DNS name also what is below it.
                    Add(&constraints->permittedSubtrees, Text(GEN_URI, trust_domain)) &&
                    Add(&constraints->permittedSubtrees, Text(GEN_DNS, trust_domain)) &&
                    Add(&constraints->permittedSubtrees, Text(GEN_EMAIL, kNobody)) &&
                    Add(&constraints->excludedSubtrees, Text(GEN_EMAIL, kNobody)) &&
                    Add(&constraints->excludedSubtrees, EveryDirectoryName()) &&
                    Add(&constraints->excludedSubtrees, EveryAddress(4)) &&
                    Add(&constraints->excludedSubtrees, EveryAddress(16));
  if (!made || X509_add1_ext_i2d(intermediate, NID_name_constraints, constraints.get(), 1, X509V3_ADD_DEFAULT) != 1) {
    return Internal("OPENSSL", "could not constrain the names of {}", trust_domain).WithCause(OpensslReason());
  }
  return {};
}

}  // namespace weir::identity
