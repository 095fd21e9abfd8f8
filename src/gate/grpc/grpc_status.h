// Abseil's and gRPC's statuses have the same codes.
#ifndef FOREKEY_SRC_GATE_GRPC_GRPC_STATUS_H_
#define FOREKEY_SRC_GATE_GRPC_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace forekey {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

inline absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_GRPC_STATUS_H_
