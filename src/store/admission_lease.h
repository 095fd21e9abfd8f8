// SPDX-License-Identifier: Apache-2.0
// Until when this replica may admit calls. Every call asks; one thread extends it
// (src/store/postgres/postgres_replica.h).
#ifndef FOREKEY_SRC_STORE_ADMISSION_LEASE_H_
#define FOREKEY_SRC_STORE_ADMISSION_LEASE_H_

#include <atomic>

#include "src/base/boot_time.h"

namespace forekey {

// Safe from any thread; Extend() and End() are called by one at a time.
class AdmissionLease {
 public:
  bool Holds(BootTime now) const { return now < end(); }
  // Who judges by what this replica knows reads it first, judges, and then asks whether it is still
  // before that end: so what was judged held at a moment within the lease, however long it took.
  BootTime end() const { return end_.load(std::memory_order_acquire); }
  // Never makes it shorter.
  void Extend(BootTime end) {
    if (end > end_.load(std::memory_order_relaxed)) end_.store(end, std::memory_order_release);
  }
  void End() { end_.store(BootTime(), std::memory_order_release); }

 private:
  std::atomic<BootTime> end_{BootTime()};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_ADMISSION_LEASE_H_
