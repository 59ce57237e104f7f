#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "libs/codec/http1.h"

// Whom a request means, and how much a head may be between gateways.

namespace weir::codec {
namespace {

struct Parsed {
  std::string text;
  std::unique_ptr<RequestHead> head = std::make_unique<RequestHead>();
  Parse result;
  std::string error;
  explicit Parsed(std::string bytes, const HeadBounds& bounds = kOutside) : text(std::move(bytes)) {
    result = ParseRequest(text.data(), text.size(), *head, bounds);
    if (result == Parse::kBad) error = head->error;
  }
};
Parsed Request(const std::string& text) { return Parsed(text); }
std::string Get(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"; }

TEST(RequestHead, HasItsHostFromAnAbsoluteTargetInHttp10) {
  const auto absolute = Request("GET HTTP://a.example:80/x HTTP/1.0\r\n\r\n");
  ASSERT_EQ(absolute.result, Parse::kComplete);
  EXPECT_EQ(absolute.head->host, "a.example:80");
  EXPECT_EQ(absolute.head->target, "/x");
  EXPECT_TRUE(absolute.head->lacks_host);
  EXPECT_FALSE(Request(Get("")).head->lacks_host);
  EXPECT_EQ(Request("GET http://a.example/ HTTP/1.1\r\n\r\n").error, "bad_host");
  for (const char* target : {"/x", "*", "http://", "http:///x", "http://u@a/", "ftp://a/"}) {
    EXPECT_EQ(Request("GET " + std::string(target) + " HTTP/1.0\r\n\r\n").error, "bad_host") << target;
  }
}

TEST(RequestHead, SaysThatItsTargetIsHttps) {
  EXPECT_TRUE(Request("GET HTTPS://a/ HTTP/1.1\r\nHost: a\r\n\r\n").head->https_target);
  EXPECT_FALSE(Request("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").head->https_target);
  EXPECT_FALSE(Request("GET /https:// HTTP/1.1\r\nHost: a\r\n\r\n").head->https_target);
}

TEST(RequestHead, MayBeLargerBetweenGateways) {
  std::string most;
  for (size_t i = 1; i < kMesh.fields; ++i) most += "X-A: b\r\n";
  const auto bounded = [](const std::string& text) { return Parsed(text, kMesh).error; };
  EXPECT_EQ(bounded(Get(most)), "");
  EXPECT_EQ(bounded(Get(most + "X-A: b\r\n")), "too_many_headers");
  const auto sized = [](size_t size) { return Get("X: " + std::string(size - Get("X: \r\n").size(), 'a') + "\r\n"); };
  EXPECT_EQ(bounded(sized(kMesh.bytes)), "");
  EXPECT_EQ(bounded(sized(kMesh.bytes + 1)), "head_too_large");
}

}  // namespace
}  // namespace weir::codec
