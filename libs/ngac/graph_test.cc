#include "libs/ngac/graph.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "libs/ngac/oracle.h"

namespace weir::ngac {
namespace {

using enum NodeType;

std::string Reason(const Status& status) { return status.ok() ? "" : status.error().reason; }

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    if (part != "-") parts.push_back(part);
  }
  return parts;
}

// P contains ua staff, oa all; user ann in staff; object file in all.
Graph Small() {
  Graph graph({"read", "write"});
  EXPECT_TRUE(graph.CreateNode("P", kPolicyClass).ok());
  EXPECT_TRUE(graph.CreateNode("staff", kUserAttribute, {"P"}).ok());
  EXPECT_TRUE(graph.CreateNode("all", kObjectAttribute, {"P"}).ok());
  EXPECT_TRUE(graph.CreateNode("ann", kUser, {"staff"}).ok());
  EXPECT_TRUE(graph.CreateNode("file", kObject, {"all"}).ok());
  return graph;
}

// Runs a scenario in the notation pc/ua/oa/u/o/as/asg/q; every answer by both ways.
void Play(const std::string& scenario) {
  SCOPED_TRACE(scenario);
  Graph graph({"read", "write"});
  std::stringstream lines(scenario);
  for (std::string line; std::getline(lines, line);) {
    std::stringstream words(line);
    std::string verb, a, b, c;
    words >> verb >> a >> b >> c;
    if (verb == "pc") {
      for (const std::string& name : {a, b}) {
        if (name.empty()) continue;
        ASSERT_TRUE(graph.CreateNode(name, kPolicyClass).ok());
      }
    } else if (verb == "ua" || verb == "oa" || verb == "u" || verb == "o") {
      const std::map<std::string, NodeType> types{
          {"ua", kUserAttribute}, {"oa", kObjectAttribute}, {"u", kUser}, {"o", kObject}};
      ASSERT_EQ(Reason(graph.CreateNode(a, types.at(verb), Split(b))), "") << line;
    } else if (verb == "as") {
      ASSERT_EQ(Reason(graph.Associate(a, b, Split(c))), "") << line;
    } else if (verb == "asg") {
      ASSERT_EQ(Reason(graph.Assign(a, b)), "") << line;
    } else if (verb == "q") {
      const auto expected = Split(c);
      for (const std::string right : {"read", "write"}) {
        const bool allowed = std::find(expected.begin(), expected.end(), right) != expected.end();
        EXPECT_EQ(graph.Decide(a, right, b), allowed) << line << " " << right;
        EXPECT_EQ(DecideBySearch(graph, a, right, b), allowed) << line << " " << right;
        EXPECT_EQ(graph.Explain(a, right, b).allowed, allowed) << line << " " << right;
      }
    }
  }
}

TEST(Graph, RightsFlowDownOnBothSides) {
  Play(
      "pc P\nua staff P\nua eng staff\noa all P\noa src all\nu ann eng\nu bob staff\noa f src\nas staff all read\n"
      "as eng src write\nq ann f read,write\nq bob f read\nq ann all read\nq bob src read\n");
}

TEST(Graph, ClassesIntersect) {
  Play(
      "pc RBAC LOC\nua employee RBAC\nua reader employee\nua writer reader\noa project RBAC\nua usU LOC\nua euU LOC\n"
      "oa usO LOC\noa euO LOC\nas reader project read\nas writer project write\nas usU usO read,write\n"
      "as euU euO read,write\nu usR reader,usU\nu usW writer,usU\nu euW writer,euU\no p1 project,usO\n"
      "o p2 project,euO\nq usR p1 read\nq usW p1 read,write\nq euW p1 -\nq euW p2 read,write\nq usW p2 -\n");
}

TEST(Graph, AClassWithoutAGrantGivesNothing) {
  Play("pc A B\nua g A\noa x A\noa y B\nu u1 g\no o1 x,y\nas g x read,write\nq u1 o1 -\n");
}

TEST(Graph, AnAttributeOfAnotherClassMaySatisfyAClass) {
  Play(
      "pc A B\nua g1 A\nua g2 A\noa x A\noa y B\nu u1 g1,g2\no o1 x,y\nas g1 x read\nas g2 y read,write\nq u1 o1 "
      "read\n");
}

TEST(Graph, ReadInOneClassAndWriteInTheOtherIsNothing) {
  Play("pc A B\nua g1 A\nua g2 A\noa x A\noa y B\nu u1 g1,g2\no o1 x,y\nas g1 x read\nas g2 y write\nq u1 o1 -\n");
}

TEST(Graph, OneAttributeInTwoClassesSatisfiesBoth) {
  Play("pc A B\nua g A\noa x A,B\nu u1 g\no o1 x\nas g x read\nq u1 o1 read\n");
}

TEST(Graph, AGrantAboveDoesNotCoverTheClassOfAnAttributeBelow) {
  Play("pc A B\nua g A\noa x A\noa y B\nasg y x\nu u1 g\no o1 y\nas g x read\nq u1 o1 -\nq u1 x read\n");
}

TEST(Graph, AGrantOnTheObjectItselfCountsForEveryClassItIsIn) {
  Play("pc A B\nua g A\noa x A\noa y B\no o1 x,y\nu u1 g\nas g o1 read\nq u1 o1 read\nq u1 x -\nq u1 y -\n");
}

TEST(Graph, NothingFlowsUpOrAside) {
  Play(
      "pc P\nua g P\nua h P\noa x P\noa y P\noa z y\nu u1 g\nu u2 h\no o1 y\nas g z read,write\nq u1 o1 -\n"
      "q u2 o1 -\nq u2 x -\nq u1 y -\nq u1 z read,write\n");
}

TEST(Graph, AUserAttributeAsTargetCoversItsMembers) {
  Play(
      "pc P\nua admins P\nua team P\nu boss admins\nu ann team\nas admins team write\nq boss ann write\nq ann boss -\n"
      "q boss team write\n");
}

TEST(Graph, ASelfAssociationGivesMembersRightsOverEachOther) {
  Play("pc P\nua team P\nu ann team\nu bob team\nas team team read\nq ann bob read\nq ann ann read\nq bob team read\n");
}

TEST(Graph, StackedDiamondsStayLinear) {
  Graph graph = Small();
  std::string below = "all";
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    ASSERT_TRUE(graph.CreateNode("l" + n, kObjectAttribute, {below}).ok());
    ASSERT_TRUE(graph.CreateNode("r" + n, kObjectAttribute, {below}).ok());
    ASSERT_TRUE(graph.CreateNode("b" + n, kObjectAttribute, {"l" + n, "r" + n}).ok());
    below = "b" + n;
  }
  EXPECT_FALSE(graph.Decide("ann", "read", below));
  ASSERT_TRUE(graph.Associate("staff", "all", {"read"}).ok());
  EXPECT_TRUE(graph.Decide("ann", "read", below));
  EXPECT_EQ(graph.Explain("ann", "read", below).satisfied.size(), 1u);
}

TEST(Graph, RefusesAssignmentsTheModelDoesNotKnow) {
  Graph graph = Small();
  ASSERT_TRUE(graph.CreateNode("Q", kPolicyClass).ok());
  ASSERT_TRUE(graph.CreateNode("bob", kUser, {"staff"}).ok());
  ASSERT_TRUE(graph.CreateNode("page", kObject, {"all"}).ok());
  const std::pair<const char*, const char*> wrong[] = {
      {"P", "Q"},      {"ann", "all"},   {"ann", "P"},      {"staff", "all"}, {"all", "staff"}, {"staff", "ann"},
      {"all", "file"}, {"file", "page"}, {"file", "staff"}, {"file", "P"},    {"ann", "bob"}};
  for (const auto& [member, container] : wrong) {
    EXPECT_EQ(Reason(graph.Assign(member, container)), "BAD_ASSIGNMENT") << member << " -> " << container;
  }
  EXPECT_EQ(Reason(graph.CreateNode("c", kPolicyClass, {"P"})), "BAD_ASSIGNMENT");
  EXPECT_EQ(Reason(graph.Assign("nobody", "staff")), "NODE_MISSING");
}

TEST(Graph, EveryNodeButAClassHasAContainerAlways) {
  Graph graph = Small();
  EXPECT_EQ(Reason(graph.CreateNode("bob", kUser)), "NO_CONTAINER");
  EXPECT_EQ(Reason(graph.Deassign("ann", "staff")), "DISCONNECTED");
  ASSERT_TRUE(graph.CreateNode("team", kUserAttribute, {"staff"}).ok());
  ASSERT_TRUE(graph.Assign("ann", "team").ok());
  EXPECT_TRUE(graph.Deassign("ann", "staff").ok());
  EXPECT_TRUE(graph.Reaches(graph.Find("ann"), graph.Find("staff")));
}

TEST(Graph, RefusesCycles) {
  Graph graph = Small();
  ASSERT_TRUE(graph.CreateNode("a", kObjectAttribute, {"all"}).ok());
  ASSERT_TRUE(graph.CreateNode("b", kObjectAttribute, {"a"}).ok());
  EXPECT_EQ(Reason(graph.Assign("a", "b")), "CYCLE");
  EXPECT_EQ(Reason(graph.Assign("a", "a")), "CYCLE");
  EXPECT_EQ(Reason(graph.Assign("all", "b")), "CYCLE");
}

TEST(Graph, RepeatingAnEditChangesNothing) {
  Graph graph = Small();
  EXPECT_TRUE(graph.Assign("ann", "staff").ok());
  EXPECT_EQ(graph.Get("staff")->leaves, 1u);
  EXPECT_TRUE(graph.Deassign("ann", "all").ok());
  EXPECT_TRUE(graph.Dissociate("staff", "all").ok());
  EXPECT_TRUE(graph.DeleteNode("nobody").ok());
  EXPECT_EQ(Reason(graph.CreateNode("ann", kObject, {"all"})), "NODE_EXISTS");
}

TEST(Graph, ANodeWithMembersStays) {
  Graph graph = Small();
  EXPECT_EQ(Reason(graph.DeleteNode("staff")), "HAS_MEMBERS");
  EXPECT_EQ(Reason(graph.DeleteNode("P")), "HAS_MEMBERS");
  ASSERT_TRUE(graph.DeleteNode("ann").ok());
  EXPECT_TRUE(graph.DeleteNode("staff").ok());
  EXPECT_EQ(graph.Find("ann"), kNoNode);
}

TEST(Graph, ADeletedNameThatComesBackInheritsNothing) {
  Graph graph = Small();
  ASSERT_TRUE(graph.Associate("staff", "file", {"read"}).ok());
  ASSERT_TRUE(graph.DeleteNode("file").ok());
  EXPECT_TRUE(graph.Get("staff")->grants.empty());
  ASSERT_TRUE(graph.CreateNode("file", kObject, {"all"}).ok());
  EXPECT_FALSE(graph.Decide("ann", "read", "file"));
}

TEST(Graph, RefusesAssociationsTheModelDoesNotKnow) {
  Graph graph = Small();
  EXPECT_EQ(Reason(graph.Associate("ann", "all", {"read"})), "BAD_ASSOCIATION");
  EXPECT_EQ(Reason(graph.Associate("all", "all", {"read"})), "BAD_ASSOCIATION");
  EXPECT_EQ(Reason(graph.Associate("staff", "P", {"read"})), "BAD_ASSOCIATION");
  EXPECT_EQ(Reason(graph.Associate("staff", "ann", {"read"})), "BAD_ASSOCIATION");
  EXPECT_EQ(Reason(graph.Associate("staff", "all", {"fly"})), "UNKNOWN_RIGHT");
  EXPECT_EQ(Reason(graph.Associate("staff", "all", {"*"})), "UNKNOWN_RIGHT");
  EXPECT_EQ(Reason(graph.Associate("staff", "all", std::vector<std::string>{})), "UNKNOWN_RIGHT");
}

TEST(Graph, AssociatingAgainReplacesTheRights) {
  Graph graph = Small();
  ASSERT_TRUE(graph.Associate("staff", "all", {"read"}).ok());
  ASSERT_TRUE(graph.Associate("staff", "all", {"write"}).ok());
  EXPECT_FALSE(graph.Decide("ann", "read", "file"));
  EXPECT_TRUE(graph.Decide("ann", "write", "file"));
  EXPECT_EQ(graph.RightNames(graph.RightsOn(graph.Find("ann"), graph.Find("file"))), std::vector<std::string>{"write"});
}

TEST(Graph, WhatItDoesNotKnowIsDenied) {
  Graph graph = Small();
  ASSERT_TRUE(graph.Associate("staff", "all", {"read", "write"}).ok());
  EXPECT_FALSE(graph.Decide("nobody", "read", "file"));
  EXPECT_FALSE(graph.Decide("ann", "fly", "file"));
  EXPECT_FALSE(graph.Decide("ann", "read", "nothing"));
  EXPECT_FALSE(graph.Decide("staff", "read", "file"));
  EXPECT_FALSE(graph.Decide("ann", "read", "P"));
  EXPECT_FALSE(graph.Decide(graph.Find("ann"), Rights{0}, graph.Find("file")));
}

TEST(Graph, ACopyKeepsWhatItSaw) {
  Graph graph = Small();
  ASSERT_TRUE(graph.Associate("staff", "all", {"read"}).ok());
  const Graph before = graph;
  ASSERT_TRUE(graph.Dissociate("staff", "all").ok());
  ASSERT_TRUE(graph.DeleteNode("file").ok());
  EXPECT_TRUE(before.Decide("ann", "read", "file"));
  EXPECT_FALSE(graph.Decide("ann", "read", "file"));
}

TEST(Graph, ExplainsThePathAndWhatIsMissing) {
  Graph graph = Small();
  ASSERT_TRUE(graph.Associate("staff", "all", {"read"}).ok());
  const Explanation yes = graph.Explain("ann", "read", "file");
  ASSERT_EQ(yes.satisfied.size(), 1u);
  EXPECT_EQ(yes.satisfied[0].user_path, (std::vector<std::string_view>{"ann", "staff"}));
  EXPECT_EQ(yes.satisfied[0].target_path, (std::vector<std::string_view>{"file", "all"}));
  EXPECT_EQ(yes.satisfied[0].policy_class, "P");
  const Explanation no = graph.Explain("ann", "write", "file");
  EXPECT_EQ(no.missing, std::vector<std::string_view>{"P"});
  EXPECT_NE(no.reason.find("'write'"), std::string::npos);
}

// Random graphs, random edits: the quick answer is the searched one, and the order of edits leaves no trace.
TEST(Graph, AgreesWithThePlainSearchOnRandomGraphs) {
  std::mt19937 random(20260601);
  const auto pick = [&](size_t n) { return random() % n; };
  size_t asked = 0, allowed = 0;
  for (int round = 0; round < 150; ++round) {
    Graph graph({"read", "write"});
    const size_t classes = 1 + pick(3);
    std::map<NodeType, std::vector<std::string>> names;
    for (size_t i = 0; i < classes; ++i) {
      names[kPolicyClass].push_back("pc" + std::to_string(i));
      ASSERT_TRUE(graph.CreateNode(names[kPolicyClass].back(), kPolicyClass).ok());
    }
    const auto grow = [&](NodeType type, NodeType above, const char* prefix, size_t count) {
      for (size_t i = 0; i < count; ++i) {
        std::vector<std::string> containers;
        for (size_t k = 1 + pick(2); k > 0; --k) {
          const bool leaf = type == kUser || type == kObject;
          auto& from = !leaf && (names[above].empty() || pick(3) == 0) ? names[kPolicyClass] : names[above];
          containers.push_back(from[pick(from.size())]);
        }
        const std::string name = prefix + std::to_string(i);
        ASSERT_TRUE(graph.CreateNode(name, type, containers).ok());
        names[type].push_back(name);
      }
    };
    grow(kUserAttribute, kUserAttribute, "ua", 8);
    grow(kObjectAttribute, kObjectAttribute, "oa", 10);
    grow(kUser, kUserAttribute, "u", 4);
    grow(kObject, kObjectAttribute, "o", 6);
    std::vector<std::string> targets = names[kObjectAttribute];
    targets.insert(targets.end(), names[kObject].begin(), names[kObject].end());
    targets.insert(targets.end(), names[kUserAttribute].begin(), names[kUserAttribute].end());
    for (int edit = 0; edit < 40; ++edit) {
      const auto& uas = names[kUserAttribute];
      const auto& oas = names[kObjectAttribute];
      switch (pick(6)) {
        case 0:
          (void)graph.Assign(uas[pick(uas.size())], uas[pick(uas.size())]);
          break;
        case 1:
          (void)graph.Assign(oas[pick(oas.size())], oas[pick(oas.size())]);
          break;
        case 2:
          (void)graph.Deassign(oas[pick(oas.size())], oas[pick(oas.size())]);
          break;
        case 3:
          (void)graph.Dissociate(uas[pick(uas.size())], targets[pick(targets.size())]);
          break;
        default:
          (void)graph.Associate(
              uas[pick(uas.size())], targets[pick(targets.size())],
              pick(2) == 0 ? std::vector<std::string>{"read"} : std::vector<std::string>{"read", "write"});
      }
    }
    targets.insert(targets.end(), names[kUser].begin(), names[kUser].end());
    targets.insert(targets.end(), names[kPolicyClass].begin(), names[kPolicyClass].end());
    for (const std::string& user : names[kUser]) {
      for (const std::string& target : targets) {
        for (const std::string right : {"read", "write"}) {
          const bool judged = DecideBySearch(graph, user, right, target);
          ASSERT_EQ(graph.Decide(user, right, target), judged) << user << " " << right << " " << target;
          ASSERT_EQ(graph.Explain(user, right, target).allowed, judged) << user << " " << right << " " << target;
          ++asked;
          allowed += judged;
        }
      }
    }
  }
  EXPECT_GT(allowed, asked / 50);  // The graphs are not so sparse that the test says nothing.
}

TEST(Adjacency, KeepsOrderAndEarlierCopiesAsItGrowsAndShrinks) {
  std::mt19937 random(5);
  Adjacency<int> edges;
  std::map<NodeId, int> model;
  std::vector<std::pair<Adjacency<int>, std::map<NodeId, int>>> copies;
  for (int i = 0; i < 6000; ++i) {
    const NodeId other = static_cast<NodeId>(random() % 200);
    const bool grows = i / 500 % 2 == 0;  // To many, to few, and again.
    if (random() % 8 < (grows ? 2u : 7u)) {
      EXPECT_EQ(edges.Erase(other), model.erase(other) == 1);
    } else {
      edges.Set(other, i);
      model[other] = i;
    }
    EXPECT_EQ(edges.Contains(other), model.contains(other));
    if (i % 50 == 0) copies.emplace_back(edges, model);
  }
  size_t few = 0, many = 0;
  for (const auto& [copy, expected] : copies) {
    ASSERT_EQ(copy.size(), expected.size());
    EXPECT_EQ(copy.empty(), expected.empty());
    std::map<NodeId, int> seen;
    copy.VisitAll([&](NodeId other, int label) {
      EXPECT_TRUE(seen.empty() || seen.rbegin()->first < other);
      seen.emplace(other, label);
      return true;
    });
    EXPECT_EQ(seen, expected);
    (expected.size() > 64 ? many : few) += 1;
  }
  EXPECT_GT(few, 10u);
  EXPECT_GT(many, 10u);
}

}  // namespace
}  // namespace weir::ngac
