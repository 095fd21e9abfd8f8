// SPDX-License-Identifier: Apache-2.0
#include "src/store/proved_factor.h"

#include "absl/container/node_hash_set.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

FactorName::FactorName(absl::string_view name) {
  static absl::Mutex* const mutex = new absl::Mutex;
  static auto* const names = new absl::node_hash_set<std::string>;
  absl::MutexLock lock(mutex);
  name_ = &*names->emplace(name).first;
}

}  // namespace forekey
