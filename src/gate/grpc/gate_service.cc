// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/gate_service.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/worker.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/limits/host_places.h"
#include "src/policy/call_policy.h"
#include "src/rpc/status.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr size_t kWaitingEnrollments = 64;
constexpr size_t kWaitingOfOneAddress = 16;
constexpr size_t kWaitingOpenings = 64;
constexpr size_t kSpareOpenings = 2;  // beyond those that factors may hold
// Sealed factors alone have more than 300 bytes.
constexpr size_t kPlainOpening = 128;

// The caller of one of the gate's own gated methods. There is none when a session ended between the
// gate's verdict and here, or when the call came in by a port that is not the gate's.
absl::StatusOr<VerifiedCall> CallerOf(GateCore& core, grpc::ServerContextBase& context,
                                      absl::string_view method) {
  auto caller = LiveCalls::OfProcess().Find(context.c_call());
  if (caller.has_value()) return *std::move(caller);
  return core.refusals().Tell(
      Refuse(Reason::kPrefixMissing,
             "no verified caller: another port, or the session ended just now"),
      method, context.peer());
}

template <typename Response>
grpc::Status Give(absl::StatusOr<Response> result, Response* response) {
  if (result.ok()) *response = *std::move(result);
  return ToGrpc(result.status());
}

// PeerService made every status that comes out here public already.
grpc::Status GetChallenge(GateCore& core, grpc::ServerContextBase&,
                          const v1::GetChallengeRequest& request,
                          v1::GetChallengeResponse* response) {
  return Give(core.peers().GetChallenge(request), response);
}
// Before a step of an enrolment takes a place: a refusal counts against its connection.
template <typename Request>
grpc::Status AdmitEnrollment(GateCore& core, const GateServices::Answered& answered,
                             grpc::ServerContextBase& context, const Request& request) {
  const absl::Status admitted = core.peers().AdmitEnrollment(request, context.peer());
  if (auto reason = ReasonOf(admitted); reason) answered(context.c_call(), reason);
  return ToGrpc(admitted);
}

absl::Status NoPlace(GateCore& core, grpc::ServerContextBase& context, absl::string_view method) {
  return core.refusals().Tell(
      Refuse(Reason::kRateLimited, "too many enrolments wait already, in all or of this address"),
      method, context.peer());
}

// A refusal counts against its connection; only an enrolment that is finished shows who is honest.
grpc::Status BeginEnrollment(GateCore& core, const GateServices::Answered& answered,
                             grpc::ServerContextBase& context,
                             const v1::BeginEnrollmentRequest& request,
                             v1::BeginEnrollmentResponse* response) {
  auto begun = core.peers().BeginEnrollment(request, context.peer());
  if (auto reason = ReasonOf(begun.status()); reason) answered(context.c_call(), reason);
  return Give(std::move(begun), response);
}
grpc::Status FinishEnrollment(GateCore& core, const GateServices::Answered& answered,
                              grpc::ServerContextBase& context,
                              const v1::FinishEnrollmentRequest& request,
                              v1::FinishEnrollmentResponse* response) {
  auto finished = core.peers().FinishEnrollment(request, context.peer());
  const auto reason = ReasonOf(finished.status());
  if (finished.ok() || reason) answered(context.c_call(), reason);
  return Give(std::move(finished), response);
}
grpc::Status OpenSession(GateCore& core, grpc::ServerContextBase& context,
                         const v1::OpenSessionRequest& request, v1::OpenSessionResponse* response) {
  auto caller = CallerOf(core, context, kOpenSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().OpenSession(*caller, request, context.peer()), response);
}
grpc::Status OpenChildSession(GateCore& core, grpc::ServerContextBase& context,
                              const v1::OpenChildSessionRequest& request,
                              v1::OpenSessionResponse* response) {
  auto caller = CallerOf(core, context, kOpenChildSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().OpenChildSession(*caller, request, context.peer()), response);
}
grpc::Status EndSession(GateCore& core, grpc::ServerContextBase& context,
                        const v1::EndSessionRequest& request, v1::EndSessionResponse* response) {
  auto caller = CallerOf(core, context, kEndSessionMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().EndSession(*caller, request, context.peer()), response);
}
grpc::Status WhoAmI(GateCore& core, grpc::ServerContextBase& context,
                    const v1::WhoAmIRequest& request, v1::WhoAmIResponse* response) {
  auto caller = CallerOf(core, context, kWhoAmIMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().WhoAmI(*caller, request), response);
}

grpc::Status ReauthenticateCall(GateCore& core, grpc::ServerContextBase& context,
                                const v1::ReauthenticateCallRequest& request,
                                v1::ReauthenticateCallResponse* response) {
  auto caller = CallerOf(core, context, kReauthenticateCallMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  const auto replace = [&core](
                           const VerifiedCall& by,
                           absl::FunctionRef<bool(const VerifiedCall&, absl::string_view)> pick) {
    LiveCalls::OfProcess().Reauthenticate(by, [&](const LiveCalls::Entry& entry) {
      return entry.gate == &core && pick(*entry.caller, entry.method);
    });
  };
  return Give(core.peers().ReauthenticateCall(*caller, request, context.peer(), replace), response);
}

grpc::Status GetRequirements(GateCore& core, grpc::ServerContextBase& context,
                             const v1::GetRequirementsRequest& request,
                             v1::GetRequirementsResponse* response) {
  auto caller = CallerOf(core, context, kGetRequirementsMethod);
  if (!caller.ok()) return ToGrpc(caller.status());
  return Give(core.peers().GetRequirements(*caller, request, context.peer()), response);
}

}  // namespace

class GateServices::Sync : public v1::Gate::Service {
 public:
  Sync(GateCore* core, Answered answered) : core_(*core), answered_(std::move(answered)) {}
  grpc::Status GetChallenge(grpc::ServerContext* context, const v1::GetChallengeRequest* request,
                            v1::GetChallengeResponse* response) override {
    return forekey::GetChallenge(core_, *context, *request, response);
  }
  grpc::Status BeginEnrollment(grpc::ServerContext* context,
                               const v1::BeginEnrollmentRequest* request,
                               v1::BeginEnrollmentResponse* response) override {
    return InAPlace(*context, *request, kBeginEnrollmentMethod, [&] {
      return forekey::BeginEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::Status FinishEnrollment(grpc::ServerContext* context,
                                const v1::FinishEnrollmentRequest* request,
                                v1::FinishEnrollmentResponse* response) override {
    return InAPlace(*context, *request, kFinishEnrollmentMethod, [&] {
      return forekey::FinishEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::Status OpenSession(grpc::ServerContext* context, const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override {
    return forekey::OpenSession(core_, *context, *request, response);
  }
  grpc::Status OpenChildSession(grpc::ServerContext* context,
                                const v1::OpenChildSessionRequest* request,
                                v1::OpenSessionResponse* response) override {
    return forekey::OpenChildSession(core_, *context, *request, response);
  }
  grpc::Status EndSession(grpc::ServerContext* context, const v1::EndSessionRequest* request,
                          v1::EndSessionResponse* response) override {
    return forekey::EndSession(core_, *context, *request, response);
  }
  grpc::Status WhoAmI(grpc::ServerContext* context, const v1::WhoAmIRequest* request,
                      v1::WhoAmIResponse* response) override {
    return forekey::WhoAmI(core_, *context, *request, response);
  }
  grpc::Status ReauthenticateCall(grpc::ServerContext* context,
                                  const v1::ReauthenticateCallRequest* request,
                                  v1::ReauthenticateCallResponse* response) override {
    return forekey::ReauthenticateCall(core_, *context, *request, response);
  }
  grpc::Status GetRequirements(grpc::ServerContext* context,
                               const v1::GetRequirementsRequest* request,
                               v1::GetRequirementsResponse* response) override {
    return forekey::GetRequirements(core_, *context, *request, response);
  }

 private:
  template <typename Request>
  grpc::Status InAPlace(grpc::ServerContext& context, const Request& request,
                        absl::string_view method, absl::FunctionRef<grpc::Status()> work) {
    if (grpc::Status admitted = AdmitEnrollment(core_, answered_, context, request);
        !admitted.ok()) {
      return admitted;
    }
    const std::string host = HostKey(context.peer());
    if (!enrolling_.Enter(host)) return ToGrpc(NoPlace(core_, context, method));
    absl::Cleanup leave = [&] { enrolling_.Leave(host); };
    return work();
  }

  GateCore& core_;
  const Answered answered_;
  HostPlaces enrolling_{kWaitingEnrollments, kWaitingOfOneAddress};
};

// Enrolment waits for the disk and checks certificate paths: here it has a thread and a short queue
// of its own, so that it never takes gRPC's few callback threads away from calls (LAW 7). So
// have openings with further factors: more threads than those factors can hold all together
// (src/gate/factor/factor_lane.h), so that whatever hangs, there is one left for the next opening.
class GateServices::Callback : public v1::Gate::CallbackService {
 public:
  Callback(GateCore* core, Answered answered)
      : core_(*core),
        answered_(std::move(answered)),
        enrollments_(kWaitingEnrollments),
        openings_(kWaitingOpenings, core->MostOpeningThreads() + kSpareOpenings) {}

  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest* request,
                                         v1::GetChallengeResponse* response) override {
    return Finish(context, forekey::GetChallenge(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* BeginEnrollment(grpc::CallbackServerContext* context,
                                            const v1::BeginEnrollmentRequest* request,
                                            v1::BeginEnrollmentResponse* response) override {
    return Enroll(context, *request, kBeginEnrollmentMethod, [this, context, request, response] {
      return forekey::BeginEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* FinishEnrollment(grpc::CallbackServerContext* context,
                                             const v1::FinishEnrollmentRequest* request,
                                             v1::FinishEnrollmentResponse* response) override {
    return Enroll(context, *request, kFinishEnrollmentMethod, [this, context, request, response] {
      return forekey::FinishEnrollment(core_, answered_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override {
    // What is longer than a plain opening holds further factors, and a password takes its time.
    if (request->payload().size() <= kPlainOpening) {
      return Finish(context, forekey::OpenSession(core_, *context, *request, response));
    }
    return FinishLater(openings_, context, kOpenSessionMethod, [this, context, request, response] {
      return forekey::OpenSession(core_, *context, *request, response);
    });
  }
  grpc::ServerUnaryReactor* OpenChildSession(grpc::CallbackServerContext* context,
                                             const v1::OpenChildSessionRequest* request,
                                             v1::OpenSessionResponse* response) override {
    return Finish(context, forekey::OpenChildSession(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* EndSession(grpc::CallbackServerContext* context,
                                       const v1::EndSessionRequest* request,
                                       v1::EndSessionResponse* response) override {
    return Finish(context, forekey::EndSession(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context,
                                   const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override {
    return Finish(context, forekey::WhoAmI(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* ReauthenticateCall(grpc::CallbackServerContext* context,
                                               const v1::ReauthenticateCallRequest* request,
                                               v1::ReauthenticateCallResponse* response) override {
    return Finish(context, forekey::ReauthenticateCall(core_, *context, *request, response));
  }
  grpc::ServerUnaryReactor* GetRequirements(grpc::CallbackServerContext* context,
                                            const v1::GetRequirementsRequest* request,
                                            v1::GetRequirementsResponse* response) override {
    return Finish(context, forekey::GetRequirements(core_, *context, *request, response));
  }

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  template <typename Request>
  grpc::ServerUnaryReactor* Enroll(grpc::CallbackServerContext* context, const Request& request,
                                   absl::string_view method, std::function<grpc::Status()> work) {
    if (grpc::Status admitted = AdmitEnrollment(core_, answered_, *context, request);
        !admitted.ok()) {
      return Finish(context, admitted);
    }
    const std::string host = HostKey(context->peer());
    if (!enrolling_.Enter(host)) return Finish(context, ToGrpc(NoPlace(core_, *context, method)));
    // There is room in the queue for whoever has a place.
    return FinishLater(enrollments_, context, method, [this, host, work = std::move(work)] {
      absl::Cleanup leave = [&] { enrolling_.Leave(host); };
      return work();
    });
  }

  // Context, request and response live until the reactor has finished, cancelled or not. A full
  // queue refuses at once.
  grpc::ServerUnaryReactor* FinishLater(Worker& worker, grpc::CallbackServerContext* context,
                                        absl::string_view method,
                                        std::function<grpc::Status()> work) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!worker.Submit([reactor, work = std::move(work)] { reactor->Finish(work()); })) {
      reactor->Finish(ToGrpc(core_.refusals().Tell(
          Refuse(Reason::kRateLimited, "too many requests that take long wait already"), method,
          context->peer())));
    }
    return reactor;
  }

  GateCore& core_;
  const Answered answered_;
  HostPlaces enrolling_{kWaitingEnrollments, kWaitingOfOneAddress};
  Worker enrollments_;
  Worker openings_;
};

// gRPC's own way to change a builder at BuildAndStart(), when everything is registered; nothing that
// the application asked for before has the last word.
//
// Compressed requests are refused by the processor (CallGate::Process), and here once more: gRPC
// 1.51 inflates a message as a whole before it looks at its size, exempt methods' included, so
// that a megabyte of a stranger's would cost a gigabyte. The list of algorithms refuses them in
// words; without the filter nothing is inflated while that refusal is on its way.
class GateServices::Plugin : public grpc::ServerBuilderPlugin {
 public:
  Plugin(GateServices* services, ServerApi api, std::function<void()> started)
      : services_(services), api_(api), started_(std::move(started)) {}
  std::string name() override { return "forekey"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    services_->Register(*builder, api_);
  }
  // Of an argument that is given twice gRPC takes the first: so these come before all others.
  void UpdateChannelArguments(grpc::ChannelArguments* arguments) override {
    grpc::ChannelArguments all;
    all.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    all.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
    const grpc_channel_args asked = arguments->c_channel_args();
    for (size_t i = 0; i < asked.num_args; ++i) {
      const grpc_arg& one = asked.args[i];
      if (one.type == GRPC_ARG_INTEGER) {
        all.SetInt(one.key, one.value.integer);
      } else if (one.type == GRPC_ARG_POINTER) {
        all.SetPointerWithVtable(one.key, one.value.pointer.p, one.value.pointer.vtable);
      } else if (absl::string_view(one.key) != GRPC_ARG_PRIMARY_USER_AGENT_STRING) {
        all.SetString(one.key, one.value.string);  // it has gRPC's own name already
      }
    }
    arguments->Swap(all);
  }
  void InitServer(grpc::ServerInitializer*) override {}
  // gRPC calls it when the server has started.
  void Finish(grpc::ServerInitializer*) override { started_(); }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  GateServices* const services_;
  const ServerApi api_;
  const std::function<void()> started_;
};

class GateServices::Option : public grpc::ServerBuilderOption {
 public:
  Option(GateServices* services, ServerApi api, std::function<void()> started)
      : services_(services), api_(api), started_(std::move(started)) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<Plugin>(services_, api_, started_));
  }

 private:
  GateServices* const services_;
  const ServerApi api_;
  const std::function<void()> started_;
};

GateServices::GateServices(GateCore* core, Answered answered)
    : core_(core), answered_(std::move(answered)) {}
GateServices::~GateServices() = default;

std::unique_ptr<grpc::ServerBuilderOption> GateServices::Registration(
    ServerApi api, std::function<void()> started) {
  return std::make_unique<Option>(this, api, std::move(started));
}

namespace {

// What was registered is protected: for derived classes.
bool HasCallbackService(grpc::ServerBuilder& builder) {
  struct Registered : grpc::ServerBuilder {
    static auto Get() { return &Registered::services; }
  };
  for (const auto* named : (builder.*Registered::Get())()) {
    if (named->service->has_callback_methods()) return true;
  }
  return false;
}

}  // namespace

void GateServices::Register(grpc::ServerBuilder& builder, ServerApi api) {
  if (api == ServerApi::kAuto) {
    api = HasCallbackService(builder) ? ServerApi::kCallback : ServerApi::kSync;
  }
  if (api == ServerApi::kCallback) {
    callback_ = std::make_unique<Callback>(core_, answered_);
    builder.RegisterService(callback_.get());
  } else {
    sync_ = std::make_unique<Sync>(core_, answered_);
    builder.RegisterService(sync_.get());
  }
}

}  // namespace forekey
