// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/client/fakes/fake_gate.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey::testing {

namespace v1 = forekey::v1;

namespace {

std::string RawPublic(const SoftwareKey& key) {
  std::string raw(32, '\0');
  size_t size = raw.size();
  EVP_PKEY_get_raw_public_key(key.evp(), U8(raw), &size);
  return raw;
}

std::string PrefixOf(const grpc::ServerContext& context) {
  auto found = context.client_metadata().find("forekey-prefix-bin");
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

void Flip(std::string* bytes) { bytes->back() = static_cast<char>(bytes->back() ^ 1); }

}  // namespace

struct FakeGate::Processor : grpc::AuthMetadataProcessor {
  explicit Processor(FakeGate* gate) : gate(gate) {}
  bool IsBlocking() const override { return true; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*,
                       OutputMetadata*) override {
    auto path = metadata.find(":path");
    auto prefix = metadata.find("forekey-prefix-bin");
    {
      auto affinity = metadata.find("forekey-affinity");
      absl::MutexLock lock(&gate->mutex_);
      gate->affinities_[std::string(path->second.data(), path->second.size())].insert(
          affinity == metadata.end()
              ? std::string()
              : std::string(affinity->second.data(), affinity->second.size()));
    }
    absl::Status status = gate->Check(
        absl::string_view(path->second.data(), path->second.size()),
        prefix == metadata.end() ? absl::string_view()
                                 : absl::string_view(prefix->second.data(), prefix->second.size()));
    if (status.ok()) return grpc::Status::OK;
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()), "refused (reference 0123)");
  }
  FakeGate* const gate;
};

absl::Status FakeGate::Check(absl::string_view path, absl::string_view prefix) {
  if (path == "/forekey.v1.Gate/GetChallenge" || path == "/forekey.v1.Gate/BeginEnrollment" ||
      path == "/forekey.v1.Gate/FinishEnrollment") {
    return absl::OkStatus();
  }
  absl::MutexLock lock(&mutex_);
  auto parsed = Prefix::Parse(prefix);
  absl::Status status = prefix.empty() ? Refuse(Reason::kPrefixMissing) : parsed.status();
  if (status.ok())
    status = parsed->session()      ? CheckSession(path, prefix)
             : parsed->resumption() ? CheckResumption(path, prefix)
                                    : CheckDevice(path, prefix);
  if (!status.ok()) {
    ++counts_.refused;
    refused_paths_.emplace_back(path);
    auto reason = ReasonOf(status);
    reasons_.push_back(reason ? std::string(ReasonName(*reason)) : status.ToString());
  }
  return status;
}

absl::Status FakeGate::CheckSession(absl::string_view path, absl::string_view prefix) {
  auto parsed = Prefix::Parse(prefix);
  const SessionProofView& proof = *parsed->session();
  auto found = sessions_.find(std::string(proof.session_id));
  if (found == sessions_.end() || refuse_sessions_) return Refuse(Reason::kSessionUnknown);
  Session& session = found->second;
  CallMacInput input{proof.session_id, proof.sequence,      proof.age_s, path,
                     session.binding,  proof.request_digest};
  if (!CallMacMatches(HmacSha256(session.key), input, proof.mac))
    return Refuse(Reason::kMacInvalid);
  if (!session.sequences.insert(proof.sequence).second) return Refuse(Reason::kSequenceReplayed);
  if (!session.parent.empty() && path == kOpenChildSessionMethod) {
    return Refuse(Reason::kChildNotAllowed);
  }
  return absl::OkStatus();
}

absl::Status FakeGate::CheckResumption(absl::string_view path, absl::string_view prefix) {
  auto parsed = Prefix::Parse(prefix);
  const ResumptionProofView& proof = *parsed->resumption();
  auto old = tickets_.find(std::string(proof.ticket));
  if (old == tickets_.end() || faults_.refuse_tickets) return Refuse(Reason::kTicketInvalid);
  const std::string statement = BuildStatement(
      ResumptionStatement{audience_, path, proof.ticket, proof.challenge, proof.channel_binding,
                          proof.key_share, proof.request_digest});
  if (!ConstantTimeEqual(ComputeResumptionMac(old->second.key, statement), proof.mac)) {
    return Refuse(Reason::kMacInvalid);
  }
  if (challenges_.erase(std::string(proof.challenge)) == 0) {
    return Refuse(Reason::kChallengeReplayed);
  }
  return absl::OkStatus();
}

absl::Status FakeGate::CheckDevice(absl::string_view path, absl::string_view prefix) {
  auto parsed = Prefix::Parse(prefix);
  const DeviceProofView& proof = *parsed->device();
  if (proof.channel_binding != Sha256(tls_.certificate_der)) {
    return Refuse(Reason::kChannelBindingUnknown);
  }
  std::vector<absl::string_view> ids;
  for (const AssertionView& assertion : proof.assertions) ids.push_back(assertion.credential_id);
  CallStatement statement{
      audience_,           path, proof.challenge, proof.channel_binding, ids, proof.key_share,
      proof.request_digest};
  std::string bytes = BuildStatement(statement);
  for (const AssertionView& assertion : proof.assertions) {
    auto credential = credentials_.find(std::string(assertion.credential_id));
    if (credential == credentials_.end()) return Refuse(Reason::kCredentialUnknown);
    if (faults_.refuse_credentials) return Refuse(Reason::kCredentialRevoked);
    FOREKEY_RETURN_IF_ERROR(credential->second.key.Verify(bytes, assertion.signature));
  }
  if (challenges_.erase(std::string(proof.challenge)) == 0) {
    return Refuse(Reason::kChallengeReplayed);
  }
  return absl::OkStatus();
}

grpc::Status FakeGate::Open(const std::string& client_share, const std::string& parent,
                            const std::string& salt, const std::string& transcript,
                            const std::string& subject, const std::string& binding,
                            v1::OpenSessionResponse* response) {
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  X25519PrivateKey rogue = X25519PrivateKey::Generate();
  Secret ephemeral_secret = *ephemeral.Agree(client_share);
  Secret identity_secret = *(faults_.other_identity ? rogue : identity_).Agree(client_share);
  response->set_session_id(RandomBytes(kSessionIdSize));
  response->set_gate_share(ephemeral.public_key());
  response->set_idle_s(faults_.idle_s);
  response->set_absolute_s(faults_.absolute_s);
  response->set_window(1024);
  response->set_next_gate_identity(faults_.announce_identity);
  response->set_subject(faults_.session_subject.empty() ? subject : faults_.session_subject);
  std::string parent_key;
  if (auto known = sessions_.find(parent); known != sessions_.end()) parent_key = known->second.key;
  if (auto old = tickets_.find(parent); old != tickets_.end()) parent_key = old->second.key;
  SessionKeyInput input{&ephemeral_secret,      &identity_secret,      parent_key, salt, transcript,
                        response->gate_share(), response->session_id()};
  Secret key = DeriveSessionKey(input);
  ConfirmationInput confirmed{response->session_id(), response->gate_share(),
                              response->idle_s(),     response->absolute_s(),
                              response->window(),     response->next_gate_identity(),
                              response->subject()};
  response->set_confirmation(ComputeConfirmation(key, confirmed));
  if (faults_.corrupt_confirmation) Flip(response->mutable_confirmation());
  if (faults_.swap_gate_share) response->set_gate_share(rogue.public_key());
  if (faults_.zero_gate_share) response->set_gate_share(std::string(kX25519Size, '\0'));
  if (faults_.stretch_lifetime) response->set_absolute_s(response->absolute_s() * 2);
  if (faults_.swap_next_identity) response->set_next_gate_identity(rogue.public_key());
  Session session;
  session.subject = response->subject();
  session.key = std::string(key.view());
  session.binding = binding;
  session.parent = sessions_.count(parent) > 0 ? parent : "";
  sessions_[response->session_id()] = session;
  if (faults_.tickets && session.parent.empty()) {
    response->set_ticket(RandomBytes(100));
    tickets_[response->ticket()] = session;
  }
  return grpc::Status::OK;
}

struct FakeGate::Service : v1::Gate::Service {
  explicit Service(FakeGate* gate) : gate(gate) {}

  grpc::Status GetChallenge(grpc::ServerContext*, const v1::GetChallengeRequest*,
                            v1::GetChallengeResponse* response) override {
    absl::MutexLock lock(&gate->mutex_);
    ++gate->counts_.challenges;
    std::string challenge = RandomBytes(kChallengeSize);
    const bool elsewhere = gate->issued_elsewhere_ > 0;
    challenge.replace(2, 2, gate->instance_);
    if (elsewhere) {
      --gate->issued_elsewhere_;
      challenge[2] = static_cast<char>(challenge[2] ^ 1);
    }
    response->set_challenge(challenge);
    response->set_lifetime_s(120);
    if (!elsewhere) gate->challenges_.insert(challenge);
    return grpc::Status::OK;
  }

  grpc::Status OpenSession(grpc::ServerContext* context, const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override {
    std::string prefix = PrefixOf(*context);
    auto parsed = Prefix::Parse(prefix);
    const DeviceProofView& proof = *parsed->device();
    absl::MutexLock lock(&gate->mutex_);
    v1::OpenSessionPayload payload;
    if (proof.request_digest != Sha256(request->payload()) ||
        !payload.ParseFromString(request->payload())) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "digest");
    }
    if (payload.gate_identity() != Sha256(gate->identity_.public_key())) {
      gate->reasons_.push_back("gate-identity-unknown");
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused (reference 4567)");
    }
    if (!gate->faults_.open_status.ok()) return gate->faults_.open_status;
    const bool with_factors = !payload.sealed_factors().empty();
    if (with_factors) ++gate->counts_.with_factors;
    if (with_factors && gate->faults_.refuse_factors) {
      gate->reasons_.push_back("password-wrong");
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused (reference 4567)");
    }
    ++gate->counts_.sessions;
    std::string id(proof.assertions[0].credential_id);
    std::vector<absl::string_view> ids;
    for (const AssertionView& assertion : proof.assertions) ids.push_back(assertion.credential_id);
    CallStatement statement{
        gate->audience_, kOpenSessionMethod,  proof.challenge, proof.channel_binding, ids,
        proof.key_share, proof.request_digest};
    grpc::Status status = gate->Open(std::string(proof.key_share), "", std::string(proof.challenge),
                                     BuildStatement(statement), gate->credentials_.at(id).subject,
                                     std::string(proof.channel_binding), response);
    gate->sessions_[response->session_id()].with_factors = with_factors;
    std::string anchors = gate->faults_.announce_anchors;
    if (!anchors.empty()) {
      const Secret key = Secret::CopyOf(gate->sessions_[response->session_id()].key);
      anchors = ComputeTlsAnchorsMac(key, response->session_id(), anchors) + anchors;
      if (gate->faults_.swap_anchors) anchors += MakeTlsIdentity().certificate_pem;
      context->AddTrailingMetadata(std::string(kTlsAnchorsMetadataKey), anchors);
    }
    return status;
  }

  grpc::Status ResumeSession(grpc::ServerContext* context, const v1::ResumeSessionRequest* request,
                             v1::OpenSessionResponse* response) override {
    std::string prefix = PrefixOf(*context);
    auto parsed = Prefix::Parse(prefix);
    const ResumptionProofView& proof = *parsed->resumption();
    const absl::Cleanup held = [this] { gate->resuming.Pass(); };
    absl::MutexLock lock(&gate->mutex_);
    if (!gate->faults_.resume_status.ok()) return gate->faults_.resume_status;
    ++gate->counts_.resumed;
    const std::string ticket(proof.ticket);
    const std::string subject = gate->tickets_.at(ticket).subject;
    grpc::Status status =
        gate->Open(std::string(proof.key_share), ticket, std::string(proof.challenge),
                   BuildStatement(ResumptionStatement{
                       gate->audience_, kResumeSessionMethod, proof.ticket, proof.challenge,
                       proof.channel_binding, proof.key_share, proof.request_digest}),
                   subject, std::string(proof.channel_binding), response);
    gate->tickets_.erase(ticket);
    return status;
  }

  grpc::Status OpenChildSession(grpc::ServerContext* context,
                                const v1::OpenChildSessionRequest* request,
                                v1::OpenSessionResponse* response) override {
    std::string prefix = PrefixOf(*context);
    auto parsed = Prefix::Parse(prefix);
    const SessionProofView& proof = *parsed->session();
    absl::MutexLock lock(&gate->mutex_);
    v1::OpenChildSessionPayload payload;
    if (proof.request_digest != Sha256(request->payload()) ||
        !payload.ParseFromString(request->payload())) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "digest");
    }
    ++gate->counts_.children;
    std::string parent(proof.session_id);
    const Session& session = gate->sessions_.at(parent);
    CallMacInput input{proof.session_id,        proof.sequence,  proof.age_s,
                       kOpenChildSessionMethod, session.binding, proof.request_digest};
    return gate->Open(
        payload.key_share(), parent, ByteWriter().Raw(parent).U64(proof.sequence).bytes(),
        BuildCallMacBytes(input), session.subject, payload.channel_binding(), response);
  }

  grpc::Status EndSession(grpc::ServerContext* context, const v1::EndSessionRequest*,
                          v1::EndSessionResponse*) override {
    std::string prefix = PrefixOf(*context);
    absl::MutexLock lock(&gate->mutex_);
    gate->sessions_.erase(std::string(Prefix::Parse(prefix)->session()->session_id));
    if (gate->faults_.lose_ends) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not written");
    ++gate->counts_.ended;
    return grpc::Status::OK;
  }

  grpc::Status WhoAmI(grpc::ServerContext* context, const v1::WhoAmIRequest*,
                      v1::WhoAmIResponse* response) override {
    std::string prefix = PrefixOf(*context);
    auto parsed = Prefix::Parse(prefix);
    absl::MutexLock lock(&gate->mutex_);
    ++gate->counts_.who_am_i;
    if (parsed->session() != nullptr) {
      const Session& session = gate->sessions_.at(std::string(parsed->session()->session_id));
      response->set_subject(session.subject);
      response->set_child_session(!session.parent.empty());
      if (gate->faults_.tickets && session.parent.empty()) {
        response->set_ticket(RandomBytes(100));
        gate->tickets_[response->ticket()] = session;
      }
    } else {
      std::string id(parsed->device()->assertions[0].credential_id);
      response->set_subject(gate->credentials_.at(id).subject);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetRequirements(grpc::ServerContext* context, const v1::GetRequirementsRequest*,
                               v1::GetRequirementsResponse* response) override {
    absl::MutexLock lock(&gate->mutex_);
    ++gate->counts_.requirements;
    gate->peers_.insert(context->peer());
    const std::string prefix = PrefixOf(*context);
    const auto parsed = Prefix::Parse(prefix);
    const auto session = gate->sessions_.find(std::string(parsed->session()->session_id));
    const bool met = gate->faults_.factors_meet_step_up && session != gate->sessions_.end() &&
                     session->second.with_factors;
    if (!met) response->set_step_up(gate->faults_.step_up);
    return grpc::Status::OK;
  }

  grpc::Status BeginEnrollment(grpc::ServerContext*, const v1::BeginEnrollmentRequest* request,
                               v1::BeginEnrollmentResponse* response) override {
    absl::MutexLock lock(&gate->mutex_);
    v1::EnrollmentOpening opening;
    auto invite = gate->invites_.find(request->invite_public_key());
    auto key = PublicKey::FromEd25519(request->invite_public_key());
    std::string signed_bytes =
        BuildInviteStatement(label::kInviteBegin, gate->audience_, request->payload());
    if (invite == gate->invites_.end() || !key.ok() ||
        !key->Verify(signed_bytes, request->invite_signature()).ok() ||
        !opening.ParseFromString(request->payload()) ||
        opening.channel_binding() != Sha256(gate->tls_.certificate_der) ||
        opening.gate_identity() != Sha256(gate->identity_.public_key()) ||
        gate->challenges_.erase(opening.challenge()) == 0) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused (reference 89ab)");
    }
    X25519PrivateKey rogue = X25519PrivateKey::Generate();
    v1::EnrollmentDemand demand;
    demand.set_enrollment_id(RandomBytes(kEnrollmentIdSize));
    demand.set_ticket(RandomBytes(24));
    demand.set_audience(gate->faults_.enroll_audience.empty() ? gate->audience_
                                                              : gate->faults_.enroll_audience);
    demand.set_subject(invite->second);
    demand.set_gate_identity((gate->faults_.other_identity ? rogue : gate->identity_).public_key());
    if (opening.has_piv()) {
      demand.mutable_piv();
    } else if (!gate->faults_.fido2_origin.empty()) {
      demand.mutable_fido2()->set_rp_id(
          gate->faults_.fido2_rp_id.empty() ? gate->audience_ : gate->faults_.fido2_rp_id);
      demand.mutable_fido2()->set_origin(gate->faults_.fido2_origin);
    } else {
      demand.mutable_tpm()->set_credential_blob("fake");
    }
    demand.SerializeToString(response->mutable_payload());
    Secret secret = *gate->identity_.Agree(opening.key_share());
    Secret confirmation = DeriveEnrollmentKey(secret, opening.challenge(), gate->audience_);
    response->set_confirmation(
        ComputeEnrollmentConfirmation(confirmation, 1, request->payload(), response->payload()));
    gate->pending_[demand.ticket()] = {invite->first, demand.enrollment_id(), request->payload()};
    if (gate->faults_.corrupt_begin_confirmation) Flip(response->mutable_confirmation());
    if (gate->faults_.change_demand) {
      demand.set_subject("mallory");
      demand.SerializeToString(response->mutable_payload());
    }
    return grpc::Status::OK;
  }

  grpc::Status FinishEnrollment(grpc::ServerContext*, const v1::FinishEnrollmentRequest* request,
                                v1::FinishEnrollmentResponse* response) override {
    absl::MutexLock lock(&gate->mutex_);
    if (!gate->faults_.finish_status.ok()) return gate->faults_.finish_status;
    if (gate->moved_enrollments_ > 0) {
      --gate->moved_enrollments_;
      ++gate->counts_.moved_enrollments;
      gate->pending_.clear();
      gate->challenges_.clear();
      Flip(&gate->instance_);
      return grpc::Status(gate->moved_answer_, "refused (reference 0abc)");
    }
    v1::EnrollmentProof proof;
    v1::EnrollmentOpening opening;
    if (!proof.ParseFromString(request->payload()) || gate->pending_.count(proof.ticket()) == 0) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "ticket");
    }
    Pending pending = gate->pending_[proof.ticket()];
    opening.ParseFromString(pending.begin_payload);
    std::string subject = gate->invites_[pending.invite_key];
    std::string signed_bytes =
        BuildInviteStatement(label::kInviteFinish, gate->audience_, request->payload());
    EnrollStatement statement{gate->audience_,    pending.enrollment_id, subject,
                              opening.kind(),     proof.spki(),          opening.channel_binding(),
                              opening.challenge()};
    auto key = PublicKey::FromSpki(proof.spki());
    if (!PublicKey::FromEd25519(pending.invite_key)
             ->Verify(signed_bytes, request->invite_signature())
             .ok() ||
        !key.ok() || !key->Verify(BuildStatement(statement), proof.possession().signature()).ok()) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused (reference cdef)");
    }
    ++gate->counts_.enrolled;
    std::string id = CredentialId(gate->audience_, subject, proof.spki());
    gate->credentials_.emplace(id, Credential{subject, *key});
    if (gate->faults_.lose_finish_answer) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the connection broke");
    }
    response->set_credential_id(gate->faults_.other_credential ? RandomBytes(kCredentialIdSize)
                                                               : id);
    Secret secret = *gate->identity_.Agree(opening.key_share());
    Secret confirmation = DeriveEnrollmentKey(secret, opening.challenge(), gate->audience_);
    response->set_confirmation(ComputeEnrollmentConfirmation(confirmation, 2, request->payload(),
                                                             response->credential_id()));
    if (gate->faults_.corrupt_finish_confirmation) Flip(response->mutable_confirmation());
    return grpc::Status::OK;
  }

  FakeGate* const gate;
};

struct FakeGate::Echo : grpc::CallbackGenericService {
  struct Reactor : grpc::ServerGenericBidiReactor {
    Reactor(FakeGate* gate, grpc::GenericCallbackServerContext* context) : gate(gate) {
      // As the real gate does for every admitted call.
      context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
      bool refuse;
      {
        absl::MutexLock lock(&gate->mutex_);
        ++gate->counts_.echo;
        gate->peers_.insert(context->peer());
        auto found = context->client_metadata().find("authorization");
        if (found != context->client_metadata().end()) {
          gate->authorization_ = std::string(found->second.data(), found->second.size());
        }
        refuse = gate->faults_.handler_unauthenticated;
      }
      if (refuse) {
        Finish(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the handler's own"));
      } else {
        StartRead(&message);
      }
    }
    void OnReadDone(bool ok) override {
      if (ok) {
        StartWrite(&message);
      } else {
        Finish(grpc::Status::OK);
      }
    }
    void OnWriteDone(bool ok) override {
      if (ok) StartRead(&message);
    }
    void OnDone() override { delete this; }
    FakeGate* const gate;
    grpc::ByteBuffer message;
  };
  explicit Echo(FakeGate* gate) : gate(gate) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(gate, context);
  }
  FakeGate* const gate;
};

FakeGate::FakeGate(std::string audience, TlsIdentity tls)
    : audience_(std::move(audience)),
      tls_(std::move(tls)),
      identity_(X25519PrivateKey::Generate()),
      service_(std::make_unique<Service>(this)),
      echo_(std::make_unique<Echo>(this)) {
  Serve();
}

void FakeGate::Serve() {
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({tls_.key_pem, tls_.certificate_pem});
  auto credentials = grpc::SslServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<Processor>(this));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), credentials, &port_);
  builder.RegisterService(service_.get());
  builder.RegisterCallbackGenericService(echo_.get());
  server_ = builder.BuildAndStart();
}

void FakeGate::ReplaceLeaf() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  service_ = std::make_unique<Service>(this);  // each is good for one server
  echo_ = std::make_unique<Echo>(this);
  {
    absl::MutexLock lock(&mutex_);
    tls_ = next_tls_;
  }
  Serve();
}

FakeGate::~FakeGate() { server_->Shutdown(std::chrono::system_clock::now()); }

GateTarget FakeGate::target() const {
  GateTarget target;
  target.audience = audience_;
  target.address = absl::StrCat("127.0.0.1:", port_);
  target.ca_pem = tls_.certificate_pem + next_tls_.certificate_pem;
  return target;
}

std::string FakeGate::AddCredential(const std::string& subject, const PublicKey& key) {
  std::string id = CredentialId(audience_, subject, key.spki());
  absl::MutexLock lock(&mutex_);
  credentials_.emplace(id, Credential{subject, key});
  return id;
}

Invite FakeGate::MakeInvite(const std::string& subject) {
  Invite invite;
  invite.audience = audience_;
  invite.address = target().address;
  invite.seed = Secret(RandomBytes(kInviteSeedSize));
  for (const TlsIdentity& tls : {tls_, next_tls_}) {
    if (!tls.certificate_der.empty()) invite.ca_certificates.push_back(tls.certificate_der);
  }
  absl::MutexLock lock(&mutex_);
  invite.identity_fingerprint = Sha256(identity_.public_key());
  invites_[RawPublic(*invite.SigningKey())] = subject;
  return invite;
}

void FakeGate::Misbehave(const Faults& faults) {
  absl::MutexLock lock(&mutex_);
  faults_ = faults;
}

void FakeGate::DropSessions() {
  absl::MutexLock lock(&mutex_);
  sessions_.clear();
  challenges_.clear();
  instance_ = RandomBytes(2);
}

void FakeGate::IssueElsewhere(int challenges) {
  absl::MutexLock lock(&mutex_);
  issued_elsewhere_ = challenges;
}

void FakeGate::MoveEnrollments(int enrollments, grpc::StatusCode answer) {
  absl::MutexLock lock(&mutex_);
  moved_answer_ = answer;
  moved_enrollments_ = enrollments;
}

void FakeGate::RefuseSessions(bool refuse) {
  absl::MutexLock lock(&mutex_);
  refuse_sessions_ = refuse;
}

std::string FakeGate::authorization() {
  absl::MutexLock lock(&mutex_);
  return authorization_;
}

void FakeGate::SetIdentity(X25519PrivateKey identity) {
  absl::MutexLock lock(&mutex_);
  identity_ = std::move(identity);
}

FakeGate::Counts FakeGate::counts() {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

std::vector<std::string> FakeGate::reasons() {
  absl::MutexLock lock(&mutex_);
  return reasons_;
}

std::map<std::string, std::set<std::string>> FakeGate::affinities() {
  absl::MutexLock lock(&mutex_);
  return affinities_;
}

std::set<std::string> FakeGate::peers() {
  absl::MutexLock lock(&mutex_);
  return peers_;
}

std::vector<std::string> FakeGate::refused_paths() {
  absl::MutexLock lock(&mutex_);
  return refused_paths_;
}

}  // namespace forekey::testing
