// SPDX-License-Identifier: Apache-2.0
// The law: a credential that the server makes in software is opened by a TPM that has the EK and
// the AK it was made for, and by no other. swtpm is the TPM, tpm2-tools drive it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/verify/tpm_attestation.h"
#include "src/verify/tpm_make_credential.h"

namespace forekey {
namespace {

class TpmCredentialTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    // Short: a unix socket's path is bounded.
    char name[] = "/tmp/fkcred.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    setenv("TPM2TOOLS_TCTI", absl::StrCat("swtpm:path=", folder_, "/s").c_str(), 1);
    setenv("TSS2_LOG", "all+none", 1);
    // --daemon returns once the sockets are there.
    ASSERT_TRUE(Run(absl::StrCat(
        "swtpm socket --tpm2 --tpmstate dir=", folder_, " --server type=unixio,path=", folder_,
        "/s --ctrl type=unixio,path=", folder_,
        "/s.ctrl --flags not-need-init,startup-clear --daemon --pid file=", folder_, "/pid")));
  }
  void TearDown() override {
    Run("tpm2_shutdown -c");
    int pid = 0;
    if (absl::StatusOr<std::string> text = ReadFile(folder_ + "/pid");
        text.ok() && absl::SimpleAtoi(*text, &pid) && pid > 1) {
      kill(pid, SIGTERM);
    }
    std::error_code ignored;  // swtpm takes its own sockets away meanwhile
    std::filesystem::remove_all(folder_, ignored);
  }
  bool Run(const std::string& command) const {
    return system(absl::StrCat("cd ", folder_, " && ( ", command, " ) >>log 2>&1").c_str()) == 0;
  }
  std::string Read(const std::string& name) const {
    absl::StatusOr<std::string> content = ReadFile(absl::StrCat(folder_, "/", name));
    return content.ok() ? *content : "";
  }
  // tpm2-tools' own file format: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
  bool Activate(const TpmCredential& credential) const {
    ByteWriter file;
    file.U32(0xbadcc0de).U32(1).Raw(credential.credential_blob).Raw(credential.encrypted_secret);
    std::ofstream(folder_ + "/cred", std::ios::binary) << file.bytes();
    const std::string activate = "tpm2_activatecredential -c ak.ctx -C ek.ctx -i cred -o out";
    // Templates H-x have userWithAuth besides the policy, L-x the policy alone.
    const bool ok = GetParam() == absl::string_view("ecc384")
                        ? Run(activate)
                        : Run("tpm2_startauthsession --policy-session -S s.ctx && "
                              "tpm2_policysecret -S s.ctx -c e && " +
                              activate + " -P session:s.ctx");
    Run("tpm2_flushcontext s.ctx; tpm2_flushcontext -t");  // three slots are all there are
    return ok;
  }

  std::string folder_;
};

TEST_P(TpmCredentialTest, ATpmOpensWhatWasMadeForItsAkAlone) {
  const std::string kind = GetParam();
  ASSERT_TRUE(Run(absl::StrCat("tpm2_createek -c ek.ctx -G ", kind, " -u ek.pub && ",
                               "tpm2_flushcontext -t && ",
                               "tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa ",
                               "-u ak.pub -n ak.name && tpm2_flushcontext -t")))
      << Read("log");
  auto ek = TpmPublic::Parse(Read("ek.pub"));
  ASSERT_TRUE(ek.ok()) << ek.status();
  auto ak = VerifyAkPublic(Read("ak.pub"));
  ASSERT_TRUE(ak.ok()) << ak.status();
  EXPECT_EQ(ak->name(), Read("ak.name"));

  const std::string secret(kActivationSecretSize, 's');
  auto credential = MakeCredential(*ek, ak->name(), Secret::CopyOf(secret));
  ASSERT_TRUE(credential.ok()) << credential.status();
  ASSERT_TRUE(Activate(*credential)) << Read("log");
  EXPECT_EQ(Read("out"), secret);

  std::string other = ak->name();
  other.back() ^= 1;
  credential = MakeCredential(*ek, other, Secret::CopyOf(secret));
  ASSERT_TRUE(credential.ok()) << credential.status();
  EXPECT_FALSE(Activate(*credential));
}

INSTANTIATE_TEST_SUITE_P(EkKinds, TpmCredentialTest, ::testing::Values("rsa", "ecc", "ecc384"));

}  // namespace
}  // namespace forekey
