#pragma once

#include <memory>
#include <string>

#include "api/weir/v2/gateway.pb.h"

// Gateway objects of every kind in the one form that all of Weir reads: that of a Gateway. What a Tier1Gateway says is
// said there by rules that go to clusters.
namespace weir::resource {

struct KindRules;

struct GatewayForm {
  std::shared_ptr<const v2::Gateway> gateway;  // nullptr = the kind is no gateway.
  // Of the object itself, as it was written: how it calls its servers, in the same order, and what is below one.
  const KindRules* rules = nullptr;

  // "spec.externalServers[0].hostname"; of the server itself without a name.
  std::string Field(int server, std::string_view name = {}) const;
  std::string RuleOf(int server, int rule) const;
  std::string ClustersOf(int server, int rule) const;
  std::string ServiceOf(int server, int rule) const;
};
// A Gateway itself is shared, not copied.
GatewayForm FormOf(const std::shared_ptr<const google::protobuf::Message>& resource);

bool GoesToClusters(const v2::HttpServer& server);  // A rule of it does.
bool GoesToServices(const v2::HttpServer& server);
// One server that goes to clusters makes all of the object tier 1.
bool IsTier1(const v2::Gateway& gateway);

}  // namespace weir::resource
