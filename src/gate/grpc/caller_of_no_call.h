// SPDX-License-Identifier: Apache-2.0
// Who calls where nobody does: a context that a test made by itself has no call of gRPC's behind
// it. Caller() asks here for such contexts alone. gRPC binds a call to every context before a
// handler or an interceptor sees it, so nothing that is set here can name the caller of a real one.
#ifndef FOREKEY_SRC_GATE_GRPC_CALLER_OF_NO_CALL_H_
#define FOREKEY_SRC_GATE_GRPC_CALLER_OF_NO_CALL_H_

#include "absl/status/statusor.h"
#include "forekey/caller.h"

namespace forekey {

using CallerOfNoCall = absl::StatusOr<VerifiedCaller> (*)(const grpc::ServerContextBase* context);

// For forekey::testing, which no program that serves links. Safe from any thread.
void SetCallerOfNoCall(CallerOfNoCall who);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALLER_OF_NO_CALL_H_
