// SPDX-License-Identifier: Apache-2.0
// An enrolment whose second step comes to another process of the gate begins anew, once.
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using testing::FakeGate;
using ::testing::HasSubstr;
using ::testing::Not;

class EnrollAnewTest : public AgentFixture {
 protected:
  void SetUp() override {
    const absl::Status started = Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  int LeftKeys() { return agent().ListDevices(CallControl())->problems_size(); }
  std::vector<HeldCredential> Held() {
    const auto text = ReadFile(RecordPath());
    return text.ok() ? GateRecord::Parse(*text)->credentials : std::vector<HeldCredential>();
  }
};

TEST_F(EnrollAnewTest, ByAnotherProcessWithTheSameInvite) {
  gate_.MoveEnrollments(1);
  const auto enrolled = Enroll(gate_);
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(gate_.counts().moved_enrollments, 1);
  EXPECT_EQ(gate_.counts().enrolled, 1);
  EXPECT_EQ(token_.signatures, 2);
  ASSERT_EQ(Held().size(), 1u) << "what the first attempt held is dropped";
  EXPECT_EQ(Held()[0].id, enrolled->credential_id());
  EXPECT_FALSE(Held()[0].pending);
  EXPECT_EQ(Files().size(), 2u) << "the record and one key";
  EXPECT_TRUE(Login().ok());
}

TEST_F(EnrollAnewTest, AtAGateThatIsKnownAlready) {
  ASSERT_TRUE(Enroll(gate_).ok());
  gate_.MoveEnrollments(1);
  const auto enrolled = Enroll(gate_);
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  ASSERT_EQ(Held().size(), 2u);
  EXPECT_EQ(Held()[1].id, enrolled->credential_id());
  EXPECT_TRUE(Login().ok());
}

TEST_F(EnrollAnewTest, AKeyThatStaysOnTheTokenIsUsedAgain) {
  token_.keeps_keys = true;
  gate_.MoveEnrollments(1);
  const auto enrolled = Enroll(gate_);
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(token_.NextReference(), "fake key 1") << "one key was made";
  EXPECT_EQ(enrolled->notes_size(), 0);
  EXPECT_EQ(LeftKeys(), 0);
  EXPECT_TRUE(Login().ok());
}

TEST_F(EnrollAnewTest, OnceAndNotMore) {
  gate_.MoveEnrollments(2);
  const absl::Status refused = Enroll(gate_).status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the second attempt"));
  EXPECT_EQ(gate_.counts().moved_enrollments, 2);
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/gates/gate.test"));
}

TEST_F(EnrollAnewTest, NotWhereTheGateForbidsIt) {
  gate_.MoveEnrollments(1, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(absl::IsPermissionDenied(Enroll(gate_).status()));
  EXPECT_EQ(token_.signatures, 1);
}

TEST_F(EnrollAnewTest, NotWhereTheSameProcessRefused) {
  FakeGate::Faults faults;
  faults.finish_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "refused");
  gate_.Misbehave(faults);
  const absl::Status refused = Enroll(gate_).status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("attempt")));
  EXPECT_EQ(token_.signatures, 1);
}

// It may be enrolled: a second key would be one too many, or the invite is used.
TEST_F(EnrollAnewTest, NotWhereTheAnswerWasLost) {
  for (const auto code : {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::DEADLINE_EXCEEDED,
                          grpc::StatusCode::INTERNAL}) {
    gate_.MoveEnrollments(1, code);
    token_.signatures = 0;
    const absl::Status lost = Enroll(gate_).status();
    EXPECT_EQ(static_cast<int>(lost.code()), static_cast<int>(code)) << lost;
    EXPECT_EQ(token_.signatures, 1);
  }
  EXPECT_EQ(Held().size(), 3u) << "each is kept";
}

TEST_F(EnrollAnewTest, NotWithATokenThatCant) {
  token_.begins_anew = false;
  gate_.MoveEnrollments(1);
  EXPECT_TRUE(absl::IsUnauthenticated(Enroll(gate_).status()));
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
}

// Reads the agent's notices at each touch, and gives the enrolment up at the one that it is told.
class NoticeReader : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Secret(); }
  void ShowTouch(absl::string_view) override {
    std::string seen;
    uint64_t last = 0;
    for (const auto& notice : board->After(&last, absl::ZeroDuration())) {
      seen += notice.gate + ": " + notice.text;
    }
    at_touch.push_back(seen);
    if (static_cast<int>(at_touch.size()) == gives_up_at) gave_up = true;
  }
  void HideTouch() override {}

  NoticeBoard* board = nullptr;
  std::vector<std::string> at_touch;
  int gives_up_at = 0;
  std::atomic<bool> gave_up{false};
};

class EnrollAnewByAPersonTest : public EnrollAnewTest {
 protected:
  void SetUp() override {
    token_.wants_touch = true;
    person_ = reader_;
    ASSERT_NO_FATAL_FAILURE(EnrollAnewTest::SetUp());
    reader_->board = &agent().notices();
  }
  absl::Status EnrollUntilGivenUp() {
    v1::EnrollRequest request;
    request.set_invite(gate_.MakeInvite("alice").Serialize());
    CallControl control;
    control.cancelled = [this] { return reader_->gave_up.load(); };
    return agent().Enroll(request, control).status();
  }
  const std::shared_ptr<NoticeReader> reader_ = std::make_shared<NoticeReader>();
};

TEST_F(EnrollAnewByAPersonTest, TheySeeWhyTheyAreToTouchTheTokenAgain) {
  gate_.MoveEnrollments(1);
  const absl::Status enrolled = EnrollUntilGivenUp();
  ASSERT_TRUE(enrolled.ok()) << enrolled;
  ASSERT_EQ(reader_->at_touch.size(), 2u);
  EXPECT_THAT(reader_->at_touch[0], Not(HasSubstr("another process")));
  EXPECT_THAT(reader_->at_touch[1],
              HasSubstr("gate.test: the enrolment came to another process of the gate gate.test"));
  uint64_t seen = 0;
  EXPECT_TRUE(agent().notices().After(&seen, absl::ZeroDuration()).empty()) << "it is over";
}

TEST_F(EnrollAnewByAPersonTest, WhoGivesUpIsNotAskedAgain) {
  gate_.MoveEnrollments(1);
  reader_->gives_up_at = 2;
  const absl::Status given_up = EnrollUntilGivenUp();
  EXPECT_TRUE(absl::IsCancelled(given_up)) << given_up;
  EXPECT_EQ(reader_->at_touch.size(), 2u);
  EXPECT_EQ(gate_.counts().enrolled, 0);
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
}

}  // namespace
}  // namespace forekey
