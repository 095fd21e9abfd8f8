// SPDX-License-Identifier: Apache-2.0
// forekey-gate's commands, with and without a running gate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "examples/echo_services.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/crypto/digest.h"
#include "src/gate/grpc/self_signed.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/invite.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gate_command.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class GateCommandsTest : public ::testing::Test {
 protected:
  GateCommandsTest() : config_(directory_.path() + "/gate/gate.toml") {
    made_ = RunGate({"init", "--directory", directory_.path() + "/gate", "--audience", "cli.test",
                     "--listen", "127.0.0.1:0"});
  }
  CommandResult RunWith(std::vector<std::string> words) {
    words.push_back("--config");
    words.push_back(config_);
    return RunGate(std::move(words));
  }

  TempDirectory directory_;
  const std::string config_;
  CommandResult made_;
};

TEST_F(GateCommandsTest, InitMakesWhatCheckConfigFindsGood) {
  EXPECT_EQ(made_.exit_status, 0) << made_.err;
  struct stat info = {};
  ASSERT_EQ(stat((directory_.path() + "/gate/tls/key.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_THAT(made_.out, HasSubstr("nobody can enrol"));
  EXPECT_EQ(RunWith({"check-config"}).exit_status, 0) << RunWith({"check-config"}).err;
  // And never overwrites: a second one would lock out whoever trusts the first.
  CommandResult again =
      RunGate({"init", "--directory", directory_.path() + "/gate", "--audience", "x"});
  EXPECT_EQ(again.exit_status, 1);
  EXPECT_THAT(again.err, HasSubstr("nothing was changed"));
}

// A folder on the command line is taken from where the person stands, and the configuration is read
// from elsewhere.
TEST_F(GateCommandsTest, InitNamesTrustSoThatTheGateFindsIt) {
  const std::string trust = directory_.path() + "/roots";
  ASSERT_EQ(mkdir(trust.c_str(), 0700), 0);
  const auto ca = MakeSelfSignedCertificate({"ca.test"}, absl::Now(), absl::Hours(24));
  ASSERT_TRUE(WriteFileAtomically(trust + "/ca.pem", ca->certificate_pem).ok());
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  const CommandResult made = RunGate({"init", "--directory", "all", "--audience", "all.test",
                                      "--tpm-simulator-trust", "./roots", "--fido2-simulator-trust",
                                      "roots", "--piv-trust", "roots", "--state", "elsewhere"});
  std::filesystem::current_path(here);
  ASSERT_EQ(made.exit_status, 0) << made.err;
  EXPECT_THAT(made.out, Not(HasSubstr("nobody can enrol")));
  const std::string config = directory_.path() + "/all/gate.toml";
  const GateConfig read = Must(GateConfig::Load(config), "config");
  for (TokenKind kind : {v1::TOKEN_KIND_TPM, v1::TOKEN_KIND_FIDO2, v1::TOKEN_KIND_PIV}) {
    EXPECT_TRUE(read.tokens.Find(kind)->Enrols()) << kind;
  }
  EXPECT_EQ(read.state.directory, directory_.path() + "/elsewhere");
  const CommandResult checked = RunGate({"check-config", "--config", config});
  EXPECT_EQ(checked.exit_status, 0) << checked.err;
  EXPECT_THAT(checked.out, HasSubstr(": good"));
}

TEST_F(GateCommandsTest, CheckConfigSaysWhereNobodyCanEnrol) {
  const CommandResult checked = RunWith({"check-config", "--json"});
  EXPECT_EQ(checked.exit_status, 0);
  EXPECT_EQ(checked.json()["valid"], true);
  EXPECT_THAT(checked.json()["warnings"][0].get<std::string>(), HasSubstr("nobody can enrol"));
  EXPECT_THAT(RunWith({"check-config"}).out, Not(HasSubstr("good")));
}

// One round of mending is enough: mistakes of the text, and files that are not there, together.
TEST_F(GateCommandsTest, CheckConfigNamesEveryMistakeWithItsLine) {
  ASSERT_TRUE(WriteFileAtomically(config_,
                                  "audience = \"a\"\n[tls]\ncertificate = \"tls/none.pem\"\n"
                                  "private_key = \"tls/nokey.pem\"\nca = \"tls/noca.pem\"\n"
                                  "[state]\ndirectory = \"state\"\n[sessions]\nidle = \"soon\"\n"
                                  "[attestation.tpm]\ntrust = \"nowhere\"\n"
                                  "[[rule]]\nmethods = [\"/a.B/*\"]\n"
                                  "factors = [[\"example.badge\"]]\n")
                  .ok());
  const CommandResult checked = RunWith({"check-config"});
  EXPECT_EQ(checked.exit_status, 1);
  for (const char* found :
       {"gate.toml:3: tls.certificate", "gate.toml:4: tls.private_key", "gate.toml:5: tls.ca",
        "gate.toml:9: sessions.idle", "gate.toml:11: attestation.tpm.trust", "example.badge"}) {
    EXPECT_THAT(checked.err, HasSubstr(found));
  }
}

TEST_F(GateCommandsTest, InitTakesNoKeyFromAnAudience) {
  CommandResult result = RunGate({"init", "--directory", directory_.path() + "/other", "--audience",
                                  "a\"\n[tuning]\nexecutor_threads = false #"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_NE(access((directory_.path() + "/other").c_str(), F_OK), 0)
      << "nothing may be left behind";
}

TEST_F(GateCommandsTest, CheckConfigNamesEveryError) {
  ASSERT_TRUE(WriteFileAtomically(config_,
                                  "audience = \"a\"\n[listen]\naddress = \"nowhere\"\n"
                                  "[tls]\ncertificate = \"tls/certificate.pem\"\n"
                                  "private_key = \"tls/key.pem\"\n[state]\n"
                                  "directory = \"state\"\ndirektory = 1\n")
                  .ok());
  CommandResult checked = RunWith({"check-config"});
  EXPECT_EQ(checked.exit_status, 1);
  EXPECT_THAT(checked.err, HasSubstr("gate.toml:3"));
  EXPECT_THAT(checked.err, HasSubstr("direktory"));
}

TEST_F(GateCommandsTest, WithoutAGateTheRegistryIsChangedAndSaidSo) {
  CommandResult invited = RunWith({"invite", "--subject", "alice", "--role", "dev", "--kind", "tpm",
                                   "--address", "gate.example:1", "--json"});
  ASSERT_EQ(invited.exit_status, 0) << invited.err;
  Invite invite = Must(Invite::Parse(invited.json()["invite"].get<std::string>()), "invite");
  EXPECT_EQ(invite.audience, "cli.test");
  EXPECT_EQ(invite.address, "gate.example:1");
  EXPECT_EQ(invite.ca_certificates.size(), 1u);

  CommandResult listed = RunWith({"invites", "--json"});
  ASSERT_EQ(listed.json().size(), 1u) << listed.err;
  EXPECT_EQ(listed.json()[0]["subject"], "alice");
  const std::string id = listed.json()[0]["id"];
  EXPECT_EQ(RunWith({"invites", "--cancel", id}).exit_status, 0);
  EXPECT_EQ(RunWith({"invites", "--json"}).json().size(), 0u);
  EXPECT_EQ(RunWith({"invites", "--cancel", id}).exit_status, 1);
  EXPECT_EQ(RunWith({"status", "--json"}).json()["running"], false);
}

TEST_F(GateCommandsTest, WhoASubjectIsAtTheProviderIsSetShownAndTakenAway) {
  CommandResult nobody = RunWith({"subject", "oidc", "set", "ada", "4711"});
  EXPECT_EQ(nobody.exit_status, 1);
  EXPECT_THAT(nobody.err, HasSubstr("no subject ada"));
  {
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
  }
  CommandResult without = RunWith({"subject", "oidc", "set", "ada", "4711"});
  EXPECT_EQ(without.exit_status, 1);
  EXPECT_THAT(without.err, HasSubstr("no [factors.oidc]"));
  // The keys are the running gate's business: a tool neither needs nor fetches them.
  const std::string config = Must(ReadFile(config_), "config");
  Must(WriteFileAtomically(
           config_, config +
                        "\n[[factors.oidc.provider]]\nissuer = \"https://idp.test\"\nclient_id = "
                        "\"gate\"\njwks_file = \"missing.json\"\n"),
       "config");
  EXPECT_THAT(RunWith({"check-config"}).err,
              HasSubstr("factors.oidc.provider.jwks_file of https://idp.test: "));
  CommandResult set = RunWith({"subject", "oidc", "set", "ada", "4711"});
  EXPECT_EQ(set.exit_status, 0) << set.err;
  EXPECT_EQ(set.out, "ada: is sub 4711 at https://idp.test\n");
  EXPECT_THAT(RunWith({"subjects"}).out, HasSubstr("sub=4711 at https://idp.test"));
  EXPECT_EQ(RunWith({"subjects", "--json"}).json()[0]["oidc_identities"][0],
            "sub=4711 at https://idp.test");
  EXPECT_EQ(RunWith({"subject", "oidc", "set", "ada", ""}).exit_status, 1);
  const CommandResult providers = RunWith({"providers"});
  EXPECT_EQ(providers.exit_status, 0) << providers.err;
  EXPECT_THAT(providers.out, AllOf(HasSubstr("https://idp.test  client gate"),
                                   HasSubstr("missing.json  no keys")));
  const CommandResult fetched = RunWith({"providers", "--refresh"});
  EXPECT_EQ(fetched.exit_status, 1);
  EXPECT_THAT(fetched.err, AllOf(HasSubstr("https://idp.test: "), HasSubstr("missing.json")));
  const CommandResult other =
      RunWith({"subject", "oidc", "set", "ada", "1", "--issuer", "https://b.test"});
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_THAT(other.err, HasSubstr("no provider has that issuer: https://idp.test"));
  CommandResult cleared = RunWith({"subject", "oidc", "clear", "ada"});
  EXPECT_EQ(cleared.out, "ada: identity taken away\n") << cleared.err;
  EXPECT_EQ(RunWith({"subjects", "--json"}).json()[0]["oidc_identities"].size(), 0u);
}

TEST_F(GateCommandsTest, ARecheckSaysHowManyItCouldCheck) {
  const CommandResult none = RunWith({"recheck"});
  EXPECT_EQ(none.exit_status, 0) << none.err;
  EXPECT_EQ(none.out, "0 checked, 0 would be refused now, 0 could not be checked\n");
  const CommandResult json = RunWith({"recheck", "--revoke", "--json"});
  EXPECT_EQ(json.json()["credentials"].size(), 0u) << json.err;
}

TEST_F(GateCommandsTest, ARevocationHoldsInTheRunningGate) {
  example::SyncEcho echo;
  auto gate = Must(Gate::New({.config_file = config_}), "gate");
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  Must(gate->Install(builder), "Install");
  auto server = builder.BuildAndStart();
  EXPECT_EQ(RunWith({"status", "--json"}).json()["running"], true);

  CommandResult unknown = RunWith({"revoke", "0123456789abcdef"});
  EXPECT_EQ(unknown.exit_status, 1);
  EXPECT_THAT(unknown.err, HasSubstr("no credential begins with"));
  CommandResult invited = RunWith({"invite", "--subject", "bob"});
  EXPECT_EQ(invited.exit_status, 0) << invited.err;
  EXPECT_EQ(RunWith({"invites", "--json"}).json()[0]["subject"], "bob");
  EXPECT_EQ(RunWith({"rotate-identity"}).exit_status, 0);
  server->Shutdown(std::chrono::system_clock::now());
}

TEST_F(GateCommandsTest, CommandLinesThatCanNotBeRunExitWithTwo) {
  EXPECT_EQ(RunGate({"invite"}).exit_status, 2);
  EXPECT_EQ(RunGate({"no-such-command"}).exit_status, 2);
  CommandResult no_config = RunGate({"status", "--config", directory_.path() + "/none.toml"});
  EXPECT_EQ(no_config.exit_status, 2);
  EXPECT_THAT(no_config.err, HasSubstr("none.toml"));
  EXPECT_EQ(RunWith({"invite", "--subject", "x", "--lifetime", "soon"}).exit_status, 1);
  EXPECT_EQ(RunWith({"revoke"}).exit_status, 1);
}

}  // namespace
}  // namespace forekey::testing
