// SPDX-License-Identifier: Apache-2.0
#include "bench/cluster/cluster_replica.h"

#include <stdio.h>
#include <stdlib.h>

#include <filesystem>

#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/gate/token/fido2_verifier.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/wire/invite.h"
#include "src/wire/session_keys.h"

namespace forekey::bench {
namespace {

using testing::kAudience;
using testing::kPeer;

constexpr double kNoLimit = 1e9;

void Unlimited(StrangerLimitOptions& limit) {
  limit.per_second = limit.burst = kNoLimit;
  limit.per_address_per_second = limit.per_address_burst = kNoLimit;
}

}  // namespace

Replica::Replica(const Options& options) {
  namespace fs = std::filesystem;
  GateConfig config = Config();
  config.state.directory = folder_.File(options.name);
  config.cluster.name = options.name;
  config.sessions.resumption = options.resumption;
  config.sessions.limits.per_subject = 1 << 20;
  Unlimited(config.limits.proofs);
  Unlimited(config.limits.enrollments);
  if (options.maker != nullptr) {
    fs::create_directories(folder_.File("roots"));
    testing::WriteText(folder_.File("roots/root.der"),
                       testing::MakeDer(options.maker->ca.CaSpec(options.maker->ca)));
    config.tokens.Get<Fido2Config>().trust = folder_.File("roots");
  }
  if (options.first != nullptr) {
    fs::create_directories(config.state.directory);
    fs::permissions(config.state.directory, fs::perms::owner_all);
    fs::copy(options.first->gate_->config().state.IdentityDirectory(),
             config.state.IdentityDirectory(), fs::copy_options::recursive);
  }
  GateCore::StandIns parts;
  parts.audit = std::make_unique<NoAudit>();
  parts.maintenance_thread = false;
  if (options.database.empty()) {
    parts.registry = registry_;
  } else {
    auto shared = PostgresRegistry::Open(options.database);
    if (shared.ok()) registry_ = parts.shared_registry = *std::move(shared);
  }
  auto gate = GateCore::New(std::move(config), std::move(parts));
  if (!gate.ok()) {
    fprintf(stderr, "%s: %s\n", options.name.c_str(), gate.status().ToString().c_str());
    exit(2);
  }
  gate_ = *std::move(gate);
}

testing::Token Replica::AddFido2(const std::string& subject) {
  return testing::EnrollSoftFido2(*registry_, subject, clock_.WallNow());
}

bool Replica::OpenFido2(const testing::Token& token, uint32_t sign_count) {
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(gate_->identities().current()->fingerprint());
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  testing::DeviceProofDraft draft = Draft({&token});
  draft.method = std::string(kOpenSessionMethod);
  draft.key_share = ephemeral.public_key();
  draft.request_digest = Sha256(request.payload());
  const std::string prefix = testing::SerializeWith(
      draft,
      {{token.id, testing::AssertionOver(draft.Statement(), sign_count).SignWithKey(*token.key)}});
  const Judgement judgement = Judge(prefix, kOpenSessionMethod);
  return judgement.status.ok() && gate_->peers().OpenSession(*judgement.call, request, kPeer).ok();
}

absl::StatusOr<testing::ClientSession> Replica::Resume(const testing::ClientSession& old) {
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  const std::string challenge = Challenge(), share = ephemeral.public_key();
  v1::ResumeSessionPayload payload;
  payload.set_gate_identity(gate_->identities().current()->fingerprint());
  v1::ResumeSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  const std::string digest = Sha256(request.payload());
  const std::string statement = BuildStatement(ResumptionStatement{
      kAudience, kResumeSessionMethod, old.ticket, challenge, certificate_.binding, share, digest});
  const std::string mac = ComputeResumptionMac(old.key, statement);
  const Judgement judgement =
      Judge(SerializePrefix(ResumptionProofView{old.ticket, challenge, certificate_.binding, share,
                                                digest, mac}),
            kResumeSessionMethod);
  FOREKEY_RETURN_IF_ERROR(judgement.status);
  FOREKEY_ASSIGN_OR_RETURN(const auto response,
                           gate_->peers().ResumeSession(*judgement.call, request, kPeer));
  testing::ClientSession session;
  session.id = response.session_id();
  session.channel_binding = certificate_.binding;
  session.ticket = response.ticket();
  FOREKEY_ASSIGN_OR_RETURN(const Secret fresh, ephemeral.Agree(response.gate_share()));
  FOREKEY_ASSIGN_OR_RETURN(const Secret identity,
                           ephemeral.Agree(gate_->identities().current()->public_key()));
  session.key =
      std::string(DeriveSessionKey(SessionKeyInput{&fresh, &identity, old.key, challenge, statement,
                                                   response.gate_share(), session.id})
                      .view());
  return session;
}

absl::Status Replica::End(testing::ClientSession& session) {
  const Judgement judgement = Judge(session.NextProof(kEndSessionMethod), kEndSessionMethod);
  FOREKEY_RETURN_IF_ERROR(judgement.status);
  return gate_->peers().EndSession(*judgement.call, v1::EndSessionRequest(), kPeer).status();
}

absl::Status Replica::RevokeEverywhere(const testing::Token& token) {
  v1::RevokeCredentialRequest request;
  request.set_credential_id(token.id);
  FOREKEY_ASSIGN_OR_RETURN(const auto done, gate_->admin().RevokeCredential(request, "bench"));
  return done.spread().unknown().empty() ? absl::OkStatus()
                                         : absl::InternalError(done.spread().unknown());
}

absl::StatusOr<std::string> Replica::MakeInvite(const std::string& subject) {
  v1::CreateInviteRequest request;
  request.set_subject(subject);
  FOREKEY_ASSIGN_OR_RETURN(const auto made, gate_->admin().CreateInvite(request, "bench"));
  return made.invite();
}

absl::StatusOr<v1::EnrollmentDemand> Replica::Begin(const Invite& invite,
                                                    const v1::EnrollmentOpening& opening) {
  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, invite.SigningKey());
  const std::string& spki = key.public_key().spki();
  v1::BeginEnrollmentRequest request;
  request.set_payload(opening.SerializeAsString());
  request.set_invite_public_key(spki.substr(spki.size() - 32));
  request.set_invite_signature(
      key.Sign(BuildInviteStatement(label::kInviteBegin, kAudience, request.payload())));
  FOREKEY_ASSIGN_OR_RETURN(const auto answer, gate_->peers().BeginEnrollment(request, kPeer));
  v1::EnrollmentDemand demand;
  if (!demand.ParseFromString(answer.payload())) return absl::InternalError("no demand");
  return demand;
}

absl::Status Replica::EnrollByInvite(const std::string& text, const KeyMaker& maker) {
  FOREKEY_ASSIGN_OR_RETURN(const Invite invite, Invite::Parse(text));
  v1::EnrollmentOpening opening;
  opening.set_challenge(Challenge(v1::GetChallengeRequest::PURPOSE_ENROLL));
  opening.set_channel_binding(certificate_.binding);
  opening.set_key_share(X25519PrivateKey::Generate().public_key());
  opening.set_gate_identity(invite.identity_fingerprint);
  opening.set_kind(v1::TOKEN_KIND_FIDO2);
  opening.mutable_fido2();
  FOREKEY_ASSIGN_OR_RETURN(const v1::EnrollmentDemand demand, Begin(invite, opening));

  testing::TestToken token;
  token.rp_id = demand.fido2().rp_id();
  const std::string spki = token.credential.public_key().spki();
  const auto statement = [&](absl::string_view key) {
    return BuildStatement(EnrollStatement{kAudience, demand.enrollment_id(), demand.subject(),
                                          v1::TOKEN_KIND_FIDO2, key, opening.channel_binding(),
                                          opening.challenge()});
  };
  v1::EnrollmentProof proof;
  const std::string client =
      testing::ClientJson("webauthn.create", Sha256(statement("")), demand.fido2().origin());
  const std::string auth_data = token.AuthData();
  const auto leaf = testing::PackedLeafSpec(maker.ca, maker.attestation_key);
  proof.mutable_fido2()->set_client_data_json(client);
  proof.mutable_fido2()->set_attestation_object(testing::AttestationObjectBytes(
      "packed",
      testing::CborMap({{testing::CborText("alg"), testing::CborInt(-7)},
                        {testing::CborText("sig"), testing::CborBytes(testing::SignWith(
                                                       maker.attestation_key.get(), EVP_sha256(),
                                                       absl::StrCat(auth_data, Sha256(client))))},
                        {testing::CborText("x5c"),
                         testing::CborArray({testing::CborBytes(testing::MakeDer(leaf))})}}),
      auth_data));
  proof.set_ticket(demand.ticket());
  proof.set_spki(spki);
  const testing::SoftAssertion possession =
      testing::AssertionOver(statement(spki), token.sign_count + 1).SignWithKey(token.credential);
  proof.mutable_possession()->set_signature(possession.signature);
  proof.mutable_possession()->set_authenticator_data(possession.authenticator_data);
  proof.mutable_possession()->set_client_data_json(possession.client_data_json);

  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, invite.SigningKey());
  v1::FinishEnrollmentRequest request;
  request.set_payload(proof.SerializeAsString());
  request.set_invite_signature(
      key.Sign(BuildInviteStatement(label::kInviteFinish, kAudience, request.payload())));
  return gate_->peers().FinishEnrollment(request, kPeer).status();
}

}  // namespace forekey::bench
