// SPDX-License-Identifier: Apache-2.0
// Laws guarded: what a token needs is said by its own certificates, and whether it is there by
// signatures, not by names; nothing is made and nobody is asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <sstream>

#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/verify_command.h"
#include "tests/support/certificate_maker.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CertificateSpec;
using ::testing::HasSubstr;
using testing::MakeDer;
using testing::NewEcKey;
using testing::TestCa;

class TrustForDeviceTest : public ::testing::Test {
 protected:
  TrustForDeviceTest() {
    folder_ = ::testing::TempDir() + "/trust.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    fs::create_directories(folder_ + "/tpm");
    root_der_ = MakeDer(root_.CaSpec(root_));
    issuing_der_ = MakeDer(issuing_.CaSpec(root_));
    CertificateSpec token = issuing_.Spec("token", NewEcKey());
    token.extensions.push_back({"1.3.6.1.5.5.7.1.1", false, Access("http://vendor.test/i.crt")});
    hardware_ = {"tpm:", "tpm", {MakeDer(token)}};
  }
  ~TrustForDeviceTest() override { fs::remove_all(folder_); }

  // authorityInfoAccess with one address of the issuer's certificate.
  static std::string Access(const std::string& uri) {
    const std::string oid = "\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02";
    const std::string name = std::string("\x86") + static_cast<char>(uri.size()) + uri;
    const std::string one = std::string("\x30") + static_cast<char>(oid.size() + name.size());
    const std::string all = one + oid + name;
    return std::string("\x30") + static_cast<char>(all.size()) + all;
  }
  // A subjectAltName with a TPM's manufacturer and model, in DER.
  static std::string TpmNames(const std::string& maker, const std::string& model) {
    const auto der = [](char tag, const std::string& content) {
      return std::string({tag, static_cast<char>(content.size())}) + content;
    };
    std::string names;
    for (const auto& [last, text] : {std::pair('\x01', maker), std::pair('\x02', model)}) {
      const std::string oid = std::string("\x67\x81\x05\x02") + last;  // 2.23.133.2.
      names += der('\x31', der('\x30', der('\x06', oid) + der('\x0c', text)));
    }
    return der('\x30', der('\xa4', der('\x30', names)));
  }
  int Run(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"trust", "for-device", "--trust", folder_});
    out_.str("");
    err_.str("");
    int status = -1;
    CLI::App app;
    AddTrustCommand(app, out_, err_, &status, [this](const std::string& uri, const std::string&) {
      asked_ = uri;
      return absl::StatusOr<DeviceHardware>(hardware_);
    });
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    return status;
  }
  void Trust(const std::string& name, const std::string& der) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/tpm/" + name, der).ok());
  }

  TestCa root_ = TestCa::New("Vendor Root"), issuing_ = TestCa::New("Vendor Issuing CA");
  std::string root_der_, issuing_der_, folder_, asked_;
  DeviceHardware hardware_;
  std::ostringstream out_, err_;
};

TEST_F(TrustForDeviceTest, NamesTheCaThatIsMissing) {
  EXPECT_EQ(Run({"--device", "tpm:"}), kExitRefused);
  EXPECT_EQ(asked_, "tpm:");
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("missing in " + folder_ + "/tpm: CN=Vendor Issuing CA"),
                    HasSubstr("fetch microsoft-tpm"), HasSubstr("http://vendor.test/i.crt")));
  // What the token brings with it is not what is missing.
  hardware_.certificates.push_back(issuing_der_);
  EXPECT_EQ(Run(), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("missing in " + folder_ + "/tpm: CN=Vendor Root"));
}

TEST_F(TrustForDeviceTest, FindsTheRootThroughWhatTheTokenBringsAndAnIntermediateByItself) {
  hardware_.certificates.push_back(issuing_der_);
  Trust("root.cer", root_der_);
  EXPECT_EQ(Run(), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("there: CN=Vendor Root (root.cer in "));
  hardware_.certificates.pop_back();
  EXPECT_EQ(Run(), kExitRefused) << "the token does not bring what is between";
  Trust("issuing.cer", issuing_der_);
  EXPECT_EQ(Run({"--json"}), kExitOk);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["there"], true);
  EXPECT_EQ(json["anchor"]["file"], "issuing.cer");
  EXPECT_EQ(json["chain"].size(), 1u);
}

TEST_F(TrustForDeviceTest, ANameIsNoSignature) {
  const TestCa other = TestCa::New("Vendor Issuing CA");
  Trust("other.cer", MakeDer(other.CaSpec(other)));
  EXPECT_EQ(Run(), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("missing in"));
}

TEST_F(TrustForDeviceTest, FirmwareIsJudgedByTheTokensWordAndTheFoldersList) {
  Trust("issuing.cer", issuing_der_);
  hardware_.says.kind = v1::TOKEN_KIND_TPM;
  hardware_.says.maker = "IFX";
  hardware_.says.version = FirmwareFromText(v1::TOKEN_KIND_TPM, "7.61.2785.0");
  EXPECT_EQ(Run(), kExitOk) << "what is known is told, and the gate's list decides";
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("says that its firmware is 7.61.2785.0"),
                                HasSubstr("CVE-2017-15361")));
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/firmware.list",
                                  "forekey-firmware-list 1\ntpm IFX least 7.85\n")
                  .ok());
  EXPECT_EQ(Run(), kExitRefused);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("\"tpm IFX least 7.85\""), HasSubstr("too old")));
  EXPECT_EQ(Run({"--json"}), kExitRefused);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["there"], true);
  EXPECT_EQ(json["firmware"]["refused"], true);
  EXPECT_EQ(json["firmware"]["says"], "7.61.2785.0");
  hardware_.says.version = FirmwareFromText(v1::TOKEN_KIND_TPM, "7.86");
  EXPECT_EQ(Run(), kExitOk);
  hardware_.says.version.reset();
  EXPECT_EQ(Run(), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("an enrolment must prove the version"));
  // The folder of the kind alone is as good.
  folder_ += "/tpm";
  hardware_.says.version = FirmwareFromText(v1::TOKEN_KIND_TPM, "7.61");
  EXPECT_EQ(Run(), kExitRefused);
  folder_.resize(folder_.size() - 4);
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/firmware.list", "something else").ok());
  EXPECT_EQ(Run(), kExitNotRun);
}

// A gate goes by the model in the EK certificate, which is not what the TPM calls itself.
TEST_F(TrustForDeviceTest, ATpmsModelIsThatOfItsCertificate) {
  Trust("issuing.cer", issuing_der_);
  hardware_.says.kind = v1::TOKEN_KIND_TPM;
  hardware_.says.maker = "NTC";
  hardware_.says.model = "rlsNPCT75x";
  hardware_.says.version = FirmwareFromText(v1::TOKEN_KIND_TPM, "7.2.0.1");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/firmware.list",
                                  "forekey-firmware-list 1\ntpm NTC/NPCT75 least 7.2.3\n")
                  .ok());
  EXPECT_EQ(Run(), kExitRefused) << "no certificate says that it is another one";
  CertificateSpec token = issuing_.Spec("token", NewEcKey());
  const auto with_model = [&](const std::string& model) {
    token.extensions = {{"2.5.29.17", false, TpmNames("id:4E544300", model)}};
    hardware_.certificates = {MakeDer(token)};
    return Run();
  };
  EXPECT_EQ(with_model("NPCT75x"), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("too old"));
  EXPECT_EQ(with_model("NPCT65x"), kExitOk);
}

TEST_F(TrustForDeviceTest, ATokenThatShowsNothingIsSaidToDoSo) {
  hardware_ = {"fido2:x", "fido2", {}};
  EXPECT_EQ(Run(), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("at an enrolment alone"));
  hardware_ = {"tpm:", "tpm", {"damaged"}};
  EXPECT_EQ(Run(), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("damaged"));
}

// Some terminals take U+009B for the beginning of a command.
TEST_F(TrustForDeviceTest, WhatATokenSaysReachesATerminalAsAscii) {
  CertificateSpec token = issuing_.Spec("token", NewEcKey());
  token.extensions.push_back({"1.3.6.1.5.5.7.1.1", false, Access("http://vendor.test/\xc2\x9b")});
  hardware_.certificates = {MakeDer(token)};
  EXPECT_EQ(Run({"--json"}), kExitRefused);
  EXPECT_EQ(nlohmann::json::parse(out_.str())["addresses"][0], "http://vendor.test/\xc2\x9b");
  EXPECT_THAT(out_.str(), ::testing::Not(HasSubstr("\x9b")));
}

// A chain that leads back to itself ends.
TEST_F(TrustForDeviceTest, AChainInACircleEnds) {
  hardware_.certificates.push_back(issuing_der_);
  hardware_.certificates.push_back(root_der_);
  EXPECT_EQ(Run(), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("CN=Vendor Root, by CN=Vendor Root"));
}

}  // namespace
}  // namespace forekey
