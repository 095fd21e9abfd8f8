// SPDX-License-Identifier: Apache-2.0
// Envoy's ext_authz asks here: envoy.service.auth.v3.Authorization/Check (external_auth.proto).
//
// The front's secret comes as metadata x-forekey-secret (grpc_service.initial_metadata). The
// service's name, for the token, is the context extension "upstream" of the route.
#ifndef FOREKEY_SRC_GATE_FRONT_ENVOY_CHECK_H_
#define FOREKEY_SRC_GATE_FRONT_ENVOY_CHECK_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "external_auth.pb.h"
#include "src/gate/front/front_judge.h"
#include "src/rpc/accept/accept_loop.h"

namespace forekey {

// What Envoy asks. The values of a header of which Envoy made one are told apart by their comma.
FrontQuestion ReadCheck(const envoy::service::auth::v3::CheckRequest& request);
// What it is answered. Everything under "forekey-" that the caller sent is taken off.
envoy::service::auth::v3::CheckResponse AnswerCheck(
    const envoy::service::auth::v3::CheckRequest& request, const FrontAnswer& answer);

// Bounded in connections, streams, memory, idle connections and the size of a question. Who does
// not show the secret is refused before its message is read, and gives way where connections are
// many (AcceptLoop). Safe from any thread.
class EnvoyServer {
 public:
  // Both are called on gRPC's threads, and must not block. What `ask` is given to tell is to be
  // called once, by any thread, before this server goes.
  struct Judge {
    std::function<bool(absl::string_view secret)> knows;
    std::function<void(FrontQuestion, FrontJudge::Told)> ask;
  };
  // `address`: as [fronts] envoy. A unix socket has mode 0660.
  static absl::StatusOr<std::unique_ptr<EnvoyServer>> Start(const std::string& address,
                                                            Judge judge);
  ~EnvoyServer();
  int port() const { return accepts_->port(); }  // 0 for a unix socket

 private:
  class Service;
  EnvoyServer() = default;
  std::unique_ptr<AcceptLoop> accepts_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FRONT_ENVOY_CHECK_H_
