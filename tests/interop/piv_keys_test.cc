// SPDX-License-Identifier: Apache-2.0
// Keys that Forekey's driver made, as other programs see them; keys of kinds that cards came to
// have later.
#include "absl/strings/str_cat.h"
#include "hw/piv/piv_driver.h"
#include "src/base/file.h"
#include "src/crypto/public_key.h"
#include "tests/contract/piv_token.h"
#include "tests/interop/piv_tools.h"

namespace forekey::piv {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class PivKeysTest : public PivToolsTest {
 protected:
  // A new key of the driver's; its public key is then in Path(`slot`.pub), PEM.
  void MakeKey(const std::string& slot, const std::string& algorithm) {
    PivDriver driver({simulator_->uri()});
    EnrollOptions options;
    options.named.Set("slot", slot);
    options.named.Set("algorithm", algorithm);
    options.named.SetFlag("write-certificate", true);
    options.named.Set("touch-policy", "never");
    options.sign.prompt = &prompt_;
    auto enroller = driver.Enroll(simulator_->uri(), std::move(options));
    ASSERT_TRUE(enroller.ok()) << enroller.status();
    ASSERT_TRUE((*enroller)->Opening().ok());
    v1::EnrollmentDemand demand;
    demand.mutable_piv();
    auto spki = (*enroller)->CreateKey(demand, "");
    ASSERT_TRUE(spki.ok()) << algorithm << ": " << spki.status();
    v1::EnrollmentProof proof;
    absl::Status proved = (*enroller)->Prove("a statement", &proof);
    ASSERT_TRUE(proved.ok()) << algorithm << ": " << proved;
    ASSERT_TRUE((*enroller)->KeyReference().ok());
    ASSERT_TRUE(WriteFileAtomically(Path("spki"), *spki).ok());
    ASSERT_TRUE(Run({"openssl", "pkey", "-pubin", "-inform", "DER", "-in", Path("spki"), "-out",
                     Path(slot + ".pub")})
                    .ok());
  }
  // The module signs `data` with a key, and OpenSSL verifies that it is of the slot's key.
  void SignsWith(const char* module, const std::string& id, const std::string& mechanism,
                 const std::string& slot) {
    ASSERT_TRUE(WriteFileAtomically(Path("data"), std::string(48, 'd')).ok());
    std::vector<std::string> sign = {"--login", "--pin",      "123456", "--sign",
                                     "--id",    id,           "-m",     mechanism,
                                     "-i",      Path("data"), "-o",     Path("sig")};
    const bool ecdsa = mechanism == "ECDSA";
    if (ecdsa) sign.insert(sign.end(), {"--signature-format", "openssl"});
    auto made = Pkcs11(module, std::move(sign));
    ASSERT_TRUE(made.ok()) << module << " " << mechanism << ": " << made.status();
    if (ecdsa) {
      ASSERT_RAN(Run({"openssl", "pkeyutl", "-verify", "-pubin", "-inkey", Path(slot + ".pub"),
                      "-in", Path("data"), "-sigfile", Path("sig")}),
                 HasSubstr("Signature Verified Successfully"));
    } else {
      ASSERT_RAN(Run({"openssl", "dgst", "-sha256", "-verify", Path(slot + ".pub"), "-signature",
                      Path("sig"), Path("data")}),
                 HasSubstr("Verified OK"));
    }
  }

  PinPrompt prompt_{"123456"};
};

TEST_F(PivKeysTest, YubicoPivToolAttestsTheDriversKeysOfEveryAlgorithm) {
  PivConfig card;
  card.firmware = {5, 7, 4};
  Start(card);
  // All that is between the card's F9 and the root.
  std::string bundle;
  for (const auto& entry :
       std::filesystem::directory_iterator(simulator_->trust_directory() + "/intermediates")) {
    bundle += ReadFile(entry.path()).value_or("");
  }
  ASSERT_TRUE(Yubico({"-a", "read-certificate", "-s", "f9", "-o", Path("f9.pem")}).ok());
  bundle += ReadFile(Path("f9.pem")).value_or("");
  ASSERT_TRUE(WriteFileAtomically(Path("bundle"), bundle).ok());
  int slot = 0x82;
  for (const char* algorithm : {"eccp256", "eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519"}) {
    const std::string name = absl::StrCat(absl::Hex(slot++));
    ASSERT_NO_FATAL_FAILURE(MakeKey(name, algorithm));
    for (const char* action :
         {"attest", "read-certificate"}) {  // what was written is an attestation, too
      ASSERT_TRUE(Yubico({"-a", action, "-s", name, "-o", Path("slot.pem")}).ok()) << algorithm;
      ASSERT_RAN(
          Run({"openssl", "verify", "-CAfile", simulator_->trust_directory() + "/piv-root.pem",
               "-untrusted", Path("bundle"), Path("slot.pem")}),
          HasSubstr("OK"));
      ASSERT_RAN(Run({"openssl", "x509", "-in", Path("slot.pem"), "-noout", "-pubkey"}),
                 ReadFile(Path(name + ".pub")).value_or("no key"));
    }
  }
  ASSERT_RAN(Yubico({"-a", "status"}), AllOf(HasSubstr("Slot 82"), HasSubstr("Slot 87")));
}

TEST_F(PivKeysTest, ModulesSeeAndUseTheDriversKeys) {
  Start();
  ASSERT_NO_FATAL_FAILURE(MakeKey("9a", "eccp384"));
  ASSERT_NO_FATAL_FAILURE(MakeKey("9c", "rsa2048"));
  ASSERT_TRUE(Yubico({"-a", "set-chuid"}).ok());
  ASSERT_RAN(Pkcs11(kOpenSc, {"--list-objects"}),
             AllOf(HasSubstr("Certificate for PIV Authentication"),
                   HasSubstr("Certificate for Digital Signature")));
  for (const char* module : {kOpenSc, kYkcs11}) {
    ASSERT_NO_FATAL_FAILURE(SignsWith(module, "01", "ECDSA", "9a"));
    ASSERT_NO_FATAL_FAILURE(SignsWith(module, "02", "SHA256-RSA-PKCS", "9c"));
  }
  EXPECT_EQ(PinTries(), 3);
}

TEST_F(PivKeysTest, AnAgencysCardWithLargerKeys) {
  for (auto [algorithm, mechanism] :
       {std::pair{Algorithm::kP384, "ECDSA"}, {Algorithm::kRsa3072, "SHA256-RSA-PKCS"}}) {
    PivConfig card;
    card.kind = PivConfig::Kind::kPlainCard;
    card.key_algorithm = algorithm;
    Start(card);
    for (auto [id, slot] : {std::pair{"01", "9a"}, {"02", "9c"}}) {
      ASSERT_TRUE(
          Pkcs11(kOpenSc, {"--read-object", "--type", "cert", "--id", id, "-o", Path("cert")})
              .ok());
      auto key =
          Run({"openssl", "x509", "-inform", "DER", "-in", Path("cert"), "-noout", "-pubkey"});
      ASSERT_TRUE(key.ok()) << key.status();
      ASSERT_TRUE(WriteFileAtomically(Path(std::string(slot) + ".pub"), *key).ok());
      ASSERT_NO_FATAL_FAILURE(SignsWith(kOpenSc, id, mechanism, slot));
    }
    EXPECT_EQ(PinTries(), 3);
    simulator_.reset();
  }
}

}  // namespace
}  // namespace forekey::piv
