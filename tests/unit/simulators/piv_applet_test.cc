// SPDX-License-Identifier: Apache-2.0
// The simulated card's applet, command by command, as SP 800-73-4 and Yubico's documentation say
// it.
#include "simulators/piv/piv_applet.h"

#include <openssl/x509.h>
#include <stdlib.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/piv_certificates.h"
#include "src/base/bytes.h"

namespace forekey::piv {
namespace {

std::string FromHex(absl::string_view hex) { return absl::HexStringToBytes(hex); }
std::string ToHex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

struct CardAnswer {
  std::string data;
  uint16_t sw = 0;
};

class PivAppletTest : public testing::Test {
 protected:
  PivAppletTest() { config_.attestation = false; }

  void Make() {
    auto state = ManufacturePiv(config_);
    ASSERT_TRUE(state.ok()) << state.status();
    PivApplet::Environment environment;
    environment.touch = [this] {
      ++touches_;
      return touch_;
    };
    environment.now = [this] { return now_; };
    applet_ = std::make_unique<PivApplet>(*std::move(state), environment);
    EXPECT_EQ(Hex("00a4040005a000000308").sw, 0x9000);
  }
  CardAnswer Once(absl::string_view command) {
    const std::string bytes = applet_->Process(command);
    EXPECT_GE(bytes.size(), 2u);
    CardAnswer answer;
    answer.data = bytes.substr(0, bytes.size() - 2);
    answer.sw = static_cast<uint16_t>(static_cast<uint8_t>(bytes[bytes.size() - 2]) << 8 |
                                      static_cast<uint8_t>(bytes.back()));
    return answer;
  }
  CardAnswer Hex(absl::string_view hex) { return Once(FromHex(hex)); }
  // Chains what is long, and collects what comes in parts.
  CardAnswer Send(uint8_t ins, uint8_t p1, uint8_t p2, std::string data) {
    while (data.size() > 255) {
      CardAnswer part =
          Once(ByteWriter().U8(0x10).U8(ins).U8(p1).U8(p2).Len1(data.substr(0, 255)).bytes());
      if (part.sw != 0x9000) return part;
      data.erase(0, 255);
    }
    ByteWriter command;
    command.U8(0).U8(ins).U8(p1).U8(p2);
    if (!data.empty()) command.Len1(data);
    CardAnswer answer = Once(command.bytes());
    while (answer.sw >> 8 == 0x61) {
      CardAnswer more = Hex("00c0000000");
      answer.data += more.data;
      answer.sw = more.sw;
    }
    return answer;
  }
  CardAnswer Pin(absl::string_view pin, uint8_t p1 = 0) {
    std::string padded(pin);
    padded.resize(8, '\xff');
    return Send(0x20, p1, 0x80, padded);
  }
  void Manage() {
    const PivState& state = applet_->state();
    const uint8_t algorithm = static_cast<uint8_t>(state.management_algorithm);
    CardAnswer challenge = Send(0x87, algorithm, 0x9b, FromHex("7c028100"));
    ASSERT_EQ(challenge.sw, 0x9000);
    auto response = CipherBlocks(state.management_algorithm, state.management_key.view(),
                                 challenge.data.substr(4), true);
    ASSERT_TRUE(response.ok());
    EXPECT_EQ(Send(0x87, algorithm, 0x9b, MakeTlv(0x7c, MakeTlv(0x82, *response))).sw, 0x9000);
  }
  CardAnswer Generate(uint8_t slot, uint8_t algorithm, absl::string_view policies_hex = "") {
    return Send(
        0x47, 0, slot,
        MakeTlv(0xac, absl::StrCat(MakeTlv(0x80, std::string(1, static_cast<char>(algorithm))),
                                   FromHex(policies_hex))));
  }
  CardAnswer Sign(uint8_t slot, uint8_t algorithm, absl::string_view digest) {
    return Send(0x87, algorithm, slot, MakeTlv(0x7c, MakeTlv(0x82, "") + MakeTlv(0x81, digest)));
  }
  CardAnswer GetObject(absl::string_view tag_hex) {
    return Send(0xcb, 0x3f, 0xff, MakeTlv(0x5c, FromHex(tag_hex)));
  }
  bool Valid(uint8_t slot, absl::string_view digest, absl::string_view answer) {
    auto key = LoadKey(applet_->state().keys.at(slot).private_der.view());
    auto outer = ParseTlvs(answer);
    if (!key.ok() || !outer.ok()) return false;
    auto inner = ParseTlvs(outer->front().value);
    const absl::string_view signature = inner->front().value;
    std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>> context(
        EVP_PKEY_CTX_new(key->get(), nullptr));
    EVP_PKEY_verify_init(context.get());
    return EVP_PKEY_verify(context.get(), U8(signature), signature.size(), U8(digest),
                           digest.size()) == 1;
  }

  PivConfig config_;
  std::unique_ptr<PivApplet> applet_;
  bool touch_ = true;
  int touches_ = 0;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  const std::string digest_ = std::string(32, 'd');
};

TEST_F(PivAppletTest, SelectsByFullAndShortNameAndNothingElse) {
  Make();
  EXPECT_EQ(ToHex(Hex("00a404000ba00000030800001000010000").data),
            "61114f0600001000010079074f05a000000308");
  EXPECT_EQ(Hex("00a4040009a00000030800001000").sw, 0x9000);
  EXPECT_EQ(Hex("00a4040006a00000030801").sw, 0x6a82);
  EXPECT_EQ(Hex("00a4040004a0000003").sw, 0x6a82);
  EXPECT_EQ(Hex("00a4000005a000000308").sw, 0x6a86);
  applet_->Reset();
  EXPECT_EQ(Hex("00fd0000").sw, 0x6d00);  // nothing is selected after power-up
}

TEST_F(PivAppletTest, AnotherAppletTakesTheAuthenticationAway) {
  Make();
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Hex("00a4040008a000000527200101").sw, 0x9000);
  EXPECT_EQ(ToHex(Hex("0001100000").data), "00bc614e");  // the OTP applet's serial
  EXPECT_EQ(Hex("00200080").sw, 0x6d00);
  EXPECT_EQ(Hex("00a4040005a000000308").sw, 0x9000);
  EXPECT_EQ(Hex("00200080").sw, 0x63c3);
}

TEST_F(PivAppletTest, APlainCardKeepsItsStateWhenSelectedAgain) {
  config_.kind = PivConfig::Kind::kPlainCard;
  Make();
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Hex("00a4040005a000000308").sw, 0x9000);
  EXPECT_EQ(Hex("00200080").sw, 0x9000);
  for (const char* yubico : {"00fd0000", "00f80000", "00f99a00", "00f7009a", "00fb0000"}) {
    EXPECT_EQ(Hex(yubico).sw, 0x6d00) << yubico;
  }
}

TEST_F(PivAppletTest, RefusesForeignClassesAndBrokenLengths) {
  Make();
  EXPECT_EQ(Hex("80200080").sw, 0x6e00);
  EXPECT_EQ(Hex("0c200080").sw, 0x6882);
  EXPECT_EQ(Hex("002000").sw, 0x6700);
  EXPECT_EQ(Hex("0020008005aa").sw, 0x6700);
  EXPECT_EQ(Hex("00c0000000").sw, 0x6985);  // nothing is waiting
}

TEST_F(PivAppletTest, CountsWrongPinsAndBlocks) {
  Make();
  EXPECT_EQ(Hex("00200080").sw, 0x63c3);
  EXPECT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Hex("00200080").sw, 0x9000);
  EXPECT_EQ(Hex("0020ff80").sw, 0x9000);  // forgotten again
  EXPECT_EQ(Hex("00200080").sw, 0x63c3);
  EXPECT_EQ(Hex("0020008006313233343536").sw, 0x6a80);  // not padded: costs nothing
  EXPECT_EQ(Pin("000000").sw, 0x63c2);
  EXPECT_EQ(Pin("000000").sw, 0x63c1);
  EXPECT_EQ(Pin("000000").sw, 0x63c0);
  EXPECT_EQ(Pin("123456").sw, 0x6983);
  EXPECT_EQ(Hex("00200080").sw, 0x6983);
  EXPECT_EQ(Hex("00200000").sw, 0x6a88);
  EXPECT_EQ(Hex("00200180").sw, 0x6a86);
}

TEST_F(PivAppletTest, SomeCardsDoNotKnowTheResetOfVerify) {
  config_.verify_reset = false;
  Make();
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Hex("0020ff80").sw, 0x6a86);
  EXPECT_EQ(Hex("00200080").sw, 0x9000);
}

TEST_F(PivAppletTest, APlainCardBlocksAtOnceAndTakesDigitsAlone) {
  config_.kind = PivConfig::Kind::kPlainCard;
  config_.pin_tries = 2;
  Make();
  EXPECT_EQ(Pin("abcdef").sw, 0x6a80);
  EXPECT_EQ(Pin("000000").sw, 0x63c1);
  EXPECT_EQ(Pin("000000").sw, 0x6983);
}

TEST_F(PivAppletTest, ChangesAndUnblocks) {
  Make();
  const std::string old_pin = "123456\xff\xff", new_pin = "654321\xff\xff";
  EXPECT_EQ(Send(0x24, 0, 0x80, old_pin + "12\xff\xff\xff\xff\xff\xff").sw, 0x6a80);
  EXPECT_EQ(Send(0x24, 0, 0x80, new_pin + old_pin).sw, 0x63c2);
  EXPECT_EQ(Send(0x24, 0, 0x80, old_pin + new_pin).sw, 0x9000);
  EXPECT_EQ(Pin("654321").sw, 0x9000);
  EXPECT_EQ(Send(0x24, 0, 0x81, "1234567887654321").sw, 0x9000);
  for (int i = 0; i < 3; ++i) Pin("000000");
  EXPECT_EQ(Send(0x2c, 0, 0x80, "12345678" + old_pin).sw, 0x63c2);
  EXPECT_EQ(Send(0x2c, 0, 0x80, "87654321" + old_pin).sw, 0x9000);
  EXPECT_EQ(Pin("123456").sw, 0x9000);
  for (uint16_t sw : {0x63c2, 0x63c1, 0x6983, 0x6983})
    EXPECT_EQ(Send(0x2c, 0, 0x80, "00000000" + old_pin).sw, sw);
}

TEST_F(PivAppletTest, ManagementKeysOfEveryAlgorithmMutualAndSingle) {
  for (Algorithm algorithm :
       {Algorithm::kTripleDes, Algorithm::kAes128, Algorithm::kAes192, Algorithm::kAes256}) {
    config_.management_algorithm = algorithm;
    Make();
    const uint8_t p1 = static_cast<uint8_t>(algorithm);
    EXPECT_EQ(Generate(0x9a, 0x11).sw, 0x6982);
    CardAnswer witness = Send(0x87, p1, 0x9b, FromHex("7c028000"));
    ASSERT_EQ(witness.sw, 0x9000);
    const auto key = applet_->state().management_key.view();
    auto plain = CipherBlocks(algorithm, key, witness.data.substr(4), false);
    const std::string challenge(BlockSize(algorithm), 'c');
    CardAnswer answer =
        Send(0x87, p1, 0x9b, MakeTlv(0x7c, MakeTlv(0x80, *plain) + MakeTlv(0x81, challenge)));
    ASSERT_EQ(answer.sw, 0x9000);
    EXPECT_EQ(answer.data.substr(4), *CipherBlocks(algorithm, key, challenge, true));
    EXPECT_EQ(Generate(0x9a, 0x11).sw, 0x9000);
    // A witness works once.
    EXPECT_EQ(
        Send(0x87, p1, 0x9b, MakeTlv(0x7c, MakeTlv(0x80, *plain) + MakeTlv(0x81, challenge))).sw,
        0x6982);
    EXPECT_EQ(Generate(0x9a, 0x11).sw, 0x6982);
    Manage();
    EXPECT_EQ(Send(0x87, 0x0c ^ p1, 0x9b, FromHex("7c028000")).sw, 0x6a86);
  }
}

TEST_F(PivAppletTest, SignsWithEveryAlgorithmOfItsFirmware) {
  config_.firmware = {5, 7, 4};
  Make();
  Manage();
  for (uint8_t algorithm : {0x06, 0x07, 0x11, 0x14}) {
    ASSERT_EQ(Generate(0x82, algorithm, "aa0101").sw, 0x9000) << int{algorithm};
    const bool rsa = algorithm < 0x10;
    std::string input =
        rsa ? std::string(FieldSize(static_cast<Algorithm>(algorithm)), '\1') : digest_;
    CardAnswer answer = Sign(0x82, algorithm, input);
    ASSERT_EQ(answer.sw, 0x9000) << int{algorithm};
    EXPECT_TRUE(rsa || Valid(0x82, input, answer.data));
    EXPECT_EQ(Sign(0x82, algorithm, rsa ? digest_ : std::string(49, 'd')).sw, 0x6a80);
  }
  ASSERT_EQ(Generate(0x83, 0xe0, "aa0101").sw, 0x9000);
  CardAnswer answer = Sign(0x83, 0xe0, std::string(700, 'm'));
  EXPECT_EQ(answer.data.size(), 4u + 64);
  EXPECT_EQ(Sign(0x83, 0x11, digest_).sw, 0x6a86);  // the key is of another algorithm
  EXPECT_EQ(Sign(0x84, 0x11, digest_).sw, 0x6a88);  // there is none
}

TEST_F(PivAppletTest, OlderFirmwareHasNoEd25519NorRsa4096) {
  Make();
  Manage();
  for (uint8_t algorithm : {0xe0, 0xe1, 0x05, 0x16, 0x03})
    EXPECT_EQ(Generate(0x9a, algorithm).sw, 0x6a80);
  EXPECT_EQ(Generate(0x9b, 0x11).sw, 0x6a86);
  EXPECT_EQ(Generate(0x9a, 0x11, "aa0104").sw, 0x6a80);
}

TEST_F(PivAppletTest, AgreesOnASharedSecret) {
  Make();
  Manage();
  ASSERT_EQ(Generate(0x9d, 0x11).sw, 0x9000);
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  auto peer = GenerateKey(Algorithm::kP256);
  auto point = PublicKeyObject(Algorithm::kP256, peer->get());
  auto own = LoadKey(applet_->state().keys.at(0x9d).private_der.view());
  auto own_point = PublicKeyObject(Algorithm::kP256, own->get());
  CardAnswer answer =
      Send(0x87, 0x11, 0x9d, MakeTlv(0x7c, MakeTlv(0x82, "") + MakeTlv(0x85, point->substr(2))));
  ASSERT_EQ(answer.sw, 0x9000);
  EXPECT_EQ(answer.data.substr(4), *AgreeKey(Algorithm::kP256, peer->get(), own_point->substr(2)));
  EXPECT_EQ(Send(0x87, 0x11, 0x9d,
                 MakeTlv(0x7c, MakeTlv(0x82, "") + MakeTlv(0x85, std::string(65, '\4'))))
                .sw,
            0x6a80);
}

TEST_F(PivAppletTest, PinPolicies) {
  Make();
  Manage();
  for (uint8_t slot : {0x9a, 0x9c, 0x9e}) ASSERT_EQ(Generate(slot, 0x11).sw, 0x9000);
  EXPECT_EQ(Sign(0x9e, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(Sign(0x9a, 0x11, digest_).sw, 0x6982);
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Sign(0x9a, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(Sign(0x9a, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x6982);  // always: once a PIN
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x9000);
  applet_->Reset();
  Hex("00a4040005a000000308");
  EXPECT_EQ(Sign(0x9a, 0x11, digest_).sw, 0x6982);
}

TEST_F(PivAppletTest, OnAPlainCardAlwaysMeansImmediatelyBefore) {
  config_.kind = PivConfig::Kind::kPlainCard;
  Make();
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(GetObject("7e").sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x6982);
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x9000);
}

TEST_F(PivAppletTest, TouchPolicies) {
  Make();
  Manage();
  ASSERT_EQ(Generate(0x82, 0x11, "aa0101ab0102").sw, 0x9000);
  ASSERT_EQ(Generate(0x83, 0x11, "aa0101ab0103").sw, 0x9000);
  EXPECT_EQ(Sign(0x82, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(touches_, 1);
  EXPECT_EQ(Sign(0x83, 0x11, digest_).sw, 0x9000);
  EXPECT_EQ(Sign(0x83, 0x11, digest_).sw, 0x9000);  // remembered
  EXPECT_EQ(touches_, 2);
  now_ += absl::Seconds(16);
  touch_ = false;
  EXPECT_EQ(Sign(0x83, 0x11, digest_).sw, 0x6982);
  EXPECT_EQ(Sign(0x82, 0x11, digest_).sw, 0x6982);
  EXPECT_EQ(touches_, 4);
}

TEST_F(PivAppletTest, DataObjectsAreWrittenInAChainAndReadInParts) {
  Make();
  const std::string object = MakeTlv(0x53, std::string(1000, 'o'));
  const std::string put = MakeTlv(0x5c, FromHex("5fc105")) + object;
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff, put).sw, 0x6982);
  Manage();
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff, put).sw, 0x9000);
  EXPECT_EQ(GetObject("5fc105").data, object);
  CardAnswer part = Hex("00cb3fff055c035fc10508");
  EXPECT_EQ(part.data.size(), 8u);
  EXPECT_EQ(part.sw, 0x6100);
  EXPECT_EQ(Hex("00cb3fff000005"
                "5c035fc105"
                "0000")
                .data,
            object);  // extended: in one
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff, MakeTlv(0x5c, FromHex("5fc105")) + MakeTlv(0x53, "")).sw,
            0x9000);
  EXPECT_EQ(GetObject("5fc105").sw, 0x6a82);
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff,
                 MakeTlv(0x5c, FromHex("5fc105")) + MakeTlv(0x53, std::string(3073, 'o')))
                .sw,
            0x6a84);
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff, std::string(4000, 'o')).sw, 0x6700);
  EXPECT_EQ(Send(0xdb, 0x3f, 0xff, "x").sw, 0x6a80);
}

TEST_F(PivAppletTest, AChainThatIsInterruptedIsForgotten) {
  Make();
  Manage();
  EXPECT_EQ(Hex("10db3fff055c035fc105").sw, 0x9000);
  EXPECT_EQ(Hex("00200080").sw, 0x63c3);
  EXPECT_EQ(Hex("00db3fff035301aa").sw, 0x6a80);
}

TEST_F(PivAppletTest, ExtendedApdusCanBeMissing) {
  config_.extended_apdus = false;
  Make();
  EXPECT_EQ(Hex("00cb3fff0000035c017e0000").sw, 0x6700);
  EXPECT_EQ(Hex("00cb3fff035c017e00").sw, 0x9000);
}

TEST_F(PivAppletTest, DiscoveryIsThereAndPrintedInformationNeedsThePin) {
  Make();
  EXPECT_EQ(ToHex(GetObject("7e").data), "7e124f0ba0000003080000100001005f2f024000");
  EXPECT_EQ(GetObject("5fc109").sw, 0x6982);
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(GetObject("5fc109").sw, 0x6a82);
  EXPECT_EQ(GetObject("5fc10c").sw, 0x6a82);
  EXPECT_EQ(GetObject("1234").sw, 0x6a82);
  EXPECT_EQ(Hex("00cb3f00035c017e").sw, 0x6a86);
  EXPECT_EQ(Hex("00cb3fff025c01").sw, 0x6a80);
}

TEST_F(PivAppletTest, VersionSerialAndMetadata) {
  Make();
  EXPECT_EQ(ToHex(Hex("00fd000000").data), "050403");
  EXPECT_EQ(ToHex(Hex("00f8000000").data), "00bc614e");
  EXPECT_EQ(ToHex(Hex("00f7008000").data),
            "0101ff0501010602"
            "0303");
  EXPECT_EQ(ToHex(Hex("00f7009b00").data),
            "010103"
            "02020001"
            "050101");
  EXPECT_EQ(Hex("00f7009a00").sw, 0x6a88);
  Manage();
  ASSERT_EQ(Generate(0x9a, 0x11, "aa0103ab0103").sw, 0x9000);
  EXPECT_EQ(ToHex(Hex("00f7009a00").data.substr(0, 10)), "01011102020303030101");
  config_.firmware = {4, 3, 7};
  Make();
  EXPECT_EQ(Hex("00f8000000").sw, 0x6d00);
  EXPECT_EQ(Hex("00f7008000").sw, 0x6d00);
}

TEST_F(PivAppletTest, ImportedKeysSignAndAreNotAttested) {
  config_.attestation = true;
  Make();
  Manage();
  const std::string scalar(32, '\x11');
  ASSERT_EQ(Send(0xfe, 0x11, 0x9a, MakeTlv(0x06, scalar) + FromHex("aa0101")).sw, 0x9000);
  CardAnswer answer = Sign(0x9a, 0x11, digest_);
  ASSERT_EQ(answer.sw, 0x9000);
  EXPECT_TRUE(Valid(0x9a, digest_, answer.data));
  EXPECT_EQ(Send(0xf9, 0x9a, 0, "").sw, 0x6a80);
  EXPECT_EQ(Send(0xf9, 0x9c, 0, "").sw, 0x6a88);
  EXPECT_EQ(Send(0xfe, 0x11, 0x9a, MakeTlv(0x06, std::string(32, '\xff'))).sw, 0x6a80);
  EXPECT_EQ(Send(0xfe, 0x07, 0x9a, MakeTlv(0x01, scalar)).sw, 0x6a80);
}

TEST_F(PivAppletTest, RetriesManagementKeyMoveAndReset) {
  config_.firmware = {5, 7, 2};
  Make();
  EXPECT_EQ(Send(0xfa, 5, 4, "").sw, 0x6982);
  Manage();
  EXPECT_EQ(Send(0xfa, 5, 4, "").sw, 0x6982);  // the PIN, too
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Send(0xfa, 5, 4, "").sw, 0x9000);
  EXPECT_EQ(applet_->state().pin_tries, 5);
  EXPECT_EQ(Send(0xff, 0xff, 0xff, FromHex("0a9b18") + std::string(24, 'k')).sw, 0x9000);
  EXPECT_EQ(Send(0xff, 0xff, 0xff, FromHex("0a9b10") + std::string(16, 'k')).sw, 0x6a80);
  ASSERT_EQ(Generate(0x9a, 0x11).sw, 0x9000);
  EXPECT_EQ(Send(0xf6, 0x82, 0x9a, "").sw, 0x9000);
  EXPECT_EQ(Send(0xf6, 0x82, 0x9a, "").sw, 0x6a88);
  EXPECT_EQ(Send(0xf6, 0xff, 0x82, "").sw, 0x9000);
  EXPECT_TRUE(applet_->state().keys.empty());
  EXPECT_EQ(Send(0xfb, 0, 0, "").sw, 0x6985);  // only when both are blocked
  for (int i = 0; i < 5; ++i) Pin("000000");
  for (int i = 0; i < 4; ++i) Send(0x2c, 0, 0x80, "00000000123456\xff\xff");
  EXPECT_EQ(Send(0xfb, 0, 0, "").sw, 0x9000);
  EXPECT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_TRUE(applet_->state().management_default);
}

// Extensions by their OID's last number.
std::map<int, std::string> YubicoExtensions(absl::string_view der) {
  std::map<int, std::string> found;
  const uint8_t* at = U8(der);
  std::unique_ptr<X509, Freed<X509_free>> cert(
      d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  for (int i = 0; cert != nullptr && i < X509_get_ext_count(cert.get()); ++i) {
    X509_EXTENSION* extension = X509_get_ext(cert.get(), i);
    char oid[80];
    OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(extension), 1);
    const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
    EXPECT_EQ(X509_EXTENSION_get_critical(extension), 0);
    if (absl::StartsWith(oid, "1.3.6.1.4.1.41482.3.")) {
      found[atoi(oid + 20)] = absl::BytesToHexString(View(value->data, value->length));
    }
  }
  return found;
}

TEST_F(PivAppletTest, AttestationsCarryWhatEachFirmwareCarries) {
  using testing::ElementsAre;
  using testing::Pair;
  config_.attestation = true;
  config_.attestation_algorithm = Algorithm::kP256;
  config_.fips = true;
  Make();
  Manage();
  ASSERT_EQ(Generate(0x9a, 0x11, "aa0103ab0102").sw, 0x9000);
  EXPECT_THAT(
      YubicoExtensions(Send(0xf9, 0x9a, 0, "").data),
      ElementsAre(Pair(3, "050403"), Pair(7, "020400bc614e"), Pair(8, "0302"), Pair(9, "81")));
  const std::string object = GetObject("5fff01").data;
  auto f9 = ParseTlvs(object);
  auto parts = ParseTlvs(f9->front().value);
  EXPECT_THAT(YubicoExtensions(parts->front().value),
              ElementsAre(Pair(3, "050403"), Pair(10, "01")));
  config_.fips = false;
  config_.firmware = {4, 3, 7};
  config_.serial_in_attestation = false;
  Make();
  Manage();
  ASSERT_EQ(Generate(0x9a, 0x11).sw, 0x9000);
  EXPECT_THAT(YubicoExtensions(Send(0xf9, 0x9a, 0, "").data),
              ElementsAre(Pair(3, "040307"), Pair(8, "0201")));
}

TEST_F(PivAppletTest, MisbehavesAsTold) {
  config_.attestation = true;
  config_.attestation_algorithm = Algorithm::kP256;
  Make();
  Manage();
  ASSERT_EQ(Generate(0x82, 0x11, "aa0101").sw, 0x9000);
  auto with = [&](PivMisbehaviour misbehaviour) { applet_->misbehaviour() = misbehaviour; };
  with({.wrong_status = 0x6f00, .wrong_status_count = 1});
  EXPECT_EQ(Sign(0x82, 0x11, digest_).sw, 0x6f00);
  EXPECT_EQ(Sign(0x82, 0x11, digest_).sw, 0x9000);
  with({.corrupt_signature = true});
  EXPECT_FALSE(Valid(0x82, digest_, Sign(0x82, 0x11, digest_).data));
  with({.truncate = 3});
  EXPECT_EQ(GetObject("7e").data.size(), 20u - 3);
  auto own = LoadKey(applet_->state().keys.at(0x82).private_der.view());
  auto point = PublicKeyObject(Algorithm::kP256, own->get());
  auto names_own_key = [&] {
    return absl::StrContains(Send(0xf9, 0x82, 0, "").data, point->substr(2));
  };
  with({});
  EXPECT_TRUE(names_own_key());
  with({.attest_other_key = true});
  EXPECT_FALSE(names_own_key());
  with({.generate_other_key = true});
  CardAnswer made = Generate(0x83, 0x11);
  auto made_key = LoadKey(applet_->state().keys.at(0x83).private_der.view());
  EXPECT_FALSE(absl::StrContains(made.data, *PublicKeyObject(Algorithm::kP256, made_key->get())));
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  with({.forget_after = 1});
  EXPECT_EQ(Hex("00200080").sw, 0x9000);
  EXPECT_EQ(Hex("00200080").sw, 0x63c3);
}

TEST_F(PivAppletTest, MisbehavioursHaveNames) {
  Make();
  PivMisbehaviour misbehaviour;
  PivState& state = applet_->state();
  for (const char* name :
       {"removed-in-mid-apdu=3", "reset-by-other", "forgets-pin=1", "pin-blocked", "touch-never",
        "slow", "slow-commands=5", "wrong-status-words=6a80", "truncated-answers",
        "corrupt-signatures", "attestation-of-another-key", "attestation-by-another-issuer",
        "another-public-key"}) {
    EXPECT_TRUE(AddMisbehaviour(name, &misbehaviour, &state).ok()) << name;
  }
  EXPECT_EQ(misbehaviour.remove_after, 3);
  EXPECT_EQ(misbehaviour.wrong_status, 0x6a80);
  EXPECT_EQ(state.pin_tries_left, 0);
  for (const char* name : {"", "sloppy", "slow=x", "slow=-1", "wrong-status-words=zz"}) {
    EXPECT_EQ(AddMisbehaviour(name, &misbehaviour, &state).code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
}

TEST_F(PivAppletTest, TheStateIsKeptInAFolder) {
  config_.kind = PivConfig::Kind::kPlainCard;
  Make();
  std::string folder = "/tmp/forekey-pivstate-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  EXPECT_EQ(PivState::Load(folder).status().code(), absl::StatusCode::kNotFound);
  Pin("000000");
  ASSERT_TRUE(applet_->state().Save(folder).ok());
  auto loaded = PivState::Load(folder);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->pin_tries_left, 2);
  EXPECT_EQ(loaded->objects, applet_->state().objects);
  EXPECT_EQ(loaded->keys.size(), 4u);
  applet_ = std::make_unique<PivApplet>(*std::move(loaded));
  ASSERT_EQ(Pin("123456").sw, 0x9000);
  EXPECT_EQ(Sign(0x9c, 0x11, digest_).sw, 0x9000);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace forekey::piv
