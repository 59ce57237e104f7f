// What a caller may write into a call, whatever the door: a text that is too long is refused before anything is done.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <set>

#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/http/routes.h"

namespace weir::edge {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

class TextSizes : public RestApi {
 protected:
  template <typename Fn>
  static void EachText(Fn fn) {
    for (const auto* service : PublicServices()) {
      for (int i = 0; i < service->method_count(); ++i) {
        const MethodDescriptor& method = *service->method(i);
        for (int k = 0; k < method.input_type()->field_count(); ++k) {
          const FieldDescriptor& field = *method.input_type()->field(k);
          if (field.type() == FieldDescriptor::TYPE_STRING && !field.is_repeated()) fn(method, field);
        }
      }
    }
  }
  Result<services::MessagePtr> Call(const MethodDescriptor& method, const FieldDescriptor& field, size_t size) {
    const services::MessagePtr request(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    request->GetReflection()->SetString(request.get(), &field, std::string(size, 'a'));
    services::CallContext call;
    call.token = admin_;
    return methods_->Call(method, call, *request);
  }
};

TEST_F(TextSizes, AreBoundedInEveryCall) {
  std::set<std::string> own;  // Have bounds of their own, and tests of these.
  size_t names = 0, hosts = 0;
  EachText([&](const MethodDescriptor& method, const FieldDescriptor& field) {
    if (field.name() == "documents" || field.name() == "path") {
      own.insert(field.full_name());
      return;
    }
    SCOPED_TRACE(method.full_name() + " " + field.name());
    const bool name = field.name() == "fqn" || field.name() == "parent" || field.name() == "from";
    const size_t most = name ? 1024 : field.name() == "host" ? 255 : 16 * 1024;
    names += name;
    hosts += field.name() == "host";
    const auto answer = Call(method, field, most + 1);
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().reason, "INVALID_REQUEST");
    ASSERT_EQ(answer.error().violations.size(), 1u);
    EXPECT_EQ(answer.error().violations[0].field, field.json_name());
    EXPECT_EQ(answer.error().violations[0].description, fmt::format("must be at most {} bytes", most));
  });
  EXPECT_GT(names, 50u);
  EXPECT_EQ(hosts, 4u);
  EXPECT_THAT(own, testing::ElementsAre("weir.v2.ApplyDocumentsRequest.documents", "weir.v2.ExplainRouteRequest.path",
                                        "weir.v2.PlanRequest.documents"));
}

TEST_F(TextSizes, OfWhatFitsSayNothing) {
  EachText([&](const MethodDescriptor& method, const FieldDescriptor& field) {
    if (field.name() != "host") return;
    const auto answer = Call(method, field, 255);
    EXPECT_TRUE(answer.ok() || answer.error().reason != "INVALID_REQUEST" ||
                answer.error().violations[0].description.find("bytes") == std::string::npos)
        << method.full_name();
  });
}

}  // namespace
}  // namespace weir::edge
