#include "mgmt-server/ca/ca.h"

#include <arpa/inet.h>

#include <algorithm>

#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/identity/token.h"

namespace weir::ca {
namespace {

bool IsIp(const std::string& name) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, name.c_str(), buffer) == 1 || inet_pton(AF_INET6, name.c_str(), buffer) == 1;
}

// A blob is the key's PEM followed by the certificate's; PEM readers skip blocks of other kinds.
std::string Join(const std::string& key_pem, const std::string& certificate_pem) { return key_pem + certificate_pem; }

Result<identity::Authority> Split(const std::string& blob) {
  const size_t begin = blob.find("-----BEGIN CERTIFICATE-----");
  if (begin == std::string::npos) return DataLoss("CA_BLOB_CORRUPT", "a kept key has no certificate");
  identity::Authority both{blob.substr(begin), blob.substr(0, begin)};
  WEIR_TRY(identity::CheckKeyMatches(both.certificate_pem, both.key_pem));
  return both;
}

Result<std::optional<identity::Authority>> LoadAuthority(const Blobs& blobs, const char* name, const char* corrupt) {
  WEIR_ASSIGN(const auto kept, blobs.load(name));
  if (!kept) return std::optional<identity::Authority>();
  auto authority = Split(*kept);
  if (authority.ok()) return std::optional(std::move(*authority));
  return DataLoss(corrupt, "the stored key \"{}\" cannot be used ({}); restore it from a backup", name,
                  authority.error().message)
      .WithCause(authority.error().ToString());
}

// Whether the certificate of a kept pair stands below `authority`; when it ran out does not matter.
bool SignedBy(const identity::Authority& authority, const std::string& blob) {
  const auto both = Split(blob);
  if (!both.ok()) return false;
  const auto facts = identity::ReadCertificate(both->certificate_pem);
  if (!facts.ok()) return false;
  ManualClock then;
  then.JumpWall(facts->not_before + std::chrono::seconds(1) - then.Wall());
  return identity::VerifyChain(both->certificate_pem, authority.certificate_pem, then).ok();
}

void SplitNames(const std::vector<std::string>& names, std::vector<std::string>& dns, std::vector<std::string>& ips) {
  dns = {"localhost"};
  ips = {"127.0.0.1"};
  for (const std::string& name : names) {
    auto& list = IsIp(name) ? ips : dns;
    if (!name.empty() && std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
  }
}

}  // namespace

Blobs FileBlobs(std::string folder) {
  const auto path = [folder = std::move(folder)](const std::string& name) { return folder + "/" + name + ".pem"; };
  return {[path](const std::string& name) -> Result<std::optional<std::string>> {
            auto text = identity::ReadSecretFile(path(name));
            if (text.ok()) return std::optional<std::string>(std::move(*text));
            if (text.error().code == Code::kNotFound) return std::optional<std::string>();
            return std::move(text).error();
          },
          [path](const std::string& name, const std::string& content) {
            return identity::WriteSecretFile(path(name), content);
          }};
}

ServerCa::ServerCa(Blobs blobs, Options options, const Clock& clock)
    : blobs_(std::move(blobs)), options_(std::move(options)), clock_(clock) {}

Result<std::unique_ptr<ServerCa>> ServerCa::Open(Blobs blobs, Options options, const Clock& clock) {
  std::unique_ptr<ServerCa> ca(new ServerCa(std::move(blobs), std::move(options), clock));
  {
    MutexLock lock(ca->mutex_);
    WEIR_TRY(ca->OpenAuthorities());
    WEIR_ASSIGN(ca->anchor_sha256_, identity::CertificateSha256(ca->anchor_.certificate_pem));
    WEIR_ASSIGN(ca->self_, identity::ServerPeer(ca->anchor_.certificate_pem));
    WEIR_ASSIGN(const auto server, ca->blobs_.load("server"));
    if (server) {
      // A damaged one is no loss: the anchor makes another.
      const auto both = Split(*server);
      if (both.ok()) ca->server_ = {both->certificate_pem, both->key_pem, {}};
    }
  }
  WEIR_TRY(ca->RenewServerCertificateIfDue());
  return ca;
}

// Never another anchor or root in the place of one that was there: every user, cluster and join token names it.
Status ServerCa::OpenAuthorities() {
  WEIR_ASSIGN(auto anchor, LoadAuthority(blobs_, "anchor", "CA_ANCHOR_CORRUPT"));
  WEIR_ASSIGN(auto root, LoadAuthority(blobs_, "root", "CA_ROOT_CORRUPT"));
  if (anchor && !root) {
    return DataLoss("CA_ROOT_MISSING",
                    "the server anchor is stored and the mesh root is not; restore it from a backup");
  }
  if (root && !anchor) {
    // A server that knew only one root has signed its own certificate with it. Without such a certificate the first
    // start was cut between the two.
    WEIR_ASSIGN(const auto server, blobs_.load("server"));
    if (server && !SignedBy(*root, *server)) {
      return DataLoss(
          "CA_ANCHOR_MISSING",
          "the server's certificate is stored and the anchor that signed it is not; restore it from a backup");
    }
    made_anchor_for_old_state_ = server.has_value();
  }
  if (root) {
    root_ = std::move(*root);
  } else {
    WEIR_ASSIGN(root_, identity::NewRoot("Weir mesh root " + options_.organization_domain, clock_));
    WEIR_TRY(blobs_.save("root", Join(root_.key_pem, root_.certificate_pem)));
  }
  WEIR_TRY(OpenReplacement());
  if (anchor) {
    anchor_ = std::move(*anchor);
    return {};
  }
  WEIR_ASSIGN(anchor_, identity::NewServerAnchor(clock_));
  return blobs_.save("anchor", Join(anchor_.key_pem, anchor_.certificate_pem));
}

// UseNextRoot saves "root.old", "root", "root.next" in this order; what a crash left of it says how far it came.
Status ServerCa::OpenReplacement() {
  WEIR_ASSIGN(const auto kept, blobs_.load("root.next"));
  std::optional<identity::Authority> next;  // "" = there is none; of "root" and "anchor" it would be damage.
  if (kept && !kept->empty()) {
    WEIR_ASSIGN(next, LoadAuthority(blobs_, "root.next", "CA_ROOT_CORRUPT"));
  }
  WEIR_ASSIGN(const auto old, blobs_.load("root.old"));
  old_pem_ = old.value_or("");
  if (old_pem_ == root_.certificate_pem) {  // Before "root": not begun.
    old_pem_.clear();
    WEIR_TRY(blobs_.save("root.old", ""));
  }
  if (next && next->certificate_pem == root_.certificate_pem) {  // Before "root.next": done.
    next.reset();
    WEIR_TRY(blobs_.save("root.next", ""));
  }
  if (next) next_ = std::move(*next);
  return {};
}

RootPhase ServerCa::PhaseLocked() const {
  if (!next_.certificate_pem.empty()) return RootPhase::kIntroduced;
  return old_pem_.empty() ? RootPhase::kOne : RootPhase::kRetiring;
}

RootPhase ServerCa::root_phase() const {
  MutexLock lock(mutex_);
  return PhaseLocked();
}

std::string ServerCa::mesh_roots_pem() const {
  MutexLock lock(mutex_);
  return root_.certificate_pem + next_.certificate_pem + old_pem_;
}

Status ServerCa::IntroduceRoot() {
  MutexLock lock(mutex_);
  if (PhaseLocked() != RootPhase::kOne) {
    return FailedPrecondition("ROOT_PHASE", "the mesh root is being replaced already");
  }
  WEIR_ASSIGN(auto next, identity::NewRoot("Weir mesh root " + options_.organization_domain, clock_));
  WEIR_TRY(blobs_.save("root.next", Join(next.key_pem, next.certificate_pem)));
  next_ = std::move(next);
  return {};
}

Status ServerCa::UseNextRoot() {
  MutexLock lock(mutex_);
  if (PhaseLocked() != RootPhase::kIntroduced) {
    return FailedPrecondition("ROOT_PHASE", "there is no introduced mesh root that could be used");
  }
  WEIR_TRY(blobs_.save("root.old", root_.certificate_pem));
  WEIR_TRY(blobs_.save("root", Join(next_.key_pem, next_.certificate_pem)));
  old_pem_ = root_.certificate_pem;
  root_ = std::exchange(next_, {});
  return blobs_.save("root.next", "");
}

Status ServerCa::DropOldRoot() {
  MutexLock lock(mutex_);
  if (PhaseLocked() == RootPhase::kOne) {
    return FailedPrecondition("ROOT_PHASE", "there is one mesh root; nothing can be dropped");
  }
  const bool given_up = PhaseLocked() == RootPhase::kIntroduced;
  WEIR_TRY(blobs_.save(given_up ? "root.next" : "root.old", ""));
  (given_up ? next_.certificate_pem : old_pem_).clear();
  next_ = {};
  return {};
}

ServerCa::ServerCertificate ServerCa::server_certificate() const {
  MutexLock lock(mutex_);
  return server_;
}

Result<bool> ServerCa::RenewServerCertificateIfDue() {
  MutexLock lock(mutex_);
  const auto facts = identity::VerifyPeer(server_.chain_pem, self_, clock_);
  if (facts.ok() && clock_.Wall() < identity::RenewAt(*facts, 0.5)) {
    std::vector<std::string> dns, ips;
    SplitNames(options_.names, dns, ips);
    if (facts->dns_names == dns && facts->ip_addresses == ips) {
      server_.not_after = facts->not_after;
      return false;
    }
  }
  WEIR_TRY(MakeServerCertificate());
  return true;
}

Status ServerCa::MakeServerCertificate() {
  identity::LeafRequest request;
  SplitNames(options_.names, request.dns_names, request.ip_addresses);
  request.spiffe_id = self_.spiffe_id;
  request.lifetime = options_.server_lifetime;
  ServerCertificate next;
  WEIR_ASSIGN(next.key_pem, identity::NewKey());
  WEIR_ASSIGN(request.csr_pem, identity::MakeCsr(next.key_pem));
  WEIR_ASSIGN(const auto leaf, identity::SignLeaf(anchor_, request, clock_));
  WEIR_ASSIGN(const auto facts, identity::ReadCertificate(leaf));
  next.chain_pem = leaf + anchor_.certificate_pem;
  next.not_after = facts.not_after;
  WEIR_TRY(blobs_.save("server", Join(next.key_pem, next.chain_pem)));
  server_ = std::move(next);
  return {};
}

Result<std::string> ServerCa::SignIntermediate(std::string_view csr_pem, std::string_view trust_domain,
                                               const identity::ClusterGeneration& cluster) const {
  identity::IntermediateRequest request;
  request.csr_pem = csr_pem;
  request.trust_domain = trust_domain;
  request.cluster = cluster;
  request.lifetime = options_.intermediate_lifetime;
  MutexLock lock(mutex_);
  return identity::SignIntermediate(root_, request, clock_);
}

}  // namespace weir::ca
