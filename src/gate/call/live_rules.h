// SPDX-License-Identifier: Apache-2.0
// The rules that are in force: a CallPolicy whose content can be replaced while calls are judged. A
// call is judged by the old rules or by the new ones, never by some of each; when Replace()
// returns, every later call, of sessions that are open already too, is judged by the new ones.
//
// Readers take no lock and hold no reference, so rules that were replaced are kept: there is one
// set for each change of the file.
#ifndef FOREKEY_SRC_GATE_CALL_LIVE_RULES_H_
#define FOREKEY_SRC_GATE_CALL_LIVE_RULES_H_

#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "src/policy/call_policy.h"

namespace forekey {

class LiveRules final : public CallPolicy {
 public:
  explicit LiveRules(std::shared_ptr<const CallPolicy> rules);
  void Replace(std::shared_ptr<const CallPolicy> rules);

  bool IsExempt(absl::string_view method) const override { return Now().IsExempt(method); }
  absl::Status Authorize(absl::string_view method, const CallFacts& facts) const override {
    return Now().Authorize(method, facts);
  }
  RuleMatch Match(absl::string_view method) const override { return Now().Match(method); }

 private:
  const CallPolicy& Now() const { return *current_.load(std::memory_order_acquire); }

  absl::Mutex mutex_;
  std::vector<std::shared_ptr<const CallPolicy>> kept_ ABSL_GUARDED_BY(mutex_);
  std::atomic<const CallPolicy*> current_{nullptr};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_LIVE_RULES_H_
