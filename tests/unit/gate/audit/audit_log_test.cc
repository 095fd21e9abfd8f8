// SPDX-License-Identifier: Apache-2.0
// The audit log's file: what is found when somebody changes it, and what survives a crash.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "nlohmann/json.hpp"
#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/audit/audit_span.h"
#include "src/gate/audit/audit_verify.h"
#include "src/wire/base64url.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Content(const std::string& path) {
  auto content = ReadFile(path);
  return content.ok() ? *content : std::string();
}

class AuditFileTest : public ::testing::Test {
 protected:
  AuditFileTest() : path_(folder_.File("audit.jsonl")) {}

  void Open(AuditOptions options = {}, AppendToFile append_head = AppendHeadToFile) {
    sink_.reset();
    auto opened = OpenAuditFile(path_, options, std::move(append_head));
    ASSERT_TRUE(opened.ok()) << opened.status();
    sink_ = *std::move(opened);
  }
  void Write(int count, const std::string& subject = "alice") {
    for (int i = 0; i < count; ++i) {
      Decision decision;
      decision.reference = NewReference();
      decision.time = absl::FromUnixSeconds(1'800'000'000 + next_++);
      decision.subject = subject;
      decision.method = "/shop.Orders/Buy";
      ASSERT_TRUE(sink_->Write(decision).ok());
    }
  }
  AuditVerification Verify() {
    AuditVerifyOptions options;
    auto head = ReadHeads(path_ + ".head");
    if (head.ok()) options.heads = *head;
    return Verify(options);
  }
  AuditVerification Verify(const AuditVerifyOptions& options) {
    auto files = AuditFilesOf(path_);
    EXPECT_TRUE(files.ok()) << files.status();
    auto result = VerifyAudit(*files, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }
  static std::vector<AuditFault> Faults(const AuditVerification& result) {
    std::vector<AuditFault> faults;
    for (const AuditFinding& finding : result.findings) faults.push_back(finding.fault);
    return faults;
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines = absl::StrSplit(Content(path_), '\n');
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }
  void Store(const std::vector<std::string>& lines) {
    WriteText(path_, absl::StrJoin(lines, "\n") + "\n");
  }

  TempFolder folder_;
  const std::string path_;
  std::unique_ptr<AuditSink> sink_;
  int next_ = 0;
};

TEST_F(AuditFileTest, AnUntouchedLogIsWhole) {
  Open();
  Write(5);
  Open();
  Write(5);
  const AuditVerification result = Verify();
  EXPECT_THAT(result.findings, IsEmpty());
  EXPECT_EQ(result.lines, 11u);
  EXPECT_EQ(result.last.seq, 11u);
}

TEST_F(AuditFileTest, FindsAnEditedLine) {
  Open();
  Write(5);
  auto lines = Lines();
  lines[2] = absl::StrReplaceAll(lines[2], {{"alice", "mallo"}});
  Store(lines);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kEdited, AuditFault::kBrokenChain));
}

TEST_F(AuditFileTest, FindsAnEditedLineWhoseHashWasMadeAnew) {
  Open();
  Write(5);
  auto lines = Lines();
  const auto before = ParseAuditLine(lines[1]);
  AuditHead head = before->head;
  lines[2] = ChainLine("{\"time\":\"2027-01-15T08:00:00Z\",\"subject\":\"mallory\"}", head);
  Store(lines);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kBrokenChain));
}

TEST_F(AuditFileTest, FindsALineTakenOutAndOneSwapped) {
  Open();
  Write(6);
  const auto lines = Lines();
  auto removed = lines;
  removed.erase(removed.begin() + 3);
  Store(removed);
  AuditVerification result = Verify();
  ASSERT_THAT(Faults(result), ElementsAre(AuditFault::kBrokenChain));
  EXPECT_THAT(result.findings[0].detail, HasSubstr("lines 4 to 4 are missing"));
  auto swapped = lines;
  std::swap(swapped[2], swapped[3]);
  Store(swapped);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kBrokenChain, AuditFault::kBrokenChain,
                                            AuditFault::kBrokenChain));
}

TEST_F(AuditFileTest, FindsLinesCutOffTheEndAlsoAfterTheGateWentOn) {
  Open();
  Write(6);
  sink_.reset();
  auto lines = Lines();
  lines.resize(4);
  Store(lines);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kTruncated));
  Open();
  Write(1);
  AuditVerification result = Verify();
  ASSERT_THAT(Faults(result), ElementsAre(AuditFault::kBrokenChain));
  EXPECT_THAT(result.findings[0].detail, HasSubstr("lines 5 to 7 are missing"));
}

TEST_F(AuditFileTest, FindsALogThatWasWrittenAnewByHeadsNotedElsewhere) {
  AuditOptions options;
  options.heads_file = folder_.File("heads");
  options.heads_interval = absl::ZeroDuration();
  Open(options);
  Write(3);
  ASSERT_TRUE(sink_->Maintain().ok());
  Write(3);
  sink_.reset();
  auto heads = ReadHeads(options.heads_file);
  ASSERT_TRUE(heads.ok()) << heads.status();
  ASSERT_EQ(heads->size(), 2u);
  EXPECT_THAT(Verify({.heads = *heads}).findings, IsEmpty());
  // From the third line on, with good hashes, and the head beside the log to match.
  auto lines = Lines();
  AuditHead head = ParseAuditLine(lines[1])->head;
  for (size_t i = 2; i < lines.size(); ++i) lines[i] = ChainLine("{\"subject\":\"mallory\"}", head);
  Store(lines);
  WriteText(path_ + ".head", SerializeHead(head));
  EXPECT_THAT(Verify().findings, IsEmpty())
      << "who may write everything here can make it look whole";
  EXPECT_THAT(Faults(Verify({.heads = *heads})),
              ElementsAre(AuditFault::kRewritten, AuditFault::kRewritten));
}

// As on a mount whose server is gone.
TEST_F(AuditFileTest, AHeadsFileThatNeverAnswersHoldsUpNoLineAndNoEnd) {
  struct Mount {
    absl::Notification asked, back;
  };
  const auto mount = std::make_shared<Mount>();  // the thread that hangs in it may outlive the test
  AuditOptions options;
  options.heads_file = folder_.File("heads");
  options.heads_interval = absl::ZeroDuration();
  options.slow = absl::Milliseconds(200);
  Open(options, [mount](const std::string& path, absl::string_view record) {
    if (!mount->asked.HasBeenNotified()) mount->asked.Notify();
    mount->back.WaitForNotification();
    return AppendHeadToFile(path, record);
  });
  absl::Status told;
  absl::Notification maintained, written;
  std::thread maintaining([&] {
    told = sink_->Maintain();
    maintained.Notify();
  });
  mount->asked.WaitForNotification();
  std::thread writing([&] {
    Write(3);
    written.Notify();
  });
  constexpr absl::Duration kLong = absl::Seconds(20);
  EXPECT_TRUE(written.WaitForNotificationWithTimeout(kLong));
  EXPECT_TRUE(maintained.WaitForNotificationWithTimeout(kLong));
  if (!written.HasBeenNotified() || !maintained.HasBeenNotified()) mount->back.Notify();
  maintaining.join();
  writing.join();
  EXPECT_TRUE(absl::IsUnavailable(told)) << told;
  EXPECT_TRUE(absl::IsUnavailable(sink_->Maintain()));
  sink_.reset();  // waits no longer than that either
  EXPECT_FALSE(std::filesystem::exists(options.heads_file));
  if (!mount->back.HasBeenNotified()) mount->back.Notify();
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditFileTest, AHeadsFileThatAnswersAgainGetsTheNextHead) {
  const auto back = std::make_shared<absl::Notification>();
  AuditOptions options;
  options.heads_file = folder_.File("heads");
  options.heads_interval = absl::ZeroDuration();
  options.slow = absl::Milliseconds(50);
  Open(options, [back](const std::string& path, absl::string_view record) {
    back->WaitForNotification();
    return AppendHeadToFile(path, record);
  });
  EXPECT_TRUE(absl::IsUnavailable(sink_->Maintain()));
  Write(3);
  back->Notify();
  Bell never;
  absl::Status told = sink_->Maintain();
  for (int i = 0; i < 2000 && !told.ok(); ++i) {
    never.Await(absl::Milliseconds(10));
    told = sink_->Maintain();
  }
  EXPECT_TRUE(told.ok()) << told;
  sink_.reset();
  const auto heads = ReadHeads(options.heads_file);
  ASSERT_TRUE(heads.ok()) << heads.status();
  ASSERT_EQ(heads->size(), 2u);
  EXPECT_EQ(heads->back().seq, 4u);
  EXPECT_THAT(Verify({.heads = *heads}).findings, IsEmpty());
}

// An append-only heads file can be added to by whoever may write the log.
TEST_F(AuditFileTest, HeadsThatAreAddedDoNotCoverThoseNotedBefore) {
  Open();
  Write(6);
  sink_.reset();
  auto lines = Lines();
  std::vector<AuditHead> heads = {ParseAuditLine(lines[3])->head};
  AuditHead head = ParseAuditLine(lines[1])->head;
  for (size_t i = 2; i < lines.size(); ++i) lines[i] = ChainLine("{\"subject\":\"mallory\"}", head);
  Store(lines);
  heads.push_back(ParseAuditLine(lines[3])->head);
  const AuditVerification result = Verify({.heads = heads});
  ASSERT_THAT(Faults(result), ElementsAre(AuditFault::kRewritten, AuditFault::kRewritten));
  EXPECT_THAT(result.findings[0].detail, HasSubstr("line 4 was noted with two heads"));
}

TEST_F(AuditFileTest, RotatedFilesAreOneChainAndADeletedOneIsFound) {
  Open();
  for (const char* name : {".1", ".2", ".3"}) {
    Write(3);
    sink_.reset();
    std::filesystem::rename(path_, path_ + name);
    Open();
  }
  Write(1);
  EXPECT_THAT(Verify().findings, IsEmpty());
  EXPECT_EQ(Verify().lines, 14u);
  std::filesystem::remove(path_ + ".2");
  AuditVerification result = Verify();
  ASSERT_THAT(Faults(result), ElementsAre(AuditFault::kBrokenChain));
  EXPECT_THAT(result.findings[0].detail, HasSubstr("lines 5 to 8 are missing"));
}

TEST_F(AuditFileTest, ARunningWriterFollowsARotation) {
  Open();
  Write(1);
  sink_.reset();
  Open();  // the next write looks at the file's name
  std::filesystem::rename(path_, path_ + ".1");
  Write(1);
  EXPECT_EQ(Lines().size(), 2u);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditFileTest, ALineCutShortByACrashIsMarkedAndIsNoTampering) {
  Open();
  Write(3);
  sink_.reset();
  for (int crash = 0; crash < 2; ++crash) {
    std::ofstream(path_, std::ios::app) << "{\"seq\":5,\"prev\":\"12";
    EXPECT_EQ(Verify().torn_lines, static_cast<uint64_t>(crash) + 1)
        << "also before the gate is back";
    Open();
    Write(2);
    sink_.reset();
  }
  const AuditVerification result = Verify();
  EXPECT_THAT(result.findings, IsEmpty());
  EXPECT_EQ(result.torn_lines, 2u);
  EXPECT_EQ(result.lines, 10u);
}

TEST_F(AuditFileTest, AnEmptiedLogIsTruncated) {
  Open();
  Write(3);
  sink_.reset();
  std::filesystem::resize_file(path_, 0);
  const AuditVerification result = Verify();
  EXPECT_EQ(result.lines, 0u);
  EXPECT_THAT(Faults(result), ElementsAre(AuditFault::kTruncated));
}

TEST_F(AuditFileTest, AMarkOfOddTypesMarksNothing) {
  AuditHead head;
  std::vector<std::string> lines = {ChainLine("{\"event\":\"log\"}", head), "torn"};
  lines.push_back(ChainLine("{\"event\":\"log\",\"torn_bytes\":\"4\",\"torn_sha256\":4}", head));
  Store(lines);
  EXPECT_THAT(Faults(Verify({})), ElementsAre(AuditFault::kNotALine));
}

// Who edits the last line, so that the gate takes it for one that was cut short, is found all the
// same.
TEST_F(AuditFileTest, AnEditedLastLineDoesNotPassAsTorn) {
  Open();
  Write(3);
  sink_.reset();
  auto lines = Lines();
  lines.back() = absl::StrReplaceAll(lines.back(), {{"alice", "mallo"}});
  Store(lines);
  Open();
  Write(1);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kEdited, AuditFault::kBrokenChain));
}

TEST_F(AuditFileTest, AForeignLineIsFound) {
  Open();
  Write(3);
  auto lines = Lines();
  lines.insert(lines.begin() + 2, "{\"time\":\"2027-01-15T08:00:00Z\",\"subject\":\"mallory\"}");
  Store(lines);
  EXPECT_THAT(Faults(Verify()), ElementsAre(AuditFault::kNotALine));
}

TEST_F(AuditFileTest, AWriterThatIsKilledLeavesAWholeChain) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto sink = OpenAuditFile(path_);
    for (int i = 0; sink.ok(); ++i) {
      Decision decision;
      decision.subject = std::string(900, 'x');
      if (!(*sink)->Write(decision).ok()) _exit(1);
      if (i == 100 && write(ready[1], "x", 1) != 1) _exit(1);
    }
    _exit(1);
  }
  char byte;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  close(ready[0]);
  close(ready[1]);
  Open();
  Write(1);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditFileTest, FindsBySubjectReferenceReasonAndTime) {
  Open();
  Write(50, "alice");
  Write(1, "bob");
  Write(50, "alice");
  auto reader = AuditReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  auto find = [&](const AuditQuery& query) {
    std::vector<std::string> found;
    SearchAudit((*reader)->content(), query,
                [&](absl::string_view line) { found.emplace_back(line); });
    return found;
  };
  ASSERT_EQ(find({.subject = "bob"}).size(), 1u);
  const auto bob = nlohmann::json::parse(find({.subject = "bob"})[0]);
  EXPECT_EQ(find({.reference = bob["reference"]}).size(), 1u);
  EXPECT_EQ(find({.subject = "bo"}).size(), 0u);
  EXPECT_EQ(find({.subject = "alice", .since = absl::FromUnixSeconds(1'800'000'000 + 90)}).size(),
            11u);
  EXPECT_EQ(find({.subject = "alice"}).size(), 100u);
  EXPECT_EQ(
      find({.subject = "alice", .until = absl::FromUnixSeconds(1'800'000'000 + 9)}).size(),
      find({.subject = "alice"}).size() -
          find({.subject = "alice", .since = absl::FromUnixSeconds(1'800'000'000 + 10)}).size());
}

// ---- The lines of a gate ----

class GateAuditTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.audit.options.all_calls = true;
    return config;
  }
  static absl::Status Check(const Decision& decision, bool* checked) {
    return VerifyAuditProof(DecisionToJson(decision), {}, checked);
  }
};

TEST_F(GateAuditTest, AnAdmittedDeviceProofCanBeCheckedAgainOffline) {
  StartGate();
  const Token alice = Enroll("alice"), other = Enroll("alice", Algorithm::kRs256);
  ASSERT_TRUE(Judge(Draft({&alice, &other}).SignAndSerialize()).status.ok());
  Decision decision = audit_->decisions().back();
  ASSERT_TRUE(decision.proof.has_value());
  EXPECT_EQ(decision.peer, kPeer);
  ASSERT_EQ(decision.tokens.size(), 2u);
  bool checked = false;
  EXPECT_TRUE(Check(decision, &checked).ok()) << Check(decision, &checked);
  EXPECT_TRUE(checked);

  Decision changed = decision;
  changed.method = std::string(kOtherMethod);
  EXPECT_EQ(ReasonOf(Check(changed, &checked)), Reason::kSignatureInvalid);
  changed = decision;
  changed.subject = "mallory";
  EXPECT_THAT(Check(changed, &checked).message(), HasSubstr("not that of the credential's id"));
  changed = decision;
  std::swap(changed.tokens[0], changed.tokens[1]);
  EXPECT_FALSE(Check(changed, &checked).ok());
  changed = decision;
  changed.credential_ids[0] = std::string(32, 'x');
  EXPECT_THAT(Check(changed, &checked).message(), HasSubstr("other credentials"));
}

TEST_F(GateAuditTest, RefusalsNameWhoWasProvedAndElseWhoWasClaimed) {
  StartGate();
  const Token alice = Enroll("alice");
  ClientSession session = Open(alice);
  const std::string proof = session.NextProof(kMethod);
  ASSERT_TRUE(Judge(proof).status.ok());
  ASSERT_EQ(WhyRefused(proof), Reason::kSequenceReplayed);
  EXPECT_EQ(audit_->decisions().back().subject, "alice");
  EXPECT_EQ(audit_->decisions().back().session, session.id);

  std::string forged = session.NextProof(kMethod);
  forged.back() = static_cast<char>(forged.back() ^ 1);
  ASSERT_EQ(WhyRefused(forged), Reason::kMacInvalid);
  EXPECT_EQ(audit_->decisions().back().subject, "");
  EXPECT_EQ(audit_->decisions().back().session, "");
  EXPECT_EQ(audit_->decisions().back().claimed_session, session.id);

  Revoke(alice);
  ASSERT_EQ(WhyRefused(Draft({&alice}).SignAndSerialize()), Reason::kCredentialRevoked);
  EXPECT_THAT(audit_->decisions().back().claimed_credential_ids, ElementsAre(alice.id));
  EXPECT_THAT(audit_->decisions().back().credential_ids, IsEmpty());
}

// Lines as two gates over one registry write them.
class AuditSpanTest : public ::testing::Test {
 protected:
  static std::string Id(char byte) { return std::string(32, byte); }
  Decision Line(int second, AuditEvent event) {
    Decision decision;
    decision.time = absl::FromUnixSeconds(1'800'000'000 + second);
    decision.event = event;
    decision.admitted = true;
    return decision;
  }
  void Resumed(std::string& log, int second, char from) {
    Decision decision = Line(second, AuditEvent::kSessionOpened);
    decision.resumed_session = std::string(16, from);
    absl::StrAppend(&log, DecisionToJson(decision), "\n");
  }
  void Enrolled(std::string& log, int second, char invite) {
    Decision decision = Line(second, AuditEvent::kEnrollment);
    decision.invite = Id(invite);
    absl::StrAppend(&log, DecisionToJson(decision), "\n");
  }
  void Revoked(std::string& log, int second, char credential) {
    Decision decision = Line(second, AuditEvent::kAdmin);
    decision.method = "RevokeCredential";
    decision.detail = absl::StrCat(absl::BytesToHexString(Id(credential)), ": lost");
    absl::StrAppend(&log, DecisionToJson(decision), "\n");
  }
  void Called(std::string& log, int second, char credential, bool admitted = true) {
    Decision decision = Line(second, AuditEvent::kCall);
    decision.admitted = admitted;
    decision.credential_ids = {Id(credential)};
    absl::StrAppend(&log, DecisionToJson(decision), "\n");
  }
  std::vector<std::string> Findings() {
    const AuditSpan span = CheckAuditSpanOf({{"a", a_}, {"b", b_}}, absl::Seconds(60));
    std::vector<std::string> findings;
    for (const AuditFinding& finding : span.findings) {
      findings.push_back(
          absl::StrCat(AuditFaultName(finding.fault), " ", finding.file, ":", finding.line));
    }
    return findings;
  }
  std::string a_, b_;
};

TEST_F(AuditSpanTest, LogsThatAgreeHaveNoFinding) {
  Enrolled(a_, 1, 'i');
  Enrolled(b_, 2, 'j');
  Resumed(a_, 3, 's');
  Resumed(b_, 4, 't');
  Called(b_, 5, 'c');
  Revoked(a_, 10, 'c');
  Called(b_, 60, 'c');  // within the bound, by its own clock
  Called(b_, 200, 'c', /*admitted=*/false);
  Called(b_, 200, 'd');
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(AuditSpanTest, FindsWhatNoOneLogShows) {
  Resumed(a_, 1, 's');
  Enrolled(a_, 2, 'i');
  Revoked(a_, 3, 'c');
  Called(a_, 3, 'c');
  Resumed(b_, 4, 's');
  Enrolled(b_, 5, 'i');
  Called(b_, 64, 'c');
  EXPECT_THAT(Findings(), ElementsAre("resumed-twice b:1", "invite-used-twice b:2",
                                      "admitted-after-revocation b:3"));
}

TEST_F(AuditSpanTest, WhatIsNoLineIsPassedOver) {
  Revoked(a_, 3, 'c');
  b_ = "\"admitted\":true\n{\"admitted\":true,\"event\":\"call\",\"credentials\":[7,{}],"
       "\"time\":\"2027-01-15T08:00:00Z\"}\n{\"admitted\":true,\"event\":7,\"invite\":{}}\n"
       "{\"admitted\":true,\"event\":\"call\",\"credentials\":{},\"time\":[]}";
  EXPECT_THAT(Findings(), IsEmpty());
}

}  // namespace
}  // namespace forekey::testing
