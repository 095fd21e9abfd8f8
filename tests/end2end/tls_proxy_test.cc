// SPDX-License-Identifier: Apache-2.0
// An active TLS proxy between the real client library and the real gate (LAW 2, and the threats of
// src/client/gate_client.h and enrollment.h): a process of its own, whose certificate the client
// accepts. First a stranger's proxy; then one whose certificate the gate was told to accept (a
// balancer that ends TLS), which gets furthest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "simulators/process.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/client/enrollment.h"
#include "src/client/gate_client.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/token/fido2_config.h"
#include "src/wire/invite.h"
#include "src/wire/statement.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

constexpr char kWhoAmI[] = "/forekey.v1.Gate/WhoAmI";

std::string CodeOf(const absl::Status& status) {
  const std::optional<Reason> reason = ReasonOf(status);
  return reason.has_value() ? std::string(ReasonName(*reason)) : "";
}

class TlsProxyTest : public ::testing::Test {
 protected:
  enum class Known { kStranger, kBalancer };

  // Starts the gate, enrols alice, then starts the proxy with `deeds`.
  void Start(Known known, const std::vector<std::string>& deeds) {
    MakeProxyCertificate();
    GatedWorld::Options options;
    options.change = [this, known](GateConfig& config) {
      if (known == Known::kBalancer) config.tls.accepted_certificates = accepted_;
      config.tokens.Get<Fido2Config>().policy.allow_none = true;  // so that an enrolment can begin
    };
    world_ = std::make_unique<GatedWorld>(options);
    world_->Start([](grpc::ServerBuilder&) {});
    key_ = std::make_unique<SoftwareKey>(SoftwareKey::Generate(Algorithm::kEs256));
    credential_id_ = AddCredential();
    SpawnProxy(deeds);
    through_proxy_ = Connect(proxy_port_, proxy_pem_);
  }

  std::unique_ptr<GateConnection> Connect(int port, const std::string& ca_pem) {
    GateConnection::Options options;
    options.target.audience = world_->gate().audience();
    options.target.address = absl::StrCat("127.0.0.1:", port);
    options.target.ca_pem = ca_pem;
    return Must(GateConnection::New(std::move(options)), "connection");
  }
  std::unique_ptr<GateConnection> ConnectDirectly() {
    return Connect(world_->gate().port(),
                   Must(ReadFile(world_->directory() + "/cert.pem"), "certificate"));
  }

  absl::StatusOr<ClientSessionPtr> Open(GateConnection& connection) {
    GateConnection::OpenOptions options;
    options.gate_identity = world_->core().identities().current()->public_key();
    options.signers.push_back(
        {credential_id_, [this](absl::string_view statement) {
           return absl::StatusOr<SignedStatement>(SignedStatement{key_->Sign(statement), "", ""});
         }});
    return connection.OpenSession(options);
  }

  absl::StatusOr<ClientSessionPtr> OpenChild(GateConnection& connection,
                                             const ClientSession& parent) {
    GateConnection::ChildOptions options;
    options.gate_identity = world_->core().identities().current()->public_key();
    options.channel_binding = parent.channel_binding();
    return connection.OpenChildSession(parent, options);
  }

  absl::StatusOr<std::unique_ptr<Enrollment>> BeginEnrollment(GateConnection& connection) {
    v1::CreateInviteRequest request;
    request.set_subject("bob");
    request.set_lifetime_s(3600);
    const auto created = Must(world_->core().admin().CreateInvite(request, "test"), "invite");
    const Invite invite = Must(Invite::Parse(created.invite()), "invite");
    v1::EnrollmentOpening opening;
    opening.set_kind(v1::TOKEN_KIND_FIDO2);
    opening.mutable_fido2()->set_aaguid(std::string(16, 'a'));
    return Enrollment::Begin(&connection, invite, std::move(opening));
  }

  // What the gate refused last, of `method`.
  std::string LastRefusal(absl::string_view method) {
    std::string reason;
    for (const Decision& decision : world_->audit().decisions()) {
      if (decision.method == method && !decision.admitted && decision.reason.has_value()) {
        reason = std::string(ReasonName(*decision.reason));
      }
    }
    return reason;
  }
  int Admitted(absl::string_view method) {
    int count = 0;
    for (const Decision& decision : world_->audit().decisions()) {
      count +=
          decision.event == AuditEvent::kCall && decision.method == method && decision.admitted;
    }
    return count;
  }

  // The prefixes that the proxy saw on calls of `method`.
  std::vector<std::string> Captured(absl::string_view method) {
    std::vector<std::string> prefixes;
    std::ifstream seen(proxy_directory_.path() + "/seen");
    for (std::string name, hex, line; std::getline(seen, line);) {
      std::istringstream words(line);
      words >> name >> hex;
      if (name == method && !hex.empty()) prefixes.push_back(absl::HexStringToBytes(hex));
      hex.clear();
    }
    return prefixes;
  }

  // The thief has a connection of its own to the gate.
  std::string RefusalOfStolen(const std::string& prefix) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    context.AddMetadata("forekey-prefix-bin", prefix);
    v1::WhoAmIResponse response;
    const grpc::Status status =
        v1::Gate::NewStub(world_->NewChannel())->WhoAmI(&context, v1::WhoAmIRequest(), &response);
    if (status.ok()) return "admitted";
    const Decision decision = world_->AuditOf(status);
    return decision.reason.has_value() ? std::string(ReasonName(*decision.reason)) : "";
  }

  std::unique_ptr<GatedWorld> world_;
  std::unique_ptr<GateConnection> through_proxy_;

 private:
  void MakeProxyCertificate() {
    const auto made =
        Must(MakeSelfSignedCertificate({"localhost", "127.0.0.1"}, absl::Now(), absl::Hours(24)),
             "certificate");
    proxy_pem_ = made.certificate_pem;
    accepted_ = proxy_directory_.path() + "/accepted";
    ASSERT_EQ(mkdir(accepted_.c_str(), 0755), 0);
    Must(WriteFileAtomically(proxy_directory_.path() + "/cert.pem", made.certificate_pem),
         "certificate");
    Must(WriteFileAtomically(accepted_ + "/balancer.pem", made.certificate_pem), "certificate");
    Must(WriteFileAtomically(proxy_directory_.path() + "/key.pem", made.key_pem, 0600), "key");
  }

  std::string AddCredential() {
    InviteRecord invite;
    invite.public_key = std::string(32, 'i');
    invite.id = Sha256(invite.public_key);
    invite.subject = "alice";
    invite.created_at = absl::Now();
    invite.expires_at = absl::Now() + absl::Hours(1);
    Must(world_->registry().AddInvite(invite), "invite");
    Registry::Enrollment enrollment;
    enrollment.invite_id = invite.id;
    enrollment.now = absl::Now();
    CredentialRecord& credential = enrollment.credential;
    credential.subject = "alice";
    credential.kind = v1::TOKEN_KIND_TPM;
    credential.algorithm = static_cast<int>(Algorithm::kEs256);
    credential.spki = key_->public_key().spki();
    credential.id = CredentialId(world_->gate().audience(), "alice", credential.spki);
    credential.factors = {"tpm"};
    credential.proved_json = "{}";
    credential.enrolled_at = absl::Now();
    Must(world_->registry().Enroll(enrollment), "enrol");
    return credential.id;
  }

  void SpawnProxy(const std::vector<std::string>& deeds) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    UniqueFd reader(ready[0]);
    UniqueFd writer(ready[1]);
    SpawnOptions options;
    options.argv = {absl::StrCat(FOREKEY_BIN, "/forekey-test-tls-proxy"), proxy_directory_.path(),
                    absl::StrCat(writer.get()), absl::StrCat("127.0.0.1:", world_->gate().port()),
                    world_->directory() + "/cert.pem"};
    options.argv.insert(options.argv.end(), deeds.begin(), deeds.end());
    options.keep_fds = {writer.get()};
    options.output_path = proxy_directory_.path() + "/output";
    proxy_ = Must(ChildProcess::Spawn(options), "proxy");
    writer.reset();
    char line[16] = {};
    ASSERT_GT(read(reader.get(), line, sizeof(line) - 1), 1) << "the proxy did not start";
    proxy_port_ = std::atoi(line);
  }

  TempDirectory proxy_directory_;
  std::string accepted_, proxy_pem_, credential_id_;
  std::unique_ptr<SoftwareKey> key_;
  ChildProcess proxy_;
  int proxy_port_ = 0;
};

// ---- A proxy that nobody knows; the client accepts its certificate nonetheless ----

TEST_F(TlsProxyTest, AProxyThatOnlyPassesOnIsRefusedByTheGate) {
  Start(Known::kStranger, {});
  EXPECT_EQ(Open(*through_proxy_).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(LastRefusal(kOpenSessionMethod), "channel-binding-unknown");
}

TEST_F(TlsProxyTest, NamingTheGatesCertificateInsteadBreaksTheSignature) {
  Start(Known::kStranger, {"rewrite-binding"});
  EXPECT_EQ(Open(*through_proxy_).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(LastRefusal(kOpenSessionMethod), "signature-invalid");
}

TEST_F(TlsProxyTest, ASessionOfTheRealConnectionNeverCrossesTheProxy) {
  Start(Known::kStranger, {});
  auto direct = ConnectDirectly();
  auto session = Open(*direct);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(direct->WhoAmI(**session).ok());
  EXPECT_EQ(through_proxy_->WhoAmI(**session).status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(Captured(kWhoAmI).empty()) << "the proof was sent to the proxy";
  EXPECT_EQ(Admitted(kWhoAmI), 1);
}

TEST_F(TlsProxyTest, AnEnrolmentThroughAStrangersProxyIsRefused) {
  Start(Known::kStranger, {});
  EXPECT_FALSE(BeginEnrollment(*through_proxy_).ok());
  EXPECT_EQ(LastRefusal(kBeginEnrollmentMethod), "channel-binding-unknown");
}

TEST_F(TlsProxyTest, AStolenInviteSignatureIsOfNoUseForOtherKeys) {
  Start(Known::kStranger, {"steal-invite"});
  EXPECT_FALSE(BeginEnrollment(*through_proxy_).ok());
  EXPECT_EQ(LastRefusal(kBeginEnrollmentMethod), "invite-signature-invalid");
}

// ---- A proxy that the gate's administrator has told the gate to accept ----

TEST_F(TlsProxyTest, ABalancerThatOnlyPassesOnWorks) {
  Start(Known::kBalancer, {});
  auto session = Open(*through_proxy_);
  ASSERT_TRUE(session.ok()) << session.status();
  auto who = through_proxy_->WhoAmI(**session);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->subject(), "alice");
}

TEST_F(TlsProxyTest, WhatABalancerSawIsOfNoUseToIt) {
  Start(Known::kBalancer, {});
  auto session = Open(*through_proxy_);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(through_proxy_->WhoAmI(**session).ok());
  ASSERT_TRUE(through_proxy_->EndSession(**Open(*through_proxy_)).ok());
  const auto seen = Captured(kWhoAmI);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(RefusalOfStolen(seen[0]), "sequence-replayed");
  // Of another method, of another session that has ended since, and the opening itself.
  const auto ended = Captured("/forekey.v1.Gate/EndSession");
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(RefusalOfStolen(ended[0]), "session-ended");
  const auto opened = Captured(kOpenSessionMethod);
  ASSERT_EQ(opened.size(), 2u);
  EXPECT_NE(RefusalOfStolen(opened[0]), "admitted");
}

TEST_F(TlsProxyTest, ABalancerCannotSwapTheClientsShare) {
  Start(Known::kBalancer, {"swap-share"});
  EXPECT_EQ(Open(*through_proxy_).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(LastRefusal(kOpenSessionMethod), "signature-invalid");
}

TEST_F(TlsProxyTest, ABalancerCannotSwapTheGatesShare) {
  Start(Known::kBalancer, {"swap-gate-share"});
  EXPECT_EQ(CodeOf(Open(*through_proxy_).status()), "gate-confirmation-invalid");
}

TEST_F(TlsProxyTest, ABalancerCannotPoseAsTheGate) {
  Start(Known::kBalancer, {"pose"});
  EXPECT_EQ(CodeOf(Open(*through_proxy_).status()), "gate-confirmation-invalid");
  EXPECT_EQ(Admitted(kOpenSessionMethod), 0) << "the gate was asked";
}

TEST_F(TlsProxyTest, ABalancerCannotSwapAChildsShare) {
  Start(Known::kBalancer, {"swap-child-share"});
  auto parent = Open(*through_proxy_);
  ASSERT_TRUE(parent.ok()) << parent.status();
  EXPECT_FALSE(OpenChild(*through_proxy_, **parent).ok());
  EXPECT_EQ(LastRefusal(kOpenChildSessionMethod), "request-digest-mismatch");
}

TEST_F(TlsProxyTest, ABalancerCannotSwapTheGatesShareToAChild) {
  Start(Known::kBalancer, {"swap-childs-gate-share"});
  auto parent = Open(*through_proxy_);
  ASSERT_TRUE(parent.ok()) << parent.status();
  EXPECT_EQ(CodeOf(OpenChild(*through_proxy_, **parent).status()), "gate-confirmation-invalid");
}

TEST_F(TlsProxyTest, AnEnrolmentBeginsThroughABalancer) {
  Start(Known::kBalancer, {});
  auto begun = BeginEnrollment(*through_proxy_);
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ((*begun)->demand().subject(), "bob");
}

TEST_F(TlsProxyTest, ABalancerCannotChangeWhatTheGateDemands) {
  Start(Known::kBalancer, {"change-demand"});
  EXPECT_EQ(CodeOf(BeginEnrollment(*through_proxy_).status()), "gate-confirmation-invalid");
}

}  // namespace
}  // namespace forekey::testing
