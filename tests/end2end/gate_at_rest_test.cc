// SPDX-License-Identifier: Apache-2.0
// forekey-gate's commands for a gate that can't start: that is when a stolen key must be revoked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/gate/config/config.h"
#include "src/store/sqlite_registry.h"
#include "tests/end2end/gate_command.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

// What is wrong with the gate.
struct Breakage {
  std::string name;
  std::string config;                // added to the configuration
  std::vector<std::string> removed;  // files of the gate's folder
  std::string complaint;             // why no gate starts; a part of it
  // Commands that need what is broken: what they say, a part of it.
  std::map<std::string, std::string> need_it;
};

std::vector<Breakage> Breakages() {
  return {
      {"MissingCertificate",
       "",
       {"tls/certificate.pem", "tls/ca.pem"},
       "tls/certificate.pem",
       {{"invite", "tls/ca.pem"}}},  // [tls] ca: it would be useless
      {"EmptyTrustFolder",
       "[attestation.tpm]\ntrust = \"trust\"\n",
       {},
       "attestation.tpm",
       {{"recheck", "attestation.tpm"}}},
      {"EmptyIssuersFolder",
       "[attestation.piv]\nissuers = \"trust\"\n",
       {},
       "attestation.piv",
       {{"recheck", "attestation.piv"}}},
      {"BrokenRules",
       "[rules]\nexempt = 7\n[[rule]]\nmethods = [\"no method\"]\n",
       {},
       "exempt",
       {{"explain", "exempt"}}},
      {"MisspeltKey", "[connections]\ntotla = 5\n", {}, "connections.totla", {}},
      {"OptionalFilesGone",
       "[attestation.fido2]\nmds = \"gone.jwt\"\nmds_root = \"gone.pem\"\n"
       "[[factors.oidc.provider]]\nissuer = \"https://idp.test\"\nclient_id = \"gate\"\n"
       "jwks_file = \"gone.json\"\n",
       {},
       "gone.",
       {{"recheck", "gone."}}},
      {"AcceptedCertificatesGone",
       "[tls]\ncertificate = \"tls/certificate.pem\"\nprivate_key = \"tls/key.pem\"\n"
       "accepted_certificates = \"gone\"\n",
       {},
       "gone",
       {}},
  };
}

class GateAtRestTest : public ::testing::TestWithParam<Breakage> {
 protected:
  GateAtRestTest() : folder_(directory_.path() + "/gate"), config_(folder_ + "/gate.toml") {
    const CommandResult made = RunGate({"init", "--directory", folder_, "--audience", "rest.test",
                                        "--listen", "127.0.0.1:0", "--advertise", "rest.test:1"});
    EXPECT_EQ(made.exit_status, 0) << made.err;
    std::filesystem::create_directory(folder_ + "/trust");
    // A log begins before anything is in the registry.
    EXPECT_EQ(RunWith({"subjects"}).exit_status, 0);
    Enroll();
    Break(GetParam());
  }
  void Enroll() {
    auto registry =
        Must(SqliteRegistry::Open(Must(GateConfig::Load(config_), "config").state.RegistryPath()),
             "registry");
    InviteRecord invite;
    invite.public_key = std::string(32, 'i');
    invite.id = Sha256(invite.public_key);
    invite.subject = "ada";
    invite.created_at = absl::Now();
    invite.expires_at = absl::Now() + absl::Hours(1);
    Must(registry->AddInvite(invite), "invite");
    Registry::Enrollment enrollment;
    enrollment.invite_id = invite.id;
    enrollment.now = absl::Now();
    enrollment.credential.id = std::string(32, 'c');
    enrollment.credential.subject = "ada";
    enrollment.credential.kind = v1::TOKEN_KIND_TPM;
    enrollment.credential.spki = "spki";
    enrollment.credential.enrolled_at = absl::Now();
    Must(registry->Enroll(enrollment), "enrol");
    invite.public_key = std::string(32, 'o');  // an open one
    invite.id = Sha256(invite.public_key);
    Must(registry->AddInvite(invite), "invite");
  }
  void Break(const Breakage& breakage) {
    std::string config = Must(ReadFile(config_), "config");
    Must(WriteFileAtomically(config_, Merge(config, breakage.config)), "config");
    for (const std::string& file : breakage.removed) unlink((folder_ + "/" + file).c_str());
  }
  // A [tls] takes the place of the one that is there.
  static std::string Merge(std::string config, const std::string& added) {
    if (added.substr(0, 5) == "[tls]") {
      const size_t from = config.find("[tls]");
      config.erase(from, config.find("[state]") - from);
    }
    return config + "\n" + added;
  }
  CommandResult RunWith(std::vector<std::string> words) {
    words.push_back("--config");
    words.push_back(config_);
    return RunGate(std::move(words));
  }
  // Works, or says what it needs and lacks.
  CommandResult Run(const std::vector<std::string>& words) {
    const CommandResult result = RunWith(words);
    const auto needs = GetParam().need_it.find(words[0]);
    if (needs == GetParam().need_it.end()) {
      EXPECT_EQ(result.exit_status, 0) << absl::StrJoin(words, " ") << ": " << result.err;
    } else {
      EXPECT_NE(result.exit_status, 0) << absl::StrJoin(words, " ");
      EXPECT_THAT(result.err, HasSubstr(needs->second)) << absl::StrJoin(words, " ");
    }
    return result;
  }

  TempDirectory directory_;
  const std::string folder_;
  const std::string config_;
};

TEST_P(GateAtRestTest, NoGateStarts) {
  const auto gate = Gate::New({.config_file = config_});
  ASSERT_FALSE(gate.ok());
  EXPECT_THAT(std::string(gate.status().message()), HasSubstr(GetParam().complaint));
}

TEST_P(GateAtRestTest, WhatIsEnrolledIsSeen) {
  const CommandResult status = Run({"status", "--json"});
  EXPECT_EQ(status.json()["credentials"], 1) << status.err;
  EXPECT_EQ(status.json()["running"], false);
  EXPECT_EQ(Run({"subjects", "--json"}).json().size(), 1u);
  EXPECT_EQ(Run({"credentials", "--json"}).json().size(), 1u);
  EXPECT_EQ(Run({"invites", "--json"}).json().size(), 2u);
  Run({"providers"});
  Run({"recheck"});
  Run({"explain", "--subject", "ada", "--method", "/a.B/C"});
  Run({"audit", "show"});
  Run({"audit", "verify"});
}

TEST_P(GateAtRestTest, ASubjectIsRevokedWithItsInvites) {
  const CommandResult revoked = Run({"revoke", "--subject", "ada", "--note", "stolen"});
  EXPECT_THAT(revoked.out, HasSubstr("1 revoked in the registry; no gate is running here\n"));
  EXPECT_THAT(revoked.out, HasSubstr("invite cancelled: " +
                                     absl::BytesToHexString(Sha256(std::string(32, 'o')))));
  EXPECT_EQ(Run({"credentials", "--json"}).json()[0]["revocation_note"], "stolen");
  EXPECT_EQ(Run({"invites", "--json"}).json().size(), 1u) << "the used one stays";
}

TEST_P(GateAtRestTest, OneCredentialIsRevoked) {
  const std::string id = absl::BytesToHexString(std::string(32, 'c'));
  EXPECT_EQ(Run({"revoke", id, "--json"}).json()["revoked"], 1);
  EXPECT_EQ(Run({"invites", "--json"}).json().size(), 2u);
}

TEST_P(GateAtRestTest, WhatIsKeptIsChangedAndCopied) {
  Run({"invite", "--subject", "bob"});
  const std::string open = absl::BytesToHexString(Sha256(std::string(32, 'o')));
  Run({"invites", "--cancel", open});
  Run({"subject", "set", "ada", "--disable"});
  Run({"subject", "password", "clear", "ada"});
  Run({"subject", "oidc", "clear", "ada"});
  Run({"rotate-identity"});
  const std::string copy = directory_.path() + "/copy.sqlite";
  Run({"backup", "--to", copy});
  Run({"restore", "--from", copy});
}

INSTANTIATE_TEST_SUITE_P(Breakages, GateAtRestTest, ::testing::ValuesIn(Breakages()),
                         [](const ::testing::TestParamInfo<Breakage>& breakage) {
                           return breakage.param.name;
                         });

}  // namespace
}  // namespace forekey::testing
