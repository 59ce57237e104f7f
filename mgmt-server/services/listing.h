#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libs/resource/filter.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/page_tokens.h"

namespace weir::services {

// One page of a list: what the request of a List method asks for, and which of the resources that the caller may read
// are on it. A filter or an order sees only those.
class Listing {
 public:
  // What is listed: resources of this name in a view, which stand below that kind.
  struct Listed {
    std::string name;
    std::optional<resource::Kind> parent;
    const google::protobuf::Descriptor* message = nullptr;
  };
  static Listed Of(const resource::KindInfo& kind) { return {kind.name, kind.parent(), &kind.descriptor()}; }
  // INVALID_ARGUMENT INVALID_REQUEST with all violations, BAD_FQN, BAD_FILTER, BAD_ORDER, BAD_FIELD_MASK,
  // BAD_PAGE_TOKEN.
  // `as_of`: the revision that is asked, 0 = the present.
  static Result<Listing> Read(Listed listed, const CallContext& call, const google::protobuf::Message& request,
                              const PageTokens& tokens, int64_t as_of);

  struct Item {
    store::ResourcePtr resource;
    MessagePtr message;  // As `render` made it.
  };
  struct Page {
    std::vector<Item> items;
    std::string last;  // Where the next page begins; "" = there is none.
  };
  // `render`: a resource as it is answered; filters and orders see what only the server knows, too.
  using Render = std::function<Result<MessagePtr>(const store::StoredResource&)>;
  // Whether the caller may see it: today's rights, of the present or of what was.
  using MayRead = std::function<Result<bool>(const store::StoredResource&)>;
  Result<Page> Fill(const store::View& view, const MayRead& may_read, const Render& render) const;

  // Leaves what the field mask names.
  void Mask(google::protobuf::Message& message) const;

  const std::string& above() const { return parent_.prefix; }  // FQN of the deepest resource that the question names.
  bool first() const { return after_.empty(); }
  const PageTokens::Question& question() const { return question_; }

 private:
  explicit Listing(Listed listed) : listed_(std::move(listed)) {}
  Result<bool> Shows(const store::StoredResource& resource, const MayRead& may_read) const;
  // Calls fn(resource, message) for what is on the list behind `after`, in the order of FQNs, until it answers false.
  // The message is null where nobody needs it.
  using Visit = std::function<bool(const store::ResourcePtr&, MessagePtr)>;
  Status Each(const store::View& view, const MayRead& may_read, const Render& render, const std::string& after,
              const Visit& visit) const;
  Result<Page> InOrder(const store::View& view, const MayRead& may_read, const Render& render) const;

  Listed listed_;
  resource::FqnPattern parent_;
  std::string name_;  // "" = all.
  std::optional<resource::Filter> filter_;
  resource::Order order_;
  std::vector<std::string> mask_;
  std::string after_;
  size_t page_size_ = 0;
  PageTokens::Question question_;
};

}  // namespace weir::services
