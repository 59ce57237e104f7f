// A protoc plugin: for each message with the option weir.v2.kind the service that every kind has, as a .proto file of
// its own, and one C++ file that knows them all.
#include <google/protobuf/compiler/code_generator.h>
#include <google/protobuf/compiler/plugin.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/printer.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <cctype>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/weir/v2/kind.pb.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::compiler::GeneratorContext;
using google::protobuf::io::Printer;
using Variables = std::map<std::string, std::string>;

// "Tier1Gateway" -> "tier1_gateway"
std::string Snake(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool upper = std::isupper(static_cast<unsigned char>(c)) != 0;
    if (upper && !out.empty()) out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

const weir::v2::Kind& KindOf(const Descriptor& message) { return message.options().GetExtension(weir::v2::kind); }

// "organizations/*/tenants/*" of Tenant.
std::string Pattern(const Descriptor& message) {
  const weir::v2::Kind& kind = KindOf(message);
  std::string above;
  if (!kind.parent().empty()) {
    above = Pattern(*message.file()->pool()->FindMessageTypeByName("weir.v2." + kind.parent())) + "/";
  }
  return above + kind.collection() + "/*";
}

Variables VariablesOf(const Descriptor& message) {
  const weir::v2::Kind& kind = KindOf(message);
  const std::string pattern = Pattern(message);
  const std::string parent =
      kind.parent().empty() ? "" : pattern.substr(0, pattern.size() - kind.collection().size() - 3);
  return {{"file", message.file()->name()},  {"K", message.name()},
          {"k", Snake(message.name())},      {"pattern", pattern},
          {"collection", kind.collection()}, {"parent_path", parent.empty() ? "" : "{parent=" + parent + "}/"}};
}

constexpr char kService[] = R"(// Made from $file$ by api/generator.
syntax = "proto3";
package weir.v2;

import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/timestamp.proto";
import "api/weir/v2/kind.proto";
import "$file$";

service $K$s {
  // ALREADY_EXISTS RESOURCE_EXISTS; NOT_FOUND PARENT_MISSING; INVALID_ARGUMENT INVALID_RESOURCE names every field.
  rpc Create$K$(Create$K$Request) returns ($K$) {
    option (google.api.http) = {post: "/v2/$parent_path$$collection$" body: "$k$"};
    option (weir.v2.right) = CREATE;
  }
  // NOT_FOUND RESOURCE_MISSING, also where the caller may not read it.
  rpc Get$K$(Get$K$Request) returns ($K$) {
    option (google.api.http) = {get: "/v2/{fqn=$pattern$}"};
    option (weir.v2.right) = READ;
  }
  // Only what the caller may read.
  rpc List$K$s(List$K$sRequest) returns (List$K$sResponse) {
    option (google.api.http) = {get: "/v2/$parent_path$$collection$"};
    option (weir.v2.right) = READ;
  }
  // Replaces metadata (labels, annotations, texts) and spec. ABORTED ETAG_MISMATCH when the etag is not the stored one.
  rpc Update$K$(Update$K$Request) returns ($K$) {
    option (google.api.http) = {put: "/v2/{fqn=$pattern$}" body: "$k$"};
    option (weir.v2.right) = WRITE;
  }
  // FAILED_PRECONDITION HAS_CHILDREN while children exist, unless cascade; DELETION_PROTECTED while it or what is below
  // it says metadata.deletionProtection.
  rpc Delete$K$(Delete$K$Request) returns (google.protobuf.Empty) {
    option (google.api.http) = {delete: "/v2/{fqn=$pattern$}"};
    option (weir.v2.right) = DELETE;
  }
}

message Create$K$Request {
$parent_field$  $K$ $k$ = 2;
  // Everything is checked and answered as if it was done, and nothing is stored.
  bool dry_run = 3;
}
message Get$K$Request {
  string fqn = 1;
  // As it was: at a revision or at a time, one of the two. Seen by the rights of today (history.proto says how). OUT_OF_RANGE
  // REVISION_UNKNOWN: later than the last revision, or older than what is kept.
  int64 as_of_revision = 2;
  google.protobuf.Timestamp as_of_time = 3;
}
message List$K$sRequest {
$parents_field$  // 1 to 1000; default 100.
  int32 page_size = 2;
  // From the previous answer to the same question; "" = from the start. INVALID_ARGUMENT BAD_PAGE_TOKEN.
  string page_token = 3;
  // Only what is called so; "" = all.
  string name = 4;
  // A subset of AIP-160: comparisons like `metadata.labels.team = a`, `spec.locality.region != eu`,
  // `metadata.createTime > "2026-01-31T00:00:00Z"`, `metadata.labels:team` (has), joined with AND, OR, NOT and parentheses;
  // fields as in documents. At most 4096 bytes and 64 comparisons. "" = all. INVALID_ARGUMENT BAD_FILTER.
  string filter = 5;
  // "metadata.updateTime desc, metadata.name": at most 4 fields; "" = by FQN. INVALID_ARGUMENT BAD_ORDER.
  string order_by = 6;
  // What is answered of each: "metadata.name,spec.locality". "" = all. metadata.fqn always is. INVALID_ARGUMENT
  // BAD_FIELD_MASK.
  string field_mask = 7;
  // As it was, as in Get$K$Request.
  int64 as_of_revision = 8;
  google.protobuf.Timestamp as_of_time = 9;
}
message List$K$sResponse {
  repeated $K$ items = 1;
  // "" = that was all.
  string next_page_token = 2;
}
message Update$K$Request {
  string fqn = 1;
  // metadata.resource_version is the etag; If-Match does the same.
  $K$ $k$ = 2;
  // Everything is checked and answered as if it was done, and nothing is stored.
  bool dry_run = 3;
}
message Delete$K$Request {
  string fqn = 1;
  // Delete everything below too.
  bool cascade = 2;
  // "" = whatever is stored.
  string resource_version = 3;
  // Everything is checked and answered as if it was done, and nothing is stored.
  bool dry_run = 4;
}
)";

constexpr char kParent[] = R"(  // FQN of the parent.
  string parent = 1;
)";
constexpr char kParents[] =
    R"(  // FQN of the parent. "-" for a name stands for all that the caller may read: organizations/o/tenants/-/workspaces/w.
  string parent = 1;
)";

void Write(GeneratorContext* context, const std::string& name, const Variables& variables, const char* text) {
  const std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> stream(context->Open(name));
  Printer printer(stream.get(), '$');
  printer.Print(variables, text);
}

std::string Stem(const FileDescriptor& file) { return file.name().substr(0, file.name().size() - 6); }

constexpr char kHeader[] = R"(// Made by api/generator.
#pragma once

#include <string_view>

namespace google::protobuf {
class ServiceDescriptor;
}

namespace weir::v2 {

// The service of a kind ("Tenant": weir.v2.Tenants), whose five methods are Create, Get, List, Update and Delete in this
// order; nullptr = no such kind, or its service is written by hand.
const google::protobuf::ServiceDescriptor* KindService(std::string_view kind);

}  // namespace weir::v2
)";
constexpr char kSource[] = R"(// Made by api/generator.
#include "api/weir/v2/kind_services.h"

#include <google/protobuf/descriptor.h>

$includes$
namespace weir::v2 {

const google::protobuf::ServiceDescriptor* KindService(std::string_view kind) {
$cases$  return nullptr;
}

}  // namespace weir::v2
)";

class KindServices : public google::protobuf::compiler::CodeGenerator {
 public:
  uint64_t GetSupportedFeatures() const override { return FEATURE_PROTO3_OPTIONAL; }
  bool Generate(const FileDescriptor*, const std::string&, GeneratorContext*, std::string*) const override {
    return true;  // GenerateAll does it.
  }
  bool GenerateAll(const std::vector<const FileDescriptor*>& files, const std::string&, GeneratorContext* context,
                   std::string* error) const override {
    std::string includes, cases;
    for (const FileDescriptor* file : files) {
      for (int i = 0; i < file->message_type_count(); ++i) {
        const Descriptor& message = *file->message_type(i);
        const weir::v2::Kind& kind = KindOf(message);
        if (kind.collection().empty() || kind.own_service()) continue;
        if (!kind.parent().empty() && file->pool()->FindMessageTypeByName("weir.v2." + kind.parent()) == nullptr) {
          *error = message.name() + ": there is no kind " + kind.parent();
          return false;
        }
        Variables variables = VariablesOf(message);
        variables["parent_field"] = kind.parent().empty() ? "" : kParent;
        variables["parents_field"] = kind.parent().empty() ? "" : kParents;
        Write(context, Stem(*file) + "_service.proto", variables, kService);
        includes += "#include \"" + Stem(*file) + "_service.pb.h\"\n";
        cases += "  if (kind == \"" + message.name() + "\") return List" + message.name() +
                 "sRequest::descriptor()->file()->service(0);\n";
      }
    }
    Write(context, "api/weir/v2/kind_services.h", {}, kHeader);
    Write(context, "api/weir/v2/kind_services.cc", {{"includes", includes}, {"cases", cases}}, kSource);
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) {
  const KindServices generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
