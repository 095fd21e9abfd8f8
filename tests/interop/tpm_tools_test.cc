// SPDX-License-Identifier: Apache-2.0
// Stock TPM programs (tpm2-tools, the OpenSSL provider "tpm2") against our simulator and our
// driver.
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/process.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "tests/contract/tpm_token.h"

namespace forekey {
namespace {

using testing::HasSubstr;

class TpmToolsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto token = TpmToken::New();
    ASSERT_TRUE(token.ok()) << token.status();
    token_ = *std::move(token);
    folder_ = token_->simulator().state_directory();
  }

  std::string Run(std::vector<std::string> argv) {
    const std::string& tcti = token_->simulator().tcti();
    auto output = RunTool({.argv = std::move(argv),
                           .environment = {"TPM2TOOLS_TCTI=" + tcti, "TPM2OPENSSL_TCTI=" + tcti,
                                           "TSS2_LOG=all+none"}});
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : "";
  }

  // Enrols, and puts the key's reference into a file.
  std::string EnrolledKeyFile(absl::string_view password) {
    EnrollOptions options;
    options.key_password = Secret::CopyOf(password);
    auto reference = EnrollKey(*token_, std::move(options), &spki_);
    EXPECT_TRUE(reference.ok()) << reference.status();
    const std::string path = folder_ + "/key.pem";
    EXPECT_TRUE(WriteFileAtomically(path, reference.ok() ? *reference : "", 0600).ok());
    return path;
  }

  std::string Content(const std::string& name) {
    auto content = ReadFile(folder_ + "/" + name);
    EXPECT_TRUE(content.ok()) << content.status();
    return content.ok() ? *content : "";
  }

  // The provider signs with our key file; our own verifier checks it.
  void ExpectProviderSigns(const std::string& key_file, std::vector<std::string> password) {
    std::vector<std::string> show = {"openssl",
                                     "pkey",
                                     "-provider",
                                     "tpm2",
                                     "-provider",
                                     "default",
                                     "-in",
                                     key_file,
                                     "-pubout",
                                     "-outform",
                                     "DER",
                                     "-out",
                                     folder_ + "/spki.der"};
    show.insert(show.end(), password.begin(), password.end());
    Run(show);
    EXPECT_EQ(Content("spki.der"), spki_);
    const std::string message = "a message signed through OpenSSL";
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/message", message).ok());
    std::vector<std::string> argv = {"openssl",   "pkeyutl",
                                     "-provider", "tpm2",
                                     "-provider", "default",
                                     "-sign",     "-rawin",
                                     "-digest",   "sha256",
                                     "-inkey",    key_file,
                                     "-in",       folder_ + "/message",
                                     "-out",      folder_ + "/signature"};
    argv.insert(argv.end(), password.begin(), password.end());
    Run(argv);
    auto key = PublicKey::FromSpki(spki_);
    ASSERT_TRUE(key.ok());
    absl::Status verified = key->Verify(message, Content("signature"));
    EXPECT_TRUE(verified.ok()) << verified;
  }

  std::unique_ptr<TpmToken> token_;
  std::string folder_;
  std::string spki_;
};

TEST_F(TpmToolsTest, ToolsReadTheSimulator) {
  EXPECT_THAT(Run({"tpm2_getcap", "properties-fixed"}), HasSubstr("TPM2_PT_MANUFACTURER"));
  EXPECT_THAT(
      Run({"tpm2_getcap", "handles-nv-index"}),
      testing::AllOf(HasSubstr("0x1C00002"), HasSubstr("0x1C0000A"), HasSubstr("0x1C00016")));
  Run({"tpm2_createprimary", "-C", "e", "-G", "ecc", "-c", folder_ + "/primary"});
  EXPECT_THAT(Run({"tpm2_readpublic", "-c", folder_ + "/primary"}), HasSubstr("NIST p256"));
  Run({"tpm2_flushcontext", "-t"});
  EXPECT_EQ(token_->Leftovers(), 0);
}

TEST_F(TpmToolsTest, ToolsReadTheEkCertificates) {
  for (const char* index : {"0x1C00002", "0x1C0000A", "0x1C00016"}) {
    Run({"tpm2_nvread", "-C", "o", index, "-o", folder_ + "/certificate.der"});
    EXPECT_THAT(Run({"openssl", "x509", "-inform", "DER", "-in", folder_ + "/certificate.der",
                     "-noout", "-ext", "extendedKeyUsage"}),
                HasSubstr("2.23.133.8.1"));
  }
}

TEST_F(TpmToolsTest, OpenSslProviderReadsOurKeyFileAndSigns) {
  ExpectProviderSigns(EnrolledKeyFile(""), {});
}

TEST_F(TpmToolsTest, OpenSslProviderSignsWithOurKeyAndItsPassword) {
  ExpectProviderSigns(EnrolledKeyFile("correct horse"), {"-passin", "pass:correct horse"});
}

TEST_F(TpmToolsTest, OpenSslProviderSignsUnderAPersistentStorageKey) {
  Run({"tpm2_createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", folder_ + "/srk"});
  Run({"tpm2_evictcontrol", "-Q", "-C", "o", "-c", folder_ + "/srk", "0x81000001"});
  Run({"tpm2_flushcontext", "-t"});
  ExpectProviderSigns(EnrolledKeyFile(""), {});
}

TEST_F(TpmToolsTest, SignsKeysThatTheProviderMade) {
  const std::string path = folder_ + "/made.pem";
  Run({"openssl", "genpkey", "-provider", "tpm2", "-provider", "default", "-algorithm", "EC",
       "-pkeyopt", "group:P-256", "-out", path});
  auto key = token_->driver().Load(
      absl::StrCat("Forekey-Device: ", token_->uri(), "\n", Content("made.pem")), Secret());
  ASSERT_TRUE(key.ok()) << key.status();
  auto signature = (*key)->Sign("a statement", {});
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_TRUE(token_->CheckSignature((*key)->spki(), "a statement", *signature).ok());
}

TEST_F(TpmToolsTest, AgentAndToolsShareTheTpm) {
  auto reference = EnrollKey(*token_, {}, &spki_);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = token_->driver().Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  std::atomic<bool> done{false};
  std::thread tools([&] {
    for (int i = 0; i < 5; ++i) Run({"tpm2_getrandom", "--hex", "16"});
    done = true;
  });
  int signatures = 0;
  while (!done) {
    auto signature = (*key)->Sign("a statement", {});
    EXPECT_TRUE(signature.ok()) << signature.status();
    ++signatures;
  }
  tools.join();
  EXPECT_GT(signatures, 0);
}

TEST_F(TpmToolsTest, WorksThroughTabrmd) {
  auto reference = EnrollKey(*token_, {}, &spki_);
  ASSERT_TRUE(reference.ok()) << reference.status();
  std::string through = *reference;
  through.replace(0, through.find('\n'), "Forekey-Device: tpm:tabrmd:bus_type=session");
  const std::string path = folder_ + "/through.pem";
  ASSERT_TRUE(WriteFileAtomically(path, through, 0600).ok());
  // tpm2-abrmd wants a bus, and this process has none: a helper program signs inside the session.
  // The shell waits for the bus name, not for a time.
  const std::string script = absl::StrCat(
      "tpm2-abrmd --session --allow-root --tcti=", token_->simulator().tcti(), " & daemon=$!\n",
      "gdbus wait --session --timeout 20 com.intel.tss2.Tabrmd || exit 3\n",
      FOREKEY_BIN "/forekey_interop_sign '", path, "' 'a statement' '", folder_,
      "/tabrmd.signature'\n", "result=$?\nkill $daemon\nwait $daemon\nexit $result\n");
  Run({"dbus-run-session", "--", "bash", "-c", script});
  DeviceSignature signature;
  signature.signature = Content("tabrmd.signature");
  absl::Status checked = token_->CheckSignature(spki_, "a statement", signature);
  EXPECT_TRUE(checked.ok()) << checked;
}

}  // namespace
}  // namespace forekey
