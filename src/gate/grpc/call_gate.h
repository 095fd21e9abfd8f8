// SPDX-License-Identifier: Apache-2.0
// The two places where gRPC meets the gate on a call's way: before routing (the metadata processor)
// and before the handler (the interceptor).
//
// The processor sees every call that arrives on the gate's port, with its raw :path and before
// anything else of the server does: what it refuses reaches no interceptor and no handler, and an
// unknown method is refused like a known one (LAW 1). It is given to gRPC's core directly
// (grpc_auth_metadata_processor in grpc/grpc_security.h), because gRPC's C++ wrapper builds two
// multimaps a call first.
//
// Between the two there is no object of gRPC's that lasts as long as one call and no longer, and
// that the peer can't reach: the AuthContext belongs to the connection. So nothing about a caller
// is handed over (LAW 4). Instead the verified prefix itself stays in the metadata, and the
// interceptor asks the verifier for its caller again (CallJudge::Recall, which believes nobody).
// What the interceptor must know besides is that the call did pass this gate, and not another port
// of the same server; so the processor writes the gate's random instance id into the AuthContext,
// once a connection, and the connection's number behind it, by which its later calls are known
// (Connections). It says nothing about callers, and no peer can put a property of that name there.
#ifndef FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_
#define FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_

#include <grpc/grpc_security.h>
#include <grpcpp/support/server_interceptor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/grpc/connections.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

// Shared by the processors and interceptors of one gate. Safe from any thread.
class CallGate : public std::enable_shared_from_this<CallGate> {
 public:
  // `core` must outlive the gRPC server.
  explicit CallGate(GateCore* core);

  // For grpc_server_credentials_set_auth_metadata_processor; holds a reference to this, and to
  // `keep_alive`, which lives as long as those credentials do in gRPC's core. `slot`: whose first
  // calls it judges.
  grpc_auth_metadata_processor Processor(std::shared_ptr<void> keep_alive, Connections::Slot* slot);
  // Told of every verdict. Both must outlive the gRPC server.
  void SetConnections(Connections* connections) { connections_ = connections; }
  GateCore* core() const { return core_; }

  // The caller of the call behind `context`, for calls that passed Processor(), and the number of
  // the connection that it came in by (0: not known). Called by the interceptor once a call.
  absl::StatusOr<VerifiedCall> CallerOf(grpc::ServerContextBase* context, absl::string_view method,
                                        uint64_t* connection);
  // The number of the connection that a call came in by; 0: not known.
  static uint64_t ConnectionIdOf(grpc_call* call, const CallGate& gate);
  // One of the gate's own exempt methods has answered: with a refusal, or (nullopt) with what only
  // an honest enrolment gets.
  void ServiceAnswered(grpc_call* call, std::optional<Reason> refusal);
  Connections* connections() const { return connections_; }

 private:
  struct ProcessorState;
  static void Process(void* state, grpc_auth_context* connection, const grpc_metadata* metadata,
                      size_t count, grpc_process_auth_metadata_done_cb done, void* done_data);
  std::shared_ptr<Connection> ConnectionOf(grpc_auth_context* context,
                                           const Connections::Slot& slot);
  // The number in this gate's mark; nullopt without one.
  std::optional<uint64_t> ReadMark(const grpc_auth_context* context) const;

  static constexpr size_t kMarkingLocks = 64;

  GateCore* const core_;
  Connections* connections_ = nullptr;
  const std::string instance_;  // hex, so that it may be read as a C string, too
  std::array<absl::Mutex, kMarkingLocks> marking_;
};

// Must come first of all interceptors of the server. It keeps the caller of each admitted call
// in LiveCalls for as long as the call lives. `with_pushback`: does what PushbackInterceptors() do,
// too; false where an application has interceptors of its own, behind which those must come last.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> CallerInterceptors(
    std::shared_ptr<CallGate> gate, bool with_pushback);

// Adds "grpc-retry-pushback-ms: -1" to the trailers of calls that end with UNAUTHENTICATED after
// they were admitted. Clients of a gate retry UNAUTHENTICATED once (with a new session): that must
// never run a handler twice, and by this trailer gRPC's retry filter knows that it may not.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> PushbackInterceptors();

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_
