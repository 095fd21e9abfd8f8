// SPDX-License-Identifier: Apache-2.0
// Cards of other vendors than Yubico, as agencies have them: what they do that the standard does
// not say.
#include <zlib.h>

#include "src/base/bytes.h"
#include "tests/unit/hw/piv_logic_fixture.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;

class OtherVendorsCardTest : public PivLogicTest {
 protected:
  void SetUp() override {
    PivLogicTest::SetUp();
    card_->is_yubikey = false;
    card_->attest = nullptr;
    PutKey(0x9C, 3, 1, false);
    certificate_ = CertificateFor(card_->keys.at(0x9C).key.public_key());
    card_->objects[CertificateObject(0x9C)] = ObjectWith(certificate_);
  }
  Enrolled EnrollExisting() {
    EnrollOptions options;
    options.named.SetFlag("existing", true);
    options.named.Set("slot", "9c");
    return Enroll("piv:Reader 00 00", std::move(options));
  }
  std::unique_ptr<DeviceKey> Loaded(const Enrolled& enrolled) {
    EXPECT_THAT(enrolled.status, IsOk());
    auto key = driver_->Load(enrolled.reference, Secret());
    EXPECT_THAT(key, IsOk());
    return key.ok() ? *std::move(key) : nullptr;
  }
  std::string certificate_;
};

TEST_F(OtherVendorsCardTest, ACertificateThatIsCompressedIsTheSame) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string zipped(deflateBound(&stream, certificate_.size()) + 32, '\0');
  stream.next_in = U8(certificate_);
  stream.avail_in = static_cast<uInt>(certificate_.size());
  stream.next_out = U8(zipped);
  stream.avail_out = static_cast<uInt>(zipped.size());
  ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  zipped.resize(stream.total_out);
  deflateEnd(&stream);
  card_->objects[CertificateObject(0x9C)] =
      EncodeTlvs({{0x70, zipped}, {0x71, "\x01"}, {0xFE, ""}});
  Enrolled enrolled = EnrollExisting();
  ASSERT_THAT(enrolled.status, IsOk());
  EXPECT_EQ(enrolled.proof.piv().certificate(), certificate_);
  EXPECT_THAT(Loaded(enrolled)->Sign("s", options_), IsOk());
}

TEST_F(OtherVendorsCardTest, ACardWithoutChuidIsKnownByTheKeyItHolds) {
  Enrolled enrolled = EnrollExisting();
  auto key = Loaded(enrolled);
  EXPECT_THAT(enrolled.reference, Not(HasSubstr("Forekey-Card:")));
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  // Another card, in the same reader: it does not see the PIN.
  card_->pins_sent = 0;
  PutKey(0x9C, 3, 1, false);
  card_->objects[CertificateObject(0x9C)] =
      ObjectWith(CertificateFor(card_->keys.at(0x9C).key.public_key()));
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kGone);
  EXPECT_EQ(card_->pins_sent, 0);
}

TEST_F(OtherVendorsCardTest, AnswersThatOtherVendorsGiveForAnObjectThatIsNotThere) {
  for (int status_word : {0x6A82, 0x6A88, 0x6A80, 0x6A81, 0x6A86, 0x9000}) {
    card_->unknown_object = static_cast<uint16_t>(status_word);
    EnrollOptions options;  // looks through all the slots
    options.named.SetFlag("existing", true);
    Enrolled enrolled = Enroll("piv:", std::move(options));
    EXPECT_THAT(enrolled.status, IsOk()) << std::hex << status_word;
    EXPECT_THAT(enrolled.reference, HasSubstr("#9c\n"));
  }
  card_->unknown_object = 0x6F00;
  EnrollOptions options;
  options.named.SetFlag("existing", true);
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options)).status), DeviceError::kOther);
}

TEST_F(OtherVendorsCardTest, AnAnswerOfThatKindDoesNotMakeAYubiKeysSlotFree) {
  card_->is_yubikey = true;
  card_->keys.clear();
  card_->objects.erase(CertificateObject(0x9C));
  card_->unknown_object = 0x6A80;
  EnrollOptions options;
  options.named.Set("slot", "9c");
  EXPECT_EQ(DeviceErrorOf(Enroll("piv:", std::move(options)).status), DeviceError::kOther);
  EXPECT_TRUE(card_->keys.empty());
}

TEST_F(OtherVendorsCardTest, TriesThatTheCardDoesNotTellAreNotGuessed) {
  auto key = Loaded(EnrollExisting());
  for (int status_word : {0x6700, 0x6A80, 0x6A86, 0x6300}) {
    card_->answer_to_empty_verify = static_cast<uint16_t>(status_word);
    card_->has_lock = false;
    prompt_.shown = -2;
    EXPECT_THAT(key->Sign("s", options_), IsOk()) << std::hex << status_word;
    EXPECT_EQ(prompt_.shown, -1);
  }
  card_->answer_to_empty_verify = 0x6302;
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(prompt_.shown, 2);
  card_->answer_to_empty_verify = 0x6F00;
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", options_).status()), DeviceError::kOther);
  card_->answer_to_empty_verify = 0;
}

TEST_F(OtherVendorsCardTest, APinIsNotSentTwiceToACardThatDoesNotTellTries) {
  auto key = Loaded(EnrollExisting());
  card_->answer_to_empty_verify = 0x6700;
  card_->has_lock = false;
  card_->pins_sent = 0;
  card_->on_command = [this](absl::string_view command) {
    if (static_cast<uint8_t>(command[1]) == 0x87)
      card_->fault_before[card_->commands - 1] = CardWasReset();
  };
  EXPECT_THAT(key->Sign("s", options_).status().message(), HasSubstr("the PIN was not sent"));
  EXPECT_EQ(card_->pins_sent, 1);
  card_->on_command = nullptr;
  card_->fault_before.clear();
  card_->answer_to_empty_verify = 0;
}

TEST_F(OtherVendorsCardTest, AKeyThatWantsAPinThoughNobodySaidSo) {
  PutKey(0x9E, 3, 1, false);
  card_->objects[CertificateObject(0x9E)] =
      ObjectWith(CertificateFor(card_->keys.at(0x9E).key.public_key()));
  EnrollOptions options;
  options.named.SetFlag("existing", true);
  options.named.Set("slot", "9e");
  Enrolled enrolled = Enroll("piv:", std::move(options));
  EXPECT_THAT(enrolled.reference, HasSubstr("Forekey-Pin: never"));
  EXPECT_EQ(prompt_.asked, 1);
  auto key = Loaded(enrolled);
  EXPECT_THAT(key->Sign("s", options_), IsOk());
  EXPECT_EQ(prompt_.asked, 2);
  EXPECT_EQ(DeviceErrorOf(key->Sign("s", {}).status()), DeviceError::kPinRequired);
}

}  // namespace
}  // namespace forekey
