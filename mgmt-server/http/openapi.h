#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class ServiceDescriptor;
}
namespace weir::services {
class MethodTable;
}

namespace weir::edge {

class Comments;

// The OpenAPI 3.1 document of the REST door, made from the descriptors: paths from the google.api.http annotations,
// schemas in the dialect of libs/document, descriptions from the comments. `methods` says which calls ask for no token.
std::string OpenApi(const std::vector<const google::protobuf::ServiceDescriptor*>& services,
                    const services::MethodTable& methods, const Comments& comments, std::string_view version);

}  // namespace weir::edge
