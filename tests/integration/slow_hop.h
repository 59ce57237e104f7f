#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/server_stream.h"

namespace weir {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

// One hop: the server's stream, and a client that takes and answers when it is told to.
class Hop {
 public:
  using Has = std::map<std::string, std::map<std::string, xds::ResourcePtr>>;  // Type URL, name.

  Hop(xds::ServerRules rules, const Clock& clock, xds::ServerStream::Observer observer)
      : stream_(std::make_shared<xds::ServerRules>(rules), clock, std::move(observer)) {
    for (const auto& type : rules.types) {
      DeltaDiscoveryRequest request;
      request.mutable_node()->set_id("n");
      request.set_type_url(type.url);
      request.add_resource_names_subscribe("*");
      EXPECT_TRUE(stream_.OnRequest(request).ok());
    }
  }
  void Set(xds::SnapshotPtr snapshot) { stream_.SetSnapshot(std::move(snapshot)); }
  // Each of these: false = there was nothing to do.
  bool Send() {
    DeltaDiscoveryResponse response;
    if (!stream_.Next(&response)) return false;
    sent_.push_back(std::move(response));
    return true;
  }
  // `refuse`: all of it, as a receiver does that cannot serve it; it goes on with what it has.
  bool Take(bool refuse) {
    if (sent_.empty()) return false;
    const DeltaDiscoveryResponse& response = sent_.front();
    if (refuse) {
      DeltaDiscoveryRequest answer;
      answer.set_type_url(response.type_url());
      answer.set_response_nonce(response.nonce());
      answer.mutable_error_detail()->set_code(3);
      answer.mutable_error_detail()->set_message("as chance will have it");
      answers_.push_back(std::move(answer));
      sent_.pop_front();
      ++refused_;
      return true;
    }
    auto& has = has_[response.type_url()];
    for (const auto& from : response.resources()) {
      auto resource = std::make_shared<xds::Resource>();
      resource->name = from.name();
      resource->version = from.version();
      resource->value = from.resource().value();
      has[from.name()] = std::move(resource);
    }
    for (const auto& name : response.removed_resources()) has.erase(name);
    DeltaDiscoveryRequest answer;
    answer.set_type_url(response.type_url());
    answer.set_response_nonce(response.nonce());
    answers_.push_back(std::move(answer));
    sent_.pop_front();
    return true;
  }
  bool Answer() {
    if (answers_.empty()) return false;
    EXPECT_TRUE(stream_.OnRequest(answers_.front()).ok());
    answers_.pop_front();
    return true;
  }
  const Has& has() const { return has_; }
  uint64_t refused() const { return refused_; }

 private:
  xds::ServerStream stream_;
  std::deque<DeltaDiscoveryResponse> sent_;
  std::deque<DeltaDiscoveryRequest> answers_;
  Has has_;
  uint64_t refused_ = 0;
};

}  // namespace weir
