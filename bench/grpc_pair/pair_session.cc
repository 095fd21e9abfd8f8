// SPDX-License-Identifier: Apache-2.0
#include "bench/grpc_pair/pair_session.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

// How long a connection may take to be made. gRPC names it for what it also is: the least time
// between two attempts.
constexpr int kConnectMillis = 60'000;

}  // namespace

void Check(const grpc::Status& status) {
  if (status.ok()) return;
  std::cerr << "call failed: " << status.error_code() << " " << status.error_message() << std::endl;
  // Other threads are in the middle of calls: what an orderly end would free is under their feet.
  std::_Exit(2);
}

std::string LoadSession::Prefix(absl::string_view method) {
  SessionProofView proof;
  proof.session_id = id;
  proof.sequence = sequence.fetch_add(1);
  proof.age_s = static_cast<uint32_t>(absl::ToInt64Seconds(Clock::System().BootNow() - opened));
  const std::string mac = ComputeCallMac(*key, {.session_id = id,
                                                .sequence = proof.sequence,
                                                .age_s = proof.age_s,
                                                .method = method,
                                                .channel_binding = binding});
  proof.mac = mac;
  return SerializePrefix(proof);
}

std::unique_ptr<LoadSession> OpenSession(const std::shared_ptr<grpc::Channel>& channel,
                                         const PairFacts& facts) {
  auto stub = v1::Gate::NewStub(channel);
  grpc::ClientContext challenge_context;
  challenge_context.set_wait_for_ready(true);
  v1::GetChallengeRequest challenge_request;
  v1::GetChallengeResponse challenge;
  challenge_request.set_purpose(v1::GetChallengeRequest::PURPOSE_CALL);
  Check(stub->GetChallenge(&challenge_context, challenge_request, &challenge));

  const auto key = SoftwareKey::Ed25519FromSeed(facts.key_seed);
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(Sha256(facts.identity_public));
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  const std::string digest = Sha256(request.payload());
  const std::string id = CredentialId(kAudience, kSubject, key->public_key().spki());
  const absl::string_view ids[] = {id};
  const std::string statement =
      BuildStatement(CallStatement{.audience = kAudience,
                                   .method = kOpenSessionMethod,
                                   .challenge = challenge.challenge(),
                                   .channel_binding = facts.channel_binding,
                                   .credential_ids = ids,
                                   .key_share = ephemeral.public_key(),
                                   .request_digest = digest});
  const std::string signature = key->Sign(statement);
  DeviceProofView proof;
  proof.challenge = challenge.challenge();
  proof.channel_binding = facts.channel_binding;
  proof.key_share = ephemeral.public_key();
  proof.request_digest = digest;
  proof.assertions.push_back({.credential_id = id, .signature = signature});
  grpc::ClientContext context;
  context.AddMetadata(std::string(kPrefixMetadataKey), SerializePrefix(proof));
  v1::OpenSessionResponse response;
  Check(stub->OpenSession(&context, request, &response));

  const auto ephemeral_secret = ephemeral.Agree(response.gate_share());
  const auto identity_secret = ephemeral.Agree(facts.identity_public);
  auto session = std::make_unique<LoadSession>();
  session->id = response.session_id();
  session->binding = facts.channel_binding;
  session->key =
      std::make_unique<HmacSha256>(DeriveSessionKey({.ephemeral_secret = &*ephemeral_secret,
                                                     .identity_secret = &*identity_secret,
                                                     .salt = challenge.challenge(),
                                                     .transcript = statement,
                                                     .gate_share = response.gate_share(),
                                                     .session_id = response.session_id()})
                                       .view());
  session->opened = Clock::System().BootNow();
  return session;
}

std::shared_ptr<grpc::Channel> NewChannel(const PairFacts& facts, const std::string& host) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = facts.certificate_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMillis);
  return grpc::CreateCustomChannel(absl::StrCat(host, ":", facts.port), grpc::SslCredentials(tls),
                                   arguments);
}

}  // namespace forekey::bench
