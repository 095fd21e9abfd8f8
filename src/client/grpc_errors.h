// SPDX-License-Identifier: Apache-2.0
// What went wrong on a call, said for people: what was tried, what came back, what to do.
#ifndef FOREKEY_SRC_CLIENT_GRPC_ERRORS_H_
#define FOREKEY_SRC_CLIENT_GRPC_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"
#include "src/client/gate_diagnosis.h"

namespace forekey {

// The code stays what the peer said (an unreachable gate is kUnavailable, a refusal
// kUnauthenticated or kPermissionDenied). `tried`: "open a session"; `address`: the gate's.
// `diagnosis`: of a gate that can't be reached.
absl::Status GateError(const grpc::Status& status, absl::string_view tried,
                       absl::string_view address, const GateDiagnosis& diagnosis = {});

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_GRPC_ERRORS_H_
