#include "mgmt-server/recovery/verify.h"

#include <google/protobuf/message.h>

#include <map>
#include <optional>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/ids.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {
namespace {

class Examination {
 public:
  Result<Verdict> Run(const std::string& path, const Clock& clock) {
    WEIR_TRY(store::InspectSqlite(path, true));
    auto view = store::ReadWhole(path, authz::TenancyPolicy(),
                                 {.present = [&](const store::View& present) { TakeView(present, clock); },
                                  .version = [this](const auto& version) { TakeVersion(version); },
                                  .audit = [this](const store::AuditRow& row) { TakeRecord(row); },
                                  .revision = [this](int64_t number) { TakeRevision(number); }});
    if (!view.ok()) return std::move(view).error();
    Finish();
    if (more_ > 0) verdict_.findings.push_back(fmt::format("and {} more", more_));
    return std::move(verdict_);
  }

 private:
  template <typename... Args>
  void Find(fmt::format_string<Args...> format, Args&&... args) {
    if (verdict_.findings.size() < kMostFindings)
      verdict_.findings.push_back(fmt::format(format, std::forward<Args>(args)...));
    else
      ++more_;
  }

  void TakeVersion(const store::StoredResource& version) {
    ++verdict_.versions;
    const auto fqn = resource::ParseFqn(version.fqn);
    const resource::KindInfo* kind = resource::FindKind(version.kind);
    if (!fqn.ok() || kind == nullptr || kind->kind != fqn->kind || version.uid.empty() || version.etag.empty()) {
      return Find("revision {}: {} ({}) is no resource", version.revision, version.fqn, version.kind);
    }
    if (!version.deleted && !resource::NewMessage(kind->kind)->ParseFromString(version.body)) {
      Find("revision {}: {} cannot be read", version.revision, version.fqn);
    }
  }

  void TakeView(const store::View& view, const Clock& clock) {
    verdict_.lineage = view.lineages().back();
    verdict_.revision = view.revision();
    verdict_.oldest_state = view.history_floor();
    verdict_.resources = view.resource_count();
    chain_.emplace(view.audit_anchor());
    last_revision_ = view.history_floor();
    CheckFacts(view);
    CheckAuthority(view, clock);
  }

  // Agents name their state by the mark of a revision, so there is one of each that is kept.
  void TakeRevision(int64_t number) {
    if (number <= verdict_.oldest_state) return;
    if (number != last_revision_ + 1) Find("nobody is known to have made revision {}", last_revision_ + 1);
    last_revision_ = number;
  }

  void TakeRecord(const store::AuditRow& row) {
    ++verdict_.audit_records;
    if (!chain_) return;  // It is broken already.
    const Status fits = chain_->Take(row);
    if (fits.ok()) return;
    Find("{}", fits.error().message);
    chain_.reset();
  }

  void Finish() {
    if (last_revision_ != verdict_.revision) Find("nobody is known to have made revision {}", last_revision_ + 1);
    if (!chain_) return;
    const Status whole = chain_->Finish();
    if (!whole.ok()) Find("{}", whole.error().message);
    verdict_.audit_head = ToHex(chain_->head());
  }

  void CheckFacts(const store::View& view) {
    view.ForEachFacts([&](const store::ClusterFactsPtr& facts) {
      const auto check = [&](const auto& map, google::protobuf::Message& message) {
        map.VisitAll([&](const std::string& key, const std::string& body) {
          if (!message.ParseFromString(body))
            Find("what cluster {} reported of {} cannot be read", facts->cluster_uid, key);
          return true;
        });
      };
      agent::v1::Workload workload;
      agent::v1::Service service;
      check(facts->workloads, workload);
      check(facts->services, service);
    });
  }

  // Opens it as a server does; what it would make anew stays in memory.
  void CheckAuthority(const store::View& view, const Clock& clock) {
    if (view.FindCaMaterial("root") == nullptr && view.FindCaMaterial("anchor") == nullptr) {
      return Find("it holds no keys of a certificate authority");
    }
    std::map<std::string, std::string> made;
    const ca::Blobs blobs{.load = [&](const std::string& name) -> Result<std::optional<std::string>> {
                            const auto fresh = made.find(name);
                            if (fresh != made.end()) return std::optional(fresh->second);
                            const std::string* blob = view.FindCaMaterial(name);
                            return blob == nullptr ? std::nullopt : std::optional(*blob);
                          },
                          .save = [&](const std::string& name, const std::string& content) -> Status {
                            made[name] = content;
                            return {};
                          }};
    const auto authority = ca::ServerCa::Open(blobs, {.organization_domain = "verify", .names = {}}, clock);
    if (!authority.ok()) Find("{}", authority.error().message);
  }

  Verdict verdict_;
  size_t more_ = 0;
  std::optional<audit::ChainCheck> chain_;
  int64_t last_revision_ = 0;
};

}  // namespace

Result<Verdict> Verify(const std::string& path, const Clock& clock) { return Examination().Run(path, clock); }

}  // namespace weir::recovery
