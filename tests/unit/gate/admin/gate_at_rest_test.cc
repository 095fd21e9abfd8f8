// SPDX-License-Identifier: Apache-2.0
// Administration without a gate: what it needs of the configuration, and what it writes.
#include "src/gate/admin/gate_at_rest.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"

#include <unistd.h>

#include "src/gate/token/piv_config.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

class GateAtRestTest : public GateFixture {
 protected:
  GateAtRestTest() {
    token_ = Enroll("ada");
    unlink(folder_.File("tls.pem").c_str());
  }
  std::unique_ptr<GateAtRest> Open(GateConfig config) {
    auto sink = std::make_unique<MemoryAuditSink>();
    audit_ = sink.get();
    auto gate = GateAtRest::Open(std::move(config), {&clock_, registry_, nullptr, std::move(sink)});
    EXPECT_TRUE(gate.ok()) << gate.status();
    return gate.ok() ? *std::move(gate) : nullptr;
  }
  Token token_;
};

TEST_F(GateAtRestTest, RevokesWithoutACertificateAndSaysWhoDidIt) {
  const auto gate = Open(Config());
  v1::RevokeCredentialRequest request;
  request.set_credential_id(token_.id);
  const auto revoked = gate->admin().RevokeCredential(request, "uid 0, no gate running");
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->revoked(), 1u);
  EXPECT_EQ(revoked->sessions_ended(), 0u);
  EXPECT_EQ(audit_->decisions().back().peer, "uid 0, no gate running");
  EXPECT_TRUE(registry_->FindCredential(token_.id)->revoked_at.has_value());
}

TEST_F(GateAtRestTest, SetsAPasswordWhereTheConfigHasThem) {
  v1::SetPasswordRequest request;
  request.set_subject("ada");
  request.set_password("correct horse");
  EXPECT_TRUE(
      absl::IsFailedPrecondition(Open(Config())->admin().SetPassword(request, "uid 0").status()));
  GateConfig config = Config();
  config.factors.Get<PasswordSection>().policy.enabled = true;
  config.factors.Get<PasswordSection>().policy.memory_mib = 8;
  const auto set = Open(config)->admin().SetPassword(request, "uid 0");
  EXPECT_TRUE(set.ok()) << set.status();
  EXPECT_NE(registry_->FindPasswordHash("ada").value(), "");
}

TEST_F(GateAtRestTest, ARecheckNeedsTheTrustAndRevokesNothingWithoutIt) {
  GateConfig config = Config();
  config.tokens.Get<PivConfig>().issuers = folder_.File("none");
  v1::RecheckCredentialsRequest request;
  request.set_revoke(true);
  const auto gate = Open(config);
  const auto looked = gate->admin().RecheckCredentials(request, "uid 0");
  EXPECT_THAT(std::string(looked.status().message()), ::testing::HasSubstr("attestation.piv"));
  EXPECT_TRUE(audit_->decisions().empty()) << "nothing was done, so nothing is written";
  EXPECT_FALSE(registry_->FindCredential(token_.id)->revoked_at.has_value());
}

TEST_F(GateAtRestTest, NoGateStartsBesideIt) {
  WriteText(folder_.File("tls.pem"), certificate_.pem);
  registry_.reset();
  auto rest = GateAtRest::Open(Config());
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_FALSE(GateCore::New(Config()).ok());
  rest->reset();
  EXPECT_TRUE(GateCore::New(Config()).ok());
}

}  // namespace
}  // namespace forekey::testing
