// SPDX-License-Identifier: Apache-2.0
// A person is not asked again at once: programs that try again must not use up the tries of a PIN.
#include "src/agent/person_memory.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/person.h"
#include "tests/unit/client/fakes/latch.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

class CountingPrompt : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override {
    ++asked;
    asking.Pass();
    if (answer.ok()) return Secret::CopyOf("1234");
    return answer;
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}
  std::atomic<int> asked{0};
  absl::Status answer;
  testing::Latch asking;
};

class PersonMemoryTest : public ::testing::Test {
 protected:
  std::unique_ptr<Prompt> Ask(const std::string& gate) {
    return prompter_->For({gate, "to open a session", "/usr/bin/orders", [this] { return gone_; }});
  }

  FakeClock clock_;
  PersonMemory memory_{&clock_};
  NoticeBoard board_;
  bool gone_ = false;
  std::shared_ptr<CountingPrompt> prompt_ = std::make_shared<CountingPrompt>();
  std::unique_ptr<Prompter> prompter_ =
      ConsideratePrompter(testing::Person::Of(prompt_), &memory_, &board_);
};

TEST_F(PersonMemoryTest, AfterAWrongPinNobodyIsAskedForAMoment) {
  ASSERT_TRUE(Ask("a.test")->AskPin("key", 8).ok());
  memory_.Ended("a.test", DeviceFailure(DeviceError::kWrongPin, "wrong"));
  const auto refused = Ask("a.test")->AskPin("key", 7);
  EXPECT_EQ(DeviceErrorOf(refused.status()), DeviceError::kWrongPin);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("forekey login --gate a.test"));
  EXPECT_EQ(prompt_->asked, 1);
  // What was told out of memory does not make it longer, and another gate is another question.
  clock_.Advance(PersonMemory::kRemembered / 2);
  memory_.Ended("a.test", refused.status());
  EXPECT_TRUE(Ask("b.test")->AskPin("key", 7).ok());
  clock_.Advance(PersonMemory::kRemembered / 2);
  EXPECT_TRUE(Ask("a.test")->AskPin("key", 7).ok());
}

TEST_F(PersonMemoryTest, APinThatUsedUpTheLastTryInARowIsAWrongOne) {
  for (const DeviceError error : {DeviceError::kPinAuthBlocked, DeviceError::kPinBlocked}) {
    memory_.Ended("a.test", DeviceFailure(error, "blocked"));
    EXPECT_EQ(DeviceErrorOf(Ask("a.test")->AskPin("key", 8).status()), error);
    memory_.Forget("a.test");
  }
  EXPECT_EQ(prompt_->asked, 0);
}

TEST_F(PersonMemoryTest, WhoSaidNoIsLeftAloneAndWhoActsByHandIsAsked) {
  prompt_->answer = absl::CancelledError("no");
  EXPECT_TRUE(absl::IsCancelled(Ask("a.test")->AskPin("key", 8).status()));
  prompt_->answer = absl::OkStatus();
  EXPECT_EQ(DeviceErrorOf(Ask("a.test")->AskPin("key", 8).status()), DeviceError::kCancelled);
  EXPECT_EQ(prompt_->asked, 1);
  memory_.Forget("a.test");
  EXPECT_TRUE(Ask("a.test")->AskPin("key", 8).ok());
}

TEST_F(PersonMemoryTest, AProgramThatWentAwayIsNoAnswer) {
  gone_ = true;
  prompt_->answer = absl::CancelledError("nobody waits");
  EXPECT_FALSE(Ask("a.test")->AskPin("key", 8).ok());
  memory_.Ended("a.test", DeviceFailure(DeviceError::kCancelled, "the program went away"));
  memory_.Ended("a.test", DeviceFailure(DeviceError::kGone, "pulled out"));
  gone_ = false;
  prompt_->answer = absl::OkStatus();
  EXPECT_TRUE(Ask("a.test")->AskPin("key", 8).ok());
}

TEST_F(PersonMemoryTest, ATouchStandsOnTheBoardWhileItIsWaitedFor) {
  const auto prompt = Ask("a.test");
  prompt->ShowTouch("Security Key");
  uint64_t seen = 0;
  const auto notices = board_.After(&seen, absl::ZeroDuration());
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].gate, "a.test");
  EXPECT_EQ(notices[0].text, "touch Security Key to open a session, asked by /usr/bin/orders");
  prompt->HideTouch();
  seen = 0;
  EXPECT_TRUE(board_.After(&seen, absl::ZeroDuration()).empty());
}

// ---- PINs that are kept for a while, where that was asked for ----

class KeptPinTest : public PersonMemoryTest {
 protected:
  // A piece of work that asks for the PIN once and ends so.
  absl::StatusOr<std::string> Work(const absl::Status& end, int tries_left = 8,
                                   const std::string& credential_id = "key") {
    auto prompt = keeping_->For({"a.test", "to open a session", "", nullptr});
    keeping_->Begins(*prompt, credential_id, /*in_turn=*/false);
    // All keys of one TPM are described alike.
    absl::StatusOr<Secret> pin = prompt->AskPin("TPM key (tpm:)", tries_left);
    keeping_->Ended(*prompt, end);
    if (!pin.ok()) return pin.status();
    return std::string(pin->view());
  }

  PersonMemory keeper_{&clock_, absl::Minutes(10)};
  std::unique_ptr<Prompter> keeping_ =
      ConsideratePrompter(testing::Person::Of(prompt_), &keeper_, &board_);
};

TEST_F(KeptPinTest, OneThatWasGoodIsNotAskedForAgainUntilItsTimeIsOver) {
  EXPECT_EQ(*Work(absl::OkStatus()), "1234");
  EXPECT_EQ(*Work(absl::OkStatus()), "1234");
  EXPECT_EQ(prompt_->asked, 1);
  EXPECT_TRUE(Work(absl::OkStatus(), 8, "another key").ok());
  EXPECT_EQ(prompt_->asked, 2) << "it is that key's alone";
  clock_.Advance(absl::Minutes(10));
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(prompt_->asked, 3);
}

// One program asks, and others that want the same wait.
class WaitingForTheSameTest : public KeptPinTest {
 protected:
  // The first one's work ends so, of three that began beside each other.
  void AllAtOnce(const absl::Status& end) {
    prompt_->asking.HoldFirst();
    std::thread first([&] { (void)Work(end); });
    prompt_->asking.AwaitWaiters(1);
    std::vector<std::thread> others;
    for (int i = 0; i < 2; ++i) {
      others.emplace_back([&] { answers_.Add(Work(absl::OkStatus())); });
    }
    prompt_->asking.Release();
    first.join();
    for (std::thread& other : others) other.join();
  }
  struct Answers {
    absl::Mutex mutex;
    std::vector<absl::StatusOr<std::string>> all;
    void Add(absl::StatusOr<std::string> answer) {
      absl::MutexLock lock(&mutex);
      all.push_back(std::move(answer));
    }
  } answers_;
};

TEST_F(WaitingForTheSameTest, IsOverOnceThePersonSaidNo) {
  prompt_->answer = absl::CancelledError("no");
  AllAtOnce(absl::CancelledError("no"));
  for (const auto& answer : answers_.all) {
    EXPECT_EQ(DeviceErrorOf(answer.status()), DeviceError::kCancelled) << answer.status();
  }
  EXPECT_EQ(prompt_->asked, 1);
}

TEST_F(WaitingForTheSameTest, IsOverOnceThePinWasWrong) {
  AllAtOnce(DeviceFailure(DeviceError::kWrongPin, "wrong"));
  for (const auto& answer : answers_.all) {
    EXPECT_EQ(DeviceErrorOf(answer.status()), DeviceError::kWrongPin) << answer.status();
  }
  EXPECT_EQ(prompt_->asked, 1);
}

TEST_F(WaitingForTheSameTest, GetsThePinThatWasGood) {
  AllAtOnce(absl::OkStatus());
  for (const auto& answer : answers_.all) EXPECT_EQ(answer.value_or(""), "1234");
  EXPECT_EQ(prompt_->asked, 1);
}

TEST_F(KeptPinTest, OneThatIsNotKnownToBeGoodIsNotKept) {
  EXPECT_TRUE(Work(absl::UnavailableError("the gate is away")).ok());
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(prompt_->asked, 2);
}

TEST_F(KeptPinTest, AWrongOneForgetsAllAndFewTriesAreAPersonsToUse) {
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_TRUE(Work(absl::OkStatus(), 2).ok());
  EXPECT_EQ(prompt_->asked, 2) << "with two tries left the person is asked";
  EXPECT_TRUE(Work(DeviceFailure(DeviceError::kWrongPin, "wrong")).ok());
  EXPECT_EQ(prompt_->asked, 2);
  clock_.Advance(PersonMemory::kRemembered);
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(prompt_->asked, 3) << "the one that was kept did not work";
}

TEST_F(KeptPinTest, NoneIsKeptUnlessThatIsAskedFor) {
  for (int times = 1; times <= 2; ++times) {
    auto prompt = Ask("a.test");
    EXPECT_TRUE(prompt->AskPin("key", 8).ok());
    prompter_->Ended(*prompt, absl::OkStatus());
    EXPECT_EQ(prompt_->asked, times);
  }
}

TEST_F(KeptPinTest, ALogoutForgetsThem) {
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  keeper_.ForgetPins();
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(prompt_->asked, 2);
}

TEST_F(KeptPinTest, ALogoutForgetsWhatAKeySignsWithJustNow) {
  auto prompt = keeping_->For({"a.test", "to open a session", "", nullptr});
  keeping_->Begins(*prompt, "key", /*in_turn=*/false);
  EXPECT_TRUE(prompt->AskPin("TPM key (tpm:)", 8).ok());
  keeper_.ForgetPins();
  keeping_->Ended(*prompt, absl::OkStatus());
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(prompt_->asked, 2);
}

TEST_F(KeptPinTest, AKeyThatIsBeingMadeHasNone) {
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  for (int times = 2; times <= 3; ++times) {
    auto prompt = keeping_->For({"a.test", "to enrol a key", "", nullptr});
    EXPECT_TRUE(prompt->AskPin("TPM key (tpm:)", 8).ok());
    keeping_->Ended(*prompt, absl::OkStatus());
    EXPECT_EQ(prompt_->asked, times);
  }
}

TEST_F(KeptPinTest, OneIsNotForAKeyThatMayBeAnother) {
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  for (int times = 2; times <= 3; ++times) {
    auto prompt = keeping_->For({"a.test", "to open a session", "", nullptr});
    keeping_->Begins(*prompt, "key", /*in_turn=*/false);
    EXPECT_TRUE(prompt->AskPinAnew("a key of that model", 8).ok());
    keeping_->Ended(*prompt, absl::OkStatus());
    EXPECT_EQ(prompt_->asked, times);
  }
}

TEST_F(KeptPinTest, OneWhoseTimeIsOverIsDroppedThoughNobodyAsksForIt) {
  EXPECT_EQ(keeper_.DropEndedPins(), BootTime::InfiniteFuture());
  EXPECT_TRUE(Work(absl::OkStatus()).ok());
  EXPECT_EQ(keeper_.DropEndedPins(), clock_.BootNow() + absl::Minutes(10));
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(keeper_.DropEndedPins(), BootTime::InfiniteFuture());
}

}  // namespace
}  // namespace forekey
