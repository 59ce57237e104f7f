#pragma once

#include <string>
#include <vector>

#include "api/weir/v2/history.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/writes.h"

namespace google::protobuf {
class Message;
}

namespace weir::services {

// What a person set differently in two resources of one kind, by field, with both values as JSON; null = not there.
std::vector<v2::FieldDifference> FieldDifferences(const google::protobuf::Message* from,
                                                  const google::protobuf::Message* to);
// Of a resource what a person sets, and nothing that the server or the time adds.
Result<MessagePtr> Settled(const store::StoredResource& resource);
// As `weir apply` takes it: apiVersion, kind, metadata and spec, without what only the server sets. YAML.
std::string DocumentText(const google::protobuf::Message& resource);

}  // namespace weir::services
