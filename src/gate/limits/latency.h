// SPDX-License-Identifier: Apache-2.0
// How long decisions take: a histogram of fixed bounds that costs a call two relaxed additions.
#ifndef FOREKEY_SRC_GATE_LIMITS_LATENCY_H_
#define FOREKEY_SRC_GATE_LIMITS_LATENCY_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace forekey {

// Safe from any thread. A reader may see an addition in one number and not yet in another.
class LatencyHistogram {
 public:
  // Upper bounds in nanoseconds; what is beyond the last one is in the bucket behind it.
  static constexpr std::array<int64_t, 13> kBounds = {
      1'000,   2'000,   5'000,     10'000,    20'000,     50'000,       100'000,
      200'000, 500'000, 1'000'000, 5'000'000, 50'000'000, 1'000'000'000};

  void Add(int64_t nanos) {
    size_t bucket = 0;
    while (bucket < kBounds.size() && nanos > kBounds[bucket]) ++bucket;
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_nanos_.fetch_add(nanos, std::memory_order_relaxed);
  }
  uint64_t count() const {
    uint64_t sum = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) sum += count(bucket);
    return sum;
  }
  uint64_t count(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  int64_t sum_nanos() const { return sum_nanos_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<int64_t> sum_nanos_{0};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_LATENCY_H_
