// SPDX-License-Identifier: Apache-2.0
// How many descriptors a process may have. The usual soft limit is 1024, and is soft for programs
// that use select() alone.
#ifndef FOREKEY_SRC_BASE_DESCRIPTOR_LIMIT_H_
#define FOREKEY_SRC_BASE_DESCRIPTOR_LIMIT_H_

#include <errno.h>
#include <sys/resource.h>

#include "absl/status/status.h"

namespace forekey {

// To what the process may have at most. On an error the limit stays.
inline absl::Status RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::ErrnoToStatus(errno, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "the limit of open files stays as it is");
}

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_DESCRIPTOR_LIMIT_H_
