// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gate/support/gate_fixture.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "openssl/pem.h"
#include "openssl/rsa.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/openssl.h"
#include "src/crypto/random.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"

namespace forekey::testing {

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "forekey-gate-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) abort();
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void WriteText(const std::string& path, absl::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
}

TestCertificate MakeTlsCertificate(const std::string& common_name) {
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), 2);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509.get()), ByteReader(RandomBytes(7)).U32());
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 86400);
  X509_NAME* name = X509_get_subject_name(x509.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(x509.get(), name);
  X509_set_pubkey(x509.get(), key.get());
  X509_sign(x509.get(), key.get(), EVP_sha256());
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  TestCertificate made;
  made.pem.assign(data, size);
  unsigned char* der = nullptr;
  const int der_size = i2d_X509(x509.get(), &der);
  made.binding = Sha256(View(der, der_size));
  OPENSSL_free(der);
  return made;
}

std::string DeviceProofDraft::Statement() const {
  std::map<std::string, const Token*> sorted;
  for (const Token* token : signers) sorted[token->id] = token;
  std::vector<absl::string_view> ids;
  for (const auto& [id, token] : sorted) ids.push_back(id);
  return BuildStatement(
      CallStatement{audience, method, challenge, channel_binding, ids, key_share, request_digest});
}

std::map<std::string, std::string> DeviceProofDraft::Sign(const std::string& statement) const {
  std::map<std::string, std::string> signatures;
  for (const Token* token : signers) signatures[token->id] = token->key->Sign(statement);
  return signatures;
}

std::string DeviceProofDraft::Serialize(
    const std::map<std::string, std::string>& signatures) const {
  DeviceProofView view;
  view.challenge = challenge;
  view.channel_binding = channel_binding;
  view.key_share = key_share;
  view.request_digest = request_digest;
  for (const auto& [id, signature] : signatures) {
    view.assertions.push_back(AssertionView{id, signature, "", ""});
  }
  return SerializePrefix(view);
}

std::string ClientSession::Proof(absl::string_view method, uint64_t sequence, uint32_t age_s,
                                 absl::string_view request_digest) const {
  const std::string mac = ComputeCallMac(
      HmacSha256(key), CallMacInput{id, sequence, age_s, method, channel_binding, request_digest});
  SessionProofView view;
  view.session_id = id;
  view.sequence = sequence;
  view.age_s = age_s;
  view.mac = mac;
  view.request_digest = request_digest;
  return SerializePrefix(view);
}

Token MakeToken(const std::string& subject, Algorithm algorithm) {
  auto key = std::make_shared<const SoftwareKey>(SoftwareKey::Generate(algorithm));
  std::string id = CredentialId(kAudience, subject, key->public_key().spki());
  return Token{std::move(key), subject, std::move(id)};
}

GateFixture::GateFixture() : certificate_(MakeTlsCertificate("gate")) {
  WriteText(folder_.File("tls.pem"), certificate_.pem);
  auto registry = OpenSqliteRegistry(folder_.File("state") + "/registry.sqlite");
  EXPECT_TRUE(registry.ok()) << registry.status();
  if (registry.ok()) registry_ = *std::move(registry);
}

GateFixture::~GateFixture() = default;

GateConfig GateFixture::Config() {
  GateConfig config;
  config.audience = std::string(kAudience);
  config.tls.certificate = folder_.File("tls.pem");
  config.tls.private_key = folder_.File("tls.key");
  config.state.directory = folder_.File("state");
  config.audit.options.refusals_per_second = 1e6;
  config.audit.options.refusal_burst = 1e6;
  return config;
}

void GateFixture::StartGate() {
  const absl::Status started = TryToStartGate();
  ASSERT_TRUE(started.ok()) << started;
}

absl::Status GateFixture::TryToStartGate() {
  gate_.reset();
  GateCore::StandIns parts;
  parts.clock = &clock_;
  parts.registry = registry_;
  auto audit = std::make_unique<MemoryAuditSink>();
  audit_ = audit.get();
  parts.audit = std::move(audit);
  parts.tokens = Tokens();
  parts.maintenance_thread = false;
  auto gate = GateCore::New(Config(), std::move(parts));
  if (!gate.ok()) return gate.status();
  gate_ = *std::move(gate);
  return absl::OkStatus();
}

Token GateFixture::Enroll(const std::string& subject, Algorithm algorithm, TokenKind kind,
                          const std::vector<std::string>& roles) {
  const Token token = MakeToken(subject, algorithm);
  const std::string& spki = token.key->public_key().spki();
  InviteRecord invite;
  invite.public_key = RandomBytes(32);
  invite.id = Sha256(invite.public_key);
  invite.subject = subject;
  invite.roles = roles;
  invite.created_at = clock_.WallNow();
  invite.expires_at = clock_.WallNow() + absl::Hours(1);
  EXPECT_TRUE(registry_->AddInvite(invite).ok());
  Registry::Enrollment enrollment;
  enrollment.invite_id = invite.id;
  enrollment.now = clock_.WallNow();
  enrollment.credential.id = token.id;
  enrollment.credential.subject = subject;
  enrollment.credential.kind = kind;
  enrollment.credential.algorithm = static_cast<int>(algorithm);
  enrollment.credential.spki = spki;
  enrollment.credential.factors = {std::string(TokenKindName(kind))};
  enrollment.credential.proved_json = "{}";
  enrollment.credential.enrolled_at = clock_.WallNow();
  const absl::Status enrolled = registry_->Enroll(enrollment);
  EXPECT_TRUE(enrolled.ok()) << enrolled;
  return token;
}

void GateFixture::Revoke(const Token& token) {
  v1::RevokeCredentialRequest request;
  request.set_credential_id(token.id);
  const auto response = gate_->admin().RevokeCredential(request, "uid 0");
  ASSERT_TRUE(response.ok()) << response.status();
}

std::string GateFixture::Challenge(v1::GetChallengeRequest::Purpose purpose) {
  v1::GetChallengeRequest request;
  request.set_purpose(purpose);
  auto response = gate_->peers().GetChallenge(request);
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? response->challenge() : "";
}

DeviceProofDraft GateFixture::Draft(std::vector<const Token*> signers) {
  DeviceProofDraft draft;
  draft.challenge = Challenge();
  draft.channel_binding = certificate_.binding;
  draft.signers = std::move(signers);
  return draft;
}

Judgement GateFixture::Judge(const std::string& prefix, absl::string_view method,
                             absl::string_view peer) {
  const absl::string_view value = prefix;
  return gate_->calls().Judge(CallInput{absl::MakeConstSpan(&value, 1), method, peer});
}

std::optional<Reason> GateFixture::AuditedReason(const absl::Status& status) {
  std::string message(status.message());
  // A caller that is known may be told what it lacks; nothing else is said besides the reference.
  const StepUp step_up = StepUp::FromMessage(message);
  const std::string opening = step_up.empty()
                                  ? "forekey: refused, reference "
                                  : "forekey: step-up " + step_up.Serialize() + ", reference ";
  EXPECT_EQ(message.substr(0, opening.size()), opening);
  if (message.size() != opening.size() + 16) {
    ADD_FAILURE() << "the peer is told more than a reference: " << message;
    return std::nullopt;
  }
  const auto decision = audit_->Find(message.substr(opening.size()));
  if (!decision || !decision->reason) {
    ADD_FAILURE() << "the audit log has no reason under " << message;
    return std::nullopt;
  }
  EXPECT_FALSE(decision->admitted);
  EXPECT_EQ(status.code(),
            step_up.empty() ? PublicCode(*decision->reason) : absl::StatusCode::kUnauthenticated);
  return decision->reason;
}

std::optional<Reason> GateFixture::WhyRefused(const Judgement& judgement) {
  EXPECT_FALSE(judgement.exempt);
  EXPECT_EQ(judgement.status.ok(), judgement.call.has_value());
  return judgement.status.ok() ? std::nullopt : AuditedReason(judgement.status);
}

std::optional<Reason> GateFixture::WhyRefused(const std::string& prefix, absl::string_view method) {
  return WhyRefused(Judge(prefix, method));
}

absl::StatusOr<ClientSession> GateFixture::Open(std::vector<const Token*> signers,
                                                OpenOptions options) {
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  const auto identity = gate_->identities().current();
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(options.gate_identity.empty() ? identity->fingerprint()
                                                          : options.gate_identity);
  payload.set_max_idle_s(options.max_idle_s);
  payload.set_max_absolute_s(options.max_absolute_s);
  DeviceProofDraft draft = Draft(std::move(signers));
  payload.set_sealed_factors(options.seal ? options.seal(draft.challenge) : options.sealed_factors);
  if (options.seal_for) {
    payload.set_sealed_factors(options.seal_for(draft.challenge, ephemeral.public_key()));
  }
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  draft.method = std::string(kOpenSessionMethod);
  draft.key_share = ephemeral.public_key();
  draft.request_digest = Sha256(request.payload());
  const Judgement judgement = Judge(draft.SignAndSerialize(), kOpenSessionMethod);
  if (!judgement.status.ok()) return judgement.status;
  auto response = gate_->peers().OpenSession(*judgement.call, request, kPeer);
  if (!response.ok()) return response.status();

  ClientSession session;
  session.id = response->session_id();
  session.channel_binding = draft.channel_binding;
  session.idle_s = response->idle_s();
  session.absolute_s = response->absolute_s();
  session.window = response->window();
  session.next_gate_identity = response->next_gate_identity();
  session.ticket = response->ticket();
  const auto ephemeral_secret = ephemeral.Agree(response->gate_share());
  const auto used = gate_->identities().Find(payload.gate_identity());
  EXPECT_TRUE(used.ok());
  const auto identity_secret = ephemeral.Agree((*used)->public_key());
  const Secret key =
      DeriveSessionKey(SessionKeyInput{&*ephemeral_secret, &*identity_secret, "", draft.challenge,
                                       draft.Statement(), response->gate_share(), session.id});
  session.key = std::string(key.view());
  EXPECT_EQ(
      response->confirmation(),
      ComputeConfirmation(key, ConfirmationInput{session.id, response->gate_share(), session.idle_s,
                                                 session.absolute_s, session.window,
                                                 session.next_gate_identity, response->subject()}));
  return session;
}

ClientSession GateFixture::Open(const Token& token) {
  auto session = Open({&token}, OpenOptions());
  EXPECT_TRUE(session.ok()) << session.status();
  return session.ok() ? *session : ClientSession();
}

absl::StatusOr<ClientSession> GateFixture::OpenSealed(
    std::vector<const Token*> signers, std::function<std::string(absl::string_view)> seal) {
  OpenOptions options;
  options.seal = std::move(seal);
  return Open(std::move(signers), std::move(options));
}

absl::StatusOr<ClientSession> GateFixture::OpenChild(ClientSession& parent, OpenOptions options,
                                                     uint32_t age_s, std::string binding) {
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  const auto identity = gate_->identities().current();
  v1::OpenChildSessionPayload payload;
  payload.set_gate_identity(options.gate_identity.empty() ? identity->fingerprint()
                                                          : options.gate_identity);
  payload.set_key_share(ephemeral.public_key());
  payload.set_channel_binding(binding.empty() ? certificate_.binding : binding);
  payload.set_max_idle_s(options.max_idle_s);
  payload.set_max_absolute_s(options.max_absolute_s);
  v1::OpenChildSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  const std::string digest = Sha256(request.payload());
  const uint64_t sequence = parent.next_sequence++;
  const Judgement judgement = Judge(parent.Proof(kOpenChildSessionMethod, sequence, age_s, digest),
                                    kOpenChildSessionMethod);
  if (!judgement.status.ok()) return judgement.status;
  auto response = gate_->peers().OpenChildSession(*judgement.call, request, kPeer);
  if (!response.ok()) return response.status();

  ClientSession session;
  session.id = response->session_id();
  session.channel_binding = payload.channel_binding();
  session.idle_s = response->idle_s();
  session.absolute_s = response->absolute_s();
  session.window = response->window();
  session.ticket = response->ticket();
  const auto ephemeral_secret = ephemeral.Agree(response->gate_share());
  const auto identity_secret = ephemeral.Agree(identity->public_key());
  const Secret key = DeriveSessionKey(SessionKeyInput{
      &*ephemeral_secret, &*identity_secret, parent.key,
      ByteWriter().Raw(parent.id).U64(sequence).bytes(),
      BuildCallMacBytes(CallMacInput{parent.id, sequence, age_s, kOpenChildSessionMethod,
                                     parent.channel_binding, digest}),
      response->gate_share(), session.id});
  session.key = std::string(key.view());
  EXPECT_EQ(response->confirmation(),
            ComputeConfirmation(key, ConfirmationInput{session.id, response->gate_share(),
                                                       session.idle_s, session.absolute_s,
                                                       session.window, "", response->subject()}));
  return session;
}

}  // namespace forekey::testing
