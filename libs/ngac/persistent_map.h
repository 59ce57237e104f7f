#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace weir {

// An ordered map whose copy is one pointer. A change copies the path to the root (an AVL tree, so at most 1.44 log2 n
// nodes) and leaves every earlier copy as it was; so readers on other threads need no lock. One value may be changed by
// one thread at a time. `Compare` may be transparent.
template <typename Key, typename Value, typename Compare = std::less<>>
class PersistentMap {
 public:
  struct Entry {
    Key key;
    Value value;
  };

  size_t size() const { return root_ ? root_->size : 0; }
  bool empty() const { return !root_; }

  template <typename K>
  const Value* Find(const K& key) const {
    for (const Node* node = root_.get(); node != nullptr;) {
      if (Compare()(key, node->entry->key)) {
        node = node->left.get();
      } else if (Compare()(node->entry->key, key)) {
        node = node->right.get();
      } else {
        return &node->entry->value;
      }
    }
    return nullptr;
  }

  template <typename K>
  bool Contains(const K& key) const {
    return Find(key) != nullptr;
  }

  // How many keys are less than `key`.
  template <typename K>
  size_t CountBefore(const K& key) const {
    size_t count = 0;
    for (const Node* node = root_.get(); node != nullptr;) {
      const bool before = Compare()(node->entry->key, key);
      if (before) count += 1 + Size(node->left);
      node = before ? node->right.get() : node->left.get();
    }
    return count;
  }

  // Inserts or replaces.
  void Set(Key key, Value value) {
    root_ = Insert(root_, std::make_shared<const Entry>(Entry{std::move(key), std::move(value)}));
  }

  // True when the key was there.
  template <typename K>
  bool Erase(const K& key) {
    if (!Contains(key)) return false;
    root_ = Remove(root_, key);
    return true;
  }

  // In key order, from the first key that is not less than `from`; stops when `visit(key, value)` returns false.
  template <typename K, typename Visit>
  void VisitFrom(const K& from, Visit&& visit) const {
    Walk(root_.get(), from, visit);
  }

  // In key order; stops when `visit(key, value)` returns false.
  template <typename Visit>
  void VisitAll(Visit&& visit) const {
    WalkAll(root_.get(), visit);
  }

  // In key order, each key whose entry is not the very same in `after`: visit(key, before, after) with nullptr for
  // none. What both share is not looked at, so that between two copies of one map it costs what was changed.
  template <typename Visit>
  void VisitDifferences(const PersistentMap& after, Visit&& visit) const {
    Ahead mine(root_.get()), theirs(after.root_.get());
    while (!mine.empty() || !theirs.empty()) {
      if (mine.SkipsWith(theirs)) continue;
      const Entry* before = mine.empty() ? nullptr : mine.Next();
      const Entry* now = theirs.empty() ? nullptr : theirs.Next();
      if (now == nullptr || (before != nullptr && Compare()(before->key, now->key))) {
        visit(before->key, &before->value, static_cast<const Value*>(nullptr));
        mine.Pass();
      } else if (before == nullptr || Compare()(now->key, before->key)) {
        visit(now->key, static_cast<const Value*>(nullptr), &now->value);
        theirs.Pass();
      } else {
        if (before != now) visit(now->key, &before->value, &now->value);
        mine.Pass();
        theirs.Pass();
      }
    }
  }

 private:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  using EntryPtr = std::shared_ptr<const Entry>;
  struct Node {
    EntryPtr entry;
    Link left;
    Link right;
    size_t size;
    int height;
  };

  // What a walk in key order has before it: whole subtrees, as long as nobody asks for an entry of them.
  class Ahead {
   public:
    explicit Ahead(const Node* root) { Push(root, true); }
    bool empty() const { return stack_.empty(); }
    const Entry* Next() {
      while (stack_.back().whole) Open();
      return stack_.back().node->entry.get();
    }
    void Pass() { stack_.pop_back(); }
    // Whether both stand before the same subtree, which then lies behind them. Of two others the larger is opened:
    // what they share comes to stand alone.
    bool SkipsWith(Ahead& other) {
      while (!empty() && !other.empty() && stack_.back().whole && other.stack_.back().whole) {
        const Node* a = stack_.back().node;
        const Node* b = other.stack_.back().node;
        if (a == b) {
          stack_.pop_back();
          other.stack_.pop_back();
          return true;
        }
        if (a->height >= b->height) Open();
        if (b->height >= a->height) other.Open();
      }
      return false;
    }

   private:
    struct Part {
      const Node* node;
      bool whole;  // With all below it; else its entry only.
    };
    void Push(const Node* node, bool whole) {
      if (node != nullptr) stack_.push_back({node, whole});
    }
    void Open() {
      const Node* node = stack_.back().node;
      stack_.pop_back();
      Push(node->right.get(), true);
      Push(node, false);
      Push(node->left.get(), true);
    }
    std::vector<Part> stack_;
  };

  static int Height(const Link& node) { return node ? node->height : 0; }
  static size_t Size(const Link& node) { return node ? node->size : 0; }
  static Link Make(EntryPtr entry, Link left, Link right) {
    const int height = 1 + std::max(Height(left), Height(right));
    const size_t size = 1 + Size(left) + Size(right);
    return std::make_shared<const Node>(Node{std::move(entry), std::move(left), std::move(right), size, height});
  }
  static Link Balance(EntryPtr entry, Link left, Link right) {
    if (Height(left) > Height(right) + 1) {
      if (Height(left->left) >= Height(left->right)) {
        return Make(left->entry, left->left, Make(std::move(entry), left->right, std::move(right)));
      }
      const Link& mid = left->right;
      return Make(mid->entry, Make(left->entry, left->left, mid->left),
                  Make(std::move(entry), mid->right, std::move(right)));
    }
    if (Height(right) > Height(left) + 1) {
      if (Height(right->right) >= Height(right->left)) {
        return Make(right->entry, Make(std::move(entry), std::move(left), right->left), right->right);
      }
      const Link& mid = right->left;
      return Make(mid->entry, Make(std::move(entry), std::move(left), mid->left),
                  Make(right->entry, mid->right, right->right));
    }
    return Make(std::move(entry), std::move(left), std::move(right));
  }
  static Link Insert(const Link& node, EntryPtr entry) {
    if (!node) return Make(std::move(entry), nullptr, nullptr);
    if (Compare()(entry->key, node->entry->key)) {
      return Balance(node->entry, Insert(node->left, std::move(entry)), node->right);
    }
    if (Compare()(node->entry->key, entry->key)) {
      return Balance(node->entry, node->left, Insert(node->right, std::move(entry)));
    }
    return Make(std::move(entry), node->left, node->right);
  }
  template <typename K>
  static Link Remove(const Link& node, const K& key) {
    if (Compare()(key, node->entry->key)) return Balance(node->entry, Remove(node->left, key), node->right);
    if (Compare()(node->entry->key, key)) return Balance(node->entry, node->left, Remove(node->right, key));
    if (!node->left) return node->right;
    if (!node->right) return node->left;
    const Node* next = node->right.get();
    while (next->left) next = next->left.get();
    const EntryPtr entry = next->entry;
    return Balance(entry, node->left, Remove(node->right, entry->key));
  }
  template <typename K, typename Visit>
  static bool Walk(const Node* node, const K& from, Visit& visit) {
    if (node == nullptr) return true;
    if (Compare()(node->entry->key, from)) return Walk(node->right.get(), from, visit);
    return Walk(node->left.get(), from, visit) && visit(node->entry->key, node->entry->value) &&
           WalkAll(node->right.get(), visit);
  }
  template <typename Visit>
  static bool WalkAll(const Node* node, Visit& visit) {
    return node == nullptr || (WalkAll(node->left.get(), visit) && visit(node->entry->key, node->entry->value) &&
                               WalkAll(node->right.get(), visit));
  }

  Link root_;
};

}  // namespace weir
