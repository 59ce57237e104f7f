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
    const Page* page = root_.get();
    for (int level = levels_; level > 0 && page != nullptr; --level) {
      page = static_cast<const Page*>(page->pages[Slot(index, level)].get());
    }
    return page == nullptr ? kNone : page->items[Slot(index, 0)];
  }

  void Set(size_t index, T value) {
    while ((index >> kBits * (levels_ + 1)) != 0) {
      auto page = std::make_shared<Page>();
      page->pages[0] = root_;
      root_ = std::move(page);
      ++levels_;
    }
    root_ = With(root_.get(), levels_, index, std::move(value));
    if (index >= size_) size_ = index + 1;
  }

 private:
  static constexpr int kBits = 5;
  static constexpr size_t kWidth = 1u << kBits;
  struct Page {
    std::array<std::shared_ptr<const Page>, kWidth> pages;  // Above the leaves.
    std::array<T, kWidth> items;                            // In the leaves.
  };

  static size_t Slot(size_t index, int level) { return (index >> kBits * level) & (kWidth - 1); }
  static std::shared_ptr<const Page> With(const Page* page, int level, size_t index, T value) {
    auto copy = page == nullptr ? std::make_shared<Page>() : std::make_shared<Page>(*page);
    if (level == 0) {
      copy->items[Slot(index, 0)] = std::move(value);
    } else {
      auto& below = copy->pages[Slot(index, level)];
      below = With(below.get(), level - 1, index, std::move(value));
    }
    return copy;
  }

  std::shared_ptr<const Page> root_;
  size_t size_ = 0;
  int levels_ = 0;
};

}  // namespace weir
