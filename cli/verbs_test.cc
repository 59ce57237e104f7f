#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <thread>

#include "api/weir/v2/documents.pb.h"
#include "cli/contexts.h"
#include "cli/server_fixture.h"
#include "libs/document/document.h"
#include "tests/support/real_time.h"

// kubectl's habits: contexts, describe, edit, create, the bundle for support.
namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Verbs : public CommandLine {
 protected:
  void SetUp() override {
    CommandLine::SetUp();
    for (const char* name : {"WEIR_CONTEXT", "WEIR_EDITOR", "VISUAL", "EDITOR", "NO_COLOR"}) unsetenv(name);
  }
  // A program that is given the file as its last argument.
  void SetEditor(const std::string& script) {
    const std::string path = folder_ + "/editor";
    EXPECT_TRUE(WriteFileAtomic(path, "#!/bin/sh\n" + script + "\n", 0700).ok());
    setenv("WEIR_EDITOR", path.c_str(), 1);
    setenv("TMPDIR", folder_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("WEIR_EDITOR");
    unsetenv("WEIR_CONTEXT");
    unsetenv("TMPDIR");
    CommandLine::TearDown();
  }
  std::string FileLeft() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().filename().string().starts_with("weir-edit-")) return entry.path();
    }
    return "";
  }
};

TEST_F(Verbs, ContextsKeepServersApart) {
  ASSERT_EQ(Run({"context", "list"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("*   default"));
  const std::string path = folder_ + "/home/contexts.json";
  struct stat about{};
  ASSERT_EQ(stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);

  EXPECT_EQ(Run({"context", "set", "other"}), kExitUsage) << "a new one wants a server";
  ASSERT_EQ(Run({"context", "set", "other", "--server", "127.0.0.1:1", "--ca-file", server_->info().anchor_path}),
            kExitOk);
  EXPECT_EQ(Run({"get", "tenants", "--context", "nowhere"}), kExitUsage);
  EXPECT_EQ(Run({"get", "tenants", "--context", "other"}), kExitUnreachable);
  EXPECT_EQ(Run({"get", "tenants"}), kExitOk) << "the current one is as it was";
  ASSERT_EQ(Run({"context", "use", "other"}), kExitOk);
  EXPECT_EQ(Run({"get", "tenants"}), kExitUnreachable);
  setenv("WEIR_CONTEXT", "default", 1);
  EXPECT_EQ(Run({"whoami"}), kExitOk) << error_;
  EXPECT_EQ(output_, "organizations/acme/users/admin\n");
  EXPECT_EQ(Run({"whoami", "--context", "other"}), kExitUnreachable) << "the flag over the environment";
  unsetenv("WEIR_CONTEXT");
  ASSERT_EQ(Run({"context", "delete", "other"}), kExitOk);
  EXPECT_EQ(Run({"context", "delete", "other"}), kExitUsage);
  ASSERT_EQ(Run({"context", "list", "-o", "name"}), kExitOk);
  EXPECT_EQ(output_, "default\n");
  // None is current, and none is guessed but the one of that name.
  EXPECT_EQ(Run({"whoami"}), kExitOk) << error_;
}

TEST_F(Verbs, ATokenGoesToNoServerButItsOwn) {
  ASSERT_EQ(Run({"context", "set", "default", "--org", "acme"}), kExitOk);
  EXPECT_EQ(Run({"whoami"}), kExitOk) << "nothing was changed";
  ASSERT_EQ(Run({"context", "set", "default", "--server", "127.0.0.1:1"}), kExitOk);
  const auto contexts = ReadContexts();
  ASSERT_TRUE(contexts.ok());
  EXPECT_EQ(contexts->Find("default")->token, "");
  EXPECT_EQ(Run({"context", "set", "../up", "--server", "h:1", "--ca-file", server_->info().anchor_path}), kExitUsage);
}

TEST_F(Verbs, WhatAnEarlierVersionStoredIsTheDefaultContext) {
  const auto contexts = ReadContexts();
  ASSERT_TRUE(contexts.ok());
  const Context context = *contexts->Find("default");
  std::filesystem::remove(ContextsPath());
  auto node = document::Node::Map();
  node.Add("server", document::Node::String(context.server));
  node.Add("organization", document::Node::String(context.organization));
  node.Add("anchorPem", document::Node::String(context.anchor_pem));
  node.Add("token", document::Node::String(context.token));
  const std::string former = folder_ + "/home/session.json";
  ASSERT_TRUE(WriteFileAtomic(former, document::WriteJson(node), 0600).ok());
  EXPECT_EQ(Run({"whoami"}), kExitOk) << error_;
  ASSERT_EQ(Run({"logout"}), kExitOk) << error_;
  EXPECT_FALSE(std::filesystem::exists(former)) << "it would keep the token";
  EXPECT_EQ(Run({"whoami"}), kExitRefused);
}

TEST_F(Verbs, LogoutEndsTheSessionAtTheServerToo) {
  const auto contexts = ReadContexts();
  ASSERT_TRUE(contexts.ok());
  setenv("WEIR_TOKEN", contexts->Find("default")->token.c_str(), 1);
  EXPECT_EQ(Run({"whoami"}), kExitOk);
  EXPECT_EQ(Run({"logout"}), kExitOk) << error_;
  EXPECT_EQ(Run({"whoami"}), kExitRefused) << "the token itself is of no use any more";
  unsetenv("WEIR_TOKEN");
  EXPECT_EQ(Run({"logout"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("nobody is logged in"));
}

TEST_F(Verbs, DescribeTellsAllOfOne) {
  ASSERT_EQ(Run({"describe", "tier1gateway", "shop"}), kExitOk) << error_;
  for (const char* part :
       {"Full name:      organizations/acme/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/shop",
        "Spec:\n  workloadSelector:", "hostname: shop.example.com", "Status:\n  organizations/", "Bindings:\n",
        "Last changes:\n  REVISION"}) {
    EXPECT_THAT(output_, HasSubstr(part));
  }
  EXPECT_EQ(Run({"describe", "tenant", "none"}), kExitRefused);
  EXPECT_EQ(Run({"describe"}), kExitUsage);
}

TEST_F(Verbs, EditStoresWhatTheEditorLeaves) {
  SetEditor("sed -i 's/weight: 75/weight: 60/' \"$1\"");
  ASSERT_EQ(Run({"edit", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("shop edited"));
  EXPECT_EQ(FileLeft(), "");
  ASSERT_EQ(Run({"get", "t1", "shop", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("weight: 60"));
  SetEditor("true");
  ASSERT_EQ(Run({"edit", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("nothing was changed"));
}

TEST_F(Verbs, EditLosesNothingWhenItIsRefused) {
  // Somebody else is quicker.
  const std::string mine = folder_ + "/mine";
  std::string theirs = kDocuments;
  theirs.replace(theirs.find("weight: 75"), 10, "weight: 10");
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/theirs.yaml", theirs).ok());
  SetEditor(
      fmt::format("sed -i 's/weight: 75/weight: 60/' \"$1\"; cp \"$1\" {}; touch {}/editing; "
                  "while [ ! -e {}/go ]; do sleep 0.05; done",
                  mine, folder_, folder_));
  int code = 0;
  std::thread other([&] {
    while (!std::filesystem::exists(folder_ + "/editing")) std::this_thread::yield();
    // Straight to the server: the streams of this process are taken.
    auto session = LoadSession(Flags{});
    ASSERT_TRUE(session.ok());
    auto client = Client::Connect(*session);
    ASSERT_TRUE(client.ok());
    v2::ApplyDocumentsRequest request;
    request.set_documents(theirs);
    request.set_force(true);
    v2::ApplyDocumentsResponse response;
    EXPECT_TRUE(client->Call("Documents/Apply", request, response).ok());
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/go", "").ok());
  });
  code = Run({"edit", "tier1gateway", "shop"});
  other.join();
  EXPECT_EQ(code, kExitRefused);
  const std::string left = FileLeft();
  ASSERT_NE(left, "");
  EXPECT_THAT(error_, HasSubstr(left));
  EXPECT_THAT(error_, HasSubstr("weight")) << "what was changed meanwhile";
  EXPECT_EQ(*ReadFile(left), *ReadFile(mine)) << "byte by byte what was written";
  struct stat about{};
  ASSERT_EQ(stat(left.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  std::filesystem::remove(left);
}

TEST_F(Verbs, EditKeepsWhatIsNoDocument) {
  SetEditor("sed -i 's/weight: 75/weight: ten/' \"$1\"");
  EXPECT_EQ(Run({"edit", "tier1gateway", "shop"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr(FileLeft()));
  std::filesystem::remove(FileLeft());
  SetEditor("exit 3");
  EXPECT_EQ(Run({"edit", "tier1gateway", "shop"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("NO_EDITOR"));
}

TEST_F(Verbs, CreateChangesNothingThatIsThere) {
  const auto create = [&](const std::string& documents, std::vector<std::string> more = {}) {
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/new.yaml", documents).ok());
    more.insert(more.begin(), {"create", "-f", folder_ + "/new.yaml"});
    return Run(more);
  };
  const auto cluster = [](const std::string& name) {
    return fmt::format("apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {{name: {}, organization: acme}}\n---\n",
                       name);
  };
  EXPECT_EQ(create(cluster("c7") + cluster("c1")), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("organizations/acme/clusters/c1"));
  EXPECT_EQ(Run({"get", "cluster", "c7"}), kExitRefused) << "all or nothing";
  EXPECT_EQ(create(cluster("c7"), {"--dry-run"}), kExitOk);
  EXPECT_EQ(Run({"get", "cluster", "c7"}), kExitRefused);
  EXPECT_EQ(create(cluster("c7")), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("clusters/c7 created"));
  EXPECT_EQ(Run({"get", "cluster", "c7"}), kExitOk);
  EXPECT_EQ(create(cluster("c7")), kExitRefused);
}

TEST_F(Verbs, ConflictsShowBothValues) {
  std::string theirs = kDocuments;
  theirs.replace(theirs.find("weight: 75"), 10, "weight: 60");
  EXPECT_EQ(Apply(theirs, {"--manager", "ci"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("was set by"));
  EXPECT_THAT(error_, HasSubstr("weight is 75, yours is 60"));
}

TEST_F(Verbs, TheServerTellsHowItIs) {
  ASSERT_EQ(Run({"server", "status"}), kExitOk) << output_ << error_;
  EXPECT_THAT(output_, HasSubstr("no alarm"));
  EXPECT_THAT(output_, HasSubstr("MiB free of"));
  ASSERT_EQ(Run({"server", "status", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("\"diskFreeBytes\""));
}

TEST_F(Verbs, TheBundleHoldsNoSecret) {
  const auto contexts = ReadContexts();
  ASSERT_TRUE(contexts.ok());
  const std::string token = contexts->Find("default")->token;
  ASSERT_EQ(Apply("apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: c9, organization: acme, annotations: "
                  "{\"ci.example/api-token\": planted-in-annotation}}\n"),
            kExitOk)
      << error_;
  const std::string log = folder_ + "/some.log";
  ASSERT_TRUE(WriteFileAtomic(log, "GET /x authorization=Bearer planted-in-log\nkept line\nsaw " + token + "\n").ok());
  const std::string bundle = folder_ + "/bundle.tar.gz";
  ASSERT_EQ(Run({"support-bundle", "-o", bundle, "--log", log}), kExitOk) << error_;
  struct stat about{};
  ASSERT_EQ(stat(bundle.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  const std::string out = folder_ + "/unpacked";
  std::filesystem::create_directories(out);
  ASSERT_EQ(std::system(fmt::format("tar -xzf {} -C {}", bundle, out).c_str()), 0);
  std::string all;
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(out)) {
    if (!entry.is_regular_file()) continue;
    files.insert(entry.path().filename());
    all += *ReadFile(entry.path(), 64u << 20);
  }
  for (const char* file : {"about.txt", "whoami.json", "server.json", "statuses.json", "revisions.json",
                           "clusters.yaml", "tier1gateways.yaml", "1-some.log"}) {
    EXPECT_TRUE(files.contains(file)) << file;
  }
  EXPECT_THAT(all, HasSubstr("kept line"));
  EXPECT_THAT(all, HasSubstr("name: c9"));
  for (const std::string& secret : {std::string("planted-in-annotation"), std::string("planted-in-log"), token}) {
    EXPECT_EQ(all.find(secret), std::string::npos) << secret;
  }
  EXPECT_EQ(Run({"support-bundle", "-o", bundle}), kExitUsage) << "it overwrites nothing";
}

TEST_F(Verbs, ExplainRouteNamesRuleAndAuthor) {
  StartAgent();
  // What the agent says of its gateways arrives in a moment.
  ASSERT_TRUE(Eventually([&] {
    return Run({"explain", "route", "http://shop.example.com/a?b=c", "--method", "POST"}) == kExitOk &&
           output_.find("n/gw2") != std::string::npos;
  })) << output_
      << error_;
  for (const char* part :
       {"at edge port 80: n/gw1 n/gw2", "tier1gateways/shop (spec.externalServers[0])", "c1 (weight 75)",
        "nobody can serve it: the gateway answers 503 no_cluster_can_serve", "by organizations/acme/users/admin"}) {
    EXPECT_THAT(output_, HasSubstr(part));
  }
  EXPECT_EQ(Run({"explain", "route", "none.example.com"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("404 no_such_host"));
  ASSERT_EQ(Run({"explain", "route", "shop.example.com", "--from", "edge", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("\"outcome\": \"CLUSTERS\""));
}

TEST_F(Verbs, NobodyButATerminalGetsColours) {
  ASSERT_EQ(Run({"status"}), kExitOk);
  EXPECT_THAT(output_, Not(HasSubstr("\033")));
}

}  // namespace
}  // namespace weir::cli
