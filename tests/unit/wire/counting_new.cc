// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/wire/counting_new.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
thread_local int allocations = 0;
}  // namespace

namespace forekey {
namespace testing {

int AllocationsOfThisThread() { return allocations; }

}  // namespace testing
}  // namespace forekey

// Not inlined: gcc takes the two halves of a pair for mismatched where it sees into one alone.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
