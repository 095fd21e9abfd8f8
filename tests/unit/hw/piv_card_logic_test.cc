// The PIV driver on cards at the level of APDUs: whose PIN is sent when, what is locked, what is begun again.
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/piv_driver.h"
#include "hw/piv/tlv.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/hw/fake_smartcards.h"

namespace forekey {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;

constexpr char kReader[] = "Reader 00 00";

class CountingPrompt : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view, int tries_left) override {
    ++asked;
    shown = tries_left;
    if (while_asking) while_asking();
    if (cancel) return absl::CancelledError("no");
    return Secret::CopyOf(answer);
  }
  void ShowTouch(absl::string_view) override { ++touches; }
  void HideTouch() override { ++hidden; }
  std::string answer = "123456";
  bool cancel = false;
  std::function<void()> while_asking;
  int asked = 0, shown = -2, touches = 0, hidden = 0;
};

class PivLogicTest : public ::testing::Test {
 protected:
  void SetUp() override {
    service_ = std::make_shared<FakeSmartcards>();
    card_ = std::make_shared<FakeCard>();
    service_->readers[kReader] = card_;
    ca_ = testing::NewEcKey();
    card_->attest = [this](const PublicKey& key) { return CertificateFor(key); };
    card_->objects[0x5FFF01] = ObjectWith(CertificateFor(*PublicKey::FromEvp(ca_.get())));
    driver_ = std::make_unique<PivDriver>(std::vector<std::string>{}, service_);
    options_.prompt = &prompt_;
  }
  void TearDown() override {
    EXPECT_EQ(service_->open_now, 0);
    EXPECT_FALSE(card_->verified) << "the card was left unlocked";
  }

  std::string CertificateFor(const PublicKey& key) {
    testing::CertificateSpec spec;
    spec.subject = "slot";
    spec.issuer = "F9";
    EVP_PKEY_up_ref(key.evp());
    spec.key = std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(key.evp()));
    spec.signer = ca_;
    return testing::MakeDer(spec);
  }
  static std::string ObjectWith(const std::string& certificate) {
    return EncodeTlvs({{0x70, certificate}, {0x71, absl::string_view("\0", 1)}, {0xFE, ""}});
  }
  void PutKey(uint8_t slot, uint8_t pin_policy, uint8_t touch_policy, bool generated = true) {
    card_->keys.erase(slot);
    card_->keys.emplace(slot, FakeCard::Key{SoftwareKey::Generate(Algorithm::kEs256), pin_policy, touch_policy,
                                            generated});
  }
  std::unique_ptr<DeviceKey> KeyIn(uint8_t slot, PinPolicy pin, TouchPolicy touch, absl::string_view given = "") {
    PivUri uri = *PivUri::Parse("piv:serial=1234567");
    uri.slot = slot;
    auto key = driver_->Load(SerializeKeyReference({uri, "", pin, touch, card_->keys.at(slot).key.public_key()}),
                             Secret::CopyOf(given));
    EXPECT_THAT(key, IsOk());
    return key.ok() ? *std::move(key) : nullptr;
  }
  std::unique_ptr<DeviceKey> PinKey(absl::string_view given = "") {
    PutKey(0x9C, 3, 1);
    return KeyIn(0x9C, PinPolicy::kAlways, TouchPolicy::kNever, given);
  }
  // The number of the command, in the next signature, that matches.
  int CommandNumber(DeviceKey& key, uint8_t instruction, size_t min_size) {
    int found = -1;
    const int before = card_->commands;
    card_->on_command = [&](absl::string_view command) {
      if (static_cast<uint8_t>(command[1]) == instruction && command.size() >= min_size && found < 0) {
        found = card_->commands - 1 - before;
      }
    };
    EXPECT_THAT(key.Sign("s", options_), IsOk());
    card_->on_command = nullptr;
    return found;
  }
  struct Enrolled {
    absl::Status status;
    std::string reference;
    forekey::v1::EnrollmentProof proof;
    std::string spki;
  };
  Enrolled Enroll(const std::string& uri, EnrollOptions options, std::vector<uint32_t> slots = {}) {
    Enrolled result;
    options.sign = options_;
    auto enroller = driver_->Enroll(uri, std::move(options));
    result.status = enroller.status();
    if (!result.status.ok()) return result;
    auto opening = (*enroller)->Opening();
    result.status = opening.status();
    if (!result.status.ok()) return result;
    forekey::v1::EnrollmentDemand demand;
    demand.mutable_piv();
    for (uint32_t slot : slots) demand.mutable_piv()->add_slots(slot);
    auto spki = (*enroller)->CreateKey(demand, "unkeyed");
    result.status = spki.status();
    if (!result.status.ok()) return result;
    result.spki = *spki;
    result.status = (*enroller)->Prove("statement", &result.proof);
    if (!result.status.ok()) return result;
    auto reference = (*enroller)->KeyReference();
    result.status = reference.status();
    if (result.status.ok()) result.reference = *reference;
    return result;
  }

  std::shared_ptr<FakeSmartcards> service_;
  std::shared_ptr<FakeCard> card_;
  std::shared_ptr<EVP_PKEY> ca_;
  std::unique_ptr<PivDriver> driver_;
  CountingPrompt prompt_;
  SignOptions options_;
};

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
  auto key = driver_->Load(SerializeKeyReference({uri, Sha256("chuid of this card"), PinPolicy::kOnce,
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

// A program that resets the card while pcscd gives it to us: SELECT is forgotten, and nobody says so yet.
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

TEST_F(PivLogicTest, EnrolsANewKeyInTheFirstFreeDedicatedSlot) {
  PutKey(0x82, 2, 1);
  card_->objects[0x5FC10E] = "";  // an empty object of slot 83 is none
  Enrolled enrolled = Enroll("piv:", {});
  ASSERT_THAT(enrolled.status, IsOk());
  ASSERT_EQ(card_->keys.count(0x83), 1u);
  EXPECT_EQ(card_->keys.at(0x83).pin_policy, 3);
  EXPECT_EQ(card_->keys.at(0x83).touch_policy, 2);
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Device: piv:serial=1234567#83\n"));
  EXPECT_TRUE(enrolled.proof.piv().is_attestation());
  EXPECT_EQ(enrolled.proof.piv().intermediates_size(), 1);
  EXPECT_THAT(PublicKey::FromSpki(enrolled.spki)->Verify("statement", enrolled.proof.possession().signature()),
              IsOk());
  EXPECT_FALSE(card_->managed) << "the management key's authority was left behind";
  // The PIN was asked for once, for the signature.
  EXPECT_EQ(prompt_.asked, 1);
}

TEST_F(PivLogicTest, TakesTheSlotsThatTheGateTakes) {
  Enrolled enrolled = Enroll("piv:", {}, {0x90, 0x9C});
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(card_->keys.count(0x90), 1u);
  EnrollOptions options;
  options.slot = "83";
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options), {0x90}).status), DeviceError::kNotSetUp);
  EXPECT_EQ(card_->keys.count(0x83), 0u);
}

TEST_F(PivLogicTest, NeverOverwritesUnlessTold) {
  PutKey(0x9C, 3, 1);
  const std::string before = card_->keys.at(0x9C).key.public_key().spki();
  EnrollOptions options;
  options.slot = "9c";
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
  EXPECT_THAT(status.message(), HasSubstr("--overwrite"));
  EXPECT_EQ(card_->keys.at(0x9C).key.public_key().spki(), before);
  EnrollOptions overwriting;
  overwriting.slot = "9c";
  overwriting.overwrite = true;
  EXPECT_THAT(Enroll("piv:", std::move(overwriting)).status, IsOk());
  EXPECT_NE(card_->keys.at(0x9C).key.public_key().spki(), before);
  EnrollOptions anywhere;
  anywhere.overwrite = true;
  EXPECT_EQ(Enroll("piv:", std::move(anywhere)).status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PivLogicTest, ASlotThatFilledUpSinceTheOpeningIsLeftAlone) {
  options_.prompt = nullptr;
  auto enroller = driver_->Enroll("piv:", {});
  ASSERT_THAT(enroller, IsOk());
  auto opening = (*enroller)->Opening();
  ASSERT_THAT(opening, IsOk());
  EXPECT_EQ(opening->piv().slot(), 0x82u);
  PutKey(0x82, 2, 1);
  const std::string before = card_->keys.at(0x82).key.public_key().spki();
  forekey::v1::EnrollmentDemand demand;
  demand.mutable_piv();
  ASSERT_THAT((*enroller)->CreateKey(demand, ""), IsOk());
  EXPECT_EQ(card_->keys.at(0x82).key.public_key().spki(), before);
  EXPECT_EQ(card_->keys.count(0x83), 1u);
}

TEST_F(PivLogicTest, ADroppedEnrolmentDeletesItsKeyWhereTheCardCan) {
  for (int steps = 1; steps <= 3; ++steps) {
    {
      EnrollOptions options;
      options.sign = options_;
      auto enroller = driver_->Enroll("piv:", std::move(options));
      forekey::v1::EnrollmentDemand demand;
      demand.mutable_piv();
      forekey::v1::EnrollmentProof proof;
      ASSERT_THAT((*enroller)->Opening(), IsOk());
      if (steps >= 2) {
        ASSERT_THAT((*enroller)->CreateKey(demand, ""), IsOk());
      }
      if (steps >= 3) {
        ASSERT_THAT((*enroller)->Prove("s", &proof), IsOk());
      }
    }
    EXPECT_TRUE(card_->keys.empty()) << steps;
  }
}

TEST_F(PivLogicTest, AFailedProofSaysWhichKeyStaysBehind) {
  card_->version = std::string("\x05\x04\x03", 3);
  card_->touched = false;
  absl::Status status = Enroll("piv:", {}).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kTouchTimeout);
  EXPECT_THAT(status.message(), HasSubstr("the new key stays in slot 82 (the card's firmware can't delete keys)"));
  EXPECT_EQ(card_->keys.count(0x82), 1u);
}

TEST_F(PivLogicTest, ALostAnswerToGenerateLosesNoSlot) {
  int generate = -1;
  card_->on_command = [&](absl::string_view command) {
    if (command[1] == 0x47 && generate < 0) {
      generate = card_->commands - 1;
      card_->fault_after[generate] = CardWasReset();
    }
  };
  Enrolled enrolled = Enroll("piv:", {});
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(card_->keys.size(), 1u);
  EXPECT_EQ(card_->keys.at(0x82).key.public_key().spki(), enrolled.spki);
}

TEST_F(PivLogicTest, EnrolsAnExistingKeyWithoutWriting) {
  PutKey(0x9A, 2, 1, /*generated=*/false);
  const std::string spki = card_->keys.at(0x9A).key.public_key().spki();
  const std::string certificate = CertificateFor(card_->keys.at(0x9A).key.public_key());
  card_->objects[0x5FC105] = ObjectWith(certificate);
  card_->on_command = [](absl::string_view command) {
    EXPECT_NE(command[1], 0x47);
    EXPECT_NE(static_cast<uint8_t>(command[1]), 0xDB);
  };
  EnrollOptions options;
  options.existing_key = true;
  Enrolled enrolled = Enroll("piv:", std::move(options));
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(enrolled.spki, spki);
  EXPECT_FALSE(enrolled.proof.piv().is_attestation());
  EXPECT_EQ(enrolled.proof.piv().certificate(), certificate);
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Pin: once\n"));
}

TEST_F(PivLogicTest, EnrolsAnExistingKeyOfACardWithoutYubicosCommands) {
  card_->is_yubikey = false;
  card_->attest = nullptr;
  card_->objects[0x5FC102] = "chuid";
  PutKey(0x9C, 3, 1, false);
  card_->objects[0x5FC10A] = ObjectWith(CertificateFor(card_->keys.at(0x9C).key.public_key()));
  EnrollOptions options;
  options.existing_key = true;
  Enrolled enrolled = Enroll("piv:Reader 00 00#9c", std::move(options));
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Device: piv:Reader%2000%2000#9c\nForekey-Card: "));
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Pin: always\nForekey-Touch: unknown\n"));
  // It can't say which slots are free.
  EnrollOptions fresh;
  fresh.slot = "82";
  EXPECT_THAT(Enroll("piv:", std::move(fresh)).status.message(), HasSubstr("can't say whether slot 82 is free"));
}

TEST_F(PivLogicTest, WritesNoCertificateUnlessTold) {
  ASSERT_THAT(Enroll("piv:", {}).status, IsOk());
  EXPECT_EQ(card_->objects_put, 0);
}

TEST_F(PivLogicTest, TheNewKeysAttestationBecomesItsCertificateWhereThatIsAskedFor) {
  EnrollOptions options;
  options.write_certificate = true;
  Enrolled enrolled = Enroll("piv:", std::move(options));
  ASSERT_THAT(enrolled.status, IsOk());
  auto written = ParseCertificateObject(card_->objects[CertificateObject(0x82)]);
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(Certificate::ParseDer(*written)->Spki(), enrolled.spki);
  EXPECT_EQ(card_->objects_put, 1);
  EXPECT_EQ(card_->signatures, 1) << "the key signed something beside the statement";
  EXPECT_FALSE(card_->managed);
}

TEST_F(PivLogicTest, ACertificateIsNeverOverwrittenUnlessTold) {
  // A certificate alone, without key: the slot is not free.
  const std::string theirs =
      ObjectWith(CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key()));
  card_->objects[CertificateObject(0x9C)] = theirs;
  for (const bool write : {false, true}) {
    EnrollOptions options;
    options.slot = "9c";
    options.write_certificate = write;
    EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(), HasSubstr("--overwrite"));
    EXPECT_EQ(card_->objects[CertificateObject(0x9C)], theirs);
    EXPECT_TRUE(card_->keys.empty());
  }
  EnrollOptions key_alone;
  key_alone.slot = "9c";
  key_alone.overwrite = true;
  EXPECT_THAT(Enroll("piv:", std::move(key_alone)).status, IsOk());
  EXPECT_EQ(card_->objects[CertificateObject(0x9C)], theirs) << "nobody asked for a certificate";
  EnrollOptions both;
  both.slot = "9c";
  both.overwrite = both.write_certificate = true;
  Enrolled enrolled = Enroll("piv:", std::move(both));
  EXPECT_THAT(enrolled.status, IsOk());
  EXPECT_NE(card_->objects[CertificateObject(0x9C)], theirs);
}

TEST_F(PivLogicTest, ACertificateThatCameMeanwhileIsLeftAlone) {
  const std::string theirs =
      ObjectWith(CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key()));
  card_->on_command = [&](absl::string_view command) {
    if (command[1] == 0x47) card_->objects[CertificateObject(0x82)] = theirs;
  };
  EnrollOptions options;
  options.write_certificate = true;
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_THAT(status.message(), HasSubstr("another program put a certificate into slot 82"));
  EXPECT_EQ(card_->objects[CertificateObject(0x82)], theirs);
  EXPECT_TRUE(card_->keys.empty()) << "the new key stayed";
}

TEST_F(PivLogicTest, AnEnrolmentThatWritesACertificateBeginsAgainAfterAResetAnywhere) {
  EnrollOptions options;
  options.write_certificate = true;
  const int before = card_->commands;
  ASSERT_THAT(Enroll("piv:", std::move(options)).status, IsOk());
  const int commands = card_->commands - before;
  for (int i = 0; i < commands; ++i) {
    for (auto* faults : {&card_->fault_before, &card_->fault_after}) {
      card_->keys.clear();
      card_->objects.erase(CertificateObject(0x82));
      (*faults)[card_->commands + i] = CardWasReset();
      EnrollOptions again;
      again.write_certificate = true;
      Enrolled enrolled = Enroll("piv:", std::move(again));
      faults->clear();
      // A PIN whose answer was lost is not sent again: then all is undone.
      if (!enrolled.status.ok()) {
        EXPECT_THAT(enrolled.status.message(), HasSubstr("the PIN was not sent")) << i;
        EXPECT_TRUE(card_->keys.empty()) << i;
        EXPECT_EQ(card_->objects.count(CertificateObject(0x82)), 0u) << i;
        continue;
      }
      ASSERT_EQ(card_->keys.size(), 1u) << i;
      EXPECT_EQ(card_->keys.begin()->second.key.public_key().spki(), enrolled.spki) << i;
      auto written = ParseCertificateObject(card_->objects[CertificateObject(0x82)]);
      ASSERT_THAT(written, IsOk()) << i;
      EXPECT_EQ(Certificate::ParseDer(*written)->Spki(), enrolled.spki) << i;
    }
  }
}

TEST_F(PivLogicTest, ADroppedEnrolmentTakesItsCertificateAlong) {
  card_->touched = false;  // the proof fails
  EnrollOptions options;
  options.write_certificate = true;
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options)).status), DeviceError::kTouchTimeout);
  EXPECT_EQ(card_->objects.count(CertificateObject(0x82)), 0u);
  EXPECT_TRUE(card_->keys.empty());
  // Of a card that can't delete the key, too.
  card_->version = std::string("\x05\x04\x03", 3);
  EnrollOptions older;
  older.write_certificate = true;
  EXPECT_THAT(Enroll("piv:", std::move(older)).status.message(), HasSubstr("stays in slot 82"));
  EXPECT_EQ(card_->objects.count(CertificateObject(0x82)), 0u);
  EXPECT_EQ(card_->keys.count(0x82), 1u);
}

TEST_F(PivLogicTest, NoCertificateOfACardThatDoesNotAttest) {
  card_->version = std::string("\x04\x02\x07", 3);
  EnrollOptions options;
  options.write_certificate = true;
  EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(),
              HasSubstr("leave out --write-certificate"));
  card_->version = std::string("\x05\x07\x04", 3);
  card_->attest = [this](const PublicKey&) {
    return CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key());
  };
  EnrollOptions lied_to;
  lied_to.write_certificate = true;
  EXPECT_THAT(Enroll("piv:", std::move(lied_to)).status.message(), HasSubstr("not of the new key"));
  EXPECT_EQ(card_->objects_put, 0);
  EXPECT_TRUE(card_->keys.empty());
}

TEST_F(PivLogicTest, AnAlgorithmThatTheFirmwareLacksIsRefusedBeforeAnything) {
  card_->version = std::string("\x05\x04\x03", 3);
  card_->on_command = [](absl::string_view command) { EXPECT_NE(command[1], 0x47); };
  EnrollOptions options;
  options.algorithm = "rsa4096";
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
  EXPECT_THAT(status.message(),
              HasSubstr("firmware is 5.4.3, which makes no keys of the kind rsa4096"));
  EXPECT_EQ(prompt_.asked, 0);
}

TEST_F(PivLogicTest, SeveralExistingKeysMustBeNamed) {
  PutKey(0x82, 2, 1);
  PutKey(0x9C, 2, 1);
  EnrollOptions options;
  options.existing_key = true;
  EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(), HasSubstr("82, 9c"));
  EnrollOptions named;
  named.existing_key = true;
  named.slot = "82";
  EXPECT_THAT(Enroll("piv:", std::move(named)).status, IsOk());
}

TEST_F(PivLogicTest, ACertificateOfAnotherKeyIsNotSent) {
  PutKey(0x9A, 2, 1, false);
  card_->objects[0x5FC105] = ObjectWith(CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key()));
  EnrollOptions options;
  options.existing_key = true;
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options)).status), DeviceError::kOther);
}

TEST_F(PivLogicTest, AManagementKeyThatThePinProtectsIsUsedWithThePin) {
  card_->objects[0x5FFF00] = absl::HexStringToBytes("8003810102");
  std::string factory;
  for (int i = 0; i < 3; ++i) factory += absl::HexStringToBytes("0102030405060708");
  card_->objects[0x5FC109] = EncodeTlv(0x88, EncodeTlv(0x89, factory));
  Enrolled enrolled = Enroll("piv:", {});
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(prompt_.asked, 1) << "the PIN serves the management key and the signature";
}

TEST_F(PivLogicTest, AWrongManagementKeyIsNamed) {
  EnrollOptions options;
  options.management_key = Secret(std::string(48, '6'));
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
  EXPECT_THAT(status.message(), HasSubstr("another management key"));
  EXPECT_TRUE(card_->keys.empty());
}

TEST_F(PivLogicTest, AnotherCardInTheMiddleOfAnEnrolmentStopsIt) {
  auto enroller = driver_->Enroll("piv:", {});
  ASSERT_THAT((*enroller)->Opening(), IsOk());
  auto other = std::make_shared<FakeCard>();
  other->serial = 8;
  service_->readers[kReader] = other;
  forekey::v1::EnrollmentDemand demand;
  demand.mutable_piv();
  EXPECT_EQ(DeviceErrorOf((*enroller)->CreateKey(demand, "").status()), DeviceError::kGone);
  EXPECT_TRUE(other->keys.empty());
}

TEST_F(PivLogicTest, OptionsThatContradictEachOtherAreRefused) {
  auto invalid = [&](const std::string& uri, EnrollOptions options) {
    return driver_->Enroll(uri, std::move(options)).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EnrollOptions slots;
  slots.slot = "9c";
  EXPECT_TRUE(invalid("piv:#82", std::move(slots)));
  EnrollOptions both;
  both.existing_key = both.overwrite = true;
  both.slot = "9c";
  EXPECT_TRUE(invalid("piv:", std::move(both)));
  EnrollOptions policy;
  policy.pin_policy = "sometimes";
  EXPECT_TRUE(invalid("piv:", std::move(policy)));
  EnrollOptions algorithm;
  algorithm.algorithm = "rsa1024";
  EXPECT_TRUE(invalid("piv:", std::move(algorithm)));
  EnrollOptions made_already;
  made_already.existing_key = true;
  made_already.algorithm = "eccp256";
  EXPECT_TRUE(invalid("piv:", std::move(made_already)));
  EnrollOptions certified_already;
  certified_already.existing_key = certified_already.write_certificate = true;
  EXPECT_TRUE(invalid("piv:", std::move(certified_already)));
  EnrollOptions not_hex;
  not_hex.management_key = Secret::CopyOf("not hex");
  EXPECT_TRUE(invalid("piv:", std::move(not_hex)));
  EnrollOptions no_slot;
  no_slot.slot = "9b";
  EXPECT_TRUE(invalid("piv:", std::move(no_slot)));
}

}  // namespace
}  // namespace forekey
