#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>

// Replaces the heap of a whole program by one that counts what a thread asks of it: for a program of one test file,
// which alone includes this.

namespace weir {

// What this thread asked for while counting.
struct CountedHeap {
  bool counts = false;
  size_t calls = 0;
  size_t bytes = 0;
  size_t largest = 0;
};
inline thread_local CountedHeap heap;

}  // namespace weir

// Without exceptions or not, all of them, for what one of them gave another takes back.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (weir::heap.counts) {
    ++weir::heap.calls;
    weir::heap.bytes += size;
    weir::heap.largest = std::max(weir::heap.largest, size);
  }
  return std::malloc(size);
}
void* operator new(size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
