// SPDX-License-Identifier: Apache-2.0
#include "tests/end2end/gated_world.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/crypto/random.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/statement.h"

namespace forekey::testing {

TempDirectory::TempDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::perror("mkdtemp"), std::abort();
  path_ = name;
}
TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Must(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", std::string(what).c_str(), status.ToString().c_str());
  std::abort();
}

namespace {

class ToldAuditSink : public MemoryAuditSink {
 public:
  explicit ToldAuditSink(std::function<void(const Decision&)> told) : told_(std::move(told)) {}
  absl::Status Write(const Decision& decision) override {
    const absl::Status status = MemoryAuditSink::Write(decision);
    if (told_) told_(decision);
    return status;
  }

 private:
  const std::function<void(const Decision&)> told_;
};

}  // namespace

GatedWorld::GatedWorld(Options options) {
  ReplaceCertificate();
  GateConfig config;
  config.audience = "gate.test";
  config.listen.address = "127.0.0.1:0";
  config.listen.drain = absl::ZeroDuration();
  config.tls.certificate = directory() + "/cert.pem";
  config.tls.private_key = directory() + "/key.pem";
  config.state.directory = directory() + "/state";
  config.rules.exempt = options.exempt;
  config.audit.options.all_calls = true;
  config.audit.options.refusals_per_second = 1e6;
  config.audit.options.refusal_burst = 1e6;
  // Few, as each costs time at the start; and what is refused here doesn't end a test's connection,
  // unless that is what it is about.
  config.connections.arriving = 8;
  config.connections.forged_refusals = 0;
  config.connections.refusals = 0;
  if (options.change) options.change(config);
  Must(EnsurePrivateDirectory(config.state.directory), "state directory");
  GateCore::StandIns parts;
  parts.clock = options.clock;
  if (options.shared) {
    parts.shared_registry = options.shared();
    registry_ = parts.shared_registry;
  } else {
    registry_ = Must(OpenSqliteRegistry(config.state.RegistryPath()), "registry");
    parts.registry = options.elsewhere ? options.elsewhere(registry_) : registry_;
  }
  parts.registry_may_wait = options.elsewhere != nullptr;
  auto audit = std::make_unique<ToldAuditSink>(options.on_audit);
  if (!options.audit_file) audit_ = audit.get();
  if (!options.audit_file) parts.audit = std::move(audit);
  gate_ = Must(GateAccess::New(Must(GateCore::New(std::move(config), std::move(parts)), "core")),
               "gate");
}

GatedWorld::~GatedWorld() { StopServer(); }

void GatedWorld::Start(const std::function<void(grpc::ServerBuilder&)>& fill,
                       InstallOptions options) {
  grpc::ServerBuilder builder;
  fill(builder);
  Must(gate_->Install(builder, std::move(options)), "Install");
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::fputs("the server did not start\n", stderr), std::abort();
}

void GatedWorld::StopServer() {
  if (server_ != nullptr) gate_->Drain(*server_);
  server_.reset();
}

void GatedWorld::ReplaceCertificate() {
  SelfSignedCertificate made =
      Must(MakeSelfSignedCertificate({"localhost", "127.0.0.1"}, absl::Now(), absl::Hours(24)),
           "certificate");
  // The key first: in between, the pair does not match, and the gate must go on with the old one.
  Must(WriteFileAtomically(directory() + "/key.pem", made.key_pem, 0600), "key");
  Must(WriteFileAtomically(directory() + "/cert.pem", made.certificate_pem), "certificate");
}

std::string GatedWorld::channel_binding() const {
  return Must(ReadTlsKeyPair(directory() + "/cert.pem", directory() + "/key.pem"), "pair").binding;
}

std::shared_ptr<grpc::Channel> GatedWorld::NewChannel(const std::string& service_config) const {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = Must(ReadFile(directory() + "/cert.pem"), "certificate");
  grpc::ChannelArguments arguments;
  // Channels to one target would share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!service_config.empty()) arguments.SetServiceConfigJSON(service_config);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", gate_->port()),
                                   grpc::SslCredentials(tls), arguments);
}

GateFacts GatedWorld::Facts() const {
  return {.audience = gate_->audience(),
          .identity_public = core().identities().current()->public_key(),
          .channel_binding = channel_binding()};
}

SoftwareClient GatedWorld::Enrol(const std::string& subject, std::shared_ptr<grpc::Channel> channel,
                                 std::vector<std::string> roles) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  InviteRecord invite;
  invite.public_key = RandomBytes(32);
  invite.id = Sha256(invite.public_key);
  invite.subject = subject;
  invite.roles = std::move(roles);
  invite.created_at = absl::Now();
  invite.expires_at = absl::Now() + absl::Hours(1);
  Must(registry_->AddInvite(invite), "invite");
  Registry::Enrollment enrollment;
  enrollment.invite_id = invite.id;
  enrollment.now = absl::Now();
  CredentialRecord& credential = enrollment.credential;
  credential.subject = subject;
  credential.kind = v1::TOKEN_KIND_TPM;
  credential.algorithm = static_cast<int>(Algorithm::kEs256);
  credential.spki = key.public_key().spki();
  credential.id = CredentialId(gate_->audience(), subject, credential.spki);
  credential.label = subject + "'s laptop";
  credential.factors = {"tpm"};
  credential.proved_json = "{}";
  credential.enrolled_at = absl::Now();
  Must(registry_->Enroll(enrollment), "enrol");
  return SoftwareClient(std::move(channel), Facts(), subject, std::move(key));
}

Decision GatedWorld::AuditOf(const grpc::Status& status) {
  const std::string& message = status.error_message();
  const size_t at = message.rfind(' ');
  auto decision = audit_->Find(message.substr(at == std::string::npos ? 0 : at + 1));
  if (!decision.has_value()) {
    ADD_FAILURE() << "no audit line for: " << status.error_code() << " " << message;
    return {};
  }
  return *decision;
}

}  // namespace forekey::testing
