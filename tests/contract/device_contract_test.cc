// SPDX-License-Identifier: Apache-2.0
// The laws of hw/device_key.h, run on every driver and its simulator.
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/deadline.h"
#include "tests/contract/fido2_token.h"
#include "tests/contract/piv_token.h"
#include "tests/contract/token.h"
#include "tests/contract/tpm_token.h"

namespace forekey {
namespace {

constexpr TokenKindUnderTest kKinds[] = {
    {.name = "tpm", .make = MakeTpmToken, .has_passwords = true},
    {.name = "piv", .make = MakePivToken},
    {.name = "fido2", .make = MakeFido2Token},
};
std::vector<TokenKindUnderTest> KindsWithPasswords() {
  std::vector<TokenKindUnderTest> kinds;
  for (const TokenKindUnderTest& kind : kKinds) {
    if (kind.has_passwords) kinds.push_back(kind);
  }
  return kinds;
}

class DeviceContractTest : public testing::TestWithParam<TokenKindUnderTest> {
 protected:
  void SetUp() override {
    auto token = GetParam().make();
    ASSERT_TRUE(token.ok()) << token.status();
    token_ = *std::move(token);
    before_ = token_->Leftovers();
  }

  // Every test ends with a token that holds what it held before. What was given up at a deadline is
  // put away by a thread that nobody waits for.
  void TearDown() override {
    if (token_ == nullptr) return;
    const Deadline patience = Deadline::In(absl::Seconds(10));
    while (token_->Leftovers() != before_ && !patience.Passed()) {
    }
    EXPECT_EQ(token_->Leftovers(), before_);
  }

  std::unique_ptr<DeviceKey> EnrolledKey(absl::string_view password = "") {
    EnrollOptions options;
    options.key_password = Secret::CopyOf(password);
    auto reference = EnrollKey(*token_, std::move(options), &spki_);
    EXPECT_TRUE(reference.ok()) << reference.status();
    if (!reference.ok()) return nullptr;
    reference_ = *reference;
    auto key = token_->driver().Load(*reference, Secret());
    EXPECT_TRUE(key.ok()) << key.status();
    return key.ok() ? *std::move(key) : nullptr;
  }

  absl::Status SignAndCheck(DeviceKey& key, const SignOptions& options) {
    auto signature = key.Sign("a statement", options);
    if (!signature.ok()) return signature.status();
    return token_->CheckSignature(spki_, "a statement", *signature);
  }
  absl::Status SignAndCheck(DeviceKey& key) { return SignAndCheck(key, token_->Sign()); }

  std::unique_ptr<TokenUnderTest> token_;
  int before_ = 0;
  std::string spki_;
  std::string reference_;
};

class PasswordContractTest : public DeviceContractTest {};

TEST_P(DeviceContractTest, ListsTheTokenWithADescription) {
  std::vector<std::string> problems;
  bool found = false;
  for (const DeviceInfo& device : token_->driver().List(&problems)) {
    if (device.uri != token_->uri()) continue;
    found = true;
    EXPECT_EQ(device.kind, token_->driver().kind());
    EXPECT_FALSE(device.description.empty());
  }
  EXPECT_TRUE(found) << testing::PrintToString(problems);
}

TEST_P(DeviceContractTest, NamesATokenThatCantBeOpenedAmongTheProblems) {
  token_->Unplug();
  std::vector<std::string> problems;
  for (const DeviceInfo& device : token_->driver().List(&problems))
    EXPECT_NE(device.uri, token_->uri());
  EXPECT_THAT(problems, testing::Contains(testing::HasSubstr(token_->uri())));
}

TEST_P(DeviceContractTest, EnrolsAndSigns) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->spki(), spki_);
  EXPECT_EQ(key->kind(), token_->driver().kind());
  EXPECT_FALSE(key->Describe().empty());
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_P(DeviceContractTest, SignsTheStatementAndNothingElse) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  auto signature = key->Sign("one statement", token_->Sign());
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_FALSE(token_->CheckSignature(spki_, "another statement", *signature).ok());
}

TEST_P(DeviceContractTest, EachEnrolmentMakesAnotherKey) {
  ASSERT_NE(EnrolledKey(), nullptr);
  const std::string first = spki_;
  ASSERT_NE(EnrolledKey(), nullptr);
  EXPECT_NE(spki_, first);
}

TEST_P(DeviceContractTest, LoadsWithoutTouchingTheToken) {
  ASSERT_NE(EnrolledKey(), nullptr);
  const uint64_t commands = token_->Commands();
  auto key = token_->driver().Load(reference_, Secret());
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ((*key)->spki(), spki_);
  EXPECT_EQ(token_->Commands(), commands);
}

TEST_P(DeviceContractTest, RefusesReferencesThatAreNone) {
  ASSERT_NE(EnrolledKey(), nullptr);
  for (const std::string& reference :
       {std::string(), std::string("garbage"), reference_.substr(0, reference_.size() / 2)}) {
    EXPECT_EQ(token_->driver().Load(reference, Secret()).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(DeviceContractTest, RefusesUrisOfOtherKinds) {
  for (const char* uri : {"", "x", "other:", "tpmx:"}) {
    EXPECT_EQ(token_->driver().Enroll(uri, {}).status().code(), absl::StatusCode::kInvalidArgument)
        << uri;
  }
}

TEST_P(DeviceContractTest, StepsOfAnEnrolmentComeInTheirOrder) {
  auto enroller = token_->driver().Enroll(token_->uri(), {});
  ASSERT_TRUE(enroller.ok()) << enroller.status();
  forekey::v1::EnrollmentProof proof;
  const auto out_of_order = absl::StatusCode::kFailedPrecondition;
  EXPECT_EQ((*enroller)->Prove("x", &proof).code(), out_of_order);
  EXPECT_EQ((*enroller)->KeyReference().status().code(), out_of_order);
  EXPECT_EQ((*enroller)->CreateKey({}, "x").status().code(), out_of_order);
  auto opening = (*enroller)->Opening();
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ((*enroller)->Opening().status().code(), out_of_order);
  EXPECT_EQ((*enroller)->Prove("x", &proof).code(), out_of_order);
  EXPECT_EQ((*enroller)->KeyReference().status().code(), out_of_order);
}

TEST_P(DeviceContractTest, AnEnrolmentDroppedAfterAnyStepLeavesNothing) {
  for (int steps = 0; steps <= 3; ++steps) {
    {
      EnrollOptions options;
      options.sign = token_->Sign();
      auto enroller = token_->driver().Enroll(token_->uri(), std::move(options));
      ASSERT_TRUE(enroller.ok()) << enroller.status();
      forekey::v1::EnrollmentProof proof;
      if (steps >= 1) {
        auto opening = (*enroller)->Opening();
        ASSERT_TRUE(opening.ok()) << opening.status();
        auto demand = token_->Demand(*opening);
        ASSERT_TRUE(demand.ok()) << demand.status();
        if (steps >= 2) {
          ASSERT_TRUE((*enroller)->CreateKey(*demand, "x").ok());
        }
        if (steps >= 3) {
          ASSERT_TRUE((*enroller)->Prove("x", &proof).ok());
        }
      }
    }
    EXPECT_EQ(token_->Leftovers(), before_) << "dropped after step " << steps;
  }
}

// The gate's two steps came to two processes of it.
TEST_P(DeviceContractTest, AnEnrolmentThatBeginsAnewEndsWithAKeyThatSigns) {
  for (const bool dropped : {true, false}) {
    EnrollOptions options;
    options.sign = token_->Sign();
    auto enroller = token_->driver().Enroll(token_->uri(), std::move(options));
    ASSERT_TRUE(enroller.ok()) << enroller.status();
    EXPECT_EQ((*enroller)->BeginAnew().code(), absl::StatusCode::kFailedPrecondition);
    for (const std::string statement : {"first", "second"}) {
      auto opening = (*enroller)->Opening();
      ASSERT_TRUE(opening.ok()) << opening.status();
      auto demand = token_->Demand(*opening);
      ASSERT_TRUE(demand.ok()) << demand.status();
      auto spki = (*enroller)->CreateKey(*demand, kUnkeyedStatement);
      ASSERT_TRUE(spki.ok()) << spki.status();
      spki_ = *spki;
      forekey::v1::EnrollmentProof proof;
      ASSERT_TRUE((*enroller)->Prove(statement, &proof).ok());
      if (statement == "second") {
        if (dropped) break;
        const absl::Status evidence = token_->CheckEvidence(spki_, statement, proof);
        EXPECT_TRUE(evidence.ok()) << evidence;
      }
      auto reference = (*enroller)->KeyReference();
      ASSERT_TRUE(reference.ok()) << reference.status();
      reference_ = *reference;
      if (statement == "first") {
        ASSERT_TRUE((*enroller)->BeginAnew().ok());
      }
    }
    enroller->reset();
    EXPECT_EQ(token_->Leftovers(), before_) << dropped;
  }
  auto key = token_->driver().Load(reference_, Secret());
  ASSERT_TRUE(key.ok()) << key.status();
  const absl::Status signed_well = SignAndCheck(**key);
  EXPECT_TRUE(signed_well.ok()) << signed_well;
}

TEST_P(DeviceContractTest, SaysThatTheTokenIsGone) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  token_->Unplug();
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key)), DeviceError::kGone);
  auto enroller = token_->driver().Enroll(token_->uri(), {});
  absl::Status status = enroller.ok() ? (*enroller)->Opening().status() : enroller.status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kGone) << status;
}

TEST_P(DeviceContractTest, GoneInTheMiddleOfAnyCommandThenBack) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  const uint64_t before = token_->Commands();
  ASSERT_TRUE(SignAndCheck(*key).ok());
  const int commands = static_cast<int>(token_->Commands() - before);
  ASSERT_GT(commands, 0);
  for (int after = 0; after < commands - token_->ClosingCommands(); ++after) {
    token_->UnplugAfter(after);
    absl::Status status = SignAndCheck(*key);
    EXPECT_EQ(DeviceErrorOf(status), DeviceError::kGone) << "after " << after << ": " << status;
    token_->PlugIn();
    status = SignAndCheck(*key);
    EXPECT_TRUE(status.ok()) << "back after " << after << ": " << status;
    EXPECT_EQ(token_->Leftovers(), before_) << "after " << after;
  }
}

TEST_P(DeviceContractTest, EnrolsOnceATokenThatVanishedIsBack) {
  token_->UnplugAfter(3);
  EXPECT_EQ(DeviceErrorOf(EnrollKey(*token_, {}).status()), DeviceError::kGone);
  token_->PlugIn();
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_P(DeviceContractTest, SitsOutABusyToken) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  token_->BeBusy(12);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_P(DeviceContractTest, SaysThatTheTokenStaysBusyOnceTheDeadlineHasCome) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  token_->BeBusy(1'000'000);
  SignOptions options = token_->Sign();
  // Long enough that the token answers each command in time, also on a machine that is busy itself.
  options.deadline = Deadline::In(absl::Seconds(2));
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key, options)), DeviceError::kBusy);
  token_->BeBusy(0);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_P(DeviceContractTest, StopsWaitingWhenCancelled) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  token_->BeBusy(1'000'000);
  int asked = 0;
  SignOptions options = token_->Sign();
  options.cancelled = [&asked] { return ++asked > 2; };
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key, options)), DeviceError::kCancelled);
  token_->BeBusy(0);
}

TEST_P(DeviceContractTest, SignsFromManyThreads) {
  auto first = EnrolledKey();
  ASSERT_NE(first, nullptr);
  auto second = token_->driver().Load(reference_, Secret());
  ASSERT_TRUE(second.ok());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    DeviceKey* key = thread % 2 == 0 ? first.get() : second->get();
    threads.emplace_back([this, key, thread, &good] {
      for (int i = 0; i < 5; ++i) {
        const std::string statement = absl::StrCat("thread ", thread, " statement ", i);
        auto signature = key->Sign(statement, token_->Sign());
        if (signature.ok() && token_->CheckSignature(spki_, statement, *signature).ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 20);
}

TEST_P(PasswordContractTest, SignsWithThePasswordFromLoadOrFromThePrompt) {
  auto key = EnrolledKey("correct horse");
  ASSERT_NE(key, nullptr);
  ScriptedPrompt prompt("correct horse");
  SignOptions options = token_->Sign();
  options.prompt = &prompt;
  EXPECT_TRUE(SignAndCheck(*key, options).ok());
  EXPECT_EQ(prompt.asked, 1);
  auto loaded = token_->driver().Load(reference_, Secret::CopyOf("correct horse"));
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE(SignAndCheck(**loaded).ok());
}

TEST_P(PasswordContractTest, SaysThatAPasswordIsNeededWhenNobodyCanBeAsked) {
  auto key = EnrolledKey("correct horse");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key)), DeviceError::kPinRequired);
}

TEST_P(PasswordContractTest, TellsAWrongPasswordAndAsksOnce) {
  auto key = EnrolledKey("correct horse");
  ASSERT_NE(key, nullptr);
  ScriptedPrompt prompt("wrong");
  SignOptions options = token_->Sign();
  options.prompt = &prompt;
  absl::Status status = SignAndCheck(*key, options);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kWrongPin) << status;
  EXPECT_EQ(prompt.asked, 1);
  const int before = prompt.last_tries_left;
  SignAndCheck(*key, options).IgnoreError();
  EXPECT_EQ(prompt.last_tries_left, before - 1);
}

TEST_P(PasswordContractTest, TellsALockoutFromAWrongPassword) {
  auto key = EnrolledKey("correct horse");
  ASSERT_NE(key, nullptr);
  ASSERT_TRUE(token_->LockOut(true).ok());
  auto loaded = token_->driver().Load(reference_, Secret::CopyOf("correct horse"));
  ASSERT_TRUE(loaded.ok());
  absl::Status status = SignAndCheck(**loaded);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kLockedOut) << status;
  ASSERT_TRUE(token_->LockOut(false).ok());
  EXPECT_TRUE(SignAndCheck(**loaded).ok());
}

TEST_P(PasswordContractTest, AKeyWithoutPasswordSignsDuringALockout) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  ASSERT_TRUE(token_->LockOut(true).ok());
  EXPECT_TRUE(SignAndCheck(*key).ok());
  ASSERT_TRUE(token_->LockOut(false).ok());
}

std::string NameOfKind(const testing::TestParamInfo<TokenKindUnderTest>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(All, DeviceContractTest, testing::ValuesIn(kKinds), NameOfKind);
INSTANTIATE_TEST_SUITE_P(All, PasswordContractTest, testing::ValuesIn(KindsWithPasswords()),
                         NameOfKind);

}  // namespace
}  // namespace forekey
