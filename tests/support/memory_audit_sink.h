// SPDX-License-Identifier: Apache-2.0
// An audit log that tests read.
#ifndef FOREKEY_TESTS_SUPPORT_MEMORY_AUDIT_SINK_H_
#define FOREKEY_TESTS_SUPPORT_MEMORY_AUDIT_SINK_H_

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/audit/audit.h"

namespace forekey {

// Keeps everything in memory. Safe from any thread.
class MemoryAuditSink : public AuditSink {
 public:
  absl::Status Write(const Decision& decision) override {
    absl::MutexLock lock(&mutex_);
    if (failure_.ok()) decisions_.push_back(decision);
    return failure_;
  }
  std::vector<Decision> decisions() const {
    absl::MutexLock lock(&mutex_);
    return decisions_;
  }
  // The newest decision with this reference.
  std::optional<Decision> Find(absl::string_view reference) const {
    absl::MutexLock lock(&mutex_);
    for (auto decision = decisions_.rbegin(); decision != decisions_.rend(); ++decision) {
      if (decision->reference == reference) return *decision;
    }
    return std::nullopt;
  }
  // Every later Write fails with `status`, until it is OK again.
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<Decision> decisions_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_TESTS_SUPPORT_MEMORY_AUDIT_SINK_H_
