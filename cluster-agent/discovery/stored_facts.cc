#include "cluster-agent/discovery/stored_facts.h"

#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/last_good_file.h"
#include "libs/translate/bytes.h"

namespace weir::agent {
namespace {

constexpr LastGoodKind kKind{"weir-facts", 1, false, 64u << 20};

// "owner <domain>\n" "sealed 0|1\n", then a full FactsDelta.
std::string Header(bool sealed, std::string_view owner) {
  return fmt::format("owner {}\nsealed {:d}\n", owner, sealed);
}

Result<StoredFacts> Parse(std::string_view body, std::string_view owner) {
  StoredFacts stored;
  stored.sealed = body.starts_with(Header(true, owner));
  if (!stored.sealed && !body.starts_with(Header(false, owner))) {
    return FailedPrecondition("LAST_GOOD_OWNER", "not written for \"{}\"", owner);
  }
  body.remove_prefix(Header(true, owner).size());
  v1::FactsDelta all;
  if (!all.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return DataLoss("LAST_GOOD_CORRUPT", "the facts cannot be read");
  }
  for (const v1::Workload& one : all.workloads()) {
    stored.facts.workloads[translate::KeyOf(one)] = std::make_shared<v1::Workload>(one);
  }
  for (const v1::Service& one : all.services()) {
    stored.facts.services[translate::KeyOf(one)] = std::make_shared<v1::Service>(one);
  }
  if (translate::HashFacts(stored.facts) != all.hash())
    return DataLoss("LAST_GOOD_CORRUPT", "the facts are not those of the hash");
  return stored;
}

}  // namespace

Status SaveFacts(const std::string& path, const translate::Facts& facts, bool sealed, std::string_view owner) {
  v1::FactsDelta all;
  translate::FullFacts(facts, &all);
  return WriteLastGoodFile(path, kKind, Header(sealed, owner) + translate::Bytes(all),
                           [owner](std::string_view body) -> Status {
                             const auto before = Parse(body, owner);
                             return before.ok() ? Status() : Status(before.error());
                           });
}

Result<StoredFacts> LoadFacts(const std::string& path, std::string_view owner) {
  StoredFacts stored;
  WEIR_ASSIGN(LastGoodBody read, ReadLastGoodFile(path, kKind, [&](std::string_view body) -> Status {
                WEIR_ASSIGN(stored, Parse(body, owner));
                return {};
              }));
  stored.generation = read.generation;
  stored.refused = std::move(read.refused);
  return stored;
}

}  // namespace weir::agent
