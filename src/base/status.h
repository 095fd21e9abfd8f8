// SPDX-License-Identifier: Apache-2.0
// Small helpers over absl::Status.
#ifndef FOREKEY_SRC_BASE_STATUS_H_
#define FOREKEY_SRC_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function when `expr` is not OK.
#define FOREKEY_RETURN_IF_ERROR(expr)                                                      \
  do {                                                                                     \
    if (absl::Status forekey_status = (expr); !forekey_status.ok()) return forekey_status; \
  } while (false)

#define FOREKEY_CONCAT_INNER(a, b) a##b
#define FOREKEY_CONCAT(a, b) FOREKEY_CONCAT_INNER(a, b)

// FOREKEY_ASSIGN_OR_RETURN(auto value, Function()); returns Function()'s error, or goes on.
#define FOREKEY_ASSIGN_OR_RETURN(lhs, expr)                           \
  auto FOREKEY_CONCAT(forekey_or_, __LINE__) = (expr);                \
  if (!FOREKEY_CONCAT(forekey_or_, __LINE__).ok()) {                  \
    return std::move(FOREKEY_CONCAT(forekey_or_, __LINE__)).status(); \
  }                                                                   \
  lhs = *std::move(FOREKEY_CONCAT(forekey_or_, __LINE__))

#endif  // FOREKEY_SRC_BASE_STATUS_H_
