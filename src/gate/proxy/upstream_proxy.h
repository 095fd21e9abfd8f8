// SPDX-License-Identifier: Apache-2.0
// Passes admitted calls on to the services of the configuration's [[upstream]]s.
//
// It stands behind the gate like any other service: a call gets here when the gate has admitted it,
// or when its method is exempt. Live calls that are no longer allowed are ended by the gate, which
// ends them at the upstream, too.
#ifndef FOREKEY_SRC_GATE_PROXY_UPSTREAM_PROXY_H_
#define FOREKEY_SRC_GATE_PROXY_UPSTREAM_PROXY_H_

#include <forekey/gate.h>
#include <grpcpp/generic/async_generic_service.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/reread.h"
#include "src/gate/caller/caller_token.h"
#include "src/gate/proxy/routes.h"

namespace forekey {

// Safe from any thread. Must outlive the server; `gate` must outlive both.
class UpstreamProxy : public grpc::CallbackGenericService {
 public:
  // Of the gate's own configuration. `tokens` must outlive the server; null: services are not told
  // who calls. Errors: files of an upstream's TLS, by name.
  static absl::StatusOr<std::unique_ptr<UpstreamProxy>> New(Gate* gate, CallerTokens* tokens);

  // Before BuildAndStart(); InstallOptions::server_api must be kCallback.
  void Register(grpc::ServerBuilder& builder);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

  // Reads the upstreams again from the file of the configuration, now. Calls go on where they are;
  // what did not change keeps its connections. On an error the old ones stay; either way the audit
  // log has it, and stderr an error.
  absl::Status Reload();
  // Reloads when the file, or one of TLS, has changed, and stayed the same from one look to the
  // next; and again, after a pause that grows, until what they say is in force. A failure is told
  // once. Called once a second or so.
  void Look();

 private:
  UpstreamProxy(Gate* gate, CallerTokens* tokens);
  std::shared_ptr<const Routes> routes() const {
    absl::MutexLock lock(&mutex_);
    return routes_;
  }
  std::string Signature() const;
  // `asked`: somebody did, and is told of each failure.
  absl::Status ReloadNow(bool asked) ABSL_EXCLUSIVE_LOCKS_REQUIRED(reload_mutex_);

  Gate* const gate_;
  CallerTokens* const tokens_;
  // What upstreams answer and callers have not taken yet, of all upstreams, also those of before a
  // reload: [connections] memory.
  grpc::ResourceQuota quota_;
  absl::Mutex reload_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  Reread reread_ ABSL_GUARDED_BY(reload_mutex_);
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Routes> routes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_PROXY_UPSTREAM_PROXY_H_
