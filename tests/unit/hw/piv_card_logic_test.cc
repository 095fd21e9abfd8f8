// SPDX-License-Identifier: Apache-2.0
// The PIV driver on cards at the level of APDUs: whose PIN is sent when, what is locked, what is
// begun again.
#include "absl/strings/escaping.h"
#include "src/crypto/digest.h"
#include "tests/unit/hw/piv_logic_fixture.h"

namespace forekey {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;

TEST_F(PivLogicTest, ListsCardsAndLeavesOthersAlone) {
  service_->readers["Empty"] = nullptr;
  auto bank_card = std::make_shared<FakeCard>();
  bank_card->has_piv = false;
  service_->readers["Bank"] = bank_card;
  std::vector<std::string> problems;
  auto devices = driver_->List(&problems);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].uri, "piv:serial=1234567");
  EXPECT_THAT(devices[0].description, HasSubstr("firmware 5.7.4"));
  EXPECT_TRUE(problems.empty());
  card_->is_yubikey = false;
  EXPECT_EQ(driver_->List(&problems)[0].uri, "piv:Reader%2000%2000");
}

TEST_F(PivLogicTest, NamesCardsThatShouldBeThere) {
  PivDriver driver({"piv:serial=99"}, service_);
  std::vector<std::string> problems;
  EXPECT_EQ(driver.List(&problems).size(), 1u);
  EXPECT_THAT(problems, Contains(HasSubstr("piv:serial=99 no card with the serial number 99")));
  problems.clear();
  service_->readers_fault = ServiceWasLost();
  EXPECT_TRUE(driver.List(&problems).empty());
  EXPECT_THAT(problems, Contains(HasSubstr("piv:serial=99 pcscd ended")));
}

TEST_F(PivLogicTest, AsksForThePinWithTheTriesThatAreLeftAndLocksTheCard) {
  auto key = PinKey();
  card_->tries = 2;
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(prompt_.asked, 1);
  EXPECT_EQ(prompt_.shown, 2);
  EXPECT_EQ(card_->pins_sent, 1);
  EXPECT_EQ(card_->resets, 0);
}

TEST_F(PivLogicTest, NoTransactionIsOpenWhileThePersonTypes) {
  auto key = PinKey();
  int open_now = -1;
  prompt_.while_asking = [&] { open_now = service_->open_now; };
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(open_now, 0);
}

TEST_F(PivLogicTest, ResetsACardThatCantBeLockedOtherwise) {
  auto key = PinKey();
  PutKey(0x9C, 2, 1);  // "once": stays unlocked unless something locks it
  key = KeyIn(0x9C, PinPolicy::kOnce, TouchPolicy::kNever);
  card_->has_lock = false;
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(card_->resets, 1);
  card_->has_lock = true;
  card_->ignores_p1 = true;
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(card_->resets, 2);
}

TEST_F(PivLogicTest, DoesNotLiveOffAnotherProgramsPin) {
  PutKey(0x9A, 2, 1);
  auto key = KeyIn(0x9A, PinPolicy::kOnce, TouchPolicy::kNever);
  card_->verified = true;
  prompt_.cancel = true;
  EXPECT_EQ(key->Sign("s", options_).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(card_->signatures, 0);
  card_->verified = true;
  card_->has_lock = false;  // then by a reset
  EXPECT_EQ(key->Sign("s", options_).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(card_->signatures, 0);
  EXPECT_GE(card_->resets, 1);
}

TEST_F(PivLogicTest, AWrongPinIsSentOnceAndNeverAgain) {
  auto key = PinKey("000000");
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kWrongPin);
  EXPECT_EQ(card_->pins_sent, 1);
  EXPECT_EQ(card_->tries, 2);
  // The one that was given is forgotten: the person is asked.
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(prompt_.asked, 1);
}

TEST_F(PivLogicTest, APinThatCantBeOneIsNotSent) {
  auto key = PinKey();
  for (const char* pin : {"", "12345", "123456789"}) {
    prompt_.answer = pin;
    EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kWrongPin) << pin;
  }
  EXPECT_EQ(card_->pins_sent, 0);
}

TEST_F(PivLogicTest, TellsABlockedPinAndAsksNobody) {
  auto key = PinKey();
  card_->tries = 0;
  absl::Status status = key->Sign("s", options_).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinBlocked);
  EXPECT_THAT(status.message(), HasSubstr("PUK"));
  EXPECT_EQ(prompt_.asked, 0);
  EXPECT_EQ(card_->pins_sent, 0);
}

TEST_F(PivLogicTest, SaysThatAPinIsNeededWhenNobodyCanBeAsked) {
  auto key = PinKey();
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", {}).status()), DeviceError::kPinRequired);
}

TEST_F(PivLogicTest, ATryThatAnotherProgramUsedUpMeanwhileStopsThePin) {
  auto key = PinKey();
  prompt_.while_asking = [this] { card_->tries = 2; };
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kOther);
  EXPECT_EQ(card_->pins_sent, 0);
}

TEST_F(PivLogicTest, ThePinOfOneCardIsNotSentToAnother) {
  auto key = PinKey();
  auto other = std::make_shared<FakeCard>();
  other->serial = 7;
  prompt_.while_asking = [&] { service_->readers[kReader] = other; };
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kGone);
  EXPECT_EQ(other->pins_sent, 0);
}

TEST_F(PivLogicTest, CardsWithoutSerialNumberAreToldApartByTheirChuid) {
  card_->is_yubikey = false;
  card_->objects[0x5FC102] = "chuid of this card";
  PutKey(0x9A, 2, 1);
  PivUri uri = *PivUri::Parse("piv:Reader 00 00#9a");
  auto key = driver_->Load(
      SerializeKeyReference({uri, Sha256("chuid of this card"), PinPolicy::kOnce,
                             TouchPolicy::kUnknown, card_->keys.at(0x9A).key.public_key()}),
      Secret::CopyOf("123456"));
  ASSERT_THAT(key, IsOk());
  EXPECT_THAT((*key)->Sign("s", {}), IsOk());
  card_->objects[0x5FC102] = "chuid of another";
  EXPECT_EQ(DeviceErrorOf((*key)->Sign("s", {}).status()), DeviceError::kGone);
  EXPECT_EQ(card_->pins_sent, 1);
}

TEST_F(PivLogicTest, BeginsAgainAfterAResetAnywhere) {
  PutKey(0x9E, 1, 1);
  auto key = KeyIn(0x9E, PinPolicy::kNever, TouchPolicy::kNever);
  const int before = card_->commands;
  ASSERT_THAT(key->Sign("s", {}), IsOk());
  const int commands = card_->commands - before;
  for (int i = 0; i < commands; ++i) {
    card_->fault_before[card_->commands + i] = CardWasReset();
    EXPECT_THAT(key->Sign("s", {}), IsOk()) << i;
    card_->fault_before.clear();
    card_->fault_after[card_->commands + i] = CardWasReset();
    EXPECT_THAT(key->Sign("s", {}), IsOk()) << i;
    card_->fault_after.clear();
  }
}

TEST_F(PivLogicTest, AnAcceptedPinIsSentAgainAfterAReset) {
  auto key = PinKey("123456");
  const int sign = CommandNumber(*key, 0x87, 20);
  ASSERT_GT(sign, 0);
  card_->pins_sent = 0;
  card_->fault_before[card_->commands + sign] = CardWasReset();
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(card_->pins_sent, 2);
  EXPECT_EQ(prompt_.asked, 0);
}

TEST_F(PivLogicTest, AnAcceptedPinIsNotSentAgainWhenATryWasUsedUp) {
  auto key = PinKey("123456");
  const int sign = CommandNumber(*key, 0x87, 20);
  card_->pins_sent = 0;
  const int at = card_->commands + sign;
  card_->fault_before[at] = CardWasReset();
  card_->on_command = [this, at](absl::string_view) {
    if (card_->commands > at + 1) card_->tries = 2;
  };
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kOther);
  EXPECT_EQ(card_->pins_sent, 1);
}

TEST_F(PivLogicTest, APinWhoseAnswerWasLostIsNotSentAgain) {
  auto key = PinKey("000000");
  auto good = PinKey("123456");
  const int verify = CommandNumber(*good, 0x20, 13);
  ASSERT_GT(verify, 0);
  card_->pins_sent = 0;
  card_->fault_after[card_->commands + verify] = CardWasReset();
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kOther);
  EXPECT_EQ(card_->pins_sent, 1);
  EXPECT_EQ(card_->tries, 2);
}

TEST_F(PivLogicTest, AResetThatNobodyAnnouncedIsBegunAgainOnce) {
  // The whole card forgets, or its PIN alone.
  for (const bool all : {true, false}) {
    auto key = PinKey("123456");
    const int sign = CommandNumber(*key, 0x87, 20);
    const auto forget = [this, all] {
      if (all) card_->Reset();
      card_->verified = false;
    };
    card_->pins_sent = 0;
    const int at = card_->commands + sign;
    card_->on_command = [this, at, forget](absl::string_view) {
      if (card_->commands == at + 1) forget();
    };
    EXPECT_THAT(key->Sign("s", options_), IsOk());
    EXPECT_EQ(card_->pins_sent, 2);
    card_->pins_sent = 0;
    card_->on_command = [forget](absl::string_view command) {
      if (static_cast<uint8_t>(command[1]) == 0x87) forget();
    };
    EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()),
              all ? DeviceError::kNotSetUp : DeviceError::kPinRequired);
    EXPECT_EQ(card_->pins_sent, 2);
    card_->on_command = nullptr;
  }
}

// A program that resets the card while pcscd gives it to us: SELECT is forgotten, and nobody says
// so yet.
TEST_F(PivLogicTest, AResetBetweenSelectAndTheFirstVerifyIsBegunAgain) {
  auto key = PinKey("123456");
  const int first_verify = CommandNumber(*key, 0x20, 4);
  ASSERT_GT(first_verify, 0);
  card_->pins_sent = 0;
  const int at = card_->commands + first_verify;
  card_->on_command = [this, at](absl::string_view) {
    if (card_->commands == at + 1) card_->Reset();
  };
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(card_->pins_sent, 1);
}

TEST_F(PivLogicTest, WaitsForPcscdThatWasRestarted) {
  PutKey(0x9E, 1, 1);
  auto key = KeyIn(0x9E, PinPolicy::kNever, TouchPolicy::kNever);
  EXPECT_THAT(key->Sign("s", {}), IsOk());
  // It ends in the middle, is away for a moment, then back without the reader, then with it.
  card_->fault_before[card_->commands + 1] = ServiceWasLost();
  service_->open_faults = {absl::OkStatus(), ServiceWasLost(), CardWasRemoved()};
  int waits = 0;
  service_->on_wait = [&] { ++waits; };
  EXPECT_THAT(key->Sign("s", {}), IsOk());
  EXPECT_GE(waits, 2);
}

TEST_F(PivLogicTest, DoesNotWaitForAPcscdThatNeverWas) {
  PutKey(0x9E, 1, 1);
  auto key = KeyIn(0x9E, PinPolicy::kNever, TouchPolicy::kNever);
  service_->readers_fault = ServiceWasLost();
  service_->on_wait = [] { FAIL(); };
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", {}).status()), DeviceError::kNotSetUp);
}

TEST_F(PivLogicTest, FollowsACardFromReaderToReader) {
  PutKey(0x9E, 1, 1);
  auto key = KeyIn(0x9E, PinPolicy::kNever, TouchPolicy::kNever);
  EXPECT_THAT(key->Sign("s", {}), IsOk());
  service_->readers.clear();
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", {}).status()), DeviceError::kGone);
  service_->readers["Another Reader"] = card_;
  EXPECT_THAT(key->Sign("s", {}), IsOk());
}

TEST_F(PivLogicTest, TellsATouchThatDidNotCome) {
  PutKey(0x9C, 3, 2);
  auto key = KeyIn(0x9C, PinPolicy::kAlways, TouchPolicy::kAlways, "123456");
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(prompt_.touches, 1);
  EXPECT_EQ(prompt_.hidden, 1);
  card_->touched = false;
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kTouchTimeout);
  EXPECT_EQ(prompt_.hidden, 2);
}

TEST_F(PivLogicTest, ASignatureOfAnotherKeyIsNotHandedOut) {
  PutKey(0x9E, 1, 1);
  auto key = KeyIn(0x9E, PinPolicy::kNever, TouchPolicy::kNever);
  PutKey(0x9E, 1, 1);
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", {}).status()), DeviceError::kNotSetUp);
}

TEST_F(PivLogicTest, TheGlobalPinWhereTheCardSaysSo) {
  card_->global_pin_discovery = absl::HexStringToBytes("7E124F0BA0000003080000100001005F2F026020");
  auto key = PinKey("123456");
  std::string reference;
  card_->on_command = [&](absl::string_view command) {
    if (command[1] == 0x20) reference = std::string(command.substr(3, 1));
  };
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(reference, std::string("\0", 1));
}

}  // namespace
}  // namespace forekey
