#include "mgmt-server/plan/gateways.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/base/labels.h"
#include "libs/resource/kinds.h"
#include "libs/translate/bytes.h"
#include "libs/translate/xds/translator.h"
#include "mgmt-server/compile/keys.h"

namespace weir::plan {
namespace {

using translate::EnvoyResource;
using translate::NodeConfig;

constexpr int kMostWorkloads = 20;
constexpr translate::NodeProfile kOurs{.vhds = true, .stock_envoy = false};

// What an agent holds.
struct Held {
  std::shared_ptr<const translate::Intent> intent;
  std::shared_ptr<const translate::Facts> facts;
};

Status Take(const compile::Resource& resource, translate::Intent* intent) {
  return translate::UpsertIntent(compile::TypeUrl(resource.type), resource.name, resource.version, resource.bytes,
                                 intent);
}

Result<translate::Intent> IntentBefore(const ClusterChange& change) {
  translate::Intent intent;
  for (const auto& [key, resource] : change.before()) WEIR_TRY(Take(resource, &intent));
  return intent;
}
Result<translate::Intent> IntentAfter(const ClusterChange& change, translate::Intent intent) {
  for (const auto& [key, piece] : change.pieces()) {
    if (piece.after)
      WEIR_TRY(Take(*piece.after, &intent));
    else
      translate::RemoveIntent(compile::TypeUrl(key.type), key.name, &intent);
  }
  return intent;
}

std::shared_ptr<const translate::Facts> FactsOf(const compile::World& world, const std::string& cluster) {
  auto facts = std::make_shared<translate::Facts>();
  const compile::Facts* known = world.facts(cluster);
  if (known == nullptr) return facts;
  facts->workloads = known->workloads;
  facts->services = known->services();
  return facts;
}

// Gateways that see the same but for their own addresses: equal in all that a selector or an identity asks for.
using Groups = std::map<std::string, std::vector<std::string>>;
std::string LikenessOf(const agent::v1::Workload& workload) {
  agent::v1::Workload like = workload;
  like.clear_name();
  like.clear_addresses();
  return translate::Bytes(like);
}
// Those that an object selects which the caller may read.
void AddSelected(const ClusterChange& change, const Held& held, std::set<std::string>* names) {
  for (const auto& [name, listener] : held.intent->listeners) {
    if (change.SightOf({std::string(compile::kListener), name}) == Sight::kNone) continue;
    const auto& selector = listener.message->selector();
    const std::string prefix = selector.namespace_() + "/";
    const auto& workloads = held.facts->workloads;
    for (auto at = workloads.lower_bound(prefix); at != workloads.end() && at->first.starts_with(prefix); ++at) {
      if (LabelsMatch(selector.labels(), at->second->labels())) names->insert(at->first);
    }
  }
}
Groups GatewaysOf(const ClusterChange& change, const Held& before, const Held& after) {
  std::set<std::string> names;
  AddSelected(change, before, &names);
  AddSelected(change, after, &names);
  Groups groups;
  for (const std::string& name : names) {
    const auto& facts = before.facts->workloads.contains(name) ? *before.facts : *after.facts;
    groups[LikenessOf(*facts.workloads.at(name))].push_back(name);
  }
  return groups;
}

// "type.googleapis.com/envoy.config.route.v3.VirtualHost" -> message of the bytes; null = not linked in.
std::unique_ptr<google::protobuf::Message> Read(std::string_view url, const std::string& bytes) {
  const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
      std::string(url.substr(url.rfind('/') + 1)));
  if (type == nullptr) return nullptr;
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  return message->ParseFromString(bytes) ? std::move(message) : nullptr;
}

class Comparison {
 public:
  Comparison(const ClusterChange& change, Budget& budget, v2::PlannedGateways& out)
      : change_(change), budget_(budget), out_(out) {}

  void Run(const NodeConfig& before, const NodeConfig& after) {
    for (const auto& [url, now] : after.types) {
      const auto& was = before.types.at(url);
      for (const auto& [name, resource] : now) {
        const auto old = was.find(name);
        Add(url, name, old == was.end() ? nullptr : old->second.get(), resource.get());
      }
      for (const auto& [name, resource] : was) {
        if (!now.contains(name)) Add(url, name, resource.get(), nullptr);
      }
    }
  }

 private:
  // Shown when some of it is the caller's to see, its fields when all of it is. Who calls stands in listeners, and what
  // has no intent of its own is made of all of it.
  Sight SightOf(const EnvoyResource* before, const EnvoyResource* after, std::string_view url) const {
    bool some = false, all = true, any = false;
    for (const EnvoyResource* each : {before, after}) {
      if (each == nullptr) continue;
      for (const translate::IntentRef& origin : each->origins) {
        const Sight sight = change_.SightOf({origin.type, origin.name});
        any = true;
        some |= sight != Sight::kNone;
        all &= sight == Sight::kWhole;
      }
    }
    if (!any) return change_.all_whole() ? Sight::kWhole : Sight::kNone;
    if (url == xds::kListener) all &= change_.all_whole();
    return all ? Sight::kWhole : some ? Sight::kName : Sight::kNone;
  }

  void Add(const std::string& url, const std::string& name, const EnvoyResource* before, const EnvoyResource* after) {
    if (before != nullptr && after != nullptr && before->resource->value == after->resource->value) return;
    const Sight sight = SightOf(before, after, url);
    if (sight == Sight::kNone) return;
    const auto kind = KindOf(before != nullptr, after != nullptr);
    CountIn(kind, &out_);
    if (budget_.spent()) return;
    v2::PlannedResource resource;
    resource.set_type(url.substr(url.rfind('.') + 1));
    resource.set_name(name);
    resource.set_change(kind);
    resource.set_hidden(sight != Sight::kWhole);
    if (kind == v2::PlannedResource::CHANGED && sight == Sight::kWhole) {
      const auto a = Read(url, before->resource->value), b = Read(url, after->resource->value);
      if (a && b) SetFields(document::Compare(*a, *b, kFieldsOfResource), &resource);
    }
    if (budget_.Take(resource.ByteSizeLong() + 8)) *out_.add_resources() = std::move(resource);
  }

  const ClusterChange& change_;
  Budget& budget_;
  v2::PlannedGateways& out_;
};

}  // namespace

Status AddGateways(const Question& question, const ClusterChange& change, Budget& budget, v2::PlannedCluster& out) {
  const auto late = [&] {
    if (question.in_time()) return false;
    out.set_not_translated(
        "there was no time left to say what its gateways would be told; plan fewer documents at once");
    return true;
  };
  if (late()) return {};
  WEIR_ASSIGN(translate::Intent intent, IntentBefore(change));
  Held before{std::make_shared<const translate::Intent>(intent), FactsOf(question.before, change.cluster())};
  WEIR_ASSIGN(intent, IntentAfter(change, std::move(intent)));
  Held after{std::make_shared<const translate::Intent>(std::move(intent)), FactsOf(question.after, change.cluster())};
  const auto identity = [&](const compile::World& world) {
    return translate::ClusterIdentity{std::string(resource::LastName(change.cluster())),
                                      world.TrustDomain(change.cluster()), world.roots()};
  };
  translate::Translator translator(identity(question.before));
  for (const auto& [likeness, names] : GatewaysOf(change, before, after)) {
    WEIR_TRY(question.go_on());
    if (late()) break;
    const auto was = translator.Translate(before.intent, before.facts, names.front(), kOurs);
    translator.SetIdentity(identity(question.after));
    const auto is = translator.Translate(after.intent, after.facts, names.front(), kOurs);
    translator.SetIdentity(identity(question.before));
    v2::PlannedGateways gateways;
    Comparison(change, budget, gateways).Run(*was, *is);
    if (gateways.added() + gateways.changed() + gateways.removed() == 0) continue;
    for (const std::string& name : names) {
      if (gateways.workloads_size() < kMostWorkloads) gateways.add_workloads(name);
    }
    gateways.set_more_workloads(static_cast<int32_t>(names.size()) - gateways.workloads_size());
    *out.add_gateways() = std::move(gateways);
  }
  return {};
}

}  // namespace weir::plan
