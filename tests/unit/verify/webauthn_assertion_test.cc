// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/verify/webauthn_assertion.h"
#include "tests/support/status_matchers.h"
#include "tests/support/webauthn_maker.h"

namespace forekey {
namespace {

using testing::ClientJson;
using testing::IsOk;
using testing::RefusedWith;
using testing::TestToken;

class WebAuthnAssertionTest : public ::testing::Test {
 protected:
  WebAuthnAssertionTest() { token_.flags = 0x05; }

  absl::StatusOr<VerifiedAssertion> Verify() {
    const std::string auth_data = token_.AuthData();
    return VerifySigned(token_.credential.Sign(absl::StrCat(auth_data, Sha256(client_))));
  }
  absl::StatusOr<VerifiedAssertion> VerifySigned(const std::string& signature) {
    const std::string auth_data = token_.AuthData();
    AssertionOptions options;
    options.key = &token_.credential.public_key();
    options.authenticator_data = auth_data;
    options.client_data_json = client_;
    options.signature = signature;
    options.challenge = challenge_;
    options.relying_party = &party_;
    options.require_user_verification = require_uv_;
    options.enrolled_backup_eligible = enrolled_be_;
    return VerifyAssertion(options);
  }

  TestToken token_;
  std::string challenge_ = std::string(32, 'q');
  std::string client_ = ClientJson("webauthn.get", challenge_);
  RelyingParty party_ = RelyingParty::Of(testing::kTestRpId, testing::kTestOrigin);
  bool require_uv_ = false;
  std::optional<bool> enrolled_be_ = false;
};

TEST_F(WebAuthnAssertionTest, ProvesPresenceVerificationAndCounter) {
  require_uv_ = true;
  const auto verified = Verify();
  ASSERT_THAT(verified, IsOk());
  EXPECT_TRUE(verified->up() && verified->uv());
  EXPECT_FALSE(verified->backup_eligible() || verified->backed_up());
  EXPECT_EQ(verified->sign_count(), 7u);
}

TEST_F(WebAuthnAssertionTest, EveryAlgorithmVerifies) {
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    const Algorithm algorithm = facts.algorithm;
    token_.credential = SoftwareKey::Generate(algorithm);
    EXPECT_THAT(Verify(), IsOk()) << AlgorithmName(algorithm);
  }
}

TEST_F(WebAuthnAssertionTest, RejectsAnotherCeremony) {
  client_ = ClientJson("webauthn.create", challenge_);
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataType));
  client_ = ClientJson("webauthn.get", "other");
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataChallenge));
  client_ = ClientJson("webauthn.get", challenge_, "https://gate.example");
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataOrigin));
  client_ = ClientJson("webauthn.get", challenge_, testing::kTestOrigin, ",\"crossOrigin\":true");
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataOrigin));
  client_ = ClientJson("webauthn.get", challenge_, testing::kTestOrigin,
                       ",\"topOrigin\":\"https://evil.example\"");
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataOrigin));
  client_ = ClientJson("webauthn.get", challenge_);
  token_.rp_id = "evil.example";
  EXPECT_THAT(Verify(), RefusedWith(Reason::kRpIdMismatch));
}

TEST_F(WebAuthnAssertionTest, RejectsAChallengeThatNobodyMade) {
  challenge_.clear();
  client_ = ClientJson("webauthn.get", "");
  EXPECT_THAT(Verify(), RefusedWith(Reason::kClientDataChallenge));
}

TEST_F(WebAuthnAssertionTest, RejectsFlags) {
  token_.flags = 0x04;
  EXPECT_THAT(Verify(), RefusedWith(Reason::kUserNotPresent));
  token_.flags = 0x01;
  require_uv_ = true;
  EXPECT_THAT(Verify(), RefusedWith(Reason::kUserNotVerified));
  require_uv_ = false;
  EXPECT_THAT(Verify(), IsOk());
  token_.flags = 0x09;
  EXPECT_THAT(Verify(), RefusedWith(Reason::kFlagsInvalid));
  enrolled_be_ = true;
  EXPECT_THAT(Verify(), IsOk());
  enrolled_be_ = std::nullopt;
  EXPECT_THAT(Verify(), IsOk());
  for (uint8_t flags : {0x11, 0x03, 0x21, 0x45}) {
    token_.flags = flags;
    EXPECT_THAT(Verify(), RefusedWith(Reason::kFlagsInvalid)) << int{flags};
  }
}

TEST_F(WebAuthnAssertionTest, RejectsSignaturesOverAnythingElse) {
  const std::string auth_data = token_.AuthData();
  const std::string good = token_.credential.Sign(absl::StrCat(auth_data, Sha256(client_)));
  EXPECT_THAT(VerifySigned(good), IsOk());
  token_.sign_count++;
  EXPECT_THAT(VerifySigned(good), RefusedWith(Reason::kSignatureInvalid));
  token_.sign_count--;
  client_ = ClientJson("webauthn.get", challenge_, testing::kTestOrigin, ",\"x\":1");
  EXPECT_THAT(VerifySigned(good), RefusedWith(Reason::kSignatureInvalid));
  EXPECT_THAT(VerifySigned(""), RefusedWith(Reason::kSignatureInvalid));
  client_ = ClientJson("webauthn.get", challenge_);
  EXPECT_THAT(VerifySigned(good + "x"), RefusedWith(Reason::kSignatureInvalid));
  token_.credential = SoftwareKey::Generate(Algorithm::kEs256);
  EXPECT_THAT(VerifySigned(good), RefusedWith(Reason::kSignatureInvalid));
}

TEST_F(WebAuthnAssertionTest, RejectsWhatIsLeftOver) {
  token_.after = "x";
  EXPECT_THAT(Verify(), RefusedWith(Reason::kEvidenceMalformed));
}

TEST_F(WebAuthnAssertionTest, RejectsWhatIsTooLong) {
  const auto extension = [](size_t size) {
    return testing::CborMap({{testing::CborText("x"), testing::CborBytes(std::string(size, 'x'))}});
  };
  token_.flags = 0x81;
  token_.after = extension(16000);
  EXPECT_THAT(Verify(), IsOk());
  token_.after = extension(16384);
  EXPECT_THAT(Verify(), RefusedWith(Reason::kEvidenceMalformed));
}

TEST_F(WebAuthnAssertionTest, ACallsChallengeIsTheHashOfItsStatement) {
  const std::string statement = "the statement";
  client_ = ClientJson("webauthn.get", Sha256(statement));
  const std::string auth_data = token_.AuthData();
  const std::string signature = token_.credential.Sign(absl::StrCat(auth_data, Sha256(client_)));
  const std::string challenge = Sha256(statement), another = Sha256("another");
  AssertionOptions options;
  options.key = &token_.credential.public_key();
  options.authenticator_data = auth_data;
  options.client_data_json = client_;
  options.signature = signature;
  options.relying_party = &party_;
  options.challenge = challenge;
  options.enrolled_backup_eligible = false;
  EXPECT_THAT(VerifyAssertion(options), IsOk());
  options.enrolled_backup_eligible = true;
  EXPECT_THAT(VerifyAssertion(options), RefusedWith(Reason::kFlagsInvalid));
  options.challenge = another;
  EXPECT_THAT(VerifyAssertion(options), RefusedWith(Reason::kClientDataChallenge));
}

TEST(SignatureCounterTest, GrowsOrIsAlwaysZero) {
  EXPECT_THAT(CheckSignatureCounter(0, 0), IsOk());
  EXPECT_THAT(CheckSignatureCounter(0, 1), IsOk());
  EXPECT_THAT(CheckSignatureCounter(7, 8), IsOk());
  EXPECT_THAT(CheckSignatureCounter(7, 0xffffffff), IsOk());
  for (uint32_t current : {0u, 1u, 7u}) {
    EXPECT_THAT(CheckSignatureCounter(7, current), RefusedWith(Reason::kCounterRollback))
        << current;
  }
}

}  // namespace
}  // namespace forekey
