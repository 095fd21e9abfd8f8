// SPDX-License-Identifier: Apache-2.0
#include "src/gate/proxy/upstream_proxy.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/config/config.h"
#include "src/gate/grpc/gate_access.h"
#include "src/gate/service/gate_core.h"
#include "src/rpc/proxy/call_pump.h"
#include "src/rpc/status.h"

namespace forekey {

UpstreamProxy::UpstreamProxy(Gate* gate, CallerTokens* tokens)
    : gate_(gate), tokens_(tokens), quota_("forekey-upstreams") {
  quota_.Resize(CoreOf(*gate).config().connections.memory);
}

absl::StatusOr<std::unique_ptr<UpstreamProxy>> UpstreamProxy::New(Gate* gate,
                                                                  CallerTokens* tokens) {
  std::unique_ptr<UpstreamProxy> made(new UpstreamProxy(gate, tokens));
  const GateConfig& config = CoreOf(*gate).config();
  FOREKEY_ASSIGN_OR_RETURN(
      auto routes, Routes::New(config.upstreams, made->quota_, config.proxy.max_message, nullptr));
  {
    absl::MutexLock lock(&made->mutex_);
    made->routes_ = std::move(routes);
  }
  absl::MutexLock reloading(&made->reload_mutex_);
  made->reread_.Use(absl::StrCat(config.file_signature, ";", made->routes()->files()));
  return made;
}

void UpstreamProxy::Register(grpc::ServerBuilder& builder) {
  builder.RegisterCallbackGenericService(this);
  TakeMessages(CoreOf(*gate_).config().proxy.max_message, builder);
}

grpc::ServerGenericBidiReactor* UpstreamProxy::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const std::string& method = context->method();
  const absl::StatusOr<CallerInfo> caller = Caller(context);
  // Whoever has no caller any more lost a session or a credential just now.
  if (!caller.ok() && !CoreOf(*gate_).calls().IsExempt(method)) {
    return RefuseCall(
        context,
        ToGrpc(CoreOf(*gate_).refusals().Tell(
            Refuse(Reason::kPrefixMissing, "no verified caller: the session ended just now"),
            method, context->peer())));
  }
  const std::shared_ptr<Upstream> upstream = routes()->Find(method);
  if (upstream == nullptr) {
    return RefuseCall(context, grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no such method"));
  }
  // Kept until the call is over, with the upstream that may have left the configuration by then.
  auto turn = std::make_shared<Upstream::Turn>(upstream->Take());
  PumpedCall call;
  call.to = turn->channel();
  call.method = method;
  call.unreachable =
      absl::StrCat("the service behind the gate (upstream ", upstream->options().name,
                   ") can't be reached, or does not speak gRPC");
  if (caller.ok() && tokens_ != nullptr) {
    call.added = tokens_->Describe(*caller, method, upstream->options().name);
  }
  call.max_message = CoreOf(*gate_).config().proxy.max_message;
  call.adds_pushback = caller.ok();
  call.done = [turn, upstream] {};
  return PumpCall(context, std::move(call));
}

absl::Status UpstreamProxy::Reload() {
  if (CoreOf(*gate_).config().file.empty()) return absl::OkStatus();
  absl::MutexLock reloading(&reload_mutex_);
  return ReloadNow(true);
}

absl::Status UpstreamProxy::ReloadNow(bool asked) {
  const GateConfig& running = CoreOf(*gate_).config();
  AuditLog& audit = CoreOf(*gate_).audit();
  Decision decision = audit.NewDecision(AuditEvent::kGate);
  decision.method = "ReloadUpstreams";
  absl::StatusOr<GateConfig> read = GateConfig::Load(running.file, running.tokens);
  absl::Status failed = read.status();
  std::shared_ptr<const Routes> routes;
  if (failed.ok()) {
    auto made =
        Routes::New(read->upstreams, quota_, running.proxy.max_message, this->routes().get());
    failed = made.status();
    if (made.ok()) routes = *std::move(made);
  }
  if (failed.ok()) {
    decision.admitted = true;
    decision.detail = absl::StrCat("upstreams read again: ", read->upstreams.size(), " upstreams");
    failed = audit.Admit(decision);  // what can't be written is not done
  }
  if (!failed.ok()) {
    if (!reread_.Failed(failed.message()) && !asked) return failed;
    decision.admitted = false;
    decision.detail = absl::StrCat("the old upstreams stay: ", failed.message());
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    audit.Refused(std::move(decision));
    return failed;
  }
  {
    absl::MutexLock lock(&mutex_);
    routes_ = std::move(routes);
  }
  // A change of the file since then is seen as one: only the files of TLS may be others now.
  reread_.Use(absl::StrCat(read->file_signature, ";", this->routes()->files()));
  return absl::OkStatus();
}

std::string UpstreamProxy::Signature() const {
  return absl::StrCat(FileSignature(CoreOf(*gate_).config().file), ";", routes()->FilesNow());
}

void UpstreamProxy::Look() {
  if (CoreOf(*gate_).config().file.empty()) return;
  const std::string now = Signature();
  absl::MutexLock reloading(&reload_mutex_);
  if (reread_.Due(now)) (void)ReloadNow(false);
}

}  // namespace forekey
