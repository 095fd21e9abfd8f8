// SPDX-License-Identifier: Apache-2.0
// An administrator's way to a gate: over its admin socket when it runs, or straight into its state
// when it does not. Either way the same code answers (Administration), so that both say the same.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_ADMIN_H_
#define FOREKEY_SRC_CLI_GATE_GATE_ADMIN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "forekey/v1/admin.grpc.pb.h"
#include "src/gate/admin/gate_at_rest.h"
#include "src/gate/config/config.h"
#include "src/rpc/call_deadline.h"
#include "src/rpc/status.h"

namespace forekey {

class GateAdmin {
 public:
  // Errors say what to do: no such state folder, no access to the socket, a gate that holds the
  // state folder but whose socket does not answer.
  static absl::StatusOr<std::unique_ptr<GateAdmin>> Open(const GateConfig& config);

  // An answer comes from the running gate, and holds there: not only in the registry.
  bool gate_runs() const { return stub_ != nullptr; }

  // Admin.<Method>: Ask(&v1::Admin::Stub::ListInvites, &Administration::ListInvites, request).
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*,
                                                                       const Request&, Response*),
                               absl::StatusOr<Response> (Administration::*direct)(const Request&),
                               const Request& request) {
    if (at_rest_ != nullptr) return (at_rest_->admin().*direct)(request);
    return AskGate(method, request);
  }
  // The same for what changes something: the audit log gets who did it.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(
      grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      absl::StatusOr<Response> (Administration::*direct)(const Request&, absl::string_view),
      const Request& request, absl::Duration patience = absl::Seconds(30)) {
    if (at_rest_ != nullptr) return (at_rest_->admin().*direct)(request, actor_);
    return AskGate(method, request, patience);
  }

 private:
  GateAdmin() = default;

  template <typename Request, typename Response>
  absl::StatusOr<Response> AskGate(
      grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, absl::Duration patience = absl::Seconds(30)) {
    grpc::ClientContext context;
    context.set_deadline(CallDeadline(patience));
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return ToAbsl(status);
    return response;
  }

  std::unique_ptr<v1::Admin::Stub> stub_;
  std::unique_ptr<GateAtRest> at_rest_;
  std::string actor_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_ADMIN_H_
