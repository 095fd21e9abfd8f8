// SPDX-License-Identifier: Apache-2.0
// Laws guarded: a key is a TPM's only if an AK that signs nothing else says so, freshly, of exactly
// this public area. (tests/attacks/tpm has the same through files and the program.)
#include "src/verify/tpm_attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/roca_key.h"
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
  nlohmann::json device = {{"manufacturer", "Test"}};
  FirmwareList firmware;
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
  device.proved = c.device;
  device.firmware = &c.firmware;
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

// An Infineon TPM of firmware 7.61.2785.0, whose AK is a primary key of `hierarchy`.
Case Infineon(uint32_t hierarchy, absl::string_view lines) {
  Case c;
  c.device = {{"manufacturer_id", "id:49465800"}, {"model", "SLB 9670"}};
  c.attest.firmware = absl::HexStringToBytes("0007003d0ae10000");
  c.attest.qualified_signer = QualifiedNameOf(MakePublic(c.ak), hierarchy);
  c.firmware = *FirmwareList::Parse(absl::StrCat("forekey-firmware-list 1\n", lines));
  return c;
}

TEST(TpmAttestationTest, TheFirmwareIsProvedWhereTheTpmDoesNotHideIt) {
  for (const uint32_t hierarchy : {0x4000000bu, 0x4000000cu}) {
    const auto verified = Verify(Infineon(hierarchy, ""));
    ASSERT_THAT(verified, IsOk());
    EXPECT_EQ(verified->proved().at("firmware_proved"), true);
    EXPECT_EQ(verified->proved().at("firmware"), "7.61.2785.0");
  }
  // The owner's hierarchy, or a key under another: what is signed as version is none.
  Case child = Infineon(0x4000000b, "");
  child.attest.qualified_signer[5] ^= 1;
  for (const Case& c : {Infineon(0x40000001, ""), child}) {
    const auto verified = Verify(c);
    ASSERT_THAT(verified, IsOk());
    EXPECT_EQ(verified->proved().at("firmware_proved"), false);
    EXPECT_FALSE(verified->proved().contains("firmware"));
  }
}

TEST(TpmAttestationTest, RefusesFirmwareThatTheListCallsWeakOrTooOld) {
  const auto refused = [](absl::string_view lines) { return Verify(Infineon(0x4000000b, lines)); };
  EXPECT_THAT(refused("tpm IFX weak 7.0-7.61 : ROCA"), RefusedWith(Reason::kFirmwareWeak));
  EXPECT_THAT(std::string(refused("tpm IFX weak 7.0-7.61 : ROCA").status().message()),
              ::testing::AllOf(::testing::HasSubstr("it is 7.61.2785.0"),
                               ::testing::HasSubstr("tpm IFX weak 7.0-7.61 : ROCA"),
                               ::testing::HasSubstr("update the TPM's firmware")));
  EXPECT_THAT(refused("tpm IFX/SLB9670 least 7.85"), RefusedWith(Reason::kFirmwareTooOld));
  EXPECT_THAT(refused("tpm IFX/SLB9672 least 15.23"), IsOk());
  EXPECT_THAT(refused("tpm STM weak all"), IsOk());
  EXPECT_THAT(refused("tpm IFX least 7.61"), IsOk());
}

TEST(TpmAttestationTest, AVersionThatIsHiddenIsNoWayRoundTheList) {
  EXPECT_THAT(Verify(Infineon(0x40000001, "tpm IFX least 7.0")),
              RefusedWith(Reason::kFirmwareUnproved));
  EXPECT_THAT(Verify(Infineon(0x40000001, "tpm IFX weak 5.0-5.61")),
              RefusedWith(Reason::kFirmwareUnproved));
  EXPECT_THAT(Verify(Infineon(0x40000001, "tpm IFX weak all")), RefusedWith(Reason::kFirmwareWeak));
  EXPECT_THAT(Verify(Infineon(0x40000001, "tpm STM least 7.0")), IsOk());
  // No certificate of its vendor's: nothing says whose it is.
  Case c = Infineon(0x40000001, "tpm IFX least 7.0");
  c.device = {{"ek_allowed_by_hash", true}};
  EXPECT_THAT(Verify(c), IsOk());
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

// CVE-2017-15361: the private key follows from the public area.
TEST(TpmAttestationTest, RefusesKeysWhoseModulusCanBeFactored) {
  Case c;
  c.ak = AkSpec(RocaKey());
  absl::Status refused = Verify(c).status();
  EXPECT_THAT(refused, RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("the AK's RSA modulus"));
  c = {};
  c.key = KeySpec(RocaKey());
  refused = Verify(c).status();
  EXPECT_THAT(refused, RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("the key's RSA modulus"));
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
