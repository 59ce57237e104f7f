#pragma once

#include <array>
#include <cstddef>
#include <memory>

namespace weir {

// A vector whose copy is one pointer; a change copies the pages on the way to the element (32 wide, so four of them for
// a million elements). `T` should be small: a shared_ptr. Same threads rule as PersistentMap.
template <typename T>
class PersistentVector {
 public:
  size_t size() const { return size_; }

  // Default-constructed T when nothing was ever set there.
  const T& At(size_t index) const {
    static const T kNone{};
    if (index >= size_) return kNone;
    const void* page = root_.get();
    for (int level = levels_; level > 0 && page != nullptr; --level) {
      page = (*static_cast<const Inner*>(page))[Slot(index, level)].get();
    }
    return page == nullptr ? kNone : (*static_cast<const Leaf*>(page))[Slot(index, 0)];
  }

  void Set(size_t index, T value) {
    while ((index >> kBits * (levels_ + 1)) != 0) {
      auto page = std::make_shared<Inner>();
      (*page)[0] = root_;
      root_ = std::move(page);
      ++levels_;
    }
    root_ = With(root_.get(), levels_, index, std::move(value));
    if (index >= size_) size_ = index + 1;
  }

 private:
  static constexpr int kBits = 5;
  static constexpr size_t kWidth = 1u << kBits;
  using Page = std::shared_ptr<const void>;  // A Leaf at level 0, an Inner above.
  using Inner = std::array<Page, kWidth>;
  using Leaf = std::array<T, kWidth>;

  static size_t Slot(size_t index, int level) { return (index >> kBits * level) & (kWidth - 1); }
  static Page With(const void* page, int level, size_t index, T value) {
    if (level == 0) {
      auto copy = page == nullptr ? std::make_shared<Leaf>() : std::make_shared<Leaf>(*static_cast<const Leaf*>(page));
      (*copy)[Slot(index, 0)] = std::move(value);
      return copy;
    }
    auto copy = page == nullptr ? std::make_shared<Inner>() : std::make_shared<Inner>(*static_cast<const Inner*>(page));
    Page& below = (*copy)[Slot(index, level)];
    below = With(below.get(), level - 1, index, std::move(value));
    return copy;
  }

  Page root_;
  size_t size_ = 0;
  int levels_ = 0;
};

}  // namespace weir
