#include "src/client/gate_client.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/channel_binding.h"
#include "src/client/grpc_errors.h"
#include "src/client/key_confirmation.h"
#include "src/client/prefix_credentials.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/wire/id_token.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/statement.h"

namespace forekey {

using forekey::v1::Gate;

namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

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
  grpc::ChannelArguments arguments;
  AddTlsArguments(options.target, &arguments);
  auto channel = grpc::CreateCustomChannel(options.target.address, credentials, arguments);
  return std::unique_ptr<GateConnection>(
      new GateConnection(std::move(options), std::move(channel)));
}

GateConnection::GateConnection(Options options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)), channel_(std::move(channel)), stub_(Gate::NewStub(channel_)) {}

template <typename Request, typename Response>
absl::Status GateConnection::Call(grpc::Status (Gate::Stub::*rpc)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                                  absl::string_view tried, const Request& request,
                                  Response* response, std::optional<Proof> proof,
                                  std::string* channel_binding) {
  WakeChannel(channel_, kConnectTimeout);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.rpc_timeout));
  std::shared_ptr<MadePrefix> provider;
  if (proof.has_value()) {
    provider = std::make_shared<MadePrefix>(proof->method, std::move(proof->prefix),
                                            std::move(proof->channel_binding));
    context.set_credentials(MakePrefixCredentials(provider));
  }
  grpc::Status status = (stub_.get()->*rpc)(&context, request, response);
  if (provider != nullptr && provider->binding_changed()) return BindingChanged();
  if (!status.ok()) return GateError(status, tried, options_.target.address);
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
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::GetChallenge, "get a challenge", request, &response,
                               std::nullopt, &challenge.channel_binding));
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

absl::StatusOr<ClientSessionPtr> GateConnection::OpenSession(const OpenOptions& options) {
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  FOREKEY_ASSIGN_OR_RETURN(
      const FurtherFactors factors,
      CollectFactors(options, options_.target.audience, ephemeral.public_key()));
  FOREKEY_ASSIGN_OR_RETURN(Challenge challenge,
                           GetChallenge(forekey::v1::GetChallengeRequest::PURPOSE_CALL));
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

  int64_t sent = options_.clock->BootNanos();
  FOREKEY_RETURN_IF_ERROR(Call(&Gate::Stub::OpenSession, "open a session", request, &response,
                               Proof{kOpenSessionMethod, proof.prefix, challenge.channel_binding}));
  SessionOpening opening;
  opening.ephemeral = &ephemeral;
  opening.gate_identity = options.gate_identity;
  opening.salt = challenge.bytes;
  opening.transcript = proof.statement;
  opening.channel_binding = challenge.channel_binding;
  opening.sent_boot_nanos = sent;
  return ConfirmSession(opening, response, options_.clock);
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
  int64_t sent = options_.clock->BootNanos();
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
  opening.sent_boot_nanos = sent;
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr child,
                           ConfirmSession(opening, response, options_.clock));
  if (child->subject() != parent.subject()) {
    return Refuse(Reason::kSubjectMismatch, "the child session is of another subject");
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
  FOREKEY_RETURN_IF_ERROR(
      Call(&Gate::Stub::WhoAmI, "ask who this session is", request, &response,
           Proof{kWhoAmIMethod, session.MakePrefix(kWhoAmIMethod), session.channel_binding()}));
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
