#include <gtest/gtest.h>

#include "libs/obs/json.h"
#include "libs/obs/log.h"
#include "libs/obs/metrics.h"

namespace weir::obs {
namespace {

TEST(Json, KeepsAPeersBytesOnOneLine) {
  std::string out;
  AppendJsonString(out, std::string_view("a\"b\\c\n\0\xff", 8));
  EXPECT_EQ(out, R"("a\"b\\c\u000a\u0000\u00ff")");
}

TEST(Log, NamesTheLevelsItKnows) {
  EXPECT_EQ(ParseLevel("warn").value(), Level::kWarn);
  EXPECT_NE(ParseLevel("loud").error().message.find("debug, info, warn or error"), std::string::npos);
}

TEST(Metrics, RendersTheExpositionFormat) {
  Metrics metrics;
  metrics.Counter("weir_x_total", "What x did.", {{"host", "a\"b"}}).Add(3);
  metrics.AddSource([](std::string& out) { AppendSample(out, "weir_y", {}, 1.5); });
  EXPECT_EQ(
      metrics.Render(),
      "# HELP weir_x_total What x did.\n# TYPE weir_x_total counter\nweir_x_total{host=\"a\\\"b\"} 3\nweir_y 1.5\n");
}

}  // namespace
}  // namespace weir::obs
