#include "mgmt-server/services/listing.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>

#include "libs/resource/field_paths.h"
#include "libs/resource/validate.h"
#include "mgmt-server/services/request_fields.h"

namespace weir::services {
namespace {

using google::protobuf::Message;

std::vector<std::string> Paths(std::string_view text) {
  std::vector<std::string> paths;
  while (!text.empty()) {
    const size_t end = text.find(',');
    std::string_view path = text.substr(0, end);
    while (path.starts_with(' ')) path.remove_prefix(1);
    while (path.ends_with(' ')) path.remove_suffix(1);
    if (!path.empty()) paths.emplace_back(path);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return paths;
}

Status CheckMask(const Listing::Listed& listed, const std::vector<std::string>& paths) {
  constexpr size_t kMostPaths = 64;
  Error error = InvalidArgument("BAD_FIELD_MASK", "the field mask names what a {} does not have", listed.name);
  if (paths.size() > kMostPaths) error.violations.push_back({"fieldMask", "must be at most 64 paths", 0, 0});
  for (const std::string& path : paths) {
    if (resource::HasPath(*listed.message, path)) continue;
    error.violations.push_back({"fieldMask", fmt::format("\"{}\" is no field of a {}", path, listed.name), 0, 0});
  }
  if (error.violations.empty()) return {};
  return error;
}

}  // namespace

Result<Listing> Listing::Read(Listed listed, const CallContext& call, const Message& request, const PageTokens& tokens,
                              int64_t as_of) {
  Listing listing(std::move(listed));
  const Listed& kind = listing.listed_;
  const std::string parent = TextOf(request, "parent");
  if (kind.parent) {
    WEIR_ASSIGN(listing.parent_, resource::ParseFqnPattern(*kind.parent, parent));
  }
  listing.name_ = TextOf(request, "name");
  int page_size = request.GetReflection()->GetInt32(request, request.GetDescriptor()->FindFieldByName("page_size"));
  if (page_size == 0) page_size = 100;
  Error error = InvalidArgument("INVALID_REQUEST", "the question cannot be answered");
  if (page_size < 1 || page_size > 1000) {
    error.violations.push_back({.field = "pageSize", .description = "must be 1 to 1000"});
  }
  if (!listing.name_.empty() && !resource::IsDnsLabel(listing.name_)) {
    error.violations.push_back({.field = "name", .description = "must be a name, like \"shop\""});
  }
  if (!error.violations.empty()) return error;
  listing.page_size_ = static_cast<size_t>(page_size);
  const std::string filter = TextOf(request, "filter");
  if (!filter.empty()) {
    WEIR_ASSIGN(listing.filter_, resource::Filter::Parse(*kind.message, filter));
  }
  const std::string order = TextOf(request, "order_by");
  WEIR_ASSIGN(listing.order_, resource::Order::Parse(*kind.message, order));
  listing.mask_ = Paths(TextOf(request, "field_mask"));
  WEIR_TRY(CheckMask(kind, listing.mask_));
  // The lengths keep the texts of the caller apart.
  listing.question_ = fmt::format("{} {} {} {} {} {}:{} {}:{}", kind.name, parent, listing.name_, call.principal.uid,
                                  as_of, filter.size(), filter, order.size(), order);
  const std::string token = TextOf(request, "page_token");
  if (!token.empty()) {
    WEIR_ASSIGN(listing.after_, tokens.Open(listing.question_, token));
  }
  return listing;
}

Result<bool> Listing::Shows(const store::StoredResource& resource, const MayRead& may_read) const {
  if (!name_.empty() && resource::LastName(resource.fqn) != name_) return false;
  if (listed_.parent && !parent_.Matches(resource::ParentFqn(resource.fqn))) return false;
  return may_read(resource);
}

Status Listing::Each(const store::View& view, const MayRead& may_read, const Render& render, const std::string& after,
                     const Visit& visit) const {
  const bool read = filter_ || !order_.by_fqn();
  const auto one = [&](const store::ResourcePtr& resource) -> Result<bool> {
    WEIR_ASSIGN(const bool shown, Shows(*resource, may_read));
    if (!shown) return true;
    if (!read) return visit(resource, nullptr);
    WEIR_ASSIGN(MessagePtr message, render(*resource));
    if (filter_ && !filter_->Matches(*message)) return true;
    return visit(resource, std::move(message));
  };
  Status failed;
  view.ForEachAfter(parent_.prefix, listed_.name, after, [&](const store::ResourcePtr& resource) {
    const Result<bool> go_on = one(resource);
    if (!go_on.ok()) failed = go_on.error();
    return go_on.ok() && *go_on;
  });
  return failed;
}

Result<Listing::Page> Listing::Fill(const store::View& view, const MayRead& may_read, const Render& render) const {
  if (!order_.by_fqn()) return InOrder(view, may_read, render);
  Page page;
  WEIR_TRY(Each(view, may_read, render, after_, [&](const store::ResourcePtr& resource, MessagePtr message) {
    if (page.items.size() == page_size_) {
      page.last = page.items.back().resource->fqn;
      return false;
    }
    page.items.push_back({resource, std::move(message)});
    return true;
  }));
  for (Item& item : page.items) {
    if (item.message != nullptr) continue;
    WEIR_ASSIGN(item.message, render(*item.resource));
  }
  return page;
}

// One walk over all, of which only the first page behind `after_` is kept.
Result<Listing::Page> Listing::InOrder(const store::View& view, const MayRead& may_read, const Render& render) const {
  std::map<std::string, Item> first;  // One more than the page holds.
  WEIR_TRY(Each(view, may_read, render, "", [&](const store::ResourcePtr& resource, MessagePtr message) {
    std::string key = order_.KeyOf(*message, resource->fqn);
    if (!after_.empty() && key <= after_) return true;
    first.emplace(std::move(key), Item{resource, std::move(message)});
    if (first.size() > page_size_ + 1) first.erase(std::prev(first.end()));
    return true;
  }));
  Page page;
  for (auto& [key, item] : first) {
    if (page.items.size() == page_size_) break;
    page.items.push_back(std::move(item));
    if (page.items.size() == page_size_ && first.size() > page_size_) page.last = key;
  }
  return page;
}

void Listing::Mask(Message& message) const {
  if (!mask_.empty()) resource::KeepOnly(message, mask_);
}

}  // namespace weir::services
