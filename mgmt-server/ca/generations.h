#pragma once

#include <cstdint>

#include "libs/base/result.h"
#include "libs/identity/generation.h"
#include "mgmt-server/store/store.h"

// The generation of a cluster's membership, kept with the cluster (state.generation): the lowest that still counts. A
// cluster that is deleted takes it along; one that is created again under the name has another uid.
namespace weir::ca {

uint64_t GenerationOf(const store::StoredResource& cluster);
// Stores it; the caller asks for permission and keeps the audit. Returns the new version of the cluster. `revoked`:
// nobody has this generation until somebody joins.
Result<store::ResourcePtr> SetGeneration(store::Txn& txn, const store::StoredResource& cluster, uint64_t generation,
                                         bool revoked = false);
bool IsRevoked(const store::StoredResource& cluster);

// The cluster that `peer` is of, if its generation still counts. PERMISSION_DENIED CLUSTER_UNKNOWN (there is no such
// uid: the cluster was deleted), MEMBERSHIP_ENDED (a later join or a revocation ended it).
Result<store::ResourcePtr> ClusterOf(const store::View& view, const identity::ClusterGeneration& peer);

}  // namespace weir::ca
