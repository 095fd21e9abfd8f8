// SPDX-License-Identifier: Apache-2.0
// A bound on how many openings at once one further factor may hold up: the password, or the keys of
// one identity provider. What is full refuses at once, so that a slow factor never takes the
// threads of another; and no subject takes more than a few of the places.
#ifndef FOREKEY_SRC_GATE_FACTOR_FACTOR_LANE_H_
#define FOREKEY_SRC_GATE_FACTOR_FACTOR_LANE_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread; never blocks.
class FactorLane {
 public:
  // Held for as long as the factor takes.
  class Place {
   public:
    Place(Place&& other) noexcept
        : lane_(std::exchange(other.lane_, nullptr)), subject_(std::move(other.subject_)) {}
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    friend class FactorLane;
    Place(FactorLane* lane, std::string subject) : lane_(lane), subject_(std::move(subject)) {}
    FactorLane* lane_;
    std::string subject_;
  };

  // `what`: for the refusal's detail.
  FactorLane(std::string what, size_t places) : what_(std::move(what)), places_(places) {}

  // kFactorBusy.
  absl::StatusOr<Place> Enter(absl::string_view subject);

 private:
  const std::string what_;
  const size_t places_;
  absl::Mutex mutex_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, size_t> by_subject_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_FACTOR_LANE_H_
