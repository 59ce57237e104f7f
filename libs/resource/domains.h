#pragma once

#include <string>
#include <string_view>

namespace weir::resource {

// Clusters are trust domains "<cluster>.<organization's domain>", and a certificate that may speak for a DNS name may
// speak for all below it. So organizations' domains must not overlap: none is another or lies below another.
// Case does not tell names apart (RFC 4343).
bool DomainsOverlap(std::string_view one, std::string_view other);

// The name under which servers have their own identities; no organization may have it, or one below or above.
inline constexpr std::string_view kServersDomain = "weir-server";

}  // namespace weir::resource
