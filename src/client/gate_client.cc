// SPDX-License-Identifier: Apache-2.0
#include "src/client/gate_client.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/channel_binding.h"
#include "src/client/grpc_errors.h"
#include "src/client/key_confirmation.h"
#include "src/client/prefix_credentials.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/rpc/call_deadline.h"
#include "src/wire/id_token.h"
#include "src/wire/prefix.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {

using forekey::v1::Gate;

namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);
constexpr absl::Duration kDiagnosisTime = absl::Seconds(3);
constexpr int64_t kSuspended = 1'000'000'000;  // the two clocks are not read at the same instant

int64_t ReadClock(clockid_t id) {
  timespec now = {};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// CLOCK_BOOTTIME runs on while the machine sleeps, CLOCK_MONOTONIC does not.
int64_t AsleepNanos() { return ReadClock(CLOCK_BOOTTIME) - ReadClock(CLOCK_MONOTONIC); }

// A prefix made beforehand: it leaves only for the method and the certificate that it was made for.
class MadePrefix : public PrefixProvider {
 public:
  MadePrefix(absl::string_view method, std::string prefix, std::string channel_binding)
      : method_(method), prefix_(std::move(prefix)), channel_binding_(std::move(channel_binding)) {}

  std::optional<absl::StatusOr<std::string>> GetPrefix(const CallAttempt& attempt,
                                                       PrefixWaiter) override {
    auto binding = ChannelBindingFromPem(attempt.leaf_pem);
    if (!binding.ok()) return binding.status();
    if (*binding != channel_binding_) {
      binding_changed_ = true;
      return absl::AbortedError("the gate's TLS certificate is another than a moment ago");
    }
    if (attempt.method != method_) return absl::InternalError("the prefix is for another method");
    return prefix_;
  }
  bool binding_changed() const { return binding_changed_; }

 private:
  const std::string method_;
  const std::string prefix_;
  const std::string channel_binding_;
  std::atomic<bool> binding_changed_{false};
};

absl::Status BindingChanged() {
  return absl::AbortedError(
      "the gate's TLS certificate changed between two calls (it was replaced, or several servers "
      "with different certificates answer at this address): try again");
}

}  // namespace

absl::StatusOr<std::unique_ptr<GateConnection>> GateConnection::New(Options options) {
  if (!IsWellFormedAudience(options.target.audience)) {
    return absl::InvalidArgumentError("the gate's audience is not well-formed");
  }
  if (options.target.address.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no address is known for the gate ", options.target.audience));
  }
  FOREKEY_ASSIGN_OR_RETURN(auto credentials, TlsCredentials(options.target.ca_pem));
  if (!options.asleep_nanos) options.asleep_nanos = AsleepNanos;
  return std::unique_ptr<GateConnection>(
      new GateConnection(std::move(options), std::move(credentials)));
}

GateConnection::GateConnection(Options options,
                               std::shared_ptr<grpc::ChannelCredentials> credentials)
    : options_(std::move(options)),
      credentials_(std::move(credentials)),
      wire_(MakeWire()),
      asleep_nanos_(options_.asleep_nanos()) {}

GateConnection::WirePtr GateConnection::MakeWire() const {
  grpc::ChannelArguments arguments;
  AddTlsArguments(options_.target, &arguments);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a new channel is a new connection
  auto channel = grpc::CreateCustomChannel(options_.target.address, credentials_, arguments);
  auto wire = std::make_shared<Wire>();
  wire->stub = Gate::NewStub(channel);
  wire->channel = std::move(channel);
  return wire;
}

GateConnection::WirePtr GateConnection::CurrentWire() {
  const int64_t asleep = options_.asleep_nanos();
  absl::MutexLock lock(&mutex_);
  if (asleep - asleep_nanos_ >= kSuspended) wire_ = MakeWire();
  asleep_nanos_ = asleep;
  return wire_;
}

void GateConnection::GiveUp(const WirePtr& wire) {
  absl::MutexLock lock(&mutex_);
  if (wire_ == wire) wire_ = MakeWire();
}

void GateConnection::Shutdown() {
  absl::MutexLock lock(&mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : calling_) context->TryCancel();
}

// Why there is no connection, where there is none.
GateDiagnosis GateConnection::Diagnose(const grpc::Status& status) const {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE || shut_down_) return {};
  return DiagnoseGate(options_.target, kDiagnosisTime);
}

template <typename Request, typename Response>
absl::Status GateConnection::Call(
    grpc::Status (Gate::Stub::*rpc)(grpc::ClientContext*, const Request&, Response*),
    absl::string_view tried, const Request& request, Response* response, std::optional<Proof> proof,
    std::string* channel_binding, std::optional<absl::Duration> timeout, std::string* tls_anchors) {
  const WirePtr wire = CurrentWire();
  WakeChannel(wire->channel, kConnectTimeout, &shut_down_);
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(timeout.value_or(options_.rpc_timeout)));
  if (!options_.affinity.empty()) {
    context.AddMetadata(std::string(kAffinityMetadataKey), options_.affinity);
  }
  std::shared_ptr<MadePrefix> provider;
  if (proof.has_value()) {
    provider = std::make_shared<MadePrefix>(proof->method, std::move(proof->prefix),
                                            std::move(proof->channel_binding));
    context.set_credentials(MakePrefixCredentials(provider));
  }
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return absl::CancelledError("the connection to the gate was given up");
    calling_.insert(&context);
  }
  grpc::Status status = (wire->stub.get()->*rpc)(&context, request, response);
  {
    absl::MutexLock lock(&mutex_);
    calling_.erase(&context);
  }
  if (provider != nullptr && provider->binding_changed()) return BindingChanged();
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) GiveUp(wire);
  if (!status.ok()) return GateError(status, tried, options_.target.address, Diagnose(status));
  if (tls_anchors != nullptr) {
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto announced = trailers.find(
        grpc::string_ref(kTlsAnchorsMetadataKey.data(), kTlsAnchorsMetadataKey.size()));
    if (announced != trailers.end()) {
      tls_anchors->assign(announced->second.data(), announced->second.size());
    }
  }
  if (channel_binding != nullptr) {
    auto auth_context = context.auth_context();
    if (auth_context == nullptr) return absl::InternalError("gRPC gives no auth context");
    FOREKEY_ASSIGN_OR_RETURN(*channel_binding, ChannelBindingOf(*auth_context));
  }
  return absl::OkStatus();
}

absl::StatusOr<GateConnection::Challenge> GateConnection::GetChallenge(
    forekey::v1::GetChallengeRequest::Purpose purpose) {
  forekey::v1::GetChallengeRequest request;
  forekey::v1::GetChallengeResponse response;
  Challenge challenge;
  request.set_purpose(purpose);
  absl::Status got = Call(&Gate::Stub::GetChallenge, "get a challenge", request, &response,
                          std::nullopt, &challenge.channel_binding, options_.challenge_timeout);
  if (absl::IsDeadlineExceeded(got)) {
    got = Call(&Gate::Stub::GetChallenge, "get a challenge", request, &response, std::nullopt,
               &challenge.channel_binding);
  }
  FOREKEY_RETURN_IF_ERROR(got);
  if (response.challenge().size() != kChallengeSize) {
    return absl::InternalError(absl::StrCat("the gate's challenge has ",
                                            response.challenge().size(), " bytes instead of ",
                                            kChallengeSize));
  }
  challenge.bytes = response.challenge();
  return challenge;
}

namespace {

std::vector<absl::string_view> SignerIds(const GateConnection::OpenOptions& options) {
  std::vector<absl::string_view> ids;
  for (const Signer& signer : options.signers) ids.push_back(signer.credential_id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::StatusOr<FurtherFactors> CollectFactors(const GateConnection::OpenOptions& options,
                                              absl::string_view audience,
                                              absl::string_view key_share) {
  FurtherFactors factors;
  factors.password = options.password.Clone();
  if (options.id_token) {
    FOREKEY_ASSIGN_OR_RETURN(
        factors.id_token, options.id_token(IdTokenNonce(audience, key_share, SignerIds(options))));
  }
  return factors;
}

}  // namespace

bool GateConnection::Challenge::OfSameProcessAs(const Challenge& other) const {
  constexpr size_t kTagAt = 2, kTagSize = 2;
  return absl::string_view(bytes).substr(kTagAt, kTagSize) ==
         absl::string_view(other.bytes).substr(kTagAt, kTagSize);
}

template <typename Attempt>
absl::StatusOr<ClientSessionPtr> GateConnection::WithChallenge(Attempt attempt) {
  constexpr auto kPurpose = forekey::v1::GetChallengeRequest::PURPOSE_CALL;
  FOREKEY_ASSIGN_OR_RETURN(const Challenge challenge, GetChallenge(kPurpose));
  bool sent = false;
  absl::StatusOr<ClientSessionPtr> session = attempt(challenge, &sent);
  if (!sent || !absl::IsUnauthenticated(session.status()) || ReasonOf(session.status())) {
    return session;
  }
  const absl::StatusOr<Challenge> next = GetChallenge(kPurpose);
  if (!next.ok() || next->OfSameProcessAs(challenge)) return session;
  return attempt(*next, &sent);
}

// What an opening has besides its challenge.
struct GateConnection::Prepared {
  X25519PrivateKey ephemeral;
  FurtherFactors factors;
};

absl::StatusOr<ClientSessionPtr> GateConnection::OpenSession(const OpenOptions& options) {
  Prepared prepared{X25519PrivateKey::Generate(), {}};
  FOREKEY_ASSIGN_OR_RETURN(prepared.factors, CollectFactors(options, options_.target.audience,
                                                            prepared.ephemeral.public_key()));
  return WithChallenge([&](const Challenge& challenge, bool* sent) {
    return OpenOver(challenge, options, prepared, sent);
  });
}

absl::StatusOr<ClientSessionPtr> GateConnection::OpenOver(const Challenge& challenge,
                                                          const OpenOptions& options,
                                                          const Prepared& prepared, bool* sent) {
  const X25519PrivateKey& ephemeral = prepared.ephemeral;
  const FurtherFactors& factors = prepared.factors;
  forekey::v1::OpenSessionPayload payload;
  payload.set_gate_identity(Sha256(options.gate_identity));
  payload.set_max_idle_s(options.max_idle_s);
  payload.set_max_absolute_s(options.max_absolute_s);
  if (!factors.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        *payload.mutable_sealed_factors(),
        SealFactors(factors,
                    FactorContext{options_.target.audience, challenge.bytes, SignerIds(options)},
                    options.gate_identity));
  }
  forekey::v1::OpenSessionRequest request;
  forekey::v1::OpenSessionResponse response;
  payload.SerializeToString(request.mutable_payload());
  std::string digest = Sha256(request.payload());

  DeviceProofInput input;
  input.audience = options_.target.audience;
  input.method = kOpenSessionMethod;
  input.challenge = challenge.bytes;
  input.channel_binding = challenge.channel_binding;
  input.key_share = ephemeral.public_key();
  input.request_digest = digest;
  FOREKEY_ASSIGN_OR_RETURN(DeviceProof proof, MakeDeviceProof(input, options.signers));

  const BootTime sent_at = options_.clock->BootNow();
  *sent = true;
  std::string tls_anchors;
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::OpenSession, "open a session", request, &response,
                               Proof{kOpenSessionMethod, proof.prefix, challenge.channel_binding},
                               nullptr, std::nullopt, &tls_anchors));
  SessionOpening opening;
  opening.tls_anchors = tls_anchors;
  opening.ephemeral = &ephemeral;
  opening.gate_identity = options.gate_identity;
  opening.salt = challenge.bytes;
  opening.transcript = proof.statement;
  opening.channel_binding = challenge.channel_binding;
  opening.sent_at = sent_at;
  return ConfirmSession(opening, response, options_.clock);
}

absl::StatusOr<ClientSessionPtr> GateConnection::ResumeSession(const ClientSession& old,
                                                               const std::string& gate_identity) {
  if (old.ticket().bytes.empty()) {
    return absl::InvalidArgumentError("the session has no ticket");
  }
  // A ticket that was refused for its challenge was not used.
  return WithChallenge([&](const Challenge& challenge, bool* sent) {
    return ResumeOver(challenge, old, gate_identity, sent);
  });
}

absl::StatusOr<ClientSessionPtr> GateConnection::ResumeOver(const Challenge& challenge,
                                                            const ClientSession& old,
                                                            const std::string& gate_identity,
                                                            bool* sent) {
  const std::string ticket = old.ticket().bytes;
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  forekey::v1::ResumeSessionPayload payload;
  payload.set_gate_identity(Sha256(gate_identity));
  forekey::v1::ResumeSessionRequest request;
  forekey::v1::OpenSessionResponse response;
  payload.SerializeToString(request.mutable_payload());
  const std::string digest = Sha256(request.payload());
  const std::string statement = BuildStatement(
      ResumptionStatement{options_.target.audience, kResumeSessionMethod, ticket, challenge.bytes,
                          challenge.channel_binding, ephemeral.public_key(), digest});
  const std::string mac = ComputeResumptionMac(old.key().view(), statement);
  const std::string prefix = SerializePrefix(ResumptionProofView{
      ticket, challenge.bytes, challenge.channel_binding, ephemeral.public_key(), digest, mac});
  const BootTime sent_at = options_.clock->BootNow();
  *sent = true;
  std::string tls_anchors;
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::ResumeSession, "resume a session", request, &response,
                               Proof{kResumeSessionMethod, prefix, challenge.channel_binding},
                               nullptr, std::nullopt, &tls_anchors));
  SessionOpening opening;
  opening.tls_anchors = tls_anchors;
  opening.ephemeral = &ephemeral;
  opening.gate_identity = gate_identity;
  opening.parent_key = old.key().view();
  opening.salt = challenge.bytes;
  opening.transcript = statement;
  opening.channel_binding = challenge.channel_binding;
  opening.sent_at = sent_at;
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr resumed,
                           ConfirmSession(opening, response, options_.clock));
  if (resumed->subject() != old.subject()) {
    (void)EndSession(*resumed);  // nobody will use it
    return Refuse(Reason::kSubjectMismatch, "the resumed session is of another subject");
  }
  return resumed;
}

absl::StatusOr<ClientSessionPtr> GateConnection::OpenChildSession(const ClientSession& parent,
                                                                  const ChildOptions& options) {
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  forekey::v1::OpenChildSessionPayload payload;
  payload.set_gate_identity(Sha256(options.gate_identity));
  payload.set_key_share(ephemeral.public_key());
  payload.set_channel_binding(options.channel_binding);
  payload.set_max_idle_s(options.max_idle_s);
  payload.set_max_absolute_s(options.max_absolute_s);
  forekey::v1::OpenChildSessionRequest request;
  forekey::v1::OpenSessionResponse response;
  payload.SerializeToString(request.mutable_payload());

  ClientSession::Proof proof = parent.MakeProof(kOpenChildSessionMethod, Sha256(request.payload()));
  std::string salt = ByteWriter().Raw(parent.id()).U64(proof.sequence).bytes();
  BootTime sent = options_.clock->BootNow();
  FOREKEY_RETURN_IF_ERROR(
      Call(&Gate::Stub::OpenChildSession, "open a child session", request, &response,
           Proof{kOpenChildSessionMethod, proof.prefix, parent.channel_binding()}));
  SessionOpening opening;
  opening.ephemeral = &ephemeral;
  opening.gate_identity = options.gate_identity;
  opening.parent_key = parent.key().view();
  opening.salt = salt;
  opening.transcript = proof.mac_bytes;
  opening.channel_binding = options.channel_binding;
  opening.sent_at = sent;
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr child,
                           ConfirmSession(opening, response, options_.clock));
  if (child->subject() != parent.subject()) {
    (void)EndSession(*child);  // nobody will use it
    return Refuse(Reason::kSubjectMismatch,
                  absl::StrCat("the gate opened a child of the session of ", parent.subject(),
                               " for ", child->subject()));
  }
  return child;
}

absl::Status GateConnection::EndSession(const ClientSession& session) {
  forekey::v1::EndSessionRequest request;
  forekey::v1::EndSessionResponse response;
  return Call(
      &Gate::Stub::EndSession, "end a session", request, &response,
      Proof{kEndSessionMethod, session.MakePrefix(kEndSessionMethod), session.channel_binding()});
}

absl::StatusOr<forekey::v1::WhoAmIResponse> GateConnection::WhoAmI(const ClientSession& session) {
  forekey::v1::WhoAmIRequest request;
  forekey::v1::WhoAmIResponse response;
  const std::string prefix = session.MakePrefix(kWhoAmIMethod);
  const BootTime sent = options_.clock->BootNow();
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::WhoAmI, "ask who this session is", request, &response,
                               Proof{kWhoAmIMethod, prefix, session.channel_binding()}));
  if (!response.ticket().empty() && response.ticket().size() <= kMaxTicketSize) {
    session.SetTicket({response.ticket(), sent});
  }
  return response;
}

absl::StatusOr<std::string> GateConnection::GetRequirements(const ClientSession& session,
                                                            absl::string_view method, bool child) {
  forekey::v1::GetRequirementsRequest request;
  forekey::v1::GetRequirementsResponse response;
  request.set_method(std::string(method));
  request.set_child(child);
  FOREKEY_RETURN_IF_ERROR(
      Call(&Gate::Stub::GetRequirements, "ask what a call needs", request, &response,
           Proof{kGetRequirementsMethod, session.MakePrefix(kGetRequirementsMethod),
                 session.channel_binding()}));
  return response.step_up();
}

absl::StatusOr<std::string> GateConnection::MakeDevicePrefix(absl::string_view method,
                                                             absl::string_view channel_binding,
                                                             std::vector<Signer> signers) {
  FOREKEY_ASSIGN_OR_RETURN(Challenge challenge,
                           GetChallenge(forekey::v1::GetChallengeRequest::PURPOSE_CALL));
  DeviceProofInput input;
  input.audience = options_.target.audience;
  input.method = method;
  input.challenge = challenge.bytes;
  input.channel_binding = channel_binding.empty() ? challenge.channel_binding : channel_binding;
  FOREKEY_ASSIGN_OR_RETURN(DeviceProof proof, MakeDeviceProof(input, std::move(signers)));
  return std::move(proof.prefix);
}

absl::StatusOr<forekey::v1::BeginEnrollmentResponse> GateConnection::BeginEnrollment(
    const forekey::v1::BeginEnrollmentRequest& request, absl::string_view channel_binding) {
  forekey::v1::BeginEnrollmentResponse response;
  std::string answered_by;
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::BeginEnrollment, "begin the enrolment", request,
                               &response, std::nullopt, &answered_by));
  if (answered_by != channel_binding) return BindingChanged();
  return response;
}

absl::StatusOr<forekey::v1::FinishEnrollmentResponse> GateConnection::FinishEnrollment(
    const forekey::v1::FinishEnrollmentRequest& request, absl::string_view channel_binding) {
  forekey::v1::FinishEnrollmentResponse response;
  std::string answered_by;
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::FinishEnrollment, "finish the enrolment", request,
                               &response, std::nullopt, &answered_by));
  if (answered_by != channel_binding) return BindingChanged();
  return response;
}

}  // namespace forekey
