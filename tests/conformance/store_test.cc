// The conformance suite of store::Store. A further implementation adds a Backend to the list at the end.
#include "mgmt-server/store/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/base/sha256.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "tests/conformance/shelf_policy.h"

namespace weir::store {
namespace {

// An empty place, and the store on it; opening again finds what was stored.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Result<std::unique_ptr<Store>> Open() = 0;
};

class SqliteBackend : public Backend {
 public:
  SqliteBackend() : folder_(std::filesystem::temp_directory_path() / ("weir-store-" + RandomHex(6))) {
    std::filesystem::create_directories(folder_);
  }
  ~SqliteBackend() override { std::filesystem::remove_all(folder_); }
  Result<std::unique_ptr<Store>> Open() override {
    SqliteOptions options;
    options.path = folder_ / "weir.db";
    return OpenSqlite(std::move(options), ShelfPolicy::Get());
  }

 private:
  std::filesystem::path folder_;
};

struct Maker {
  const char* name;
  std::unique_ptr<Backend> (*make)();
};

std::string Reason(const Error& error) { return error.reason; }
template <typename T>
std::string Reason(const Result<T>& result) {
  return result.ok() ? "" : result.error().reason;
}

// Collects what a subscription delivers.
template <typename Event>
class Inbox {
 public:
  void Add(const Event& event) {
    MutexLock lock(mutex_);
    events_.push_back(event);
    changed_.NotifyAll();
  }
  std::vector<Event> WaitFor(size_t count) {
    MutexLock lock(mutex_);
    changed_.WaitRealTime(mutex_, std::chrono::seconds(10),
                          [&]() WEIR_REQUIRES(mutex_) { return events_.size() >= count; });
    return events_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<Event> events_ WEIR_GUARDED_BY(mutex_);
};

class StoreConformance : public testing::TestWithParam<Maker> {
 protected:
  void SetUp() override {
    backend_ = GetParam().make();
    Reopen();
  }
  void Reopen() {
    store_.reset();
    auto opened = backend_->Open();
    ASSERT_TRUE(opened.ok()) << opened.error().ToString() << " " << opened.error().cause;
    store_ = std::move(opened).value();
  }
  Result<ResourcePtr> Put(const std::string& fqn, const std::string& body, std::optional<std::string> etag = {},
                          const std::string& kind = "Tenant") {
    return store_->Write([&](Txn& txn) { return txn.Put({kind, fqn, body, {{"spec", "weir"}}, etag}); });
  }
  Result<ResourcePtr> Delete(const std::string& fqn) {
    return store_->Write([&](Txn& txn) { return txn.Delete(fqn); });
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformance, FindsEverythingAgainAfterReopening) {
  const auto put = Put("organizations/o", std::string("body\0with zero", 14));
  ASSERT_TRUE(put.ok());
  const auto& before = *put;
  Reopen();
  const ResourcePtr after = store_->Read()->Get("organizations/o");
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->body, before->body);
  EXPECT_EQ(after->uid, before->uid);
  EXPECT_EQ(after->etag, before->etag);
  EXPECT_EQ(after->kind, "Tenant");
  EXPECT_EQ(after->field_owners, before->field_owners);
  EXPECT_EQ(after->create_time, before->create_time);
  EXPECT_EQ(after->revision, 1);
  EXPECT_EQ(store_->Read()->revision(), 1);
  EXPECT_EQ(store_->Read()->GetByUid(before->uid), after);
}

TEST_P(StoreConformance, NumbersEachCallerThatChangesAResource) {
  EXPECT_EQ((*Put("a", "1"))->revision, 1);
  EXPECT_FALSE(Put("a", "2", "wrong").ok());
  EXPECT_TRUE(store_->Write([](Txn& txn) -> Status { return txn.PutCaMaterial("root", "x"); }).ok());
  EXPECT_EQ((*Put("a", "2"))->revision, 2);
  EXPECT_EQ((*Put("a", "2"))->revision, 2) << "nothing changed, no new version";
  EXPECT_EQ((*Put("b", "1"))->revision, 3);
}

TEST_P(StoreConformance, ComparesTheEtag) {
  const auto first = Put("a", "1", "");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Reason(Put("a", "2", "")), "RESOURCE_EXISTS");
  EXPECT_EQ(Reason(Put("b", "2", "7-deadbeef")), "ETAG_MISMATCH");
  const auto second = Put("a", "2", (*first)->etag);
  ASSERT_TRUE(second.ok());
  EXPECT_NE((*second)->etag, (*first)->etag);
  EXPECT_EQ((*second)->create_time, (*first)->create_time);
  EXPECT_EQ(Reason(Put("a", "3", (*first)->etag)), "ETAG_MISMATCH");
  EXPECT_EQ(Reason(store_->Write([&](Txn& txn) { return txn.Delete("a", (*first)->etag); })), "ETAG_MISMATCH");
  EXPECT_EQ(Reason(Delete("missing")), "RESOURCE_MISSING");
}

TEST_P(StoreConformance, GivesANameThatComesBackANewUid) {
  const auto first = Put("a", "1");
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(store_->Read()->Get("a"), nullptr);
  EXPECT_EQ(store_->Read()->GetByUid((*first)->uid), nullptr);
  const auto second = Put("a", "1", "");
  ASSERT_TRUE(second.ok());
  EXPECT_NE((*second)->uid, (*first)->uid);
  Reopen();
  EXPECT_EQ(store_->Read()->Get("a")->uid, (*second)->uid);
}

TEST_P(StoreConformance, ShowsACallerItsOwnChangesAndTakesThemBackOnError) {
  ASSERT_TRUE(Put("kept", "1").ok());
  const Status failed = store_->Write([](Txn& txn) -> Status {
    WEIR_TRY(txn.Put({"Tenant", "new", "1", {}, {}}));
    WEIR_TRY(txn.Delete("kept"));
    WEIR_TRY(txn.PutInstallationRole("admin", "u"));
    EXPECT_EQ(txn.graph().node_count(), 3u);
    WEIR_TRY(txn.PutCredential({"u", "h", txn.now()}));
    WEIR_TRY(txn.ApplyFacts({"c", false, {{"a/b", "x"}}, {}, {}, {}, 1, "h"}));
    EXPECT_NE(txn.Get("new"), nullptr);
    EXPECT_EQ(txn.Get("kept"), nullptr);
    return FailedPrecondition("CHANGED_MY_MIND", "no");
  });
  EXPECT_EQ(Reason(failed), "CHANGED_MY_MIND");
  for (int round = 0; round < 2; ++round) {
    const ViewPtr view = store_->Read();
    EXPECT_EQ(view->Get("new"), nullptr);
    EXPECT_NE(view->Get("kept"), nullptr);
    EXPECT_EQ(view->graph().node_count(), 2u);
    EXPECT_NE(view->graph().Find("kept"), ngac::kNoNode);
    EXPECT_FALSE(view->HasInstallationRole("admin", "u"));
    EXPECT_EQ(view->FindCredential("u"), nullptr);
    EXPECT_EQ(view->Facts("c"), nullptr);
    EXPECT_EQ(view->facts_sequence(), 0u);
    EXPECT_EQ(view->revision(), 1);
    Reopen();
  }
}

TEST_P(StoreConformance, ADryRunAnswersAndLeavesNothing) {
  const auto answer = store_->DryRun([](Txn& txn) { return txn.Put({"Tenant", "a", "1", {}, {}}); });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer)->revision, 1);
  EXPECT_EQ(store_->Read()->Get("a"), nullptr);
  EXPECT_EQ((*Put("b", "1"))->revision, 1);
}

TEST_P(StoreConformance, RefusesAWriteInsideAWriteAndSurvivesAThrow) {
  EXPECT_EQ(Reason(store_->Write([&](Txn&) -> Status { return store_->Write([](Txn&) -> Status { return {}; }); })),
            "NESTED_WRITE");
  const auto thrown = store_->Write([](Txn& txn) -> Result<ResourcePtr> {
    (void)txn.Put({"Tenant", "a", "1", {}, {}});
    throw std::runtime_error("library");
  });
  EXPECT_EQ(Reason(thrown), "WRITE_THREW");
  EXPECT_EQ(store_->Read()->Get("a"), nullptr);
}

TEST_P(StoreConformance, ListsByParentAndKindInPages) {
  ASSERT_TRUE(Put("organizations/o", "1", {}, "Organization").ok());
  for (int i = 0; i < 25; ++i) {
    const std::string tenant = "organizations/o/tenants/t" + std::string(1, static_cast<char>('a' + i));
    ASSERT_TRUE(Put(tenant, "1").ok());
    ASSERT_TRUE(Put(tenant + "/workspaces/w", "1", {}, "Workspace").ok());
  }
  ASSERT_TRUE(Put("organizations/o-other/tenants/ta", "1").ok());
  const ViewPtr view = store_->Read();
  std::vector<std::string> seen;
  ListQuery query{"organizations/o", "Tenant", 10, ""};
  int pages = 0;
  do {
    const Page page = view->List(query);
    ++pages;
    for (const ResourcePtr& item : page.items) seen.push_back(item->fqn);
    query.page_token = page.next_page_token;
  } while (!query.page_token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen.size(), 25u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(view->List({"organizations/o/tenants/tb", "", 100, ""}).items.size(), 1u);
  EXPECT_EQ(view->List({"", "Workspace", 1000, ""}).items.size(), 25u);
  EXPECT_EQ(view->List({"", "", 1000, ""}).items.size(), 52u);
}

TEST_P(StoreConformance, AViewNeverChanges) {
  ASSERT_TRUE(Put("a", "1").ok());
  const ViewPtr view = store_->Read();
  ASSERT_TRUE(Put("a", "2").ok());
  ASSERT_TRUE(Put("b", "1").ok());
  EXPECT_EQ(view->Get("a")->body, "1");
  EXPECT_EQ(view->Get("b"), nullptr);
  EXPECT_EQ(view->revision(), 1);
}

TEST_P(StoreConformance, KeepsHistoryAndShowsThePast) {
  ASSERT_TRUE(Put("a", "1").ok());
  ASSERT_TRUE(Put("a", "2").ok());
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Put("a", "4").ok());
  const auto history = store_->History("a");
  ASSERT_TRUE(history.ok());
  ASSERT_EQ(history->size(), 4u);
  EXPECT_EQ((*history)[0]->body, "") << "a thousand may be asked for";
  EXPECT_TRUE((*history)[1]->deleted);
  EXPECT_EQ((*history)[3]->revision, 1);
  EXPECT_EQ((*store_->ReadAt(2))->Get("a")->body, "2");
  EXPECT_EQ((*store_->ReadAt(3))->Get("a"), nullptr);
  EXPECT_EQ((*store_->ReadAt(0))->resource_count(), 0u);
  EXPECT_EQ(Reason(store_->ReadAt(5)), "REVISION_UNKNOWN");
}

TEST_P(StoreConformance, FeedsEveryRevisionInOrderAlsoAfterResuming) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Put("r" + std::to_string(i), "1").ok());
  Reopen();  // So that the older events come from the disk.
  Inbox<ChangeEvent> inbox;
  auto subscription = store_->Subscribe(2, [&](const ChangeEvent& event) {
    EXPECT_GE(store_->Read()->revision(), event.revision);
    inbox.Add(event);
  });
  ASSERT_TRUE(store_
                  ->Write([](Txn& txn) -> Status {
                    WEIR_TRY(txn.Put({"Tenant", "z", "1", {}, {}}));
                    WEIR_TRY(txn.Put({"Tenant", "z", "2", {}, {}}));
                    WEIR_TRY(txn.Delete("r0"));
                    return {};
                  })
                  .ok());
  ASSERT_TRUE(store_->Write([](Txn& txn) -> Status { return txn.PutCaMaterial("x", "y"); }).ok());
  ASSERT_TRUE(Put("last", "1").ok());
  const auto events = inbox.WaitFor(5);
  ASSERT_EQ(events.size(), 5u);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].revision, static_cast<int64_t>(3 + i));
  ASSERT_EQ(events[3].changes.size(), 2u);
  EXPECT_EQ(events[3].changes[0].fqn, "r0");
  EXPECT_TRUE(events[3].changes[0].deleted);
  EXPECT_EQ(events[3].changes[1].fqn, "z");
  EXPECT_EQ(events[3].changes[1].kind, "Tenant");
  subscription.reset();
  ASSERT_TRUE(Put("unheard", "1").ok());
  EXPECT_EQ(inbox.WaitFor(5).size(), 5u);
}

TEST_P(StoreConformance, KeepsFactsApartFromRevisions) {
  Inbox<FactsEvent> inbox;
  auto subscription = store_->SubscribeFacts(0, [&](const FactsEvent& event) { inbox.Add(event); });
  const auto apply = [&](FactsChange change) {
    change.cluster_uid = "c1";
    return store_->Write([&](Txn& txn) -> Status { return txn.ApplyFacts(change); });
  };
  ASSERT_TRUE(apply({"", true, {{"ns/a", "A"}, {"ns/b", "B"}}, {{"ns/s", "S"}}, {}, {}, 1, "h1"}).ok());
  ASSERT_TRUE(apply({"", false, {{"ns/a", "A"}, {"ns/c", "C"}}, {}, {"ns/b"}, {}, 2, "h2"}).ok());
  ASSERT_TRUE(store_->Write([](Txn& txn) -> Status { return txn.SetConnection("c1", true, "1.0"); }).ok());
  ASSERT_TRUE(apply({"", true, {{"ns/c", "C"}}, {}, {}, {}, 3, "h3"}).ok());
  const auto events = inbox.WaitFor(4);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1].workloads, (std::vector<std::string>{"ns/c", "ns/b"}));
  EXPECT_TRUE(events[2].connection_changed);
  EXPECT_EQ(events[3].workloads, std::vector<std::string>{"ns/a"});
  EXPECT_EQ(events[3].services, std::vector<std::string>{"ns/s"});
  EXPECT_EQ(store_->Read()->revision(), 0);
  EXPECT_TRUE(store_->Read()->Facts("c1")->connected);
  subscription.reset();
  Reopen();
  const ClusterFactsPtr facts = store_->Read()->Facts("c1");
  ASSERT_NE(facts, nullptr);
  EXPECT_EQ(facts->workloads.size(), 1u);
  EXPECT_EQ(*facts->workloads.Find("ns/c"), "C");
  EXPECT_TRUE(facts->services.empty());
  EXPECT_EQ(facts->hash, "h3");
  EXPECT_EQ(facts->agent_sequence, 3u);
  EXPECT_EQ(facts->agent_version, "1.0");
  EXPECT_FALSE(facts->connected);
  EXPECT_EQ(store_->Read()->facts_sequence(), 4u);
  Inbox<FactsEvent> late;
  subscription = store_->SubscribeFacts(1, [&](const FactsEvent& event) { late.Add(event); });
  EXPECT_TRUE(late.WaitFor(1).at(0).resync);
  ASSERT_TRUE(store_->Write([](Txn& txn) -> Status { return txn.DeleteFacts("c1"); }).ok());
  EXPECT_TRUE(late.WaitFor(2).at(1).removed);
  subscription.reset();
  Reopen();
  EXPECT_EQ(store_->Read()->Facts("c1"), nullptr);
  EXPECT_EQ(store_->Read()->facts_sequence(), 5u);
}

TEST_P(StoreConformance, KeepsCredentialsSessionsTokensAndCaMaterial) {
  const std::string hash = Sha256("token");
  ASSERT_TRUE(store_
                  ->Write([&](Txn& txn) -> Status {
                    WEIR_TRY(txn.PutCredential({"u1", "$argon2id$", txn.now()}));
                    WEIR_TRY(txn.PutSession({hash, "u1", txn.now(), txn.now() + std::chrono::hours(1), ""}));
                    WEIR_TRY(txn.PutSession({Sha256("other"), "u2", txn.now(), txn.now() + std::chrono::hours(1), ""}));
                    WEIR_TRY(txn.PutJoinToken({hash, "c1", txn.now(), txn.now() + std::chrono::minutes(15), false}));
                    WEIR_TRY(
                        txn.PutJoinToken({Sha256("old"), "c1", txn.now(), txn.now() - std::chrono::seconds(1), false}));
                    return txn.PutCaMaterial("root-key", std::string("\0\1\2", 3));
                  })
                  .ok());
  Reopen();
  const ViewPtr view = store_->Read();
  EXPECT_EQ(view->FindCredential("u1")->hash, "$argon2id$");
  EXPECT_EQ(view->FindSession(hash)->user_uid, "u1");
  EXPECT_EQ(*view->FindCaMaterial("root-key"), std::string("\0\1\2", 3));
  EXPECT_EQ(view->FindJoinToken(hash)->cluster_uid, "c1");
  const auto use = [&](const std::string& token) {
    return store_->Write([&](Txn& txn) { return txn.UseJoinToken(Sha256(token)); });
  };
  EXPECT_EQ(use("token")->cluster_uid, "c1");
  EXPECT_EQ(Reason(use("token")), "JOIN_TOKEN_USED");
  EXPECT_EQ(Reason(use("old")), "JOIN_TOKEN_EXPIRED");
  EXPECT_EQ(Reason(use("never")), "JOIN_TOKEN_UNKNOWN");
  ASSERT_TRUE(store_
                  ->Write([&](Txn& txn) -> Status {
                    WEIR_TRY(txn.DeleteSessionsOf("u1"));
                    WEIR_TRY(txn.DeleteCredential("u1"));
                    WEIR_TRY(txn.DeleteJoinTokensOf("c1"));
                    return txn.DeleteCaMaterial("root-key");
                  })
                  .ok());
  Reopen();
  EXPECT_EQ(store_->Read()->FindSession(hash), nullptr);
  EXPECT_NE(store_->Read()->FindSession(Sha256("other")), nullptr);
  EXPECT_EQ(store_->Read()->FindCredential("u1"), nullptr);
  EXPECT_EQ(store_->Read()->FindJoinToken(hash), nullptr);
  EXPECT_EQ(store_->Read()->FindCaMaterial("root-key"), nullptr);
}

TEST_P(StoreConformance, ThePermissionGraphIsThatOfWhatIsStored) {
  ASSERT_TRUE(Put("a", "1").ok());
  ASSERT_TRUE(Put("b", "1").ok());
  ASSERT_TRUE(Put("a", "2").ok());
  const auto role = [&](bool given, const std::string& user) {
    return store_->Write([&](Txn& txn) {
      return given ? txn.PutInstallationRole("admin", user) : txn.DeleteInstallationRole("admin", user);
    });
  };
  ASSERT_TRUE(role(true, "u1").ok());
  ASSERT_TRUE(role(true, "u1").ok()) << "again changes nothing";
  ASSERT_TRUE(role(true, "u2").ok());
  ASSERT_TRUE(role(false, "u2").ok());
  ASSERT_TRUE(role(false, "u3").ok());
  ASSERT_TRUE(Delete("b").ok());
  for (const bool reopened : {false, true}) {
    SCOPED_TRACE(reopened);
    if (reopened) Reopen();
    const ViewPtr view = store_->Read();
    EXPECT_EQ(view->graph().node_count(), 3u);
    EXPECT_NE(view->graph().Find("a"), ngac::kNoNode);
    EXPECT_NE(view->graph().Find("admin:u1"), ngac::kNoNode);
    EXPECT_TRUE(view->HasInstallationRole("admin", "u1"));
    EXPECT_FALSE(view->HasInstallationRole("admin", "u2"));
  }
}

TEST_P(StoreConformance, ManyWritersGetOneRevisionEachAndReadTheirOwnWrites) {
  Mutex mutex;
  std::vector<int64_t> revisions;
  std::vector<std::thread> writers(16);
  for (int i = 0; i < 16; ++i) {
    writers[static_cast<size_t>(i)] = std::thread([&, i] {
      for (int n = 0; n < 20; ++n) {
        const std::string fqn = std::to_string(i) + "/" + std::to_string(n);
        const auto put = Put(fqn, "1");
        ASSERT_TRUE(put.ok());
        const ResourcePtr read = store_->Read()->Get(fqn);
        ASSERT_NE(read, nullptr);
        EXPECT_EQ(read->etag, (*put)->etag);
        MutexLock lock(mutex);
        revisions.push_back((*put)->revision);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  std::sort(revisions.begin(), revisions.end());
  for (size_t i = 0; i < revisions.size(); ++i) EXPECT_EQ(revisions[i], static_cast<int64_t>(i + 1));
}

TEST_P(StoreConformance, LosesNoUpdateWhenManyIncrementOneResource) {
  ASSERT_TRUE(Put("n", "0").ok());
  std::vector<std::thread> writers(8);
  for (std::thread& writer : writers) {
    writer = std::thread([&] {
      for (int n = 0; n < 25; ++n) {
        const auto added = store_->Write([](Txn& txn) {
          return txn.Put({"Tenant", "n", std::to_string(std::stoi(txn.Get("n")->body) + 1), {}, {}});
        });
        EXPECT_TRUE(added.ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(store_->Read()->Get("n")->body, "200");
}

// Callers that share a COMMIT share nothing else: what one of them did and was refused for is nowhere, in memory or on
// disk, whatever it touched and wherever it stood in the group.
TEST_P(StoreConformance, ARefusedWriteLeavesNothingBesideGoodOnesOfItsGroup) {
  std::atomic<bool> held{false}, go{false};
  std::atomic<int> queued{0};
  std::vector<std::thread> callers;
  callers.emplace_back([&] {  // Holds the writer until the others stand in the queue.
    (void)store_->Write([&](Txn&) -> Status {
      held = true;
      while (!go) std::this_thread::yield();
      return {};
    });
  });
  while (!held) std::this_thread::yield();
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      ++queued;
      const std::string name = (i % 2 == 0 ? "good/" : "refused/") + std::to_string(i);
      const Status answered = store_->Write([&](Txn& txn) -> Status {
        WEIR_TRY(txn.Put({"Tenant", name, "body", {}, ""}));
        WEIR_TRY(txn.PutInstallationRole("admin", name));
        WEIR_TRY(txn.PutCredential({name, "hash", {}}));
        WEIR_TRY(txn.PutCaMaterial(name, "key"));
        FactsChange facts;
        facts.cluster_uid = name;
        facts.workloads["ns/w"] = "w";
        WEIR_TRY(txn.ApplyFacts(facts));
        if (i % 2 == 0) return {};
        return InvalidArgument("REFUSED", "no");
      });
      EXPECT_EQ(answered.ok(), i % 2 == 0);
    });
  }
  while (queued < 12) std::this_thread::yield();
  go = true;
  for (std::thread& caller : callers) caller.join();
  for (const bool reopened : {false, true}) {
    SCOPED_TRACE(reopened);
    if (reopened) Reopen();
    const ViewPtr view = store_->Read();
    EXPECT_EQ(view->revision(), 6);
    EXPECT_EQ(view->resource_count(), 6u);
    EXPECT_EQ(view->credential_count(), 6u);
    EXPECT_EQ(view->graph().node_count(), 13u);
    for (int i = 0; i < 12; ++i) {
      const std::string name = (i % 2 == 0 ? "good/" : "refused/") + std::to_string(i);
      const bool good = i % 2 == 0;
      EXPECT_EQ(view->Get(name) != nullptr, good) << name;
      EXPECT_EQ(view->FindCaMaterial(name) != nullptr, good) << name;
      EXPECT_EQ(view->HasInstallationRole("admin", name), good) << name;
      EXPECT_EQ(view->Facts(name) != nullptr, good) << name;
    }
    EXPECT_TRUE(store_->History("refused/1")->empty());
  }
}

TEST_P(StoreConformance, TellsTheDeletionOfAnEarlierUidBesideTheNameThatLivesOn) {
  const auto first = Put("a", "1");
  Inbox<ChangeEvent> live;
  const auto subscription = store_->Subscribe(1, [&](const ChangeEvent& event) { live.Add(event); });
  std::string second;
  ASSERT_TRUE(store_
                  ->Write([&](Txn& txn) -> Status {
                    WEIR_TRY(txn.Delete("a"));
                    WEIR_ASSIGN(const ResourcePtr put, txn.Put({"Tenant", "a", "2", {}, ""}));
                    second = put->uid;
                    WEIR_TRY(txn.Put({"Tenant", "a", "3", {}, {}}));  // Versions of one uid collapse.
                    return {};
                  })
                  .ok());
  Inbox<ChangeEvent> resumed;
  const auto from_disk = [&] {
    Reopen();
    return store_->Subscribe(1, [&](const ChangeEvent& event) { resumed.Add(event); });
  };
  const auto check = [&](const std::vector<ChangeEvent>& events) {
    ASSERT_EQ(events.size(), 1u);
    ASSERT_EQ(events[0].changes.size(), 2u);
    EXPECT_EQ(events[0].changes[0].uid, (*first)->uid);
    EXPECT_TRUE(events[0].changes[0].deleted);
    EXPECT_EQ(events[0].changes[1].uid, second);
    EXPECT_FALSE(events[0].changes[1].deleted);
  };
  check(live.WaitFor(1));
  const auto again = from_disk();
  check(resumed.WaitFor(1));
}

TEST_P(StoreConformance, NamesItsHistoryAndEachRevisionOfIt) {
  const xds::Position empty = store_->Read()->position();
  ASSERT_EQ(empty.lineages.size(), 1u);
  EXPECT_EQ(empty.mark, "0-");
  ASSERT_TRUE(xds::ParsePosition(empty.ToText()).ok());
  std::vector<std::string> marks = {empty.mark};
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(store_
                    ->Write([&](Txn& txn) -> Status {  // The mark is that of the first of several versions.
                      WEIR_TRY(txn.Put({"Tenant", "z" + std::to_string(i), "1", {}, {}}));
                      WEIR_TRY(txn.Put({"Tenant", "a", std::to_string(i), {}, {}}));
                      return {};
                    })
                    .ok());
    marks.push_back(store_->Read()->position().mark);
    EXPECT_EQ(store_->Read()->position().revision(), i + 1);
  }
  for (const bool reopened : {false, true}) {
    SCOPED_TRACE(reopened);
    if (reopened) Reopen();
    EXPECT_EQ(store_->Read()->position().mark, marks.back());
    EXPECT_EQ(store_->Read()->lineages(), empty.lineages);
    for (size_t revision = 1; revision < marks.size(); ++revision) {
      EXPECT_EQ(*store_->MarkOf(static_cast<int64_t>(revision)), marks[revision]);
    }
    EXPECT_EQ(Reason(store_->MarkOf(6)), "REVISION_UNKNOWN");
    EXPECT_EQ(Reason(store_->MarkOf(0)), "REVISION_UNKNOWN");
  }
  ASSERT_TRUE(store_->Write([](Txn& txn) { return txn.AdoptState(); }).ok());
  for (const bool reopened : {false, true}) {
    if (reopened) Reopen();
    const auto& lineages = store_->Read()->lineages();
    ASSERT_EQ(lineages.size(), 2u);
    EXPECT_EQ(lineages[0], empty.lineages[0]);
    EXPECT_NE(lineages[1], lineages[0]);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Stores, StoreConformance,
    testing::Values(Maker{"Sqlite", +[]() -> std::unique_ptr<Backend> { return std::make_unique<SqliteBackend>(); }}),
    [](const testing::TestParamInfo<Maker>& info) { return info.param.name; });

// The files go, or others take their names, while the store is open: nothing is acknowledged that no later start finds.
TEST(Sqlite, AcknowledgesNothingIntoFilesThatAreGone) {
  namespace fs = std::filesystem;
  for (const std::string suffix : {"", "-wal"}) {
    for (const bool replaced : {false, true}) {
      SCOPED_TRACE(suffix + (replaced ? " replaced" : " deleted"));
      const fs::path folder = fs::temp_directory_path() / ("weir-store-" + RandomHex(6));
      fs::create_directories(folder);
      auto store = OpenSqlite({.path = folder / "weir.db"}, ShelfPolicy::Get());
      ASSERT_TRUE(store.ok());
      const auto put = [&](const std::string& name) {
        return Reason((*store)->Write([&](Txn& txn) { return txn.Put({"Tenant", name, "1", {}, ""}); }));
      };
      EXPECT_EQ(put("before"), "");
      const fs::path file = folder / ("weir.db" + suffix);
      if (replaced) fs::copy_file(file, folder / "copy");
      fs::rename(file, folder / "moved");
      if (replaced) fs::rename(folder / "copy", file);
      EXPECT_EQ(put("after"), "STORE_GONE");
      EXPECT_EQ(put("still"), "STORE_GONE");
      EXPECT_EQ((*store)->Read()->Get("after"), nullptr);
      fs::rename(folder / "moved", file);  // Put back: it goes on, with what was really stored.
      EXPECT_EQ(put("again"), "");
      EXPECT_NE((*store)->Read()->Get("before"), nullptr);
      store->reset();
      fs::remove_all(folder);
    }
  }
}

// Copying the log into the database is a thread's work; a caller does it only when the log has grown far too long.
TEST(Sqlite, KeepsTheLogShortWithoutAWriterThatWaits) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("weir-store-" + RandomHex(6));
  fs::create_directories(folder);
  auto store = OpenSqlite({.path = folder / "weir.db", .checkpoint_pages = 20}, ShelfPolicy::Get());
  ASSERT_TRUE(store.ok());
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE((*store)
                    ->Write([&](Txn& txn) {
                      return txn.Put({"Tenant", "t" + std::to_string(i), std::string(3000, 'x'), {}, ""});
                    })
                    .ok());
  }
  EXPECT_LE(fs::file_size(folder / "weir.db-wal"), 4096u * 20 * 16);
  EXPECT_GE(fs::file_size(folder / "weir.db"), 2000u * 3000 / 2);
  store->reset();
  fs::remove_all(folder);
}

TEST(Sqlite, KeepsASecondProcessOut) {
  SqliteBackend backend;
  auto first = backend.Open();
  ASSERT_TRUE(first.ok());
  const auto second = backend.Open();
  EXPECT_EQ(Reason(second.error()), "STORE_LOCKED");
}

}  // namespace
}  // namespace weir::store
