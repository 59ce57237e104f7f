#include "api/weir/v2/server_state.pb.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/rpc/time.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/fleet/core.h"
#include "mgmt-server/push/pusher.h"

// Whom the replacement of the mesh root waits for.
namespace weir::fleet {
namespace {

// A gateway that hears of another signing root asks for a new leaf at once and then each 5 s until it has one.
constexpr std::chrono::seconds kLeavesTaken{15};

}  // namespace

// "" = it is ready for the next step. `root`: SHA-256 of the one that signs now.
std::string Fleet::Core::AwaitedOf(const compile::Compilation& compilation, const std::string& cluster,
                                   const std::string& root, bool retiring) const {
  MutexLock lock(mutex);
  const auto found = live.find(cluster);
  if (found == live.end() || found->second.stream == nullptr) return "its agent is not connected";
  if (retiring && found->second.stream->member().root_sha256 != root) {
    return "its agent still shows a certificate of the old root";
  }
  for (const auto& [key, resource] : compilation.Of(cluster)) {
    if (key.type != "TrustBundle") continue;
    for (const auto& [workload, gateway] : applied.GatewaysOf(cluster)) {
      if (gateway.intents.empty()) continue;  // Declared no more.
      const auto runs = gateway.intents.find(key);
      if (runs == gateway.intents.end() || runs->second.version != resource.version) {
        return fmt::format("{} does not run the present trust bundle{}", workload,
                           gateway.connected ? " yet" : ": it is not connected to its agent");
      }
    }
  }
  if (retiring && options.clock->Now() - found->second.since < kLeavesTaken) {
    return fmt::format("its gateways take new certificates; for certain {} s after its agent has shown its own",
                       kLeavesTaken.count());
  }
  return "";
}

Result<v2::ReplaceRootResponse> Fleet::Roots() const {
  const Core& core = *core_;
  v2::ReplaceRootResponse response;
  const ca::RootPhase phase = core.ca.root_phase();
  response.set_phase(phase == ca::RootPhase::kOne          ? v2::ReplaceRootResponse::ONE
                     : phase == ca::RootPhase::kIntroduced ? v2::ReplaceRootResponse::INTRODUCED
                                                           : v2::ReplaceRootResponse::RETIRING);
  const std::string pem = core.ca.mesh_roots_pem();
  WEIR_ASSIGN(const std::vector<std::string> roots, identity::SplitBundle(pem));
  for (const std::string& one : roots) {
    v2::MeshRoot* root = response.add_roots();
    WEIR_ASSIGN(*root->mutable_sha256(), identity::CertificateSha256(one));
    WEIR_ASSIGN(const identity::CertificateFacts facts, identity::ReadCertificate(one));
    *root->mutable_not_after() = rpc::ToTimestamp(facts.not_after);
  }
  if (phase == ca::RootPhase::kOne) return response;
  const auto await = [&](const std::string& cluster, std::string reason) {
    v2::RootAwaited* awaited = response.add_waiting();
    awaited->set_cluster(cluster);
    awaited->set_reason(std::move(reason));
  };
  const bool retiring = phase == ca::RootPhase::kRetiring;
  const store::ViewPtr view = core.store.Read();
  core.pusher->Read([&](const compile::Compilation& compilation) {
    if (compilation.world().roots() != pem) await("", "the trust bundles are being made");
    for (const std::string& cluster : compilation.world().clusters()) {
      const store::ResourcePtr resource = view->Get(cluster);
      if (resource == nullptr || ca::GenerationOf(*resource) == 0) continue;  // Nobody has joined.
      std::string reason = core.AwaitedOf(compilation, cluster, response.roots(0).sha256(), retiring);
      if (!reason.empty()) await(cluster, std::move(reason));
    }
  });
  return response;
}

}  // namespace weir::fleet
