// weir-bench-gateway: weir-tier1, but for its rule that it calls nobody without TLS. No role of Weir goes from plain
// to plain, and with it the same engine can be measured against peers that do.
#include "libs/gateway/gateway.h"

#include "tier1-gateway/role.h"

namespace {

class BenchRole final : public weir::gateway::Role {
 public:
  explicit BenchRole(weir::gateway::Role& tier1) : Role(tier1.program(), tier1.purpose()), tier1_(tier1) {}
  weir::Status CheckListener(const weir::proxy::Listener&) const override { return {}; }
  weir::Status CheckDestinationSet(const weir::proxy::DestinationSet&, const std::set<std::string>&) const override {
    return {};
  }
  weir::Result<std::shared_ptr<const weir::proxy::Snapshot>> Adapt(
      std::shared_ptr<const weir::proxy::Snapshot> snapshot) override {
    return tier1_.Adapt(std::move(snapshot));
  }

 private:
  weir::gateway::Role& tier1_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto tier1 = weir::tier1::NewTier1Role();
  BenchRole role(*tier1);
  return weir::gateway::Main(role, argc, argv);
}
