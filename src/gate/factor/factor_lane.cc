// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/factor_lane.h"

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

constexpr size_t kPlacesOfOneSubject = 2;

}  // namespace

absl::StatusOr<FactorLane::Place> FactorLane::Enter(absl::string_view subject) {
  absl::MutexLock lock(&mutex_);
  if (taken_ >= places_)
    return Refuse(Reason::kFactorBusy, absl::StrCat(what_, ": ", taken_, " wait"));
  size_t& of_subject = by_subject_[subject];
  if (of_subject >= kPlacesOfOneSubject) {
    return Refuse(Reason::kFactorBusy,
                  absl::StrCat(what_, ": ", of_subject, " of this subject's wait"));
  }
  ++of_subject;
  ++taken_;
  return Place(this, std::string(subject));
}

FactorLane::Place::~Place() {
  if (lane_ == nullptr) return;
  absl::MutexLock lock(&lane_->mutex_);
  --lane_->taken_;
  const auto found = lane_->by_subject_.find(subject_);
  if (--found->second == 0) lane_->by_subject_.erase(found);
}

}  // namespace forekey
