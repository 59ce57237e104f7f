#include "mgmt-server/services/plan_items.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>

#include "api/weir/v2/metadata.pb.h"
#include "libs/document/differences.h"
#include "libs/resource/validate.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/differences.h"

namespace weir::services {
namespace {

constexpr size_t kBytesOfFields = 256u << 10;  // Of documents in an answer.

void AddField(const document::Difference& line, v2::PlannedDocument& out) {
  v2::FieldChange& field = *out.add_fields();
  field.set_field(line.path);
  if (line.before) field.set_before(*line.before);
  if (line.after) field.set_after(*line.after);
}

class Items {
 public:
  Items(const WouldBe& state, v2::PlanResponse& out) : state_(state), out_(out) {}

  Status Add(const std::vector<Applied>& documents) {
    for (const Applied& document : documents) {
      const auto conflict = std::find_if(state_.conflicts.begin(), state_.conflicts.end(),
                                         [&](const Conflict& each) { return each.document == &document; });
      v2::PlannedDocument& item = *out_.add_items();
      item.set_fqn(document.draft.fqn.text);
      item.set_kind(std::string(document.kind->name));
      if (conflict != state_.conflicts.end())
        WEIR_TRY(SetConflict(*conflict, item));
      else
        WEIR_TRY(SetOutcome(document, item));
    }
    return {};
  }

  void AddDeleted() {
    const auto deleted = DeletedBy(state_);
    for (const store::ResourceChange& change : deleted) {
      if (&change - deleted.data() == kMostDeletedShown) break;
      Add(change.fqn, change.kind, v2::PlannedDocument::DELETED);
    }
    out_.set_more_deleted(std::max(0, static_cast<int>(deleted.size()) - kMostDeletedShown));
    out_.set_changes(out_.changes() || !deleted.empty());
  }

  void AddKept() {
    for (const Kept& kept : state_.kept) {
      if (&kept - state_.kept.data() == kMostDeletedShown) break;
      Add(kept.fqn, kept.kind, v2::PlannedDocument::KEPT).set_message(kept.why);
    }
    out_.set_more_kept(std::max(0, static_cast<int>(state_.kept.size()) - kMostDeletedShown));
  }

 private:
  v2::PlannedDocument& Add(const std::string& fqn, const std::string& kind, v2::PlannedDocument::Outcome outcome) {
    v2::PlannedDocument& item = *out_.add_items();
    item.set_fqn(fqn);
    item.set_kind(kind);
    item.set_outcome(outcome);
    return item;
  }
  Status SetOutcome(const Applied& document, v2::PlannedDocument& item) {
    // The numbers are the same.
    item.set_outcome(static_cast<v2::PlannedDocument::Outcome>(document.outcome.outcome()));
    if (item.outcome() != v2::PlannedDocument::UNCHANGED) out_.set_changes(true);
    if (item.outcome() != v2::PlannedDocument::UPDATED) return {};
    const store::ResourcePtr before = state_.before->Get(item.fqn()), after = state_.after->Get(item.fqn());
    if (after == nullptr) return {};
    WEIR_ASSIGN(const MessagePtr is, Settled(*after));
    MessagePtr was(is->New());
    if (before != nullptr) {
      WEIR_ASSIGN(was, Settled(*before));
    }
    document::Differences differences = document::Compare(*was, *is);
    for (const document::Difference& line : differences.lines) Take(line, item);
    item.set_more_fields(item.more_fields() + static_cast<int32_t>(differences.more));
    return {};
  }

  // The fields that belong to others, with both values.
  Status SetConflict(const Conflict& conflict, v2::PlannedDocument& item) {
    item.set_outcome(v2::PlannedDocument::CONFLICT);
    item.set_message(conflict.error.message);
    for (const FieldViolation& violation : conflict.error.violations) {
      item.set_message(fmt::format("{}; {} {}", item.message(), violation.field, violation.description));
    }
    const store::ResourcePtr before = state_.before->Get(item.fqn());
    if (before == nullptr) return {};
    WEIR_ASSIGN(const MessagePtr was, Settled(*before));
    for (const document::Difference& line : document::Compare(*was, *conflict.document->draft.message).lines) {
      const bool theirs = std::any_of(conflict.error.violations.begin(), conflict.error.violations.end(),
                                      [&](const FieldViolation& each) { return line.path.starts_with(each.field); });
      if (theirs) Take(line, item);
    }
    return {};
  }

  void Take(const document::Difference& line, v2::PlannedDocument& item) {
    const size_t cost = line.path.size() + line.before.value_or("").size() + line.after.value_or("").size() + 16;
    if (cost > left_) {
      left_ = 0;
      item.set_more_fields(item.more_fields() + 1);
      return;
    }
    left_ -= cost;
    AddField(line, item);
  }

  const WouldBe& state_;
  v2::PlanResponse& out_;
  size_t left_ = kBytesOfFields;
};

}  // namespace

Status AddItems(const std::vector<Applied>& documents, const WouldBe& state, v2::PlanResponse& out) {
  Items items(state, out);
  WEIR_TRY(items.Add(documents));
  items.AddDeleted();
  items.AddKept();
  return {};
}

void AddDeletedAndKept(const WouldBe& state, v2::PlanResponse& out) {
  Items items(state, out);
  items.AddDeleted();
  items.AddKept();
}

void LocateFindings(const std::vector<Applied>& documents, v2::PlanResponse& response) {
  std::map<std::string_view, const document::Node*> nodes;
  for (const Applied& document : documents) nodes[document.draft.fqn.text] = document.node;
  for (v2::Finding& finding : *response.mutable_findings()) {
    const auto node = nodes.find(finding.fqn());
    if (node == nodes.end()) continue;
    std::vector<FieldViolation> place{{.field = finding.field(), .description = ""}};
    document::Locate(*node->second, place);
    finding.set_line(place.front().line);
    finding.set_column(place.front().column);
  }
}

}  // namespace weir::services
