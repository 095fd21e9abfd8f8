// SPDX-License-Identifier: Apache-2.0
#include "tests/end2end/software_client.h"

#include <utility>

#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/clock.h"
#include "src/base/status.h"
#include "src/crypto/key_agreement.h"
#include "src/rpc/status.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey::testing {

std::string SoftwareSession::PrefixOf(absl::string_view method, uint64_t sequence, uint32_t age_s,
                                      absl::string_view request_digest) {
  const std::string mac = ComputeCallMac(*key_, {.session_id = id_,
                                                 .sequence = sequence,
                                                 .age_s = age_s,
                                                 .method = method,
                                                 .channel_binding = channel_binding_,
                                                 .request_digest = request_digest});
  SessionProofView proof;
  proof.session_id = id_;
  proof.sequence = sequence;
  proof.age_s = age_s;
  proof.mac = mac;
  proof.request_digest = request_digest;
  return SerializePrefix(proof);
}

std::string SoftwareSession::Prefix(absl::string_view method, absl::string_view request_digest) {
  const int64_t age = absl::ToInt64Seconds(Clock::System().BootNow() - opened_at_);
  return PrefixOf(method, next_sequence_.fetch_add(1), static_cast<uint32_t>(age), request_digest);
}

SoftwareClient::SoftwareClient(std::shared_ptr<grpc::Channel> channel, GateFacts gate,
                               std::string subject, std::shared_ptr<const SoftwareKey> key)
    : channel_(std::move(channel)),
      gate_(std::move(gate)),
      subject_(std::move(subject)),
      key_(std::move(key)) {}

SoftwareClient SoftwareClient::Over(std::shared_ptr<grpc::Channel> channel) const {
  return SoftwareClient(std::move(channel), gate_, subject_, key_);
}

std::string SoftwareClient::credential_id() const {
  return CredentialId(gate_.audience, subject_, key_->public_key().spki());
}

absl::StatusOr<std::string> SoftwareClient::Challenge() {
  grpc::ClientContext context;
  v1::GetChallengeRequest request;
  v1::GetChallengeResponse response;
  request.set_purpose(v1::GetChallengeRequest::PURPOSE_CALL);
  FOREKEY_RETURN_IF_ERROR(
      ToAbsl(v1::Gate::NewStub(channel_)->GetChallenge(&context, request, &response)));
  return response.challenge();
}

std::string SoftwareClient::Prove(absl::string_view method, absl::string_view challenge,
                                  absl::string_view key_share, absl::string_view request_digest,
                                  std::string* statement) {
  const std::string id = credential_id();
  const absl::string_view ids[] = {id};
  *statement = BuildStatement(CallStatement{.audience = gate_.audience,
                                            .method = method,
                                            .challenge = challenge,
                                            .channel_binding = gate_.channel_binding,
                                            .credential_ids = ids,
                                            .key_share = key_share,
                                            .request_digest = request_digest});
  const std::string signature = key_->Sign(*statement);
  DeviceProofView proof;
  proof.challenge = challenge;
  proof.channel_binding = gate_.channel_binding;
  proof.key_share = key_share;
  proof.request_digest = request_digest;
  proof.assertions.push_back({.credential_id = id, .signature = signature});
  return SerializePrefix(proof);
}

absl::StatusOr<std::string> SoftwareClient::DevicePrefix(absl::string_view method) {
  FOREKEY_ASSIGN_OR_RETURN(std::string challenge, Challenge());
  std::string statement;
  return Prove(method, challenge, "", "", &statement);
}

absl::StatusOr<std::unique_ptr<SoftwareSession>> SoftwareClient::OpenSession(
    grpc::ClientContext* context) {
  FOREKEY_ASSIGN_OR_RETURN(std::string challenge, Challenge());
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(Sha256(gate_.identity_public));
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  std::string statement;
  grpc::ClientContext own;
  if (context == nullptr) context = &own;
  context->AddMetadata(std::string(kPrefixMetadataKey),
                       Prove(kOpenSessionMethod, challenge, ephemeral.public_key(),
                             Sha256(request.payload()), &statement));
  v1::OpenSessionResponse response;
  FOREKEY_RETURN_IF_ERROR(
      ToAbsl(v1::Gate::NewStub(channel_)->OpenSession(context, request, &response)));

  FOREKEY_ASSIGN_OR_RETURN(Secret ephemeral_secret, ephemeral.Agree(response.gate_share()));
  FOREKEY_ASSIGN_OR_RETURN(Secret identity_secret, ephemeral.Agree(gate_.identity_public));
  const Secret key = DeriveSessionKey({.ephemeral_secret = &ephemeral_secret,
                                       .identity_secret = &identity_secret,
                                       .salt = challenge,
                                       .transcript = statement,
                                       .gate_share = response.gate_share(),
                                       .session_id = response.session_id()});
  const std::string expected =
      ComputeConfirmation(key, {.session_id = response.session_id(),
                                .gate_share = response.gate_share(),
                                .idle_s = response.idle_s(),
                                .absolute_s = response.absolute_s(),
                                .window = response.window(),
                                .next_gate_identity = response.next_gate_identity(),
                                .subject = response.subject()});
  if (!ConstantTimeEqual(expected, response.confirmation())) {
    return absl::UnauthenticatedError("the gate's confirmation is wrong");
  }
  auto session = std::make_unique<SoftwareSession>();
  session->id_ = response.session_id();
  session->channel_binding_ = gate_.channel_binding;
  session->key_ = std::make_unique<HmacSha256>(key.view());
  session->opened_at_ = Clock::System().BootNow();
  return session;
}

}  // namespace forekey::testing
