// SPDX-License-Identifier: Apache-2.0
// Stock programs against the simulated card, through the distribution's pcscd: yubico-piv-tool,
// pkcs11-tool with OpenSC's and with Yubico's module, piv-tool.
#include "tests/interop/piv_tools.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"

namespace forekey::piv {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(PivToolsTest, YubicoPivTool) {
  Start();
  ASSERT_RAN(Yubico({"-a", "version"}), HasSubstr("5.4.3"));
  MakeKeyWithCertificate("9a", "ECCP256");
  MakeKeyWithCertificate("9c", "RSA2048");
  MakeKeyWithCertificate("82", "ECCP384");
  ASSERT_RAN(Yubico({"-a", "set-chuid"}), HasSubstr("Successfully"));
  ASSERT_RAN(Yubico({"-a", "set-ccc"}), HasSubstr("Successfully"));
  ASSERT_RAN(Yubico({"-a", "status"}),
             AllOf(HasSubstr("Serial Number:\t12345678"), HasSubstr("Slot 9a"),
                   HasSubstr("CN=Card 9c"), HasSubstr("Slot 82"), HasSubstr("PIN tries left:\t3")));
  ASSERT_RAN(Yubico({"-a", "verify-pin", "-P", "123456"}), HasSubstr("Successfully verified"));
  auto wrong = Yubico({"-a", "verify-pin", "-P", "111111"});
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("2 tries left"));
  ASSERT_RAN(Yubico({"-a", "change-pin", "-P", "123456", "-N", "654321"}),
             HasSubstr("Successfully changed"));
  for (auto [slot, algorithm] :
       {std::pair{"9a", "ECCP256"}, std::pair{"9c", "RSA2048"}, std::pair{"82", "ECCP384"}}) {
    ASSERT_RAN(Yubico({"-a", "verify-pin", "-P", "654321", "-a", "test-signature", "-s", slot, "-A",
                       algorithm, "-i", Path(absl::StrCat(slot, ".pem"))}),
               HasSubstr("Successful"));
  }
  EXPECT_EQ(PinTries(), 3);
}

TEST_F(PivToolsTest, AttestationsVerifyUpToTheVendorsRoot) {
  Start();
  ASSERT_RAN(Yubico({"-a", "generate", "-s", "82", "-A", "ECCP256", "--touch-policy=always",
                     "--pin-policy=always", "-o", Path("pub")}),
             HasSubstr("Successfully"));
  ASSERT_TRUE(Yubico({"-a", "attest", "-s", "82", "-o", Path("slot.pem")}).ok());
  ASSERT_TRUE(Yubico({"-a", "read-certificate", "-s", "f9", "-o", Path("f9.pem")}).ok());
  ASSERT_RAN(Run({"openssl", "verify", "-CAfile", simulator_->trust_directory() + "/piv-root.pem",
                  "-untrusted", Path("f9.pem"), Path("slot.pem")}),
             HasSubstr("OK"));
  ASSERT_RAN(Run({"openssl", "x509", "-in", Path("slot.pem"), "-noout", "-subject"}),
             HasSubstr("CN = YubiKey PIV Attestation 82"));
}

TEST_F(PivToolsTest, Pkcs11ToolWithOpenSc) {
  Start();
  MakeKeyWithCertificate("9a", "ECCP256");
  MakeKeyWithCertificate("9c", "RSA2048");
  ASSERT_TRUE(Yubico({"-a", "set-chuid"}).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("data"), std::string(32, 'd')).ok());
  ASSERT_RAN(Pkcs11(kOpenSc, {"--list-objects"}),
             AllOf(HasSubstr("Certificate for PIV Authentication"),
                   HasSubstr("Certificate for Digital Signature")));
  ASSERT_TRUE(Pkcs11(kOpenSc, {"--login", "--pin", "123456", "--sign", "--id", "01", "-m", "ECDSA",
                               "-i", Path("data"), "-o", Path("sig")})
                  .ok());
  ASSERT_RAN(Pkcs11(kOpenSc, {"--verify", "--id", "01", "-m", "ECDSA", "-i", Path("data"),
                              "--signature-file", Path("sig")}),
             HasSubstr("Signature is valid"));
  auto signed_rsa = Pkcs11(kOpenSc, {"--login", "--pin", "123456", "--sign", "--id", "02", "-m",
                                     "SHA256-RSA-PKCS", "-i", Path("data"), "-o", Path("rsa")});
  ASSERT_TRUE(signed_rsa.ok()) << signed_rsa.status();
  ASSERT_RAN(Run({"openssl", "dgst", "-sha256", "-verify", Path("9c.pub"), "-signature",
                  Path("rsa"), Path("data")}),
             HasSubstr("Verified OK"));
}

TEST_F(PivToolsTest, Pkcs11ToolWithYkcs11) {
  Start();
  MakeKeyWithCertificate("9a", "ECCP256");
  MakeKeyWithCertificate("9e", "RSA2048");
  ASSERT_TRUE(WriteFileAtomically(Path("data"), std::string(32, 'd')).ok());
  ASSERT_RAN(Pkcs11(kYkcs11, {"--list-objects"}),
             AllOf(HasSubstr("PIV Authentication"), HasSubstr("PIV Attestation")));
  ASSERT_TRUE(Pkcs11(kYkcs11, {"--login", "--pin", "123456", "--sign", "--id", "01", "-m", "ECDSA",
                               "-i", Path("data"), "-o", Path("sig")})
                  .ok());
  ASSERT_RAN(Pkcs11(kYkcs11, {"--verify", "--id", "01", "-m", "ECDSA", "-i", Path("data"),
                              "--signature-file", Path("sig")}),
             HasSubstr("Signature is valid"));
  auto signed_rsa = Pkcs11(kYkcs11, {"--login", "--pin", "123456", "--sign", "--id", "04", "-m",
                                     "SHA256-RSA-PKCS", "-i", Path("data"), "-o", Path("rsa")});
  ASSERT_TRUE(signed_rsa.ok()) << signed_rsa.status();
  ASSERT_RAN(Run({"openssl", "dgst", "-sha256", "-verify", Path("9e.pub"), "-signature",
                  Path("rsa"), Path("data")}),
             HasSubstr("Verified OK"));
}

TEST_F(PivToolsTest, AnAgencysCardWithOpenSc) {
  Start(PivConfig::Kind::kPlainCard);
  ASSERT_RAN(Run({"piv-tool", "--name"}), HasSubstr("Personal Identity Verification Card"));
  ASSERT_TRUE(Run({"piv-tool", "--serial"}).ok());
  ASSERT_RAN(Pkcs11(kOpenSc, {"--list-objects"}),
             AllOf(HasSubstr("Certificate for PIV Authentication"),
                   HasSubstr("Certificate for Digital Signature"),
                   HasSubstr("Certificate for Key Management"),
                   HasSubstr("Certificate for Card Authentication")));
  ASSERT_TRUE(WriteFileAtomically(Path("data"), std::string(32, 'd')).ok());
  for (auto [id, mechanism] : {std::pair{"01", "SHA256-RSA-PKCS"}, std::pair{"02", "ECDSA"}}) {
    auto made = Pkcs11(kOpenSc, {"--login", "--pin", "123456", "--sign", "--id", id, "-m",
                                 mechanism, "-i", Path("data"), "-o", Path("sig")});
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_RAN(Pkcs11(kOpenSc, {"--verify", "--id", id, "-m", mechanism, "-i", Path("data"),
                                "--signature-file", Path("sig")}),
               HasSubstr("Signature is valid"));
  }
  EXPECT_EQ(PinTries(), 3);
}

// With OpenSSL 3 its --genkey fails after the card has made the key; what leads there is the card's
// part.
TEST_F(PivToolsTest, PivToolKnowsAYubiKeyAndItsManagementKey) {
  Start();
  ASSERT_RAN(Run({"piv-tool", "--name"}), HasSubstr("Personal Identity Verification Card"));
  // The management key from the factory, as piv-tool wants it: a file of hexadecimal bytes.
  const std::string key = "01:02:03:04:05:06:07:08:01:02:03:04:05:06:07:08:01:02:03:04:05:06:07:0";
  auto admin = [&](const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(Path("key"), content).ok());
    return RunTool({.argv = {"piv-tool", "--admin", "M:9B:03", "--send-apdu", "00:FD:00:00:00"},
                    .environment = {"PCSCLITE_CSOCK_NAME=" + simulator_->socket(),
                                    "PIV_EXT_AUTH_KEY=" + Path("key")}});
  };
  ASSERT_RAN(admin(key + "8"), HasSubstr("05 04 03"));
  EXPECT_FALSE(admin(key + "1").ok());
}

}  // namespace
}  // namespace forekey::piv
