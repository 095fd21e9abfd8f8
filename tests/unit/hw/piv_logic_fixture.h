// SPDX-License-Identifier: Apache-2.0
// A PIV card at the level of APDUs with the driver before it, for the tests of the driver's logic.
#ifndef FOREKEY_TESTS_UNIT_HW_PIV_LOGIC_FIXTURE_H_
#define FOREKEY_TESTS_UNIT_HW_PIV_LOGIC_FIXTURE_H_

#include <openssl/evp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/piv_driver.h"
#include "hw/piv/tlv.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/hw/fake_smartcards.h"

namespace forekey {

inline constexpr char kReader[] = "Reader 00 00";

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
    card_->keys.emplace(slot, FakeCard::Key{SoftwareKey::Generate(Algorithm::kEs256), pin_policy,
                                            touch_policy, generated});
  }
  std::unique_ptr<DeviceKey> KeyIn(uint8_t slot, PinPolicy pin, TouchPolicy touch,
                                   absl::string_view given = "") {
    PivUri uri = *PivUri::Parse("piv:serial=1234567");
    uri.slot = slot;
    auto key = driver_->Load(
        SerializeKeyReference({uri, "", pin, touch, card_->keys.at(slot).key.public_key()}),
        Secret::CopyOf(given));
    EXPECT_THAT(key, testing::IsOk());
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
      if (static_cast<uint8_t>(command[1]) == instruction && command.size() >= min_size &&
          found < 0) {
        found = card_->commands - 1 - before;
      }
    };
    EXPECT_THAT(key.Sign("s", options_), testing::IsOk());
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

}  // namespace forekey

#endif  // FOREKEY_TESTS_UNIT_HW_PIV_LOGIC_FIXTURE_H_
