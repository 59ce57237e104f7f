#include "mgmt-server/services/described_files.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/status_code_enum.h>

#include <algorithm>
#include <set>

#include "api/grpc/reflection/v1/reflection.pb.h"

namespace weir::services {

namespace reflection = grpc::reflection::v1;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

namespace {

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

void SetNotFound(reflection::ServerReflectionResponse& answer) {
  answer.mutable_error_response()->set_error_code(static_cast<int>(grpc::StatusCode::NOT_FOUND));
  answer.mutable_error_response()->set_error_message("no such thing is described here");
}

}  // namespace

DescribedFiles::DescribedFiles(const std::vector<const google::protobuf::ServiceDescriptor*>& services,
                               const std::vector<const FileDescriptor*>& beside) {
  for (const auto* service : services) {
    services_.push_back(service->full_name());
    Add(*service->file());
  }
  for (const FileDescriptor* file : beside) Add(*file);
  std::sort(services_.begin(), services_.end());
}

void DescribedFiles::Add(const FileDescriptor& file) {
  if (files_.contains(&file)) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  files_[&file] = proto.SerializeAsString();
  for (int i = 0; i < file.dependency_count(); ++i) Add(*file.dependency(i));
}

reflection::ServerReflectionResponse DescribedFiles::Answer(const reflection::ServerReflectionRequest& request) const {
  reflection::ServerReflectionResponse answer;
  answer.set_valid_host(request.host());
  *answer.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case reflection::ServerReflectionRequest::kListServices:
      for (const std::string& name : services_) answer.mutable_list_services_response()->add_service()->set_name(name);
      break;
    case reflection::ServerReflectionRequest::kFileByFilename:
      AnswerFile(Pool().FindFileByName(request.file_by_filename()), answer);
      break;
    case reflection::ServerReflectionRequest::kFileContainingSymbol:
      AnswerFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()), answer);
      break;
    case reflection::ServerReflectionRequest::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const auto* type = FindType(wanted.containing_type());
      const FieldDescriptor* extension =
          type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, wanted.extension_number());
      AnswerFile(extension == nullptr ? nullptr : extension->file(), answer);
      break;
    }
    case reflection::ServerReflectionRequest::kAllExtensionNumbersOfType:
      AnswerExtensions(request.all_extension_numbers_of_type(), answer);
      break;
    case reflection::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      answer.mutable_error_response()->set_error_code(static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
      answer.mutable_error_response()->set_error_message("the request asks nothing that is known here");
      break;
  }
  return answer;
}

const google::protobuf::Descriptor* DescribedFiles::FindType(const std::string& name) const {
  const auto* type = Pool().FindMessageTypeByName(name);
  return type != nullptr && files_.contains(type->file()) ? type : nullptr;
}

void DescribedFiles::AnswerFile(const FileDescriptor* file, reflection::ServerReflectionResponse& answer) const {
  if (file == nullptr || !files_.contains(file)) return SetNotFound(answer);
  std::vector<const FileDescriptor*> wanted{file};
  std::set<const FileDescriptor*> seen{file};
  for (size_t i = 0; i < wanted.size(); ++i) {
    answer.mutable_file_descriptor_response()->add_file_descriptor_proto(files_.at(wanted[i]));
    const FileDescriptor* told = wanted[i];
    for (int j = 0; j < told->dependency_count(); ++j) {
      if (seen.insert(told->dependency(j)).second) wanted.push_back(told->dependency(j));
    }
  }
}

void DescribedFiles::AnswerExtensions(const std::string& type, reflection::ServerReflectionResponse& answer) const {
  const auto* descriptor = FindType(type);
  if (descriptor == nullptr) return SetNotFound(answer);
  auto* told = answer.mutable_all_extension_numbers_response();
  told->set_base_type_name(type);
  std::vector<const FieldDescriptor*> extensions;
  Pool().FindAllExtensions(descriptor, &extensions);
  for (const FieldDescriptor* extension : extensions) {
    if (files_.contains(extension->file())) told->add_extension_number(extension->number());
  }
}

}  // namespace weir::services
