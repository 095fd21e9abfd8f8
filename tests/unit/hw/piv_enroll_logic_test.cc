// SPDX-License-Identifier: Apache-2.0
// Enrolments of PIV keys on cards at the level of APDUs: what is written where, and what is left
// alone.
#include "absl/strings/escaping.h"
#include "src/crypto/certificate.h"
#include "tests/unit/hw/piv_logic_fixture.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

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
  EXPECT_THAT(PublicKey::FromSpki(enrolled.spki)
                  ->Verify("statement", enrolled.proof.possession().signature()),
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
  options.named.Set("slot", "83");
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options), {0x90}).status),
            DeviceError::kNotSetUp);
  EXPECT_EQ(card_->keys.count(0x83), 0u);
}

TEST_F(PivLogicTest, NeverOverwritesUnlessTold) {
  PutKey(0x9C, 3, 1);
  const std::string before = card_->keys.at(0x9C).key.public_key().spki();
  EnrollOptions options;
  options.named.Set("slot", "9c");
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
  EXPECT_THAT(status.message(), HasSubstr("--overwrite"));
  EXPECT_EQ(card_->keys.at(0x9C).key.public_key().spki(), before);
  EnrollOptions overwriting;
  overwriting.named.Set("slot", "9c");
  overwriting.named.SetFlag("overwrite", true);
  EXPECT_THAT(Enroll("piv:", std::move(overwriting)).status, IsOk());
  EXPECT_NE(card_->keys.at(0x9C).key.public_key().spki(), before);
  EnrollOptions anywhere;
  anywhere.named.SetFlag("overwrite", true);
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

// What kill -9 leaves is found by it: the place is told before the key is there.
TEST_F(PivLogicTest, ThePlaceOfAKeyIsToldBeforeItIsMade) {
  std::string place;
  EnrollOptions options;
  options.before_key = [&](const std::string& told) {
    EXPECT_TRUE(card_->keys.empty());
    place = told;
    return absl::OkStatus();
  };
  const Enrolled enrolled = Enroll("piv:", std::move(options));
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(place, "piv:serial=1234567#82");
  const auto found = driver_->KeyAt(place);
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->spki, enrolled.spki);
  EXPECT_THAT((*found)->advice, HasSubstr("--slot 82 --existing"));
  card_->keys.clear();
  const auto gone = driver_->KeyAt(place);
  ASSERT_THAT(gone, IsOk());
  EXPECT_FALSE(gone->has_value());

  EnrollOptions refusing;
  refusing.before_key = [](const std::string&) { return absl::UnavailableError("disk full"); };
  EXPECT_TRUE(absl::IsUnavailable(Enroll("piv:", std::move(refusing)).status));
  EXPECT_TRUE(card_->keys.empty());
}

TEST_F(PivLogicTest, AFailedProofSaysWhichKeyStaysBehind) {
  card_->version = std::string("\x05\x04\x03", 3);
  card_->touched = false;
  absl::Status status = Enroll("piv:", {}).status;
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kTouchTimeout);
  EXPECT_THAT(status.message(),
              HasSubstr("the new key stays in slot 82 (the card's firmware can't delete keys)"));
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
  options.named.SetFlag("existing", true);
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
  options.named.SetFlag("existing", true);
  Enrolled enrolled = Enroll("piv:Reader 00 00#9c", std::move(options));
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_THAT(enrolled.reference,
              HasSubstr("Forekey-Device: piv:Reader%2000%2000#9c\nForekey-Card: "));
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Pin: always\nForekey-Touch: unknown\n"));
  // It can't say which slots are free.
  EnrollOptions fresh;
  fresh.named.Set("slot", "82");
  EXPECT_THAT(Enroll("piv:", std::move(fresh)).status.message(),
              HasSubstr("can't say whether slot 82 is free"));
}

TEST_F(PivLogicTest, WritesNoCertificateUnlessTold) {
  ASSERT_THAT(Enroll("piv:", {}).status, IsOk());
  EXPECT_EQ(card_->objects_put, 0);
}

TEST_F(PivLogicTest, TheNewKeysAttestationBecomesItsCertificateWhereThatIsAskedFor) {
  EnrollOptions options;
  options.named.SetFlag("write-certificate", true);
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
    options.named.Set("slot", "9c");
    options.named.SetFlag("write-certificate", write);
    EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(), HasSubstr("--overwrite"));
    EXPECT_EQ(card_->objects[CertificateObject(0x9C)], theirs);
    EXPECT_TRUE(card_->keys.empty());
  }
  EnrollOptions key_alone;
  key_alone.named.Set("slot", "9c");
  key_alone.named.SetFlag("overwrite", true);
  EXPECT_THAT(Enroll("piv:", std::move(key_alone)).status, IsOk());
  EXPECT_EQ(card_->objects[CertificateObject(0x9C)], theirs) << "nobody asked for a certificate";
  EnrollOptions both;
  both.named.Set("slot", "9c");
  both.named.SetFlag("overwrite", true);
  both.named.SetFlag("write-certificate", true);
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
  options.named.SetFlag("write-certificate", true);
  absl::Status status = Enroll("piv:", std::move(options)).status;
  EXPECT_THAT(status.message(), HasSubstr("another program put a certificate into slot 82"));
  EXPECT_EQ(card_->objects[CertificateObject(0x82)], theirs);
  EXPECT_TRUE(card_->keys.empty()) << "the new key stayed";
}

TEST_F(PivLogicTest, AnEnrolmentThatWritesACertificateBeginsAgainAfterAResetAnywhere) {
  EnrollOptions options;
  options.named.SetFlag("write-certificate", true);
  const int before = card_->commands;
  ASSERT_THAT(Enroll("piv:", std::move(options)).status, IsOk());
  const int commands = card_->commands - before;
  for (int i = 0; i < commands; ++i) {
    for (auto* faults : {&card_->fault_before, &card_->fault_after}) {
      card_->keys.clear();
      card_->objects.erase(CertificateObject(0x82));
      (*faults)[card_->commands + i] = CardWasReset();
      EnrollOptions again;
      again.named.SetFlag("write-certificate", true);
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
  options.named.SetFlag("write-certificate", true);
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options)).status), DeviceError::kTouchTimeout);
  EXPECT_EQ(card_->objects.count(CertificateObject(0x82)), 0u);
  EXPECT_TRUE(card_->keys.empty());
  // Of a card that can't delete the key, too.
  card_->version = std::string("\x05\x04\x03", 3);
  EnrollOptions older;
  older.named.SetFlag("write-certificate", true);
  EXPECT_THAT(Enroll("piv:", std::move(older)).status.message(), HasSubstr("stays in slot 82"));
  EXPECT_EQ(card_->objects.count(CertificateObject(0x82)), 0u);
  EXPECT_EQ(card_->keys.count(0x82), 1u);
}

TEST_F(PivLogicTest, NoCertificateOfACardThatDoesNotAttest) {
  card_->version = std::string("\x04\x02\x07", 3);
  EnrollOptions options;
  options.named.SetFlag("write-certificate", true);
  EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(),
              HasSubstr("leave out --write-certificate"));
  card_->version = std::string("\x05\x07\x04", 3);
  card_->attest = [this](const PublicKey&) {
    return CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key());
  };
  EnrollOptions lied_to;
  lied_to.named.SetFlag("write-certificate", true);
  EXPECT_THAT(Enroll("piv:", std::move(lied_to)).status.message(), HasSubstr("not of the new key"));
  EXPECT_EQ(card_->objects_put, 0);
  EXPECT_TRUE(card_->keys.empty());
}

TEST_F(PivLogicTest, AnAlgorithmThatTheFirmwareLacksIsRefusedBeforeAnything) {
  card_->version = std::string("\x05\x04\x03", 3);
  card_->on_command = [](absl::string_view command) { EXPECT_NE(command[1], 0x47); };
  EnrollOptions options;
  options.named.Set("algorithm", "rsa4096");
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
  options.named.SetFlag("existing", true);
  EXPECT_THAT(Enroll("piv:", std::move(options)).status.message(), HasSubstr("82, 9c"));
  EnrollOptions named;
  named.named.SetFlag("existing", true);
  named.named.Set("slot", "82");
  EXPECT_THAT(Enroll("piv:", std::move(named)).status, IsOk());
}

TEST_F(PivLogicTest, ACertificateOfAnotherKeyIsNotSent) {
  PutKey(0x9A, 2, 1, false);
  card_->objects[0x5FC105] =
      ObjectWith(CertificateFor(SoftwareKey::Generate(Algorithm::kEs256).public_key()));
  EnrollOptions options;
  options.named.SetFlag("existing", true);
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
  options.named.Set("management-key", Secret(std::string(48, '6')));
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
    return driver_->Enroll(uri, std::move(options)).status().code() ==
           absl::StatusCode::kInvalidArgument;
  };
  EnrollOptions slots;
  slots.named.Set("slot", "9c");
  EXPECT_TRUE(invalid("piv:#82", std::move(slots)));
  EnrollOptions both;
  both.named.SetFlag("existing", true);
  both.named.SetFlag("overwrite", true);
  both.named.Set("slot", "9c");
  EXPECT_TRUE(invalid("piv:", std::move(both)));
  EnrollOptions policy;
  policy.named.Set("pin-policy", "sometimes");
  EXPECT_TRUE(invalid("piv:", std::move(policy)));
  EnrollOptions algorithm;
  algorithm.named.Set("algorithm", "rsa1024");
  EXPECT_TRUE(invalid("piv:", std::move(algorithm)));
  EnrollOptions made_already;
  made_already.named.SetFlag("existing", true);
  made_already.named.Set("algorithm", "eccp256");
  EXPECT_TRUE(invalid("piv:", std::move(made_already)));
  EnrollOptions certified_already;
  certified_already.named.SetFlag("existing", true);
  certified_already.named.SetFlag("write-certificate", true);
  EXPECT_TRUE(invalid("piv:", std::move(certified_already)));
  EnrollOptions not_hex;
  not_hex.named.Set("management-key", Secret::CopyOf("not hex"));
  EXPECT_TRUE(invalid("piv:", std::move(not_hex)));
  EnrollOptions no_slot;
  no_slot.named.Set("slot", "9b");
  EXPECT_TRUE(invalid("piv:", std::move(no_slot)));
}

}  // namespace
}  // namespace forekey
