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
#include "absl/strings/str_cat.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/digest.h"
#include "tests/support/https_server.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::HttpAnswer;
using testing::HttpsServer;
using testing::TestCa;

class TrustFetchTest : public ::testing::Test {
 protected:
  TrustFetchTest()
      : server_({}, [this](const std::string&, const HttpsServer::Send& send) {
          send(HttpAnswer("200 OK", body_));
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
  static std::string Pem(const std::string& name) {
    const TestCa ca = TestCa::New(name);
    return TrustPem(testing::Make(ca.CaSpec(ca)));
  }

  std::string body_;
  HttpsServer server_;
  std::string url_ = server_.Url();
  std::string folder_, ca_;
  std::ostringstream out_, err_;
};

TEST_F(TrustFetchTest, WaitsForAPersonTheFirstTimeAndWhenItIsDifferent) {
  body_ = Pem("One Root");
  EXPECT_EQ(Fetch(), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("would be: 1 added"));
  EXPECT_THAT(err_.str(), HasSubstr(absl::StrCat("--accept ", HashOfBody())));
  EXPECT_FALSE(fs::exists(Store()));

  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_EQ(Stored(), 1u);
  EXPECT_EQ(Fetch(), kExitOk) << "the very same needs nobody: " << err_.str();

  const std::string before = HashOfBody();
  body_ += Pem("Another Root");
  EXPECT_EQ(Fetch(), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("not what was accepted before"));
  EXPECT_EQ(Fetch({"--accept", before}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("it has changed"));
  EXPECT_EQ(Stored(), 1u);
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk);
  EXPECT_EQ(Stored(), 2u);
}

TEST_F(TrustFetchTest, EachCertificateIsForWhatItSays) {
  body_ = Pem("Attestation Root 1") + Pem("PIV Attestation A 1") + Pem("FIDO Attestation A 1") +
          Pem("OPGP Attestation A 1");
  EXPECT_EQ(Fetch({"--accept", HashOfBody()}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("it is for OpenPGP keys"));
  EXPECT_EQ(Stored("piv"), 2u);
  EXPECT_EQ(Stored("fido2"), 1u);
}

TEST_F(TrustFetchTest, ATimerBringsNothingBackAndAddsNothingUnseen) {
  body_ = Pem("One Root");
  const TestCa old = TestCa::New("An old Root");
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
  body_ = Pem("One Root");
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
  body_ = Pem("One Root");
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
  body_ = Pem("One Root");
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
