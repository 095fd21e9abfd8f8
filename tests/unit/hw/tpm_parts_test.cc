// SPDX-License-Identifier: Apache-2.0
// The TPM driver's parts that need no TPM.
#include <tss2/tss2_common.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tpm2_types.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/device_key.h"
#include "hw/tpm/certificate_bytes.h"
#include "hw/tpm/tcti.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_driver.h"
#include "hw/tpm/tpm_public.h"
#include "hw/tpm/tss_error.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TctiTest, NamesTheTransportsOfAUri) {
  EXPECT_THAT(*TctiCandidates("tpm:"), ElementsAre("device:/dev/tpmrm0", "tabrmd:bus_type=system"));
  EXPECT_THAT(*TctiCandidates("tpm:device:/dev/tpm0"), ElementsAre("device:/dev/tpm0"));
  EXPECT_THAT(*TctiCandidates("tpm:tabrmd:bus_type=session"),
              ElementsAre("tabrmd:bus_type=session"));
  EXPECT_THAT(*TctiCandidates("tpm:swtpm:path=/run/x"), ElementsAre("swtpm:path=/run/x"));
}

// Anything that would make libtss2 search, load a library of somebody's choice, run a command or
// connect to a TCP port, where any program could pose as the TPM.
TEST(TctiTest, RefusesEverythingElse) {
  for (const char* uri :
       {"", "tpm", "tpmrm0:", "tpm:default", "tpm:swtpm:", "tpm:swtpm:path=",
        "tpm:swtpm:host=localhost,port=2321", "tpm:swtpm:path=/x,host=localhost",
        "tpm:mssim:host=localhost", "tpm:cmd:nc localhost 2321", "tpm:/tmp/evil.so",
        "tpm:libtss2-tcti-mssim.so.0", "tpm:device:tpm0", "tpm:pcap:device:/dev/tpm0"}) {
    EXPECT_EQ(TctiCandidates(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
}

TEST(TctiTest, AMissingDeviceIsGone) {
  EXPECT_EQ(DeviceErrorOf(OpenTcti("tpm:device:/dev/forekey-no-such").status()),
            DeviceError::kGone);
  EXPECT_EQ(DeviceErrorOf(OpenTcti("tpm:swtpm:path=/nowhere/x").status()), DeviceError::kGone);
}

struct ErrorCase {
  uint32_t rc;
  DeviceError error;
  const char* text;
};

TEST(TssErrorTest, TellsFailuresApart) {
  for (const ErrorCase& c : {
           ErrorCase{0x922, DeviceError::kBusy, "TPM_RC_RETRY"},
           {0x908, DeviceError::kBusy, "TPM_RC_YIELDED"},
           {0x90a, DeviceError::kBusy, "TPM_RC_TESTING"},
           {0x902, DeviceError::kBusy, "tpm2_flushcontext -t"},
           {0x903, DeviceError::kBusy, "tpm2_flushcontext"},
           {0x921, DeviceError::kLockedOut, "tpm2_dictionarylockout"},
           {0x98e, DeviceError::kWrongPin, "TPM_RC_AUTH_FAIL"},
           {0x9a2, DeviceError::kWrongPin, "TPM_RC_BAD_AUTH"},
           {0xb0922, DeviceError::kBusy, "TPM_RC_RETRY"},
           {0xc098e, DeviceError::kWrongPin, "TPM_RC_AUTH_FAIL"},
           {0x100, DeviceError::kNotSetUp, "tpm2_startup"},
           {0x101, DeviceError::kOther, "failure mode"},
           {0x18b, DeviceError::kNotSetUp, "TPM_RC_HANDLE"},
           {0x1df, DeviceError::kNotSetUp, "TPM_RC_INTEGRITY"},
           {0x2c4, DeviceError::kOther, "0x000002c4"},
           {0xa000a, DeviceError::kGone, "is gone"},
           {0xa0008, DeviceError::kGone, "is gone"},
           {0x70007, DeviceError::kOther, "0x00070007"},
       }) {
    absl::Status status = FromTss(c.rc, "Esys_Sign");
    EXPECT_EQ(DeviceErrorOf(status), c.error) << status;
    EXPECT_THAT(std::string(status.message()),
                ::testing::AllOf(HasSubstr("Esys_Sign: 0x"), HasSubstr(c.text)));
  }
  EXPECT_TRUE(FromTss(0, "Esys_Sign").ok());
}

TEST(TemplatesTest, EkPolicyBIsThePolicyOrOfItsBranches) {
  for (EkShape shape : {EkShape::kP256High, EkShape::kRsa2048High, EkShape::kP384High,
                        EkShape::kRsa3072High, EkShape::kRsa4096High}) {
    const TPMT_PUBLIC area = EndorsementKeyTemplate(shape).publicArea;
    EXPECT_EQ(EkPolicyOf(area), EkPolicy::kPolicyB);
    const bool sha384 = area.nameAlg == TPM2_ALG_SHA384;
    // Part 3, 23.6: H(zero digest || TPM_CC_PolicyOR || digests)
    std::string input(sha384 ? 48 : 32, '\0');
    input += std::string("\x00\x00\x01\x71", 4);
    const TPML_DIGEST branches = EkPolicyBranches(area.nameAlg);
    for (uint32_t i = 0; i < branches.count; ++i) {
      input += std::string(View(branches.digests[i].buffer, branches.digests[i].size));
    }
    EXPECT_EQ(View(area.authPolicy.buffer, area.authPolicy.size),
              sha384 ? Sha384(input) : Sha256(input));
  }
}

// TCG EK Credential Profile 2.5, B.4: H-6 and H-7.
TEST(TemplatesTest, LongRsaEksGoWithSha384AndAes256) {
  for (const auto& [shape, bits] :
       {std::pair{EkShape::kRsa2048High, 2048}, std::pair{EkShape::kRsa3072High, 3072},
        std::pair{EkShape::kRsa4096High, 4096}}) {
    const TPMT_PUBLIC area = EndorsementKeyTemplate(shape).publicArea;
    EXPECT_EQ(area.type, TPM2_ALG_RSA);
    EXPECT_EQ(area.parameters.rsaDetail.keyBits, bits);
    EXPECT_EQ(area.nameAlg, bits == 2048 ? TPM2_ALG_SHA256 : TPM2_ALG_SHA384);
    EXPECT_EQ(area.parameters.rsaDetail.symmetric.keyBits.aes, bits == 2048 ? 128 : 256);
    EXPECT_EQ(area.unique.rsa.size, 0);
  }
}

// Part 3, 23.4: H(H(zero digest || TPM_CC_PolicySecret || Name of the endorsement hierarchy)).
TEST(TemplatesTest, EkPolicyAIsPolicySecretOfTheEndorsementHierarchy) {
  for (bool sha384 : {false, true}) {
    auto hash = [sha384](absl::string_view bytes) {
      return sha384 ? Sha384(bytes) : Sha256(bytes);
    };
    const std::string first = hash(std::string(sha384 ? 48 : 32, '\0') +
                                   std::string("\x00\x00\x01\x51\x40\x00\x00\x0b", 8));
    const TPM2B_DIGEST policy =
        EkPolicyBranches(sha384 ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256).digests[0];
    EXPECT_EQ(View(policy.buffer, policy.size), hash(first));
  }
  EXPECT_EQ(EkPolicyOf(EndorsementKeyTemplate(EkShape::kP256).publicArea), EkPolicy::kPolicyA);
  EXPECT_EQ(EkPolicyOf(EndorsementKeyTemplate(EkShape::kRsa2048).publicArea), EkPolicy::kPolicyA);
  EXPECT_EQ(EkPolicyOf(TPMT_PUBLIC{}), EkPolicy::kUnknown);
}

TEST(TemplatesTest, KeysCantLeaveTheTpmAndGuessingPasswordsIsSlowedDown) {
  EXPECT_EQ(AttestationKeyTemplate("any").publicArea.objectAttributes, 0x00050472u);
  EXPECT_EQ(DeviceKeyTemplate(false).publicArea.objectAttributes, 0x00040472u);
  EXPECT_EQ(DeviceKeyTemplate(true).publicArea.objectAttributes, 0x00040072u);
}

TEST(TpmPublicTest, TakesWholeBuffersOnly) {
  TPM2B_PUBLIC area = DeviceKeyTemplate(false);
  area.publicArea.unique.ecc.x.size = area.publicArea.unique.ecc.y.size = 32;
  auto bytes = Marshal(area);
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(UnmarshalPublic(*bytes).ok());
  EXPECT_FALSE(UnmarshalPublic(*bytes + "x").ok());
  EXPECT_FALSE(UnmarshalPublic("").ok());
  for (size_t size = 0; size < bytes->size(); ++size)
    EXPECT_FALSE(UnmarshalPublic(bytes->substr(0, size)).ok());
  // The size says more than the structure has.
  std::string longer = *bytes + "xx";
  longer[1] = static_cast<char>(longer[1] + 2);
  EXPECT_FALSE(UnmarshalPublic(longer).ok());
  EXPECT_FALSE(UnmarshalPrivate("garbage").ok());
  EXPECT_FALSE(UnmarshalIdObject("").ok());
  EXPECT_FALSE(UnmarshalEncryptedSecret(std::string(3000, '\xff')).ok());
}

TEST(TpmPublicTest, RefusesKeysThatAreNoneOfOurs) {
  EXPECT_FALSE(PublicKeyOf(TPMT_PUBLIC{}).ok());
  TPMT_PUBLIC off_curve = DeviceKeyTemplate(false).publicArea;
  off_curve.unique.ecc.x.size = off_curve.unique.ecc.y.size = 32;
  EXPECT_FALSE(PublicKeyOf(off_curve).ok());
  EXPECT_FALSE(EcdsaDer(TPMT_SIGNATURE{}).ok());
}

TEST(CertificateBytesTest, CutsOffWhatIsNoCertificate) {
  const std::string sequence(
      "\x30\x82\x00\x03"
      "abc",
      7);
  EXPECT_EQ(FirstCertificate(sequence), sequence);
  EXPECT_EQ(FirstCertificate(sequence + std::string(300, '\xff')), sequence);
  EXPECT_EQ(FirstCertificate(sequence + std::string(300, '\x11')), sequence);
  EXPECT_EQ(FirstCertificate(std::string("\x10\x01\x00\x00\x09\x10\x02", 7) + sequence), sequence);
  EXPECT_EQ(FirstCertificate(std::string("\x30\x03"
                                         "abcd",
                                         6)),
            std::string("\x30\x03"
                        "abc",
                        5));
  EXPECT_EQ(FirstCertificate(std::string("\x30\x81\x03"
                                         "abc",
                                         6)),
            std::string("\x30\x81\x03"
                        "abc",
                        6));
  for (const std::string& none :
       {std::string(), std::string(100, '\xff'), std::string("\x30"), std::string("\x30\x82\x01"),
        std::string("\x30\x05"
                    "abc",
                    5),
        std::string("\x30\x80"
                    "abc",
                    5),
        std::string("\x30\x00", 2),
        std::string("\x30\x84\x00\x00\x00\x01"
                    "a",
                    7)}) {
    EXPECT_EQ(FirstCertificate(none), "");
  }
}

TEST(CertificateBytesTest, SplitsAChainUpToABound) {
  const std::string a(
      "\x30\x01"
      "a",
      3),
      b("\x30\x01"
        "b",
        3);
  EXPECT_THAT(SplitCertificates(a + b + std::string(9, '\0'), 8), ElementsAre(a, b));
  EXPECT_THAT(SplitCertificates(a + b, 1), ElementsAre(a));
  for (const char filler : {'\xff', '\x11', '\0'}) {
    const std::string pad(300, filler);
    EXPECT_THAT(SplitCertificates(a + pad + b + pad, 8), ElementsAre(a, b)) << "one index, another";
    EXPECT_THAT(SplitCertificates(pad + a, 8), ElementsAre(a));
    EXPECT_THAT(SplitCertificates(pad, 8), ElementsAre());
  }
  EXPECT_THAT(SplitCertificates(a + "\x12" + b, 8), ElementsAre(a));
  EXPECT_THAT(SplitCertificates("", 8), ElementsAre());
}

TEST(TpmDriverTest, KeepsTheUsersOwnLogSetting) {
  setenv("TSS2_LOG", "all+error", 1);
  TpmDriver first;
  EXPECT_STREQ(getenv("TSS2_LOG"), "all+error");
  unsetenv("TSS2_LOG");
  TpmDriver second;
  EXPECT_STREQ(getenv("TSS2_LOG"), "all+none");
}

}  // namespace
}  // namespace forekey
