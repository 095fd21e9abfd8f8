// SPDX-License-Identifier: Apache-2.0
// Laws guarded: what a server sends is trusted by nobody but a person: the first time, and whenever
// it is different, nothing is written until its hash is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/digest.h"
#include "src/verify/piv_attestation.h"
#include "tests/support/https_server.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HttpAnswer;
using testing::HttpsServer;
using testing::IsOk;
using testing::RefusedWith;
using testing::TestCa;
using ::testing::UnorderedElementsAre;

class TrustFetchTest : public ::testing::Test {
 protected:
  TrustFetchTest()
      : server_({}, [this](const std::string& request, const HttpsServer::Send& send) {
          send(absl::StrContains(request, "GET /more ") ? more_ : HttpAnswer("200 OK", body_));
        }) {
    signal(SIGPIPE, SIG_IGN);
    folder_ = ::testing::TempDir() + "/fetch.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    ca_ = folder_ + "/ca.pem";
    std::ofstream(ca_) << server_.ca_pem();
  }
  ~TrustFetchTest() override { fs::remove_all(folder_); }

  int Fetch(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"trust",
                                      "fetch",
                                      "yubico",
                                      "--into",
                                      Store(),
                                      "--url",
                                      url_,
                                      "--ca",
                                      ca_,
                                      "--at",
                                      "2026-01-01T00:00:00Z"};
    words.insert(words.end(), more.begin(), more.end());
    out_.str("");
    err_.str("");
    int status = -1;
    CLI::App app;
    AddTrustCommand(app, out_, err_, &status);
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& error) {
      return app.exit(error, out_, err_) == 0 ? kExitOk : kExitNotRun;
    }
    return status;
  }
  std::string Store() const { return folder_ + "/store"; }
  std::string HashOfBody() const { return absl::BytesToHexString(Sha256(body_)); }
  size_t Stored(const std::string& kind = "piv") const {
    std::vector<std::string> skipped;
    const auto anchors = TrustAnchors::FromDirectory(Store() + "/" + kind, &skipped);
    return anchors.ok() ? anchors->anchors().size() : 0;
  }
  std::vector<std::string> Subjects(const std::string& kind) const {
    std::vector<std::string> skipped, subjects;
    const auto anchors = TrustAnchors::FromDirectory(Store() + "/" + kind, &skipped);
    if (!anchors.ok()) return {};
    for (const Certificate& one : anchors->anchors()) subjects.push_back(one.SubjectText());
    return subjects;
  }
  static std::string Pem(const std::string& name) {
    const TestCa ca = TestCa::New(name);
    return TrustPem(testing::Make(ca.CaSpec(ca)));
  }

  static std::string AttackFile(const std::string& name) {
    const auto file = ReadFile(FOREKEY_SOURCE "/tests/attacks/piv/valid-5-7-4/" + name, 1 << 20);
    return file.value_or("");
  }
  // The certificates of that vector by name, as PEM.
  static std::string AttackPem(const std::string& file, const std::vector<std::string>& subjects) {
    std::string pem;
    for (const auto& one : Certificate::ParseEach(AttackFile(file))) {
      if (!one.ok()) continue;
      for (const std::string& subject : subjects) {
        if (one->SubjectText() == "CN=" + subject) pem += TrustPem(*one);
      }
    }
    return pem;
  }
  // The slot of that vector, of a card that shows its F9 and nothing else, by what was fetched.
  absl::Status VerifySlot() const {
    const auto slot = Certificate::ParseDer(AttackFile("slot.crt"));
    const auto f9 =
        Certificate::ParseEach(AttackPem("intermediate0.crt", {"YubiKey PIV Attestation F9"}));
    std::vector<std::string> skipped;
    const auto trust = TrustAnchors::FromDirectory(Store() + "/piv", &skipped);
    if (!slot.ok() || f9.size() != 1 || !f9[0].ok() || !trust.ok()) {
      return absl::InternalError("the vector, or the folder");
    }
    PivPolicy policy;
    policy.trust = &*trust;
    policy.time = absl::FromUnixSeconds(1'767'225'600);
    return VerifyPivAttestation(*slot, {*f9[0]}, policy).status();
  }
  // What --accept takes for body_ and `more`.
  std::string HashOfBoth(const std::string& more) const {
    return absl::BytesToHexString(
        Sha256(absl::StrCat(HashOfBody(), "\n", absl::BytesToHexString(Sha256(more)), "\n")));
  }

  std::string body_, more_;
  HttpsServer server_;
  std::string url_ = server_.Url();
  std::string folder_, ca_;
  std::ostringstream out_, err_;
};

TEST_F(TrustFetchTest, WaitsForAPersonTheFirstTimeAndWhenItIsDifferent) {
  body_ = Pem("One PIV Root");
  EXPECT_EQ(Fetch(), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("would be: 1 added"));
  EXPECT_THAT(err_.str(), HasSubstr(absl::StrCat("--accept ", HashOfBody())));
  EXPECT_FALSE(fs::exists(Store()));

  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 1u);
  EXPECT_EQ(Fetch(), kExitOk) << "the very same needs nobody: " << err_.str();

  const std::string before = HashOfBody();
  body_ += Pem("Another PIV Root");
  EXPECT_EQ(Fetch(), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("not what was accepted before"));
  EXPECT_EQ(Fetch({"--accept", before}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("it has changed"));
  EXPECT_EQ(Stored(), 1u);
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk);
  EXPECT_EQ(Stored(), 2u);
}

// The names of Yubico's two files, as they were published in 2025 and 2026.
TEST_F(TrustFetchTest, EachCertificateIsForWhatItSays) {
  const TestCa root = TestCa::New("Yubico Attestation Root 1");
  const TestCa common = TestCa::New("Yubico Attestation Intermediate B 1");
  const auto below = [&common](const std::string& name) {
    return TrustPem(testing::Make(TestCa::New(name).CaSpec(common)));
  };
  body_ = Pem("Yubico U2F Root CA Serial 457200631") + Pem("Yubico PIV Root CA Serial 263751") +
          Pem("Yubico OpenPGP Attestation CA") + Pem("Yubico FIDO Root CA Serial 450203556") +
          TrustPem(testing::Make(root.CaSpec(root))) +
          TrustPem(testing::Make(common.CaSpec(root))) + below("Yubico PIV Attestation B2 1") +
          below("Yubico FIDO Attestation B2 1") + below("Yubico OPGP Attestation B2 1") +
          below("Yubico SD Attestation B2 1") + below("YubiHSM Attestation B2 1") +
          Pem("Yubico something of tomorrow");
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("it is for keys that no gate takes"));
  EXPECT_THAT(out_.str(), HasSubstr("CN=Yubico something of tomorrow: nothing says whether"));
  EXPECT_THAT(Subjects("piv"), UnorderedElementsAre("CN=Yubico PIV Root CA Serial 263751",
                                                    "CN=Yubico Attestation Root 1",
                                                    "CN=Yubico Attestation Intermediate B 1",
                                                    "CN=Yubico PIV Attestation B2 1"));
  EXPECT_THAT(Subjects("fido2"), UnorderedElementsAre("CN=Yubico U2F Root CA Serial 457200631",
                                                      "CN=Yubico FIDO Root CA Serial 450203556",
                                                      "CN=Yubico FIDO Attestation B2 1"));
  EXPECT_THAT(Subjects("tpm"), ElementsAre());
}

// It holds its F9; the CAs between that and the root are in the second file.
TEST_F(TrustFetchTest, AYubiKeyOfToday) {
  body_ = AttackPem("trust/root0.crt", {"Yubico PIV Root CA Serial 263751"}) +
          AttackPem("trust/root1.crt", {"Yubico Attestation Root 1"});
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 2u);
  EXPECT_THAT(VerifySlot(), RefusedWith(Reason::kCertificateUntrusted));

  const std::string more = AttackPem(
      "intermediate0.crt", {"Yubico Attestation Intermediate B 1", "Yubico PIV Attestation B 1"});
  const std::vector<std::string> both = {"--url", server_.Url("/more"), "--accept",
                                         HashOfBoth(more)};
  more_ = HttpAnswer("404 Not Found", "");
  EXPECT_EQ(Fetch(both), kExitNotRun) << "half of a list is none";
  more_ = HttpAnswer("200 OK", more);
  EXPECT_EQ(Fetch({"--url", server_.Url("/more")}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("this is not what was accepted before"));
  EXPECT_THAT(err_.str(), HasSubstr(absl::StrCat(" --url ", server_.Url("/more"), " --ca ")));
  EXPECT_EQ(Stored(), 2u);
  EXPECT_EQ(Fetch(both), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 4u);
  EXPECT_THAT(VerifySlot(), IsOk());
  EXPECT_EQ(Fetch({"--url", server_.Url("/more")}), kExitOk) << "the very same needs nobody";
}

TEST_F(TrustFetchTest, ATimerBringsNothingBackAndAddsNothingUnseen) {
  body_ = Pem("One PIV Root");
  const TestCa old = TestCa::New("An old PIV Root");
  testing::CertificateSpec spec = old.CaSpec(old);
  spec.not_after = absl::FromUnixSeconds(1'750'000'000);
  body_ += TrustPem(testing::Make(spec));
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 1u);
  // The person who accepted it saw that the old one was left out.
  EXPECT_EQ(Fetch({"--allow-expired"}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("more of it would be taken now"));
  EXPECT_EQ(Stored(), 1u);
  fs::remove_all(Store() + "/piv");
  EXPECT_EQ(Fetch(), kExitOk) << "a person took it out, and that is no mistake: " << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("--again takes it"));
  EXPECT_EQ(Stored(), 0u);
  EXPECT_EQ(Fetch({"--again"}), kExitOk);
  EXPECT_EQ(Stored(), 1u);
}

TEST_F(TrustFetchTest, TheCommandThatItAdvisesIsTheSameOne) {
  body_ = Pem("One PIV Root");
  EXPECT_EQ(Fetch({"--prune", "--allow-expired"}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr(absl::StrCat("--url ", url_, " --ca ", folder_,
                                                 "/ca.pem --prune --allow-expired --accept ")));
  ca_ = folder_ + "/it's a ca.pem";
  std::ofstream(ca_) << server_.ca_pem();
  EXPECT_EQ(Fetch(), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr(absl::StrCat("--ca '", folder_, "/it'\\''s a ca.pem'")));
  EXPECT_EQ(Fetch({"--accept", absl::AsciiStrToUpper(HashOfBody())}), kExitOk) << err_.str();
}

TEST_F(TrustFetchTest, ADamagedMemoryIsToldAsOne) {
  body_ = Pem("One PIV Root");
  fs::create_directory(Store());
  for (const char* memory : {R"({"yubico": {"sha256": 1}})", R"({"yubico": 1})", "[]", "{"}) {
    std::ofstream(Store() + "/fetched.json") << memory;
    EXPECT_EQ(Fetch(), kExitNotRun);
    EXPECT_THAT(err_.str(), HasSubstr("fetched.json is damaged"));
  }
}

TEST_F(TrustFetchTest, TakesNothingThatIsNoCertificateAndAsksNoStranger) {
  body_ = "<html>moved</html>";
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("no CA in what came"));
  EXPECT_FALSE(fs::exists(Store()));
  // A server whose certificate is not vouched for is not asked.
  std::ofstream(folder_ + "/ca.pem") << Pem("Somebody else");
  EXPECT_EQ(Fetch(), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("certificate"));
}

TEST_F(TrustFetchTest, FollowsRedirectsToHttpsAlone) {
  body_ = Pem("One PIV Root");
  std::string place = server_.Url();
  HttpsServer published({}, [&](const std::string&, const HttpsServer::Send& send) {
    send(HttpAnswer("302 Found", "", absl::StrCat("Location: ", place, "\r\n")));
  });
  std::ofstream(folder_ + "/ca.pem") << server_.ca_pem() << published.ca_pem();
  url_ = published.Url();
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 1u);
  place = "http://localhost:1/";
  EXPECT_EQ(Fetch(), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("rotocol"));
  place = published.Url();  // on and on
  EXPECT_EQ(Fetch(), kExitNotRun);
}

}  // namespace
}  // namespace forekey
