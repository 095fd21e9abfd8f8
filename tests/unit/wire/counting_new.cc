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

void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
