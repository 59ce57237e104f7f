#pragma once

#include "cluster-agent/link/membership.h"
#include "libs/translate/xds/translator.h"
#include "libs/xds/protocol/types.h"

namespace weir::agent {

// The secret by which a stock Envoy gets its own certificate and key.
xds::ResourcePtr IdentitySecret(const Leaf& leaf);

// What a node sees, with its identity where it has it from here (else null). Shares every type that did not change with
// the snapshot before; nullptr when nothing changed at all.
xds::SnapshotPtr NextSnapshot(const translate::NodeConfig& config, const xds::ResourcePtr& identity,
                              const xds::Snapshot* before);

}  // namespace weir::agent
