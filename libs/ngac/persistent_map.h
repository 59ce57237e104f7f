#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

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
