// SPDX-License-Identifier: Apache-2.0
// Forekey's gate, for a gRPC server: every call must carry a prefix that enrolled hardware made for
// it.
//
//   auto gate = forekey::Gate::New({.config_file = "/etc/forekey/gate.toml"});
//   if (!gate.ok()) { /* the status says what to do */ }
//   grpc::ServerBuilder builder;
//   builder.RegisterService(&my_service);
//   if (absl::Status installed = (*gate)->Install(builder); !installed.ok()) { ... }
//   std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
//
// and in any handler: const auto caller = forekey::Caller(context);
//
// Sync, callback, asynchronous and generic services may stand behind it, with unary and streaming
// methods of all kinds; none of them is changed.
#ifndef FOREKEY_GATE_H_
#define FOREKEY_GATE_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "forekey/caller.h"

namespace forekey {

struct GateOptions {
  std::string config_file;  // TOML: docs/CONFIG.md
};

// Which API of gRPC's the gate's own service uses. A server that has services of two kinds pays for
// it with much CPU at every call, so it should be the kind that the application uses.
enum class ServerApi {
  kAuto,  // callback where a callback service is registered, else sync (also beside asynchronous
          // ones)
  kSync,
  kCallback,  // must be named for a server that has nothing but a CallbackGenericService
};

struct InstallOptions {
  // The application's own server interceptors. They see the calls of the application's methods
  // alone, once the gate has admitted them, and may ask Caller() from their first hook on until
  // they are destroyed. Given here because a ServerBuilder takes interceptors once: Install()
  // refuses a builder that has some already.
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  // Serves administration on <state.directory>/admin.sock, for `forekey-gate`.
  bool admin_socket = true;
  ServerApi server_api = ServerApi::kAuto;
};

// One gate serves one grpc::Server, and must outlive it. Safe from any thread but for Install().
class Gate {
 public:
  // Reads the config and opens everything that it names. Make it before there is gRPC traffic in
  // the process ([tuning] stops threads of gRPC's). Errors say which file, what is wrong with it
  // and what to do: a broken config (every line that is wrong), keys that can't be read or are open
  // to others, a state folder that another gate holds, trust anchors that are not there, an
  // [[upstream]] or [fronts], which `forekey-gate serve` alone has, ...
  static absl::StatusOr<std::unique_ptr<Gate>> New(const GateOptions& options);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Call it before BuildAndStart(). It adds to `builder` the TLS port of the config with the
  // gate in front of it, what forekey::Caller() needs, and the service forekey.v1.Gate. Ports that
  // the application adds by itself are not gated: there Caller() is an error. Errors: the address
  // can't be listened on, nor that of the metrics, the admin socket can't be made, `builder` has
  // interceptors already. After an error neither the gate nor `builder` is changed, and it may be
  // called again with both, and with `options` anew. After a success a second call is an error,
  // also where BuildAndStart() failed: another server takes another gate.
  absl::Status Install(grpc::ServerBuilder& builder, InstallOptions options = {});

  // The port that Install() bound (the config may say 0); 0 before, and where it failed.
  // Connections are accepted when BuildAndStart() has started the server.
  int port() const;
  // Where [metrics] are served; 0 where they are not.
  int metrics_port() const;
  // Of a gate that shares its registry with others (docs/CLUSTER.md): has health (the server's as
  // a whole) say NOT_SERVING while this process admits nothing, since it has not heard from the
  // registry for as long as its lease, so that balancers send callers to another one; and SERVING
  // again after that. Call it about once a second while the server runs; it does nothing after
  // AnnounceEnd(), nor where health is not served. `forekey-gate serve` does so by itself.
  void TellHealth(grpc::Server& server);
  // An orderly end has two steps. This is the first: health says NOT_SERVING while everything else
  // goes on, so that balancers stop sending callers here. Returns how long to wait for them to see
  // it ([health] notice).
  absl::Duration AnnounceEnd(grpc::Server& server);
  // The second step: no new connections are taken, calls have [listen] drain to end, and then the
  // server is shut down. Without it, a server that shuts down lets clients wait until the gate is
  // gone.
  void Drain(grpc::Server& server);
  const std::string& audience() const;
  const std::string& state_directory() const;

  // Reads TLS and accepted certificates, the config's rules, and what enrolments are verified by
  // (trust folders, revocation lists, metadata) again, now: for SIGHUP. They are also watched, once
  // a second. On an error the old ones of that kind go on. Identity providers are asked for their
  // keys again, which this does not wait for. What else changed in the config takes a restart; the
  // audit log and stderr name it.
  absl::Status Reload();

 private:
  class Impl;
  friend class GateAccess;  // Forekey's own programs and tests
  explicit Gate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace forekey

#endif  // FOREKEY_GATE_H_
