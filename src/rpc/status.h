// SPDX-License-Identifier: Apache-2.0
// Abseil's statuses as gRPC's, and back. Their codes are the same numbers
// (grpc/include/grpcpp/support/status_code_enum.h), so that nothing is lost but payloads.
#ifndef FOREKEY_SRC_RPC_STATUS_H_
#define FOREKEY_SRC_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace forekey {

// Code and message, unchanged; OK for OK.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

inline absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace forekey

#endif  // FOREKEY_SRC_RPC_STATUS_H_
