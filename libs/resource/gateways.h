#pragma once

#include <memory>
#include <string>

#include "api/weir/v2/gateway.pb.h"

// Gateway objects of every kind in the one form that all of Weir reads: that of a Gateway. What a Tier1Gateway says is
// said there by rules that go to clusters.
namespace weir::resource {

struct GatewayForm {
  std::shared_ptr<const v2::Gateway> gateway;  // nullptr = the kind is no gateway.
  // Where its servers stand in the object as it was written, in the same order: "spec.externalServers".
  std::string servers;

  // "spec.externalServers[0].hostname"
  std::string Field(int server, std::string_view name) const;
};
// A Gateway itself is shared, not copied.
GatewayForm FormOf(const std::shared_ptr<const google::protobuf::Message>& resource);

bool GoesToClusters(const v2::HttpServer& server);  // A rule of it does.
bool GoesToServices(const v2::HttpServer& server);
// One server that goes to clusters makes all of the object tier 1.
bool IsTier1(const v2::Gateway& gateway);

}  // namespace weir::resource
