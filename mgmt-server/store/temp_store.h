#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::store {

// For tests: a policy of no nodes, for stores that nobody asks who may what.
class NoPolicy : public Policy {
 public:
  static const Policy& Get() {
    static const NoPolicy policy;
    return policy;
  }
  std::vector<std::string> Rights() const override { return {"read", "write"}; }
  Status Derive(const View&, ngac::Graph&) const override { return {}; }
  Status ApplyChange(const View&, const StoredResource*, const StoredResource*, ngac::Graph&) const override {
    return {};
  }
  Status ApplyRoleChange(std::string_view, std::string_view, bool, ngac::Graph&) const override { return {}; }
};

// For tests: the real store in a folder that goes with it.
class TempStore {
 public:
  explicit TempStore(const Policy& policy = NoPolicy::Get(), const Clock& clock = Clock::Real(),
                     std::function<void(const Standing&)> committed = {})
      : folder_(std::filesystem::temp_directory_path() / ("weir-" + RandomHex(6))), policy_(policy) {
    std::filesystem::create_directories(folder_);
    options_.path = folder_ / "weir.db";
    options_.clock = &clock;
    options_.committed = std::move(committed);
    Reopen();
  }
  ~TempStore() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Reopen() {
    store_.reset();
    auto opened = OpenSqlite(options_, policy_);
    EXPECT_TRUE(opened.ok());
    if (opened.ok()) store_ = std::move(opened).value();
  }
  TempStore(const TempStore&) = delete;
  TempStore& operator=(const TempStore&) = delete;

  Store& operator*() { return *store_; }
  Store* operator->() { return store_.get(); }
  std::string folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  const Policy& policy_;
  SqliteOptions options_;
  std::unique_ptr<Store> store_;
};

}  // namespace weir::store
