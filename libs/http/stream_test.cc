#include "libs/http/server_fixture.h"

namespace weir::http {
namespace {

// A body of which a test says when there is more.
class Spring : public Source {
 public:
  void Next(std::function<void(Piece)> take) override {
    MutexLock lock(mutex_);
    take_ = std::move(take);
    ++asked_;
  }
  void Leave() override { left = true; }
  bool Give(Piece piece) {
    std::function<void(Piece)> take;
    {
      MutexLock lock(mutex_);
      take = std::exchange(take_, nullptr);
    }
    if (take) take(std::move(piece));
    return take != nullptr;
  }
  int asked() {
    MutexLock lock(mutex_);
    return asked_;
  }
  std::atomic<bool> left{false};

 private:
  Mutex mutex_;
  std::function<void(Piece)> take_ WEIR_GUARDED_BY(mutex_);
  int asked_ WEIR_GUARDED_BY(mutex_) = 0;
};

TEST_F(HttpServer, AStreamComesPieceByPieceAndTheConnectionGoesOn) {
  const auto spring = std::make_shared<Spring>();
  Start([&](Request&& request) {
    if (request.target != "/stream") return Response{200, {}, "plain"};
    Response response{200, {{"Content-Type", "text/event-stream"}}, ""};
    response.stream = spring;
    return response;
  });
  Client client = NewClient();
  std::thread reader([&] {
    const auto answer = client.Do({"GET", "/stream", {}, "", ""});
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(answer->body, "one two");
    EXPECT_EQ(answer->Header("content-type"), "text/event-stream");
  });
  ASSERT_TRUE(Eventually([&] { return spring->asked() == 1; }));
  clock_.Advance(std::chrono::hours(1));  // A stream may be silent for as long as its caller waits.
  EXPECT_TRUE(spring->Give({"one"}));
  ASSERT_TRUE(Eventually([&] { return spring->asked() == 2; })) << "asked again once the first is sent";
  EXPECT_TRUE(spring->Give({" two", true}));
  reader.join();
  EXPECT_FALSE(spring->left);
  EXPECT_EQ(client.Do({"GET", "/", {}, "", ""})->body, "plain");
  EXPECT_EQ(server_->connections(), 1u);
  EXPECT_EQ(client.Do({"HEAD", "/stream", {}, "", ""})->body, "");
  EXPECT_TRUE(spring->left);
}

TEST_F(HttpServer, AStreamEndsWithItsReader) {
  const auto spring = std::make_shared<Spring>();
  Start([&](Request&&) {
    Response response{200, {}, ""};
    response.stream = spring;
    return response;
  });
  {
    const Deaf deaf(server_->port(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(Eventually([&] { return spring->Give({std::string(64 << 20, 'x')}); }));
    Duration passed{0};
    EXPECT_TRUE(Eventually([&] {
      passed += std::chrono::seconds(1);
      clock_.Advance(std::chrono::seconds(1));
      return server_->connections() == 0;
    })) << "he does not read";
    EXPECT_GE(passed, options_.request_timeout);
    EXPECT_TRUE(spring->left);
  }
  spring->left = false;
  {
    const Deaf deaf(server_->port(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(Eventually([&] { return spring->asked() == 2; }));
  }
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(100));
    return spring->left.load();
  })) << "he has hung up while there was nothing to say";
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpServer, WhatNobodyReadsDoesNotHeapUpInTheKernel) {
  const auto spring = std::make_shared<Spring>();
  Start([&](Request&&) {
    Response response{200, {}, ""};
    response.stream = spring;
    return response;
  });
  const Deaf deaf(server_->port(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string piece(16 << 10, 'x');
  size_t given = 0;
  EXPECT_FALSE(Eventually(
      [&] {
        while (given < 1 << 20 && spring->Give({piece})) given += piece.size();
        return given >= 1 << 20;
      },
      std::chrono::seconds(1)));
  EXPECT_GT(given, 0u);
}

}  // namespace
}  // namespace weir::http
