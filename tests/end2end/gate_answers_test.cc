// SPDX-License-Identifier: Apache-2.0
// What an administrator asks: why was bob refused, what did a restore bring back, is the log whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>

#include "absl/strings/escaping.h"
#include "src/base/file.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/config/config.h"
#include "src/gate/grpc/self_signed.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/invite.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gate_command.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class GateAnswersTest : public ::testing::Test {
 protected:
  GateAnswersTest() : config_(directory_.path() + "/gate/gate.toml") {
    EXPECT_EQ(RunGate({"init", "--directory", directory_.path() + "/gate", "--audience", "cli.test",
                       "--listen", "127.0.0.1:0"})
                  .exit_status,
              0);
  }
  CommandResult Run(std::vector<std::string> words) {
    words.push_back("--config");
    words.push_back(config_);
    return RunGate(std::move(words));
  }
  // A credential of the subject, as an enrolment leaves it; its id in hex.
  std::string Enrol(const std::string& subject, char byte, const std::string& role = "reader") {
    // A gate opens its log before its registry.
    Must(OpenAuditFile(Must(GateConfig::Load(config_), "config").AuditPath()), "log");
    auto registry =
        Must(SqliteRegistry::Open(Must(GateConfig::Load(config_), "config").state.RegistryPath()),
             "open");
    InviteRecord invite;
    invite.public_key = std::string(32, byte);
    invite.id = Sha256(invite.public_key);
    invite.subject = subject;
    invite.roles = {role};
    invite.created_at = absl::Now();
    invite.expires_at = absl::Now() + absl::Hours(1);
    Must(registry->AddInvite(invite), "invite");
    Registry::Enrollment enrollment;
    enrollment.invite_id = invite.id;
    enrollment.now = absl::Now();
    enrollment.credential.id = std::string(32, byte);
    enrollment.credential.subject = subject;
    enrollment.credential.kind = v1::TOKEN_KIND_TPM;
    enrollment.credential.spki = std::string("spki") + byte;
    enrollment.credential.enrolled_at = absl::Now();
    Must(registry->Enroll(enrollment), "enrol");
    return absl::BytesToHexString(enrollment.credential.id);
  }

  TempDirectory directory_;
  const std::string config_;
};

// A laptop that was lost yesterday does not come back with the backup of the day before.
TEST_F(GateAnswersTest, ARestoreTakesAwayAgainWhatWasTakenAway) {
  const std::string lost = Enrol("bob", 'b');
  Enrol("ada", 'a');
  Enrol("eve", 'e');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost, "--note", "laptop lost"}).exit_status, 0);
  ASSERT_EQ(Run({"subject", "set", "eve", "--disable"}).exit_status, 0);
  ASSERT_EQ(Run({"subject", "set", "ada", "--disable"}).exit_status, 0);
  ASSERT_EQ(Run({"subject", "set", "ada", "--enable"}).exit_status, 0);

  const CommandResult restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err << restored.out;
  ASSERT_EQ(restored.json()["reapplied"].size(), 2u) << restored.out;
  EXPECT_THAT(restored.json()["reapplied"][0].get<std::string>(),
              AllOf(HasSubstr("revoked again: " + lost), HasSubstr("bob")));
  EXPECT_EQ(restored.json()["reapplied"][1], "disabled again: eve");
  const auto credentials = Run({"credentials", "--subject", "bob", "--json"}).json();
  EXPECT_NE(credentials[0]["revoked"], "");
  EXPECT_THAT(credentials[0]["revocation_note"].get<std::string>(), HasSubstr("laptop lost"));
  for (const auto& subject : Run({"subjects", "--json"}).json()) {
    EXPECT_EQ(subject["disabled"], subject["subject"] == "eve") << subject;
  }
  EXPECT_EQ(Run({"audit", "verify"}).exit_status, 0) << Run({"audit", "verify"}).out;
  EXPECT_EQ(Run({"restore", "--from", backup, "--json"}).json()["reapplied"].size(), 2u);
}

// An invite that somebody gave away, or used, is no key to the gate after a restore.
TEST_F(GateAnswersTest, ARestoreBringsNoInviteBackAndSaysWhatItCantDoAgain) {
  const std::string bobs = Enrol("bob", 'b');
  Enrol("ada", 'a');
  for (const char* subject : {"ada", "bob", "eve", "mia"}) {
    ASSERT_EQ(Run({"invite", "--subject", subject, "--address", "a.test:1"}).exit_status, 0);
  }
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  std::map<std::string, std::string> ids;  // of unused ones, by subject
  for (const auto& invite : Run({"invites", "--json"}).json()) {
    if (invite["used"] == "") ids[invite["subject"]] = invite["id"];
  }
  ASSERT_EQ(ids.size(), 4u);
  ASSERT_EQ(Run({"invites", "--cancel", ids["eve"]}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", "--subject", "bob"}).exit_status, 0);
  ASSERT_EQ(Run({"subject", "set", "ada", "--role", "admin"}).exit_status, 0);
  {
    Decision used;  // by an enrolment
    used.event = AuditEvent::kEnrollment;
    used.time = absl::Now();
    used.admitted = true;
    used.subject = "ada";
    used.invite = absl::HexStringToBytes(ids["ada"]);
    Decision refused = used;
    refused.admitted = false;
    refused.invite = absl::HexStringToBytes(ids["mia"]);
    const auto log =
        Must(OpenAuditFile(Must(GateConfig::Load(config_), "config").AuditPath()), "log");
    Must(log->Write(used), "write");
    Must(log->Write(refused), "write");
    Decision password;
    password.event = AuditEvent::kAdmin;
    password.time = absl::Now();
    password.method = "SetPassword";
    password.subject = "ada";
    password.detail = "password set";
    Must(log->Write(password), "write");
    password.subject = "bob";
    password.time -= absl::Hours(1);  // the backup has it
    Must(log->Write(password), "write");
  }
  const CommandResult restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err << restored.out;
  EXPECT_THAT(restored.out,
              AllOf(HasSubstr("cancelled: invite " + ids["eve"] + " of eve"),
                    HasSubstr("cancelled: invite " + ids["bob"] + " of bob"),
                    HasSubstr("cancelled: invite " + ids["ada"] + " of ada, which was used"),
                    HasSubstr("revoked again: " + bobs)));
  ASSERT_EQ(restored.json()["came_back"].size(), 2u) << restored.out;
  EXPECT_THAT(restored.json()["came_back"][0].get<std::string>(),
              HasSubstr("roles of ada: reader again; they were set to admin on "));
  EXPECT_THAT(restored.json()["came_back"][1].get<std::string>(),
              AllOf(HasSubstr("ada: as in the backup again"), HasSubstr("password set")));
  std::vector<std::string> open;
  for (const auto& invite : Run({"invites", "--json"}).json()) {
    if (invite["used"] == "") open.push_back(invite["subject"]);
  }
  EXPECT_EQ(open, std::vector<std::string>{"mia"});
  EXPECT_THAT(Run({"restore", "--from", backup}).err, HasSubstr("warning: roles of ada"));
}

// A registry without what the log says would let a lost laptop in: until that is known, the old one
// stays.
TEST_F(GateAnswersTest, ARestoreWithoutItsLogChangesNothingUnlessThatIsMeant) {
  const std::string lost = Enrol("bob", 'b');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  const auto config = GateConfig::Load(config_);
  ASSERT_TRUE(config.ok()) << config.status();
  // A folder has the place of the log: it can't be read, not even by root.
  const std::string log = config->AuditPath();
  std::filesystem::rename(log, log + ".away");
  std::filesystem::create_directory(log);
  const CommandResult refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("--without-audit-log"));
  const auto revoked = [&] {
    auto registry = SqliteRegistry::Open(config->state.RegistryPath(), {.exclusive = false});
    return (*registry)->ListCredentials("bob")->at(0).revoked_at.has_value();
  };
  EXPECT_TRUE(revoked());
  const CommandResult meant = Run({"restore", "--from", backup, "--without-audit-log"});
  EXPECT_EQ(meant.exit_status, 0) << meant.err;
  EXPECT_THAT(meant.err, HasSubstr("is live again"));
  EXPECT_FALSE(revoked());
}

// The line that says what was revoked may be in a file that was rotated away.
TEST_F(GateAnswersTest, ARestoreWantsEveryLineOfTheLog) {
  const std::string lost = Enrol("bob", 'b');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  const std::string log = Must(GateConfig::Load(config_), "config").AuditPath();
  const std::string rotated = log + ".1", elsewhere = directory_.path() + "/archived";
  std::filesystem::rename(log, rotated);
  ASSERT_EQ(Run({"subject", "set", "bob", "--role", "reader"}).exit_status, 0);
  // As logrotate calls it, and compressed.
  const std::string content = Must(ReadFile(rotated), "read");
  Must(WriteFileAtomically(rotated, "\x1f\x8b compressed\n"), "write");
  const auto revokes_again = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"restore", "--from", backup, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult restored = Run(words);
    EXPECT_EQ(restored.exit_status, 0) << restored.err;
    return restored.exit_status == 0 && restored.json()["reapplied"].size() == 1;
  };
  CommandResult refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, AllOf(HasSubstr("lines 1 to "), HasSubstr(rotated),
                                 HasSubstr("--without-audit-log")));
  Must(WriteFileAtomically(elsewhere, content), "write");
  EXPECT_TRUE(revokes_again({"--audit-log", elsewhere})) << "the compressed one holds no more";
  std::filesystem::remove(rotated);
  EXPECT_EQ(Run({"restore", "--from", backup}).exit_status, 1) << "nor is one that is not there";
  // It is the end that is missing.
  std::filesystem::rename(log, directory_.path() + "/end");
  Must(WriteFileAtomically(rotated, content), "write");
  refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("are in no file that can be read"));
  std::filesystem::rename(directory_.path() + "/end", log);
  EXPECT_TRUE(revokes_again({}));
}

// A machine that is new, or a log of another name: what it says has no gap, and lacks what counts.
TEST_F(GateAnswersTest, ARestoreWantsALogThatIsAsOldAsTheBackup) {
  const std::string lost = Enrol("bob", 'b');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  const GateConfig config = Must(GateConfig::Load(config_), "config");
  const std::string log = config.AuditPath(), archived = directory_.path() + "/archived";
  std::filesystem::rename(log, archived);
  std::filesystem::remove(log + ".head");
  std::filesystem::remove(config.state.RegistryPath());
  CommandResult refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << "there is no log at all";
  Must(WriteFileAtomically(log, "", 0600), "write");
  refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("has no line"));
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, AllOf(HasSubstr("begins on "), HasSubstr("--without-audit-log"),
                                 HasSubstr("--audit-log")));
  const CommandResult by_archive =
      Run({"restore", "--from", backup, "--json", "--audit-log", archived});
  ASSERT_EQ(by_archive.exit_status, 0) << by_archive.err;
  EXPECT_THAT(by_archive.out, HasSubstr("revoked again: " + lost));
  EXPECT_EQ(Run({"restore", "--from", backup, "--without-audit-log"}).exit_status, 0);
}

// What takes away is done also where the log can't be written.
TEST_F(GateAnswersTest, ARestoreTakesAwayAgainWhatOnlyTheOldRegistryKnows) {
  const std::string lost = Enrol("bob", 'b');
  Enrol("eve", 'e');
  Enrol("mia", 'm');
  for (const char* subject : {"ada", "mia"}) {
    ASSERT_EQ(Run({"invite", "--subject", subject, "--address", "a.test:1"}).exit_status, 0);
  }
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"subject", "set", "eve", "--enable"}).exit_status, 0);  // the log's last word
  std::string cancelled;
  {
    auto registry =
        Must(SqliteRegistry::Open(Must(GateConfig::Load(config_), "config").state.RegistryPath()),
             "open");
    Must(registry->RevokeCredential(absl::HexStringToBytes(lost), "stolen", absl::Now()).status(),
         "revoke");
    Must(registry->SetDisabled("eve", true), "disable");
    for (const InviteRecord& invite : Must(registry->ListInvites(), "invites")) {
      if (invite.subject != "ada") continue;
      cancelled = absl::BytesToHexString(invite.id);
      Must(registry->CancelInvite(invite.id), "cancel");
    }
  }
  const CommandResult restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(restored.json()["reapplied"].size(), 3u) << restored.out;
  EXPECT_THAT(restored.out,
              AllOf(HasSubstr("revoked again: " + lost), HasSubstr("disabled again: eve"),
                    HasSubstr("cancelled: invite " + cancelled + " of ada")));
  EXPECT_EQ(restored.json()["came_back"].size(), 0u) << restored.out;
}

// What is newer than the backup, by a clock that was ahead, says nothing of when it was made.
TEST_F(GateAnswersTest, ARecordOfAWrongClockDoesNotMakeABackupNewer) {
  const std::string log = Must(GateConfig::Load(config_), "config").AuditPath();
  const std::string lost = Enrol("bob", 'b');
  std::filesystem::rename(log, log + ".1");
  const std::string backup = directory_.path() + "/backup.sqlite";
  {
    auto registry =
        Must(SqliteRegistry::Open(Must(GateConfig::Load(config_), "config").state.RegistryPath()),
             "open");
    InviteRecord ahead;
    ahead.public_key = std::string(32, 'z');
    ahead.id = Sha256(ahead.public_key);
    ahead.subject = "zoe";
    ahead.created_at = absl::Now() + absl::Hours(24 * 365);
    ahead.expires_at = ahead.created_at + absl::Hours(1);
    Must(registry->AddInvite(ahead), "invite");
  }
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  std::filesystem::rename(log, log + ".2");
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  std::filesystem::remove(log + ".2");
  const CommandResult refused = Run({"restore", "--from", backup});
  EXPECT_EQ(refused.exit_status, 1) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("are in no file that can be read"));
}

// In a registry that was put back the same key may be enrolled once more.
TEST_F(GateAnswersTest, ARestoreRevokesNothingThatWasEnrolledAfterwards) {
  const GateConfig config = Must(GateConfig::Load(config_), "config");
  const std::string bob = absl::HexStringToBytes(Enrol("bob", 'b'));
  const auto write = [&](AuditEvent event, absl::Duration ago) {
    Decision line;
    line.event = event;
    line.time = absl::Now() - ago;
    line.admitted = true;
    if (event == AuditEvent::kEnrollment) {
      line.invite = Sha256(std::string(32, 'b'));
      line.credential_ids = {bob};
      line.detail = "enrolled: {}";
    } else {
      line.method = "RevokeCredential";
      line.detail = absl::StrCat(absl::BytesToHexString(bob), ", note: lost");
    }
    Must(Must(OpenAuditFile(config.AuditPath()), "log")->Write(line), "write");
  };
  write(AuditEvent::kAdmin, absl::Hours(1));
  write(AuditEvent::kEnrollment, absl::ZeroDuration());
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  CommandResult restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(restored.json()["reapplied"].size(), 0u) << restored.out;
  // Enrolled by a clock that was ahead of the one that it was revoked by.
  write(AuditEvent::kAdmin, absl::Hours(1));
  restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(restored.json()["reapplied"].size(), 1u) << restored.out;
}

// Years of it need not be there: only what is newer than the backup.
TEST_F(GateAnswersTest, ARestoreWantsNoLineThatIsOlderThanTheBackup) {
  const std::string log = Must(GateConfig::Load(config_), "config").AuditPath();
  AuditHead head{1000, std::string(64, 'a')};
  const std::string time =
      absl::FormatTime(absl::RFC3339_sec, absl::Now() - absl::Hours(1), absl::UTCTimeZone());
  Must(WriteFileAtomically(
           log, ChainLine("{\"time\":\"" + time + "\",\"event\":\"log\"}", head) + "\n", 0600),
       "write");
  Must(WriteFileAtomically(log + ".head", SerializeHead(head), 0600), "write");
  const std::string lost = Enrol("bob", 'b');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  const CommandResult restored = Run({"restore", "--from", backup, "--json"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(restored.json()["reapplied"].size(), 1u) << restored.out;
}

// What ends a restore before the registry has its name leaves the old one in force.
TEST_F(GateAnswersTest, ARestoreThatCannotTakeAwayAgainChangesNothing) {
  const std::string lost = Enrol("bob", 'b');
  const std::string backup = directory_.path() + "/backup.sqlite";
  ASSERT_EQ(Run({"backup", "--to", backup}).exit_status, 0);
  ASSERT_EQ(Run({"revoke", lost}).exit_status, 0);
  const auto config = GateConfig::Load(config_);
  ASSERT_TRUE(config.ok()) << config.status();
  // The copy can't be opened to take the credential away.
  std::filesystem::create_directories(config->state.RegistryPath() + ".restoring.lock");
  EXPECT_EQ(Run({"restore", "--from", backup}).exit_status, 1);
  auto registry = SqliteRegistry::Open(config->state.RegistryPath(), {.exclusive = false});
  ASSERT_TRUE(registry.ok()) << registry.status();
  EXPECT_TRUE((*registry)->ListCredentials("bob")->at(0).revoked_at.has_value());
}

TEST_F(GateAnswersTest, ExplainKnowsThatTheOnlyCredentialIsRevoked) {
  const std::string id = Enrol("bob", 'b');
  EXPECT_EQ(Run({"explain", "--subject", "bob", "--method", "/a.B/C", "--json"}).json()["verdict"],
            "admitted");
  ASSERT_EQ(Run({"revoke", id}).exit_status, 0);
  const CommandResult explained =
      Run({"explain", "--subject", "bob", "--method", "/a.B/C", "--json"});
  EXPECT_EQ(explained.json()["verdict"], "refused");
  EXPECT_EQ(explained.json()["reason"], "credential-revoked");
  EXPECT_EQ(Run({"status", "--json"}).json()["credentials_revoked"], 1);
  EXPECT_THAT(Run({"explain", "--subject", "bobb", "--method", "/a.B/C"}).err,
              HasSubstr("did you mean bob?"));
}

TEST_F(GateAnswersTest, ARoleThatNobodyElseHasIsPointedOut) {
  Enrol("ada", 'a', "reader");
  const CommandResult misspelt =
      Run({"invite", "--subject", "bob", "--role", "raeder", "--address", "a.test:1"});
  EXPECT_EQ(misspelt.exit_status, 0) << misspelt.err;
  EXPECT_THAT(misspelt.err, AllOf(HasSubstr("raeder"), HasSubstr("did you mean reader?")));
  EXPECT_THAT(Run({"invite", "--subject", "bob", "--role", "reader", "--address", "a.test:1"}).err,
              Not(HasSubstr("nobody else")));
  EXPECT_THAT(Run({"subject", "set", "ada", "--role", "admin"}).err, HasSubstr("role admin"));
}

TEST_F(GateAnswersTest, ARevocationByIdIsFoundUnderItsSubject) {
  const std::string id = Enrol("bob", 'b');
  ASSERT_EQ(Run({"revoke", id}).exit_status, 0);
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  const CommandResult shown = Run({"audit", "show", "--subject", "bob"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("RevokeCredential"));
  EXPECT_THAT(shown.out, Not(HasSubstr("RotateIdentity")));
  EXPECT_EQ(Run({"audit", "show", "--until", "yesterday"}).out, "");
  EXPECT_THAT(Run({"audit", "show", "--since", "1h", "--until", "now"}).out,
              HasSubstr("RevokeCredential"));
}

TEST_F(GateAnswersTest, AMisspeltReasonAndAnUnknownReferenceAreErrors) {
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  const CommandResult reason = Run({"audit", "show", "--reason", "mac-invlaid"});
  EXPECT_EQ(reason.exit_status, 2);
  EXPECT_THAT(reason.err, HasSubstr("did you mean mac-invalid?"));
  EXPECT_EQ(Run({"audit", "show", "--reason", "mac-invalid"}).exit_status, 0);
  const CommandResult reference = Run({"audit", "show", "--ref", "0123456789abcdef"});
  EXPECT_EQ(reference.exit_status, 1);
  EXPECT_THAT(reference.err, HasSubstr("no line has the reference"));
  EXPECT_EQ(Run({"audit", "show", "--since", "soon"}).exit_status, 2);
}

// Whoever trusts the CA out of an invite goes on: the new certificate is by the same one, for the
// same names.
TEST_F(GateAnswersTest, ATlsCertificateIsRenewedByTheGatesOwnCa) {
  const std::string tls = directory_.path() + "/gate/tls/";
  const auto leaf = [&] {
    return Must(Certificate::Parse(Must(ReadFile(tls + "certificate.pem"), "file")), "certificate");
  };
  const Certificate before = leaf();
  const CommandResult renewed = Run({"tls", "renew", "--days", "30", "--json"});
  ASSERT_EQ(renewed.exit_status, 0) << renewed.err;
  const Certificate after = leaf();
  EXPECT_NE(before.Spki(), after.Spki());
  EXPECT_EQ(before.Extension("2.5.29.17"), after.Extension("2.5.29.17"));
  EXPECT_LT(after.not_after(), absl::Now() + absl::Hours(24 * 31));
  TrustAnchors anchors;
  anchors.Add(Must(Certificate::Parse(Must(ReadFile(tls + "ca.pem"), "file")), "CA"));
  PathOptions options;
  options.time = absl::Now();
  options.understood_critical = {"2.5.29.37", "2.5.29.17"};
  EXPECT_TRUE(VerifyPath(after, {}, anchors, options).ok());
  EXPECT_EQ(Run({"check-config"}).exit_status, 0) << Run({"check-config"}).err;
  std::filesystem::remove(tls + "ca-key.pem");
  const CommandResult without = Run({"tls", "renew"});
  EXPECT_EQ(without.exit_status, 1);
  EXPECT_THAT(without.err, HasSubstr("ca-key.pem"));
}

TEST_F(GateAnswersTest, TheCaIsChangedInTwoStepsAndNotBeforeAgentsCanKnowTheNext) {
  const std::string tls = directory_.path() + "/gate/tls/";
  const auto read = [&](const char* name) { return Must(ReadFile(tls + name), name); };
  EXPECT_THAT(Run({"tls", "switch-ca"}).err, HasSubstr("there is no next CA"));
  const std::string old_ca = read("ca.pem"), old_leaf = read("certificate.pem");
  ASSERT_EQ(Run({"tls", "next-ca"}).exit_status, 0);
  EXPECT_EQ(Run({"tls", "next-ca"}).exit_status, 1)
      << "another one would be announced in its place";
  const std::string next = read("ca-next.pem");
  EXPECT_NE(next, old_ca);
  struct stat info;
  ASSERT_EQ(stat((tls + "ca-next-key.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  // Invites bring both.
  const CommandResult invited = Run({"invite", "--subject", "alice", "--address", "a.test:1"});
  ASSERT_EQ(invited.exit_status, 0) << invited.err;
  const auto at = invited.out.find("forekey-invite:");
  ASSERT_NE(at, std::string::npos);
  const auto invite = Invite::Parse(invited.out.substr(at, invited.out.find('\n', at) - at));
  ASSERT_TRUE(invite.ok()) << invite.status();
  EXPECT_EQ(invite->ca_certificates.size(), 2u);
  const CommandResult code = Run({"invite", "--subject", "bob", "--address", "a.test:1", "--qr"});
  EXPECT_EQ(code.exit_status, 0) << code.err;
  EXPECT_THAT(code.out, AllOf(HasSubstr("█"), HasSubstr("\nforekey-invite:")));
  const CommandResult soon = Run({"tls", "switch-ca"});
  EXPECT_EQ(soon.exit_status, 1);
  EXPECT_THAT(soon.err, HasSubstr("--early"));
  EXPECT_EQ(read("certificate.pem"), old_leaf);
  const CommandResult switched = Run({"tls", "switch-ca", "--early", "--json"});
  ASSERT_EQ(switched.exit_status, 0) << switched.err;
  EXPECT_EQ(read("ca.pem"), next);
  EXPECT_FALSE(std::filesystem::exists(tls + "ca-next.pem"));
  EXPECT_FALSE(std::filesystem::exists(tls + "ca-next-key.pem"));
  TrustAnchors anchors;
  anchors.Add(Must(Certificate::Parse(next), "CA"));
  PathOptions options;
  options.time = absl::Now();
  options.understood_critical = {"2.5.29.37", "2.5.29.17"};
  const Certificate leaf = Must(Certificate::Parse(read("certificate.pem")), "leaf");
  EXPECT_TRUE(VerifyPath(leaf, {}, anchors, options).ok());
  EXPECT_EQ(Run({"check-config"}).exit_status, 0) << Run({"check-config"}).err;
  EXPECT_EQ(Run({"tls", "renew"}).exit_status, 0) << "by the CA that it has now";
}

TEST_F(GateAnswersTest, ACaOfAnotherNeedsACertificateByIt) {
  const std::string tls = directory_.path() + "/gate/tls/";
  const std::string theirs = directory_.path() + "/theirs.pem";
  const absl::Time now = absl::Now();
  const auto ca = Must(MakeGateCa("theirs", now, absl::Hours(48)), "CA");
  const auto leaf = Must(IssueGateCertificate(ca, {"localhost"}, now, absl::Hours(24)), "leaf");
  Must(WriteFileAtomically(theirs, ca.certificate_pem), "CA");
  Must(WriteFileAtomically(theirs + ".leaf", leaf.certificate_pem), "leaf");
  Must(WriteFileAtomically(theirs + ".key", leaf.key_pem, 0600), "key");
  ASSERT_EQ(Run({"tls", "next-ca", "--from", theirs}).exit_status, 0);
  EXPECT_THAT(Run({"tls", "switch-ca", "--early"}).err, HasSubstr("--certificate"));
  EXPECT_THAT(Run({"tls", "switch-ca", "--early", "--certificate", tls + "certificate.pem",
                   "--private-key", tls + "key.pem"})
                  .err,
              HasSubstr("is not by the next CA"));
  const CommandResult switched = Run({"tls", "switch-ca", "--early", "--certificate",
                                      theirs + ".leaf", "--private-key", theirs + ".key"});
  EXPECT_EQ(switched.exit_status, 0) << switched.err;
  EXPECT_EQ(Must(ReadFile(tls + "certificate.pem"), "leaf"), leaf.certificate_pem);
  EXPECT_FALSE(std::filesystem::exists(tls + "ca-key.pem")) << "the old CA's key is of no use";
}

TEST_F(GateAnswersTest, TheOldestFileThatWasTakenAwayIsMissed) {
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  const std::string log = directory_.path() + "/gate/state/audit.jsonl";
  std::filesystem::rename(log, log + ".1");
  ASSERT_EQ(Run({"rotate-identity"}).exit_status, 0);
  ASSERT_EQ(Run({"audit", "verify"}).exit_status, 0) << Run({"audit", "verify"}).out;
  std::filesystem::remove(log + ".1");
  const CommandResult verified = Run({"audit", "verify", "--json"});
  EXPECT_EQ(verified.exit_status, 1);
  EXPECT_EQ(verified.json()["findings"][0]["fault"], "broken-chain");
  EXPECT_THAT(verified.json()["findings"][0]["detail"].get<std::string>(),
              HasSubstr("oldest file"));
  // Where it was archived, the administrator says so.
  const std::string first = std::to_string(verified.json()["first"].get<int>());
  EXPECT_EQ(Run({"audit", "verify", "--first", first}).exit_status, 0);
}

}  // namespace
}  // namespace forekey::testing
