// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/call_record.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "src/base/reason.h"
#include "src/gate/grpc/live_calls.h"

namespace forekey {

CallRecord::~CallRecord() {
  if (call_ != nullptr) LiveCalls::OfProcess().Remove(call_);
  if (exempt_on_ != 0) gate_->connections()->ExemptDone(exempt_on_);
}

void CallRecord::Begin(CallGate& gate, grpc::experimental::ServerRpcInfo& info) {
  if (gate_ != nullptr) return;
  gate_ = &gate;
  uint64_t connection = 0;
  absl::StatusOr<VerifiedCall> caller =
      gate.CallerOf(info.server_context(), info.method(), &connection);
  if (!caller.ok()) return BeginWithoutCaller(caller.status(), info, connection);
  caller_.emplace(*std::move(caller));
  call_ = info.server_context()->c_call();
  LiveCalls::OfProcess().Add(call_, {&*caller_, gate.core(), info.method(), connection});
}

void CallRecord::BeginWithoutCaller(const absl::Status& why,
                                    grpc::experimental::ServerRpcInfo& info, uint64_t connection) {
  if (gate_->core()->calls().IsExempt(info.method())) {
    if (connection != 0) gate_->connections()->ExemptBegan(connection);
    exempt_on_ = connection;
    return;
  }
  // A stream that was admitted, and lost its right just now: nobody would end it later.
  if (ReasonOf(why) && info.type() != grpc::experimental::ServerRpcInfo::Type::UNARY) {
    gate_->core()->refusals().Tell(why, info.method(), info.server_context()->peer()).IgnoreError();
    info.server_context()->TryCancel();
  }
}

}  // namespace forekey
