// SPDX-License-Identifier: Apache-2.0
// Laws guarded: a key is a TPM's only if an AK that signs nothing else says so, freshly, of exactly
// this public area. (tests/attacks/tpm has the same through files and the program.)
#include "src/verify/tpm_attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/reason.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tpm_evidence.h"

namespace forekey {
namespace {

using namespace forekey::testing;  // NOLINT: makers of structures
using ::testing::ElementsAre;

struct Case {
  PublicSpec ak = AkSpec(NewEcKey());
  PublicSpec key = KeySpec(NewEcKey());
  AttestSpec attest;
  SignatureSpec signature;
  std::string expected_extra_data = std::string(32, 'x');
};

absl::StatusOr<VerifiedAttestation> Verify(Case c) {
  const std::string key = MakePublic(c.key);
  if (c.attest.name.empty()) c.attest.name = NameOf(key);
  if (c.signature.key == nullptr) c.signature.key = c.ak.key;
  const std::string attest = MakeAttest(c.attest);
  auto ak = VerifyAkPublic(MakePublic(c.ak));
  if (!ak.ok()) return ak.status();
  TpmDevice device;
  device.device_id = "device";
  device.proved = {{"manufacturer", "Test"}};
  return VerifyTpmKey(*ak, {key, attest, MakeSignature(c.signature, attest)}, c.expected_extra_data,
                      device);
}

TEST(TpmAttestationTest, GivesTheKeyAndWhatWasProved) {
  Case c;
  auto verified = Verify(c);
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->kind(), v1::TOKEN_KIND_TPM);
  EXPECT_EQ(verified->key().spki(), PublicKey::FromEvp(c.key.key.get())->spki());
  EXPECT_EQ(verified->device_id(), "device");
  EXPECT_THAT(verified->factors(), ElementsAre("tpm"));
  EXPECT_EQ(verified->proved().at("manufacturer"), "Test");
  EXPECT_EQ(verified->proved().at("key_no_da"), true);
  EXPECT_EQ(verified->proved().at("firmware_version"), "2222222222222222");
  c.key.attributes &= ~tpm::kNoDa;
  EXPECT_EQ(Verify(c)->proved().at("key_no_da"), false);
}

TEST(TpmAttestationTest, TakesEveryAcceptedAlgorithm) {
  for (const auto& ak_key : {NewEcKey(), NewEcKey("P-384"), NewRsaKey()}) {
    for (const auto& key : {NewEcKey(), NewEcKey("P-384"), NewRsaKey()}) {
      Case c;
      c.ak = AkSpec(ak_key);
      c.key = KeySpec(key);
      EXPECT_THAT(Verify(c), IsOk());
    }
  }
  // PSS, with a salt as long as the hash or as long as it can be: both are made by real TPMs.
  for (int salt : {RSA_PSS_SALTLEN_DIGEST, RSA_PSS_SALTLEN_MAX}) {
    Case c;
    c.ak = AkSpec(NewRsaKey());
    c.ak.scheme = c.signature.algorithm = 0x16;
    c.signature.salt = salt;
    EXPECT_THAT(Verify(c), IsOk());
  }
}

TEST(TpmAttestationTest, RefusesEveryDepartureFromTheAksAttributes) {
  for (uint32_t bit : {tpm::kFixedTpm, tpm::kFixedParent, tpm::kSensitiveDataOrigin,
                       tpm::kRestricted, tpm::kSign, tpm::kDecrypt, tpm::kEncryptedDuplication,
                       tpm::kX509Sign, 1u << 0, 1u << 3, 1u << 12, 1u << 31}) {
    Case c;
    c.ak.attributes ^= bit;
    EXPECT_THAT(Verify(c), RefusedWith(Reason::kAkAttributes)) << tpm::AttributesText(bit);
  }
  for (uint32_t bit : {tpm::kNoDa, tpm::kUserWithAuth, tpm::kAdminWithPolicy, tpm::kStClear}) {
    Case c;
    c.ak.attributes ^= bit;
    EXPECT_THAT(Verify(c), IsOk()) << tpm::AttributesText(bit);
  }
}

TEST(TpmAttestationTest, RefusesEveryDepartureFromTheKeysAttributes) {
  for (uint32_t bit : {tpm::kFixedTpm, tpm::kFixedParent, tpm::kSensitiveDataOrigin, tpm::kSign,
                       tpm::kRestricted, tpm::kDecrypt, tpm::kEncryptedDuplication, tpm::kX509Sign,
                       1u << 0, 1u << 3, 1u << 12, 1u << 31}) {
    Case c;
    c.key.attributes ^= bit;
    EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAttributes)) << tpm::AttributesText(bit);
  }
}

TEST(TpmAttestationTest, RefusesAnotherExtraData) {
  for (const std::string& extra :
       {std::string(), std::string(31, 'x'), std::string(33, 'x'), std::string(32, 'y')}) {
    Case c;
    c.attest.extra_data = extra;
    EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestExtraData));
  }
  // Nobody may ask for nothing.
  Case c;
  c.attest.extra_data = c.expected_extra_data = "";
  EXPECT_THAT(Verify(c), HasCode(absl::StatusCode::kInvalidArgument));
}

TEST(TpmAttestationTest, RefusesAnotherKeysName) {
  Case c;
  c.attest.name = NameOf(MakePublic(KeySpec(NewEcKey())));
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestName));
  c.attest.name = NameOf(MakePublic(c.key)).substr(0, 33);
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestName));
}

TEST(TpmAttestationTest, RefusesSha1EverywhereItCouldStand) {
  Case c;
  c.ak.scheme_hash = c.signature.hash = 4;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
  c = {};
  c.signature.hash = 4;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestSignature));
  c = {};
  c.ak.name_algorithm = 4;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
  c = {};
  c.key.name_algorithm = 4;
  c.attest.name = Concat({Big16(4), Sha1(MakePublic(c.key))});
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
}

TEST(TpmAttestationTest, RefusesSchemesThatAreNotTheAks) {
  Case c;
  c.ak.scheme = 0x10;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
  c = {};
  c.ak.scheme = 0x1a;  // ECDAA: its counter makes the structure longer
  EXPECT_THAT(VerifyAkPublic(MakePublic(c.ak)), ::testing::Not(IsOk()));
  c = {};
  c.ak.scheme_hash = 0x0c;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestSignature));
  c.signature.hash = 0x0c;
  EXPECT_THAT(Verify(c), IsOk());
  c = {};
  c.ak.aes_bits = 128;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
}

TEST(TpmAttestationTest, RefusesSchemesThatTheDeviceKeyCannotSignWith) {
  Case c;
  c.key.scheme = 0x18;
  EXPECT_THAT(Verify(c), IsOk());
  c.key.scheme_hash = 0x0c;  // ES256 is asked of a P-256 key
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
  c = {};
  c.key.aes_bits = 128;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kKeyAlgorithm));
}

TEST(TpmAttestationTest, RefusesSignaturesOfAnyOtherKey) {
  Case c;
  c.signature.key = NewEcKey();
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestSignature));
  c.signature.key = c.key.key;
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestSignature));
  c = {};
  c.ak = AkSpec(NewRsaKey());
  c.signature.key = NewRsaKey();
  EXPECT_THAT(Verify(c), RefusedWith(Reason::kAttestSignature));
}

}  // namespace
}  // namespace forekey
