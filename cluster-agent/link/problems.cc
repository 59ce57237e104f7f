#include "cluster-agent/link/problems.h"

#include "api/weir/agent/v1/agent.pb.h"
#include "libs/base/text.h"

namespace weir::agent {
namespace {

constexpr int kMost = 32;
constexpr size_t kMostText = 1024;

}  // namespace

void AddProblem(std::string_view source, std::string_view text, v1::Problems* out) {
  if (out->problems_size() >= kMost) return;
  v1::Problem* problem = out->add_problems();
  problem->set_source(CleanText(source, kMostText));
  problem->set_text(CleanText(text, kMostText));
}

}  // namespace weir::agent
