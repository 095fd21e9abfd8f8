// SPDX-License-Identifier: Apache-2.0
#include "forekey/gate.h"

#include <grpc/grpc.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/deadline.h"
#include "src/base/status.h"
#include "src/gate/grpc/admin_server.h"
#include "src/gate/grpc/call_contexts.h"
#include "src/gate/grpc/call_gate.h"
#include "src/gate/grpc/connections.h"
#include "src/gate/grpc/gate_access.h"
#include "src/gate/grpc/gate_service.h"
#include "src/gate/grpc/interceptors.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/metrics.h"
#include "src/gate/grpc/pushback.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/grpc/tuning.h"
#include "src/gate/grpc/worker.h"
#include "src/rpc/call_deadline.h"

namespace forekey {

namespace {

// Between two checks of all live calls, however often something changes.
constexpr absl::Duration kLeastCheckInterval = absl::Milliseconds(20);
// Twice as many as the registry has connections: while some wait, others check signatures.
constexpr size_t kJudgingThreads = 8;
// Looks at all live calls that ended some, and whose lines wait for the audit log.
constexpr size_t kLooksToTell = 1024;

// What only `forekey-gate serve` does would be left undone here without a word.
absl::Status CheckNothingIsForServe(const GateConfig& config) {
  const bool fronts = !config.fronts.http.empty() || !config.fronts.envoy.empty();
  if (config.upstreams.empty() && !fronts) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      config.file, ": ", config.upstreams.empty() ? "[fronts]" : "[[upstream]]",
      " is for `forekey-gate serve`, and would not work in a server with a gate in it: remove it, "
      "or run forekey-gate serve --config ",
      config.file));
}

}  // namespace

class Gate::Impl {
  // gRPC as a whole: kept initialised from before the tuning until the gate is gone.
  class GrpcLibrary {
   public:
    GrpcLibrary() { grpc_init(); }
    ~GrpcLibrary() { grpc_shutdown(); }
  };

 public:
  explicit Impl(std::unique_ptr<GateCore> core)
      : core_owned_(std::move(core)),
        core_(core_owned_.get()),
        call_gate_(std::make_shared<CallGate>(core_)),
        services_(core_, [gate = call_gate_.get()](grpc_call* call, std::optional<Reason> refusal) {
          gate->ServiceAnswered(call, refusal);
        }) {}

  ~Impl() {
    core_->maintenance().ReadListenerToo(nullptr);
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    core_->rights_changed().Ring();
    if (live_watcher_.joinable()) live_watcher_.join();
  }

  absl::Status Open() {
    const GateConfig& config = core_->config();
    ApplyTuning({.executor_threads_off = !config.tuning.executor_threads,
                 .mutex_deadlock_detection_off = !config.tuning.mutex_deadlock_detection});
    InstallPushback();
    FOREKEY_ASSIGN_OR_RETURN(
        keys_, TlsKeys::New(config.tls.certificate, config.tls.private_key,
                            [this](absl::string_view binding) { return MakeAccepted(binding); }));
    core_->maintenance().ReadListenerToo([this] { return keys_->Reload().status(); });
    live_watcher_ = std::thread([this] { WatchLiveCalls(); });
    return absl::OkStatus();
  }

  // Whatever can fail comes first, and leaves nothing behind where it does: then it may be tried
  // again.
  absl::Status Install(grpc::ServerBuilder& builder, InstallOptions options) {
    if (installed_) {
      return absl::FailedPreconditionError(
          "this gate is installed already: a gate serves one server, and another server (also "
          "where BuildAndStart() failed) needs a gate of its own");
    }
    if (HasInterceptors(builder)) {
      return absl::FailedPreconditionError(
          "the ServerBuilder has interceptors already, and takes them once: give them to "
          "Install(), in InstallOptions::interceptors");
    }
    const GateConfig& config = core_->config();
    FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> addresses,
                             ResolveListenAddress(config.listen.address, /*try_bind=*/true));
    FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Connections> connections,
                             Connections::New(core_, addresses));
    std::unique_ptr<Metrics> metrics;
    if (!config.metrics.listen.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(metrics,
                               Metrics::New(core_, connections.get(), config.metrics.listen));
    }
    core_->admin().SetBoundPort(connections->port());
    if (options.admin_socket) {
      auto admin = AdminServer::New(
          &core_->admin(), &core_->refusals(),
          {.socket_path = config.state.AdminSocketPath(), .allowed_uid = geteuid()});
      if (!admin.ok()) {
        core_->admin().SetBoundPort(0);
        return admin.status();
      }
      admin_ = *std::move(admin);
    }
    connections_ = std::move(connections);
    metrics_ = std::move(metrics);
    PutInto(builder, std::move(options));
    installed_ = true;
    return absl::OkStatus();
  }

  absl::Status Reload() {
    absl::Status own = keys_->Reload().status();
    // Accepted certificates that are not the gate's own may have changed alone.
    absl::Status accepted = core_->ReloadCertificates();
    absl::Status rules = core_->ReloadRules();
    absl::Status trust = core_->ReloadTrust();
    core_->RefreshIdentityProviders();
    own.Update(accepted);
    own.Update(rules);
    own.Update(trust);
    return own;
  }

  GateCore& core() { return *core_; }

  int port() const { return connections_ == nullptr ? 0 : connections_->port(); }

  int metrics_port() const { return metrics_ == nullptr ? 0 : metrics_->port(); }

  void TellHealth(grpc::Server& server) {
    grpc::HealthCheckServiceInterface* health = server.GetHealthCheckService();
    if (health == nullptr) return;
    absl::MutexLock lock(&mutex_);
    const bool serving = core_->LeaseHolds();
    if (ending_ || serving == told_serving_) return;
    told_serving_ = serving;
    health->SetServingStatus("", serving);  // what the application said of its services stands
  }

  absl::Duration AnnounceEnd(grpc::Server& server) {
    core_->LetLiveCallsFinish();
    {
      absl::MutexLock lock(&mutex_);
      ending_ = true;
    }
    grpc::HealthCheckServiceInterface* health = server.GetHealthCheckService();
    if (health == nullptr) return absl::ZeroDuration();
    health->SetServingStatus(false);
    return core_->config().health.notice;
  }

  void Drain(grpc::Server& server) {
    AnnounceEnd(server);
    if (connections_ != nullptr) connections_->StopAccepting();
    call_gate_->RefuseFromNowOn();
    services_.LeaveUndoneWhatIsCancelled();
    server.Shutdown(CallDeadline(core_->config().listen.drain));
  }

 private:
  void PutInto(grpc::ServerBuilder& builder, InstallOptions options) {
    const GateConfig& config = core_->config();
    call_gate_->SetConnections(connections_.get());
    if (core_->RegistryMayWait()) {
      judging_ = std::make_unique<Worker>(CallGate::kMostLater, kJudgingThreads);
      call_gate_->JudgeLater(judging_.get());
    }
    connections_->Install(builder, [this](Connections::Slot* slot) {
      return AcceptorCredentials(keys_,
                                 [gate = call_gate_, slot](std::shared_ptr<void> keep_alive) {
                                   return gate->Processor(std::move(keep_alive), slot);
                                 });
    });
    if (config.health.service) grpc::EnableDefaultHealthCheckService(true);
    builder.SetOption(services_.Registration(
        options.server_api,
        [gate = call_gate_](grpc::ServerBuilder& built) { KeepInterceptors(built, gate); },
        [this] { connections_->Start(); }));
    SetInterceptors(builder, call_gate_, std::move(options.interceptors));
    // An application that sets its own later takes this one's place; then the interceptor does it.
    if (!HasContextAllocator(builder)) builder.SetContextAllocator(MakeCallContexts());
  }

  // The gate accepts what its files hold, so it is asked to read them again first.
  absl::Status MakeAccepted(absl::string_view binding) {
    const BootTime now = core_->clock().BootNow();
    if (core_->certificates().Accepts(binding, now)) return absl::OkStatus();
    FOREKEY_RETURN_IF_ERROR(core_->ReloadCertificates());
    if (core_->certificates().Accepts(binding, now)) return absl::OkStatus();
    return absl::UnavailableError("the TLS certificate was just replaced, and is not accepted yet");
  }

  // A call that was admitted goes on only as long as it would be admitted again.
  void WatchLiveCalls() {
    const absl::Duration interval = core_->config().streams.check_interval;
    for (;;) {
      core_->rights_changed().Await(interval);
      {
        absl::MutexLock lock(&mutex_);
        if (stopping_) return;
      }
      EndLiveCalls();
      absl::MutexLock lock(&mutex_);
      if (AwaitFor(mutex_, absl::Condition(&stopping_), kLeastCheckInterval)) return;
    }
  }

  // A log that can't be written holds up no call's end, and so no revocation: the lines are written
  // after it, elsewhere.
  void EndLiveCalls() {
    struct Ended {
      VerifiedCall caller;
      std::string method;
      absl::Status why;
    };
    std::vector<Ended> ended;
    LiveCalls::OfProcess().CancelIf([&](const LiveCalls::Entry& entry) {
      if (entry.gate != core_) return false;
      absl::Status live = core_->calls().CheckLive(*entry.caller, entry.method);
      if (live.ok()) return false;
      ended.push_back({*entry.caller, std::string(entry.method), std::move(live)});
      return true;
    });
    if (ended.empty()) return;
    const auto tell = [this, ended = std::move(ended)] {
      for (const Ended& call : ended) {
        core_->calls().AuditEndedCall(call.caller, call.method, call.why);
      }
    };
    if (!ended_lines_.Submit(tell)) tell();
  }

  const std::unique_ptr<GateCore> core_owned_;
  const GrpcLibrary grpc_library_;
  GateCore* const core_;
  const std::shared_ptr<CallGate> call_gate_;
  std::shared_ptr<TlsKeys> keys_;
  GateServices services_;
  std::unique_ptr<Connections> connections_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<Worker> judging_;  // null: the registry keeps nobody waiting
  bool installed_ = false;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_serving_ ABSL_GUARDED_BY(mutex_) = true;
  Worker ended_lines_{kLooksToTell};
  std::thread live_watcher_;
};

Gate::Gate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gate::~Gate() = default;

absl::StatusOr<std::unique_ptr<Gate>> Gate::New(const GateOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(GateConfig config, GateConfig::Load(options.config_file));
  FOREKEY_RETURN_IF_ERROR(CheckNothingIsForServe(config));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<GateCore> core, GateCore::New(std::move(config)));
  return GateAccess::New(std::move(core));
}

absl::StatusOr<std::unique_ptr<Gate>> GateAccess::New(std::unique_ptr<GateCore> core) {
  auto impl = std::make_unique<Gate::Impl>(std::move(core));
  FOREKEY_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Gate>(new Gate(std::move(impl)));
}

GateCore& GateAccess::CoreOf(Gate& gate) { return gate.impl_->core(); }

absl::Status Gate::Install(grpc::ServerBuilder& builder, InstallOptions options) {
  return impl_->Install(builder, std::move(options));
}

int Gate::port() const { return impl_->port(); }
int Gate::metrics_port() const { return impl_->metrics_port(); }
void Gate::TellHealth(grpc::Server& server) { impl_->TellHealth(server); }
absl::Duration Gate::AnnounceEnd(grpc::Server& server) { return impl_->AnnounceEnd(server); }
void Gate::Drain(grpc::Server& server) { impl_->Drain(server); }
const std::string& Gate::audience() const { return impl_->core().config().audience; }
const std::string& Gate::state_directory() const { return impl_->core().config().state.directory; }
absl::Status Gate::Reload() { return impl_->Reload(); }

}  // namespace forekey
