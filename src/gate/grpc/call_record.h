// SPDX-License-Identifier: Apache-2.0
// What the gate keeps of one call from before its handler runs until the call is over: its caller,
// its entry in LiveCalls, and its place among the exempt calls of its connection.
#ifndef FOREKEY_SRC_GATE_GRPC_CALL_RECORD_H_
#define FOREKEY_SRC_GATE_GRPC_CALL_RECORD_H_

#include <grpcpp/support/server_interceptor.h>

#include <cstdint>
#include <optional>

#include "src/gate/grpc/call_gate.h"

namespace forekey {

// Part of what lives exactly as long as the call: an interceptor, or a context of CallContexts.
class CallRecord {
 public:
  CallRecord() = default;
  // Must run before gRPC lets go of the grpc_call: the entry never outlives what names it.
  ~CallRecord();
  CallRecord(const CallRecord&) = delete;
  CallRecord& operator=(const CallRecord&) = delete;

  // Once, when gRPC has bound the call and its metadata to the context, and before anything of the
  // application sees them. `gate` must outlive this.
  void Begin(CallGate& gate, grpc::experimental::ServerRpcInfo& info);

 private:
  void BeginWithoutCaller(const absl::Status& why, grpc::experimental::ServerRpcInfo& info,
                          uint64_t connection);

  CallGate* gate_ = nullptr;
  std::optional<VerifiedCall> caller_;
  grpc_call* call_ = nullptr;
  uint64_t exempt_on_ = 0;  // the connection of an exempt call
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALL_RECORD_H_
