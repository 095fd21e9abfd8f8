// SPDX-License-Identifier: Apache-2.0
#include "src/client/grpc_errors.h"

#include "absl/strings/str_cat.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

constexpr size_t kMaxSaid = 1024;

std::string WhatToDo(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return "check that the gate is running and that the address, the port and the network in "
             "between are right";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "the gate did not answer in time: check the network, or try again";
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return "the gate refused; its audit log has the exact reason under the reference number";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "a gRPC server answers there, but it is not a Forekey gate: check the port";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "try again later";
    default:
      return "";
  }
}

}  // namespace

absl::Status GateError(const grpc::Status& status, absl::string_view tried,
                       absl::string_view address, const GateDiagnosis& diagnosis) {
  if (status.ok()) return absl::OkStatus();
  const std::string advice =
      diagnosis.advice.empty() ? WhatToDo(status.error_code()) : diagnosis.advice;
  absl::Status error(static_cast<absl::StatusCode>(status.error_code()),
                     absl::StrCat("tried to ", tried, " at ", address, ": ",
                                  Printable(status.error_message(), kMaxSaid),
                                  advice.empty() ? "" : absl::StrCat(" (", advice, ")")));
  SetGateTrouble(diagnosis.trouble, &error);
  return error;
}

}  // namespace forekey
