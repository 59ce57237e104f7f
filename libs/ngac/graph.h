#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/ngac/adjacency.h"
#include "libs/ngac/persistent_map.h"
#include "libs/ngac/persistent_vector.h"

namespace weir::ngac {

// The elements of NGAC (INCITS 565). An assignment goes from a member to its container:
// user -> UA; UA -> UA, PC; object -> OA; OA -> OA, PC.
enum class NodeType : uint8_t { kPolicyClass = 1, kUserAttribute = 2, kUser = 3, kObjectAttribute = 4, kObject = 5 };

std::string_view NodeTypeName(NodeType type);

inline constexpr size_t kMaxRights = 256;
using Rights = std::bitset<kMaxRights>;  // One bit per declared right.
inline constexpr NodeId kNoNode = UINT32_MAX;
inline constexpr size_t kMaxContainers = 1'000'000;  // Of one node.

struct Nothing {};  // An edge that says no more than that it is there.

// One element as it was when the snapshot was taken.
struct Node {
  std::string name;
  NodeType type;
  Adjacency<Nothing> containers;
  Adjacency<Nothing> attributes;  // Members that are UAs or OAs.
  uint32_t leaves = 0;            // How many members are users or objects.
  Adjacency<Rights> grants;       // Associations of which it is the source, by target.
  Adjacency<Rights> granted_by;   // Associations of which it is the target, by source.

  bool HasMembers() const { return leaves > 0 || !attributes.empty(); }
};

// One step of an answer: why a policy class is satisfied. The names are those of the snapshot that was asked, and live
// as long as it.
struct Witness {
  std::string_view policy_class;
  std::vector<std::string_view> user_path;    // user, …, source of the association
  Rights rights;                              // Of that association.
  std::vector<std::string_view> target_path;  // node, …, target of the association
};

struct Explanation {
  bool allowed = false;
  std::vector<Witness> satisfied;  // One per policy class that is satisfied; a shortest one on the target's side.
  std::vector<std::string_view> missing;  // Policy classes without a covering association.
  std::string reason;                     // Why it was denied, for people; "" when allowed.
};

// The policy graph. A value: a copy is a snapshot that never changes and costs a few pointers; edits change this value
// only. Snapshots may be read from any thread; one value is edited by one thread at a time. Every edit keeps the rules
// of the model or is refused and changes nothing. Prohibitions will be tested last in Decide and beat every grant.
class Graph {
 public:
  // `rights`: at most kMaxRights names, not empty, each once, no '*' or ','. More are ignored with an assertion in
  // debug builds.
  explicit Graph(std::vector<std::string> rights = {});

  // INVALID_ARGUMENT UNKNOWN_RIGHT.
  Result<Rights> RightsOf(const std::vector<std::string>& names) const;
  std::vector<std::string> RightNames(const Rights& rights) const;
  const std::vector<std::string>& rights() const { return *rights_; }

  // kNoNode when there is none.
  NodeId Find(std::string_view name) const;
  // Null when there is none. Lives as long as this snapshot.
  const Node* Get(NodeId id) const;
  const Node* Get(std::string_view name) const { return Get(Find(name)); }
  size_t node_count() const { return names_.size(); }
  void ForEachNode(const std::function<void(NodeId, const Node&)>& visit) const;

  // Edits. Names are unique over all types. Errors: ALREADY_EXISTS NODE_EXISTS; NOT_FOUND NODE_MISSING;
  // INVALID_ARGUMENT BAD_ASSIGNMENT, BAD_ASSOCIATION, UNKNOWN_RIGHT, NO_CONTAINER; FAILED_PRECONDITION CYCLE,
  // DISCONNECTED, HAS_MEMBERS. A policy class takes no containers; every other node at least one.
  Status CreateNode(std::string_view name, NodeType type, const std::vector<std::string>& containers = {});
  // Nothing happens when it does not exist; refused while it has members. Its associations go too.
  Status DeleteNode(std::string_view name);
  // Nothing happens when it is already so.
  Status Assign(std::string_view member, std::string_view container);
  // Nothing happens when it is not so; the last container cannot be taken.
  Status Deassign(std::string_view member, std::string_view container);
  // One association per (source, target); a second one replaces the rights. No right at all is refused.
  Status Associate(std::string_view source, std::string_view target, const std::vector<std::string>& rights);
  Status Associate(std::string_view source, std::string_view target, const Rights& rights);
  // Nothing happens when there is none.
  Status Dissociate(std::string_view source, std::string_view target);

  // True when for every policy class the node reaches an association covers it. Nothing granted, an unknown name, a
  // node that reaches no class, a subject that is no user, and a right of zero or several bits not all held: denied.
  bool Decide(NodeId user, const Rights& right, NodeId node) const;
  bool Decide(std::string_view user, std::string_view right, std::string_view node) const;
  // Every right the user has on the node.
  Rights RightsOn(NodeId user, NodeId node) const;
  // member ->* container.
  bool Reaches(NodeId member, NodeId container) const;
  Explanation Explain(std::string_view user, std::string_view right, std::string_view node) const;

 private:
  using NodePtr = std::shared_ptr<const Node>;

  Rights RightBit(std::string_view name) const;
  std::shared_ptr<Node> Copy(NodeId id) const;
  void Put(NodeId id, std::shared_ptr<Node> node);
  Status CheckAssignment(const Node& member, const Node& container) const;
  void Link(NodeId member, NodeId container);
  void Unlink(NodeId member, NodeId container);
  void Drop(NodeId source, NodeId target);
  // user ->+ attribute; fills the path from the user when asked.
  bool UserReaches(NodeId user, NodeId attribute, std::vector<NodeId>* path) const;
  Rights GrantedAt(NodeId user, const Node& target, const Rights& wanted) const;
  Rights HeldOf(NodeId user, const Rights& wanted, NodeId node) const;

  std::shared_ptr<const std::vector<std::string>> rights_;
  PersistentMap<std::string, NodeId> names_;
  PersistentVector<NodePtr> nodes_;
};

}  // namespace weir::ngac
