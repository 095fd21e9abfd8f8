// SPDX-License-Identifier: Apache-2.0
// Laws guarded: TPM structures are consumed whole, in their one encoding; what an NV index holds
// behind a certificate is filler or a refusal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/reason.h"
#include "src/wire/tpm_attest.h"
#include "src/wire/tpm_constants.h"
#include "src/wire/tpm_nv_certificate.h"
#include "src/wire/tpm_public.h"
#include "src/wire/tpm_signature.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tpm_evidence.h"

namespace forekey {
namespace {

using namespace forekey::testing;  // NOLINT: makers of structures

template <typename Parse>
void ExpectStrict(const std::string& good, Parse parse) {
  EXPECT_THAT(parse(good), IsOk());
  EXPECT_THAT(parse(good + std::string(1, '\0')), RefusedWith(Reason::kEvidenceMalformed));
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(parse(good.substr(0, size)), ::testing::Not(IsOk())) << size;
  }
  EXPECT_THAT(parse(""), RefusedWith(Reason::kEvidenceMalformed));
  EXPECT_THAT(parse(std::string(100, 'g')), ::testing::Not(IsOk()));
  EXPECT_THAT(parse(std::string(70'000, '\0')), RefusedWith(Reason::kEvidenceMalformed));
}

TEST(TpmPublicTest, ConsumesTheWholeStructureWithAndWithoutItsSize) {
  for (const auto& key : {NewEcKey(), NewEcKey("P-384"), NewRsaKey()}) {
    const std::string area = MakePublic(EkSpec(key));
    ExpectStrict(area, TpmPublic::Parse);
    ExpectStrict(Sized(area), TpmPublic::Parse);
    EXPECT_EQ(TpmPublic::Parse(Sized(area))->bytes(), area);
    EXPECT_THAT(TpmPublic::Parse(Sized(Sized(area))), RefusedWith(Reason::kEvidenceMalformed));
  }
}

TEST(TpmPublicTest, GivesFieldsNameAndKey) {
  const auto key = NewRsaKey();
  const std::string area = MakePublic(AkSpec(key));
  auto parsed = TpmPublic::Parse(area);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_TRUE(parsed->is_rsa());
  EXPECT_EQ(parsed->attributes(), kAkAttributes);
  EXPECT_EQ(parsed->rsa_exponent(), 65537u);
  EXPECT_EQ(parsed->scheme().algorithm, tpm::kAlgRsaSsa);
  EXPECT_EQ(parsed->scheme().hash, tpm::kAlgSha256);
  EXPECT_EQ(parsed->Name(), NameOf(area));
  EXPECT_EQ(parsed->KeyText(), "RSA-2048");
  EXPECT_EQ(parsed->Key()->spki(), PublicKey::FromEvp(key.get())->spki());

  const auto ec = NewEcKey("P-384");
  EXPECT_EQ(TpmPublic::Parse(MakePublic(KeySpec(ec)))->Key()->spki(),
            PublicKey::FromEvp(ec.get())->spki());
}

TEST(TpmPublicTest, TakesCoordinatesWithoutLeadingZeros) {
  // A key whose x begins with a zero octet: one in 256.
  std::shared_ptr<EVP_PKEY> key;
  std::string x;
  do {
    key = NewEcKey();
    x = BigParam(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, 32);
  } while (x[0] != 0);
  std::string area = MakePublic(KeySpec(key));
  const size_t at = area.find(Sized(x));
  area.replace(at, 34, Sized(x.substr(1)));
  auto parsed = TpmPublic::Parse(area);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->x(), x);
  EXPECT_EQ(parsed->Key()->spki(), PublicKey::FromEvp(key.get())->spki());
  EXPECT_EQ(parsed->Name(), NameOf(area));  // over the bytes as they stand
  // But none that are longer than the field.
  area.replace(at, 33, Sized(std::string(1, '\0') + x));
  EXPECT_THAT(TpmPublic::Parse(area), RefusedWith(Reason::kEvidenceMalformed));
}

TEST(TpmPublicTest, RefusesOtherTypesCurvesAndSizesCleanly) {
  EXPECT_THAT(TpmPublic::Parse(MakePublic(KeySpec(NewEcKey("P-521")))),
              RefusedWith(Reason::kKeyAlgorithm));
  const auto key = NewRsaKey();
  std::string area = MakePublic(KeySpec(key));
  std::string keyed_hash = area;
  keyed_hash[1] = 8;
  EXPECT_THAT(TpmPublic::Parse(keyed_hash), RefusedWith(Reason::kKeyAlgorithm));
  std::string unknown = area;
  unknown[1] = 9;
  EXPECT_THAT(TpmPublic::Parse(unknown), RefusedWith(Reason::kEvidenceMalformed));
  std::string cleared = area;
  cleared[area.size() - 256] &= 0x7f;
  EXPECT_THAT(TpmPublic::Parse(cleared), RefusedWith(Reason::kEvidenceMalformed));
  PublicSpec wrong_policy = KeySpec(key);
  wrong_policy.policy = std::string(20, 'p');
  EXPECT_THAT(TpmPublic::Parse(MakePublic(wrong_policy)), RefusedWith(Reason::kEvidenceMalformed));
}

TEST(TpmAttestTest, ConsumesTheWholeStructureAndGivesItsFields) {
  AttestSpec spec;
  spec.name = std::string(34, 'n');
  const std::string good = MakeAttest(spec);
  const auto parse = [](absl::string_view bytes) { return TpmAttest::ParseCertify(bytes); };
  ExpectStrict(good, parse);
  ExpectStrict(Sized(good), parse);
  auto attest = TpmAttest::ParseCertify(Sized(good));
  EXPECT_EQ(attest->bytes, good);
  EXPECT_EQ(attest->extra_data, spec.extra_data);
  EXPECT_EQ(attest->name, spec.name);
  EXPECT_EQ(attest->clock_ms, 9u);
  EXPECT_EQ(attest->reset_count, 5u);
  EXPECT_EQ(attest->restart_count, 6u);
  EXPECT_TRUE(attest->safe);
  EXPECT_EQ(attest->firmware_version, 0x2222222222222222u);
}

TEST(TpmAttestTest, RefusesOtherMagicTypeAndSafe) {
  AttestSpec spec;
  spec.magic ^= 1;
  EXPECT_THAT(TpmAttest::ParseCertify(MakeAttest(spec)), RefusedWith(Reason::kAttestMagic));
  spec = {};
  spec.type = 0x8018;
  EXPECT_THAT(TpmAttest::ParseCertify(MakeAttest(spec)), RefusedWith(Reason::kAttestType));
  spec = {};
  spec.safe = 2;
  EXPECT_THAT(TpmAttest::ParseCertify(MakeAttest(spec)), RefusedWith(Reason::kEvidenceMalformed));
  spec = {};
  spec.extra_data = std::string(67, 'x');
  EXPECT_THAT(TpmAttest::ParseCertify(MakeAttest(spec)), RefusedWith(Reason::kEvidenceMalformed));
}

TEST(TpmSignatureTest, ConsumesTheWholeStructure) {
  for (const auto& key : {NewEcKey(), NewRsaKey()}) {
    ExpectStrict(MakeSignature({key}, "message"), TpmSignature::Parse);
  }
}

TEST(TpmSignatureTest, RefusesOtherSchemesAndSizes) {
  EXPECT_THAT(TpmSignature::Parse(Concat({Big16(0x1a), Big16(0x0b), Sized("r"), Sized("s")})),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(TpmSignature::Parse(Concat({Big16(0x18), Big16(0x0b), Sized(""), Sized("s")})),
              RefusedWith(Reason::kEvidenceMalformed));
  EXPECT_THAT(TpmSignature::Parse(
                  Concat({Big16(0x18), Big16(0x0b), Sized(std::string(67, 'r')), Sized("s")})),
              RefusedWith(Reason::kEvidenceMalformed));
  EXPECT_THAT(TpmSignature::Parse(Concat({Big16(0x14), Big16(0x0b), Sized("")})),
              RefusedWith(Reason::kEvidenceMalformed));
}

TEST(TpmNvCertificateTest, TakesFillerAndTheStoredCertificateHeaderOff) {
  const std::string der = Concat({"\x30\x82", Big16(300), std::string(300, 'c')});
  const std::string mixed = Concat({std::string(700, '\xff'), std::string(9, '\0'), "\x11\x11"});
  EXPECT_EQ(*TrimNvCertificate(der), der);
  EXPECT_EQ(*TrimNvCertificate(der + mixed), der);
  const std::string header("\x10\x01\x00", 3);
  const std::string stored = Concat({header, Sized(Concat({"\x10\x02", der}))});
  EXPECT_EQ(*TrimNvCertificate(stored), der);
  EXPECT_EQ(*TrimNvCertificate(stored + mixed), der);
  EXPECT_EQ(*TrimNvCertificate(Concat({header, Sized(Concat({"\x10\x02", der, mixed}))})), der);
}

TEST(TpmNvCertificateTest, RefusesWhatIsNoFiller) {
  const std::string der = Concat({"\x30\x82", Big16(300), std::string(300, 'c')});
  const std::string header("\x10\x01\x00", 3);
  for (const std::string& bad :
       {std::string(), der + "x", der + std::string(9, '\xff') + "\x30", der.substr(0, 200),
        std::string(500, '\xff'), Concat({header, Big16(900), "\x10\x02", der}),
        Concat({header, Sized(der)}), Concat({header, Sized(Concat({"\x10\x02", der})), "x"}),
        std::string("\x30\x80", 2) + der, std::string("\x30\x00", 2),
        std::string(70'000, '\xff')}) {
    EXPECT_THAT(TrimNvCertificate(bad), RefusedWith(Reason::kCertificateMalformed));
  }
}

TEST(TpmConstantsTest, NamesAttributesForPeople) {
  EXPECT_EQ(tpm::AttributesText(0), "none");
  EXPECT_EQ(tpm::AttributesText(kKeyAttributes),
            "fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|noDA|sign");
  EXPECT_EQ(tpm::AttributesText(1u << 31), "0x80000000");
}

}  // namespace
}  // namespace forekey
