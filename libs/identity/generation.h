#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.h"

struct stack_st_X509;
struct x509_st;

namespace weir::identity {

// Which cluster a certificate comes from, whatever its name: the uid of the stored cluster, and which of its
// memberships. The mesh root writes both into a cluster's intermediate (kGenerationOid); what the cluster signs itself
// can say nothing about it.
struct ClusterGeneration {
  std::string uid;          // 1 to 64 of [0-9a-z-].
  uint64_t generation = 0;  // From 1: a join or a revocation raises it, a renewal keeps it.

  bool operator==(const ClusterGeneration&) const = default;
};

// Non-critical extension, so that stock verifiers accept the certificate: its value is a DER UTF8String
// "<uid> <generation>". The arc is a UUID's (ITU-T X.667), so nobody else's.
inline constexpr char kGenerationOid[] = "2.25.147696107625034929993297040658723261971";

// "<uid> <generation>"; nullopt = malformed.
std::optional<ClusterGeneration> ParseGeneration(std::string_view text);
// Nullopt: it carries none, or more than one, or one that is malformed.
std::optional<ClusterGeneration> ReadGeneration(const x509_st* certificate);
// Of the certificate that the anchor signed itself, in a chain that has been verified: leaf first, anchor last. Nullopt
// also for a leaf right under the anchor.
std::optional<ClusterGeneration> GenerationOfVerified(const stack_st_X509* chain);
// INVALID_ARGUMENT GENERATION_MALFORMED.
Status AddGeneration(x509_st* certificate, const ClusterGeneration& cluster);

// Which clusters of an organization may still speak: the lowest generation that counts, by uid. A uid that is not
// listed was deleted, or is another organization's.
struct ValidGenerations {
  std::map<std::string, uint64_t, std::less<>> lowest;
  std::chrono::seconds expired_grace{0};  // A leaf that ran out at most so long ago is believed all the same.

  bool Admits(const std::optional<ClusterGeneration>& cluster) const;
  bool Forgives(const x509_st* expired_leaf) const;  // It ran out within the grace.
  bool operator==(const ValidGenerations&) const = default;
};

}  // namespace weir::identity
