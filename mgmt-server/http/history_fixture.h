#pragma once

#include "mgmt-server/http/rest_fixture.h"

// For tests only.
namespace weir::edge {

inline constexpr const char* kOrg = "/v2/organizations/demo-org";

class History : public RestApi {
 protected:
  int64_t Now() { return store_->Read()->revision(); }
  void MakeTenant(const std::string& name, const std::string& description = "", const std::string& token = "") {
    const Answer made =
        Send("POST", std::string(kOrg) + "/tenants",
             R"({"metadata":{"name":")" + name + R"(","description":")" + description + R"("},"spec":{}})",
             token.empty() ? admin_ : token);
    ASSERT_EQ(made.status, 200) << made.text;
  }
  void MakeWorkspace(const std::string& tenant, const std::string& name, const std::string& namespaces) {
    const Answer made = Post(
        std::string(kOrg) + "/tenants/" + tenant + "/workspaces",
        R"({"metadata":{"name":")" + name + R"("},"spec":{"namespaceSelector":{"names":[")" + namespaces + R"("]}}})");
    ASSERT_EQ(made.status, 200) << made.text;
  }
  void Describe(const std::string& path, const std::string& description, const std::string& token = "") {
    const Answer read = Get(path);
    ASSERT_EQ(read.status, 200) << read.text;
    const Answer written = Send("PUT", path,
                                R"({"metadata":{"description":")" + description + R"(","resourceVersion":")" +
                                    read.Text({"metadata", "resourceVersion"}) + R"("},"spec":{}})",
                                token.empty() ? admin_ : token);
    ASSERT_EQ(written.status, 200) << written.text;
  }
  void Delete(const std::string& path) {
    const Answer gone = Send("DELETE", path + "?cascade=true", "", admin_);
    ASSERT_EQ(gone.status, 200) << gone.text;
  }
  void Grant(const std::string& path, const std::string& role, const std::string& user) {
    const Answer granted =
        Post(path + "/accessbindings:grant",
             R"({"role":")" + role + R"(","subject":{"user":"organizations/demo-org/users/)" + user + "\"}}");
    ASSERT_EQ(granted.status, 200) << granted.text;
  }
  Answer At(const std::string& path, int64_t revision, const std::string& token) {
    return Send("GET", path + ":at?asOfRevision=" + std::to_string(revision), "", token);
  }
  Answer Restore(const std::string& path, int64_t revision, const std::string& more = "",
                 const std::string& token = "") {
    return Send("POST", path + ":restore", R"({"toRevision":)" + std::to_string(revision) + more + "}",
                token.empty() ? admin_ : token);
  }
  // "<revision> <what> <fqn>" of all that the caller is shown, newest first, through all pages.
  std::vector<std::string> Listed(const std::string& token, const std::string& query = "", int page_size = 100) {
    std::vector<std::string> lines;
    std::string page;
    for (int pages = 0; pages < 100; ++pages) {
      const Answer answer = Send(
          "GET",
          "/v2/revisions?pageSize=" + std::to_string(page_size) + query + (page.empty() ? "" : "&pageToken=" + page),
          "", token);
      EXPECT_EQ(answer.status, 200) << answer.text;
      if (const document::Node* items = answer.body.Find("items")) {
        for (const document::Node& item : items->items) AddLines(item, lines);
      }
      page = answer.Text({"nextPageToken"});
      if (page.empty()) return lines;
    }
    return lines;
  }
  static void AddLines(const document::Node& item, std::vector<std::string>& lines) {
    for (const document::Node& change : item.Find("changes")->items) {
      if (change.Find("kind")->text == "AccessBindings") continue;
      lines.push_back(item.Find("number")->text + " " + change.Find("what")->text + " " +
                      change.Find("fqn")->text.substr(std::string("organizations/demo-org/").size()));
    }
  }
  std::vector<std::string> Versions(const std::string& path, const std::string& token) {
    std::vector<std::string> lines;
    const Answer answer = Send("GET", path + ":history", "", token);
    if (answer.status != 200) return {answer.reason()};
    for (const document::Node& item : answer.body.Find("items")->items) {
      lines.push_back(item.Find("revision")->text + (item.Find("deleted") != nullptr ? " deleted" : ""));
    }
    return lines;
  }
};

}  // namespace weir::edge
