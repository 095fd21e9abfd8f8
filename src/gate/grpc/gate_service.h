// SPDX-License-Identifier: Apache-2.0
// forekey.v1.Gate: what the gate itself answers. All decisions are PeerService's; here are threads
// alone.
//
// The service comes for two of gRPC's server APIs, and the gate registers the one that its server
// uses already: a server with services of both polls for events with two kinds of threads, which
// take them from one another at every call (gRPC 1.51: 40 µs of CPU a call became 99 in a sync
// server that only had a callback service added). Beside an asynchronous server the sync one is the
// right one: there gRPC makes the sync threads wait without polling.
#ifndef FOREKEY_SRC_GATE_GRPC_GATE_SERVICE_H_
#define FOREKEY_SRC_GATE_GRPC_GATE_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/server_builder_option.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "forekey/gate.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

// Both services over one core, which must outlive this; this must outlive the server.
class GateServices {
 public:
  // How an exempt method that costs more than a challenge answered: see CallGate::ServiceAnswered.
  using Answered = std::function<void(grpc_call* call, std::optional<Reason> refusal)>;

  GateServices(GateCore* core, Answered answered);
  ~GateServices();

  // An option that, when the server is built, registers the service that fits what was registered
  // by then (`api` kAuto), or the named one, and calls `building`; `started` is called once the
  // server accepts connections.
  using Building = std::function<void(grpc::ServerBuilder& builder)>;
  std::unique_ptr<grpc::ServerBuilderOption> Registration(ServerApi api, Building building,
                                                          std::function<void()> started);

  // The gate ends: from here on a logout that nobody waits for any more is not written to the
  // registry, which may not answer. It holds here, and nobody was told that it holds elsewhere.
  void LeaveUndoneWhatIsCancelled() { ending_.store(true, std::memory_order_release); }

 private:
  class Plugin;
  class Option;
  class Sync;
  class Callback;
  void Register(grpc::ServerBuilder& builder, ServerApi api);

  GateCore* const core_;
  const Answered answered_;
  std::atomic<bool> ending_{false};
  std::unique_ptr<Sync> sync_;
  std::unique_ptr<Callback> callback_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_GATE_SERVICE_H_
