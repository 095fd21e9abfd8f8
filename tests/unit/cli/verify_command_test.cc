// SPDX-License-Identifier: Apache-2.0
// Laws guarded: 0 means valid, 1 refused and 2 that nothing was judged; the three are never mixed
// up. What is judged, and how, is in tests/attacks.
#include "src/cli/verify/verify_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

class VerifyCommandTest : public ::testing::Test {
 protected:
  VerifyCommandTest() {
    folder_ = ::testing::TempDir() + "/verify.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    std::filesystem::create_directory(folder_ + "/empty");
    std::ofstream(folder_ + "/junk") << "junk";
  }
  ~VerifyCommandTest() override { std::filesystem::remove_all(folder_); }

  std::string Attack(absl::string_view path) const {
    return absl::StrCat(FOREKEY_SOURCE "/tests/attacks/", path);
  }
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"verify", "attestation"});
    out_.str("");
    err_.str("");
    int status = -1;
    CLI::App app;
    app.require_subcommand(1);
    AddVerifyCommand(app, words, out_, err_, &status);
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& error) {
      return app.exit(error, out_, err_) == 0 ? kExitOk : kExitNotRun;
    }
    return status;
  }
  std::vector<std::string> Endorsement(const std::string& attack) const {
    return {"--kind",
            "tpm",
            "--ek-cert",
            Attack(attack + "/ek.cert"),
            "--trust",
            Attack(attack + "/trust"),
            "--intermediates",
            Attack(attack + "/intermediate0.der"),
            "--at",
            "2026-01-01T00:00:00Z"};
  }
  static std::vector<std::string> With(std::vector<std::string> words,
                                       const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::string folder_;
  std::ostringstream out_, err_;
};

TEST_F(VerifyCommandTest, AnswersInTextAndJson) {
  EXPECT_EQ(Run(Endorsement("tpm/valid-ek-rsa")), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("valid\n"));
  EXPECT_THAT(out_.str(), HasSubstr("manufacturer: Intel"));
  EXPECT_EQ(Run(Endorsement("tpm/no-eku")), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("refused: certificate-purpose"));

  EXPECT_EQ(Run(With(Endorsement("tpm/valid-ek-rsa"), {"--json"})), kExitOk);
  nlohmann::json answer = nlohmann::json::parse(out_.str());
  EXPECT_EQ(answer.at("verdict"), "valid");
  EXPECT_EQ(answer.at("reason"), "");
  EXPECT_TRUE(answer.at("proved").is_object());
  EXPECT_EQ(Run(With(Endorsement("tpm/no-eku"), {"--json"})), kExitRefused);
  answer = nlohmann::json::parse(out_.str());
  EXPECT_EQ(answer.at("verdict"), "refused");
  EXPECT_EQ(answer.at("reason"), "certificate-purpose");
  EXPECT_TRUE(answer.at("proved").is_object());
}

TEST_F(VerifyCommandTest, WhatEvidenceSaysDoesNotCommandTheTerminal) {
  const nlohmann::json proved = {{"model", "key\x1b[2J"},
                                 {"path",
                                  {"CN=\xC2\x9B"
                                   "31m"}}};
  for (const VerifyReport& report :
       {VerifyReport::Valid(proved),
        VerifyReport::Refused(Refuse(Reason::kClientDataType, "type \"\x1b[2J\""), proved)}) {
    const std::string text = report.ToText();
    EXPECT_THAT(text, HasSubstr("key\\x1b[2J"));
    EXPECT_THAT(text, HasSubstr("CN=\\xc2\\x9b31m"));
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(text.find('\x9b'), std::string::npos);
  }
}

TEST_F(VerifyCommandTest, ChecksBothPartsInOneRun) {
  const std::string key = Attack("tpm/valid-key-p256-by-p256");
  const std::vector<std::string> words =
      With(Endorsement("tpm/valid-ek-rsa"),
           {"--ak-public", key + "/ak.pub", "--key-public", key + "/key.pub", "--certify-info",
            key + "/info", "--signature", key + "/sig", "--json", "--qualifying-data"});
  const std::string good = "00 01:02030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
  EXPECT_EQ(Run(With(words, {good})), kExitOk) << err_.str();
  const nlohmann::json proved = nlohmann::json::parse(out_.str()).at("proved");
  EXPECT_EQ(proved.at("endorsement"), true);
  EXPECT_EQ(proved.at("certified_key"), true);
  EXPECT_EQ(proved.at("ak_bound_to_ek"), false);
  EXPECT_EQ(Run(With(words, {"00"})), kExitRefused);
  const nlohmann::json answer = nlohmann::json::parse(out_.str());
  EXPECT_EQ(answer.at("reason"), "attest-extra-data");
  // What was proved before the refusal is told, and no more.
  EXPECT_EQ(answer.at("proved").at("endorsement"), true);
  EXPECT_FALSE(answer.at("proved").contains("certified_key"));
}

TEST_F(VerifyCommandTest, WhatCannotBeRunIsNoVerdict) {
  const std::string key = Attack("tpm/valid-key-p256-by-p256");
  const std::vector<std::string> key_part = {"--kind",         "tpm",          "--ak-public",
                                             key + "/ak.pub",  "--key-public", key + "/key.pub",
                                             "--certify-info", key + "/info",  "--signature",
                                             key + "/sig"};
  const std::string certificate = Attack("tpm/valid-ek-rsa/ek.cert");
  const std::string trust = Attack("tpm/valid-ek-rsa/trust");
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"--kind", "toaster"},
      {"--kind", "tpm"},
      {"--kind", "tpm", "--no-such-flag"},
      {"--kind", "tpm", "--ek-cert", certificate},
      {"--kind", "tpm", "--trust", trust},
      {"--kind", "tpm", "--ek-cert", folder_ + "/missing", "--trust", trust},
      {"--kind", "tpm", "--ek-cert", certificate, "--trust", folder_ + "/missing"},
      {"--kind", "tpm", "--ek-cert", certificate, "--trust", folder_ + "/junk"},
      {"--kind", "tpm", "--ek-cert", certificate, "--trust", trust, "--intermediates",
       folder_ + "/missing"},
      With(Endorsement("tpm/valid-ek-rsa"), {"--ek-public", folder_ + "/missing"}),
      {"--kind", "tpm", "--ek-cert", certificate, "--trust", trust, "--at", "yesterday"},
      {"--kind", "tpm", "--ek-cert", certificate, "--trust", trust, "--at", "2026-01-01"},
      key_part,
      With(key_part, {"--qualifying-data", "0g"}),
      With(key_part, {"--qualifying-data", "012"}),
      With(key_part, {"--qualifying-data", ""}),
      With(key_part, {"--qualifying-data", "00", "--intermediates", certificate}),
  };
  for (const auto& words : cases) {
    EXPECT_EQ(Run(words), kExitNotRun) << ::testing::PrintToString(words);
    EXPECT_EQ(out_.str(), "") << ::testing::PrintToString(words);
    EXPECT_NE(err_.str(), "") << ::testing::PrintToString(words);
  }
}

TEST_F(VerifyCommandTest, EvidenceThatDoesNotParseIsRefused) {
  const std::string trust = Attack("tpm/valid-ek-rsa/trust");
  EXPECT_EQ(Run({"--kind", "tpm", "--ek-cert", folder_ + "/junk", "--trust", trust}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("certificate-malformed"));
  // An empty folder trusts nobody.
  EXPECT_EQ(Run({"--kind", "tpm", "--ek-cert", Attack("tpm/valid-ek-rsa/ek.cert"), "--trust",
                 folder_ + "/empty", "--at", "2026-01-01T00:00:00Z"}),
            kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("certificate-untrusted"));
  EXPECT_THAT(out_.str(), HasSubstr("no trust anchor"));
}

TEST_F(VerifyCommandTest, TakesPemAndBundlesOfIntermediates) {
  const auto pem = [this](const std::string& name, const std::vector<std::string>& ders) {
    std::string text = "some words before\n";
    for (const std::string& path : ders) {
      auto certificate = Certificate::ParseDer(*ReadEvidenceFile("test", path));
      BioPtr bio(BIO_new(BIO_s_mem()));
      PEM_write_bio_X509(bio.get(), certificate->x509());
      char* data = nullptr;
      const long size = BIO_get_mem_data(bio.get(), &data);
      text.append(data, size);
    }
    std::ofstream(absl::StrCat(folder_, "/", name)) << text;
    return absl::StrCat(folder_, "/", name);
  };
  const std::string ek = pem("ek.pem", {Attack("tpm/valid-ek-rsa/ek.cert")});
  const std::string bundle = pem("bundle.pem", {Attack("tpm/valid-ek-rsa/trust/root.der"),
                                                Attack("tpm/valid-ek-rsa/intermediate0.der")});
  EXPECT_EQ(Run({"--kind", "tpm", "--ek-cert", ek, "--intermediates", bundle, "--intermediates",
                 folder_ + "/junk", "--trust", Attack("tpm/valid-ek-rsa/trust"), "--at",
                 "2026-01-01T00:00:00+01:00"}),
            kExitOk)
      << out_.str() << err_.str();
}

TEST_F(VerifyCommandTest, HelpTeachesWithExamples) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--kind tpm --help"));
  EXPECT_EQ(Run({"--kind", "tpm", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("tpm2_nvread 0x1c00002"));
  EXPECT_THAT(out_.str(), HasSubstr("--qualifying-data"));
}

}  // namespace
}  // namespace forekey
