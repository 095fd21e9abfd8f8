// SPDX-License-Identifier: Apache-2.0
// The real FIDO2 driver on a simulated key, through the real client at the real gate: enrolment by
// attestation, sessions (by the key alone and with a second key), calls that hardware signs, a
// clone refused with its reason in the audit log.
#include <filesystem>

#include "gtest/gtest.h"
#include "hw/fido2/fido2_driver.h"
#include "simulators/fido2/fido2_simulator.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/client/enrollment.h"
#include "src/client/gate_client.h"
#include "src/gate/token/fido2_config.h"
#include "src/wire/invite.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using fido2sim::Misbehaviour;

class Fido2GateTest : public ::testing::Test {
 protected:
  Fido2GateTest() {
    fido2sim::SimulatorOptions options;
    options.config.auto_touch = true;
    key_ = Must(fido2sim::Fido2Simulator::Start(std::move(options)), "simulator");
    const std::string trust = folder_.path() + "/trust";
    std::filesystem::create_directories(trust);
    Must(key_->WriteTrust(trust), "trust");
    GatedWorld::Options world;
    world.change = [trust](GateConfig& config) {
      config.tokens.Get<Fido2Config>().insecure_simulators = true;
      config.tokens.Get<Fido2Config>().simulator_trust = trust;
      config.tls.ca = config.tls.certificate;
    };
    world_ = std::make_unique<GatedWorld>(std::move(world));
    world_->Start([](grpc::ServerBuilder&) {});
    driver_ = std::make_unique<Fido2Driver>(std::vector<std::string>{key_->uri()});
    GateConnection::Options connection;
    connection.target.audience = world_->config().audience;
    connection.target.address = world_->core().admin().AdvertisedAddress();
    connection.target.ca_pem = Must(ReadFile(world_->config().tls.certificate), "certificate");
    connection_ = Must(GateConnection::New(std::move(connection)), "connection");
  }

  absl::Status Enrol() {
    v1::CreateInviteRequest request;
    request.set_subject("ada");
    const auto created = Must(world_->core().admin().CreateInvite(request, "uid 0"), "invite");
    const Invite invite = Must(Invite::Parse(created.invite()), "invite");
    FOREKEY_ASSIGN_OR_RETURN(auto enroller, driver_->Enroll(key_->uri(), {}));
    FOREKEY_ASSIGN_OR_RETURN(auto opening, enroller->Opening());
    FOREKEY_ASSIGN_OR_RETURN(auto enrollment,
                             Enrollment::Begin(connection_.get(), invite, opening));
    rp_id_ = enrollment->demand().fido2().rp_id();
    origin_ = enrollment->demand().fido2().origin();
    FOREKEY_ASSIGN_OR_RETURN(std::string spki,
                             enroller->CreateKey(enrollment->demand(), enrollment->Statement("")));
    v1::EnrollmentProof proof;
    FOREKEY_RETURN_IF_ERROR(enroller->Prove(enrollment->Statement(spki), &proof));
    FOREKEY_ASSIGN_OR_RETURN(std::string reference, enroller->KeyReference());
    FOREKEY_RETURN_IF_ERROR(enrollment->Finish(spki, "key", std::move(proof)));
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<DeviceKey> loaded, driver_->Load(reference, Secret()));
    credential_ = enrollment->CredentialIdOf(spki);
    signers_.push_back(
        {credential_,
         [this, loaded](absl::string_view statement) -> absl::StatusOr<SignedStatement> {
           SignOptions options;
           options.rp_id = rp_id_;
           options.origin = origin_;
           FOREKEY_ASSIGN_OR_RETURN(DeviceSignature made, loaded->Sign(statement, options));
           return SignedStatement{made.signature, made.authenticator_data, made.client_data_json};
         }});
    return absl::OkStatus();
  }
  absl::StatusOr<ClientSessionPtr> Open() {
    GateConnection::OpenOptions options;
    options.gate_identity = world_->core().identities().current()->public_key();
    options.signers = signers_;
    return connection_->OpenSession(options);
  }
  absl::Status Login() { return Open().status(); }
  std::optional<Reason> LastReason() { return world_->audit().decisions().back().reason; }

  TempDirectory folder_;
  std::unique_ptr<fido2sim::Fido2Simulator> key_;
  std::unique_ptr<GatedWorld> world_;
  std::unique_ptr<Fido2Driver> driver_;
  std::unique_ptr<GateConnection> connection_;
  std::vector<Signer> signers_;
  std::string rp_id_, origin_;
  std::string credential_;
};

TEST_F(Fido2GateTest, EnrolsOpensASessionAndIsRevoked) {
  const absl::Status enrolled = Enrol();
  ASSERT_TRUE(enrolled.ok()) << enrolled << world_->audit().decisions().back().detail;
  ASSERT_TRUE(Login().ok()) << world_->audit().decisions().back().detail;
  const auto prefix = connection_->MakeDevicePrefix("/shop.Orders/Buy", "", signers_);
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  const absl::string_view value = *prefix;
  const Judgement judgement = world_->core().calls().Judge(
      CallInput{absl::MakeConstSpan(&value, 1), "/shop.Orders/Buy", "test"});
  ASSERT_TRUE(judgement.status.ok()) << world_->audit().decisions().back().detail;
  EXPECT_EQ(judgement.call->factors()[0].name, "fido2");
  v1::RevokeCredentialRequest revoke;
  revoke.set_credential_id(credential_);
  ASSERT_TRUE(world_->core().admin().RevokeCredential(revoke, "uid 0").ok());
  EXPECT_FALSE(Login().ok());
  EXPECT_EQ(LastReason(), Reason::kCredentialRevoked);
}

TEST_F(Fido2GateTest, TwoKeysOnOneStatementOpenOneSession) {
  ASSERT_TRUE(Enrol().ok());
  ASSERT_TRUE(Enrol().ok());
  ASSERT_EQ(signers_.size(), 2u);
  const auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  const auto who = connection_->WhoAmI(**session);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->credentials_size(), 2);
}

TEST_F(Fido2GateTest, ACloneIsRefusedAndAudited) {
  ASSERT_TRUE(Enrol().ok());
  ASSERT_TRUE(Login().ok());
  key_->Misbehave({Misbehaviour::kCounterRollback});
  EXPECT_FALSE(Login().ok());
  EXPECT_EQ(LastReason(), Reason::kCounterRollback);
}

TEST_F(Fido2GateTest, WhatTheKeySaysWrongIsRefusedWithItsReason) {
  ASSERT_TRUE(Enrol().ok());
  const std::pair<Misbehaviour, Reason> cases[] = {
      {Misbehaviour::kBackupEligible, Reason::kBackupEligible},
      {Misbehaviour::kReservedFlag, Reason::kFlagsInvalid},
  };
  for (const auto& [misbehaviour, reason] : cases) {
    key_->Misbehave({misbehaviour});
    EXPECT_FALSE(Login().ok());
    EXPECT_EQ(LastReason(), reason);
  }
  key_->Misbehave({});
  EXPECT_TRUE(Login().ok());
}

}  // namespace
}  // namespace forekey::testing
