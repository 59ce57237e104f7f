#pragma once

#include <map>
#include <string>
#include <vector>

namespace google::protobuf {
class Descriptor;
class FileDescriptor;
class ServiceDescriptor;
}  // namespace google::protobuf
namespace grpc::reflection::v1 {
class ServerReflectionRequest;
class ServerReflectionResponse;
}  // namespace grpc::reflection::v1

namespace weir::services {

// What reflection tells: the files of some services and all that these import, of whatever else is linked in nothing.
// Never changes.
class DescribedFiles {
 public:
  // `beside`: files that no service imports, such as those of error details.
  DescribedFiles(const std::vector<const google::protobuf::ServiceDescriptor*>& services,
                 const std::vector<const google::protobuf::FileDescriptor*>& beside);

  grpc::reflection::v1::ServerReflectionResponse Answer(
      const grpc::reflection::v1::ServerReflectionRequest& request) const;

 private:
  void Add(const google::protobuf::FileDescriptor& file);
  const google::protobuf::Descriptor* FindType(const std::string& name) const;
  // nullptr and a file that is not told are the same: NOT_FOUND.
  void AnswerFile(const google::protobuf::FileDescriptor* file,
                  grpc::reflection::v1::ServerReflectionResponse& answer) const;
  void AnswerExtensions(const std::string& type, grpc::reflection::v1::ServerReflectionResponse& answer) const;

  std::map<const google::protobuf::FileDescriptor*, std::string> files_;  // Each as FileDescriptorProto.
  std::vector<std::string> services_;
};

}  // namespace weir::services
