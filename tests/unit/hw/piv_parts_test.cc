// SPDX-License-Identifier: Apache-2.0
// The PIV driver's parts: TLV, APDUs, data objects, URIs, references, what errors mean.
#include <stdlib.h>
#include <winscard.h>
#include <zlib.h>

#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/device_key.h"
#include "hw/piv/apdu.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/management_key.h"
#include "hw/piv/new_key.h"
#include "hw/piv/pcsc_error.h"
#include "hw/piv/piv_data.h"
#include "hw/piv/piv_uri.h"
#include "hw/piv/signature_input.h"
#include "hw/piv/status_word.h"
#include "hw/piv/tlv.h"
#include "src/base/file.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;
using testing::HasCode;
using ::testing::HasSubstr;
using testing::IsOk;

std::string Bytes(absl::string_view hex) { return absl::HexStringToBytes(hex); }
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(PivTlvTest, ReadsElementsOneAfterTheOther) {
  const std::string bytes = Bytes(
      "8001"
      "AA"
      "5F2F02"
      "4010"
      "7F49"
      "8103"
      "010203");
  auto elements = ParseTlvs(bytes);
  ASSERT_THAT(elements, IsOk());
  ASSERT_EQ(elements->size(), 3u);
  EXPECT_EQ((*elements)[0].tag, 0x80u);
  EXPECT_EQ((*elements)[1].tag, 0x5F2Fu);
  EXPECT_EQ((*elements)[1].value, Bytes("4010"));
  EXPECT_EQ((*elements)[2].tag, 0x7F49u);
  EXPECT_EQ((*elements)[2].value, Bytes("010203"));
}

TEST(PivTlvTest, RefusesWhatIsNotExactlyElements) {
  for (const char* hex : {"80", "8002AA", "8080", "80840000000100", "5F",
                          "5F8080"
                          "8001"
                          "00",
                          "5F0000", "8001AA00", "808201"}) {
    EXPECT_THAT(ParseTlvs(Bytes(hex)), HasCode(kInvalid)) << hex;
  }
}

TEST(PivTlvTest, ATagThatIsThereTwiceIsNotOneThatIsThere) {
  const std::string bytes = Bytes("8001AA8001BB");
  auto elements = ParseTlvs(bytes);
  ASSERT_THAT(elements, IsOk());
  EXPECT_THAT(FindTlv(*elements, 0x80), HasCode(kInvalid));
  EXPECT_THAT(FindTlv(*elements, 0x81), HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(SoleTlv(Bytes("5301AA00"), 0x53), HasCode(kInvalid));
  EXPECT_THAT(SoleTlv(Bytes("5401AA"), 0x53), HasCode(kInvalid));
}

TEST(PivTlvTest, WritesWhatItReads) {
  for (size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 65535u, 65536u}) {
    const std::string value(size, 'x');
    for (uint32_t tag : {0x53u, 0x7F49u, 0x5FC105u}) {
      const std::string bytes = EncodeTlv(tag, value);
      auto read = SoleTlv(bytes, tag);
      ASSERT_THAT(read, IsOk()) << size;
      EXPECT_EQ(*read, value);
    }
  }
}

TEST(PivApduTest, EncodesAsTheStandardHasIt) {
  CommandApdu command{0xCB, 0x3F, 0xFF, "abc", true};
  EXPECT_THAT(EncodeShort(command, false), ElementsAre(Bytes("00CB3FFF0361626300")));
  EXPECT_THAT(EncodeShort(command, true), ElementsAre(Bytes("00CB3FFF03616263")));
  EXPECT_EQ(EncodeExtended(command), Bytes("00CB3FFF0000036162630000"));
  command.data = "";
  EXPECT_THAT(EncodeShort(command, true), ElementsAre(Bytes("00CB3FFF00")));
  EXPECT_EQ(EncodeExtended(command), Bytes("00CB3FFF000000"));
  command.expects_answer = false;
  EXPECT_THAT(EncodeShort(command, false), ElementsAre(Bytes("00CB3FFF")));
}

TEST(PivApduTest, ChainsWhatIsTooLong) {
  const std::string data(256, 'x');
  const auto commands = EncodeShort({0x87, 0x07, 0x9A, data, true}, false);
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[0], Bytes("1087079AFF") + std::string(255, 'x'));
  EXPECT_EQ(commands[1], Bytes("0087079A01") + "x" + std::string(1, '\0'));
}

TEST(PivApduTest, ReadsExtendedLengthOutOfTheAtr) {
  EXPECT_TRUE(
      AtrSaysExtended(Bytes("3BFD1300008131FE158073C021C057597562694B657940")));  // YubiKey 5
  EXPECT_FALSE(AtrSaysExtended(Bytes("3BFD1300008131FE158073C0210057597562694B657940")));
  for (const char* hex : {"", "3B", "3BFD", "3BFD1300008131FE158073", "3B8001", "3BF0"}) {
    EXPECT_FALSE(AtrSaysExtended(Bytes(hex))) << hex;
  }
}

// A channel with a fixed conversation: every command must be the expected one.
class ScriptedChannel : public CardChannel {
 public:
  explicit ScriptedChannel(std::vector<std::pair<std::string, std::string>> script,
                           std::string atr = "", bool t0 = false)
      : script_(std::move(script)), atr_(std::move(atr)), t0_(t0) {}
  ~ScriptedChannel() override { EXPECT_EQ(next_, script_.size()); }
  absl::StatusOr<std::string> Transmit(absl::string_view command) override {
    if (next_ >= script_.size()) return absl::InternalError("unexpected command");
    EXPECT_EQ(absl::BytesToHexString(command), absl::BytesToHexString(script_[next_].first));
    return script_[next_++].second;
  }
  void ResetWhenDone() override {}
  const std::string& atr() const override { return atr_; }
  bool is_t0() const override { return t0_; }

 private:
  std::vector<std::pair<std::string, std::string>> script_;
  const std::string atr_;
  const bool t0_;
  size_t next_ = 0;
};

TEST(PivApduTest, CollectsAnAnswerInPieces) {
  ScriptedChannel channel({{Bytes("00CB3FFF0161"
                                  "00"),
                            Bytes("0102"
                                  "6102")},
                           {Bytes("00C0000002"), Bytes("0304"
                                                       "6100")},
                           {Bytes("00C0000000"), Bytes("05"
                                                       "9000")}});
  ApduExchange exchange(&channel);
  auto response = exchange.Send({0xCB, 0x3F, 0xFF, "a", true});
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(response->ok());
  EXPECT_EQ(response->data, Bytes("0102030405"));
}

TEST(PivApduTest, AsksAgainWithTheRightLength) {
  ScriptedChannel channel(
      {{Bytes("00FD000000"), Bytes("6C03")}, {Bytes("00FD000003"), Bytes("0504039000")}});
  ApduExchange exchange(&channel);
  auto response = exchange.Send({0xFD, 0, 0, "", true});
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->data, Bytes("050403"));
}

// T=0: a command with data says nothing of the answer's size; the card says 61xx, and, to a GET
// RESPONSE with another number than it has, 6Cxx. Extended APDUs are not for it, whatever its ATR
// says.
TEST(PivApduTest, SpeaksT0) {
  const std::string yubikey_atr = Bytes("3BFD1300008131FE158073C021C057597562694B657940");
  ScriptedChannel channel({{Bytes("00CB3FFF0161"), Bytes("6100")},
                           {Bytes("00C0000000"), Bytes("6C03")},
                           {Bytes("00C0000003"), Bytes("010203"
                                                       "6102")},
                           {Bytes("00C0000002"), Bytes("0405"
                                                       "9000")},
                           {Bytes("00FD000000"), Bytes("6C03")},
                           {Bytes("00FD000003"), Bytes("0504039000")}},
                          yubikey_atr, /*t0=*/true);
  ApduExchange exchange(&channel);
  EXPECT_EQ(exchange.Send({0xCB, 0x3F, 0xFF, "a", true})->data, Bytes("0102030405"));
  EXPECT_EQ(exchange.Send({0xFD, 0, 0, "", true})->data, Bytes("050403"));
  const std::string data(256, 'x');
  const CommandApdu command{0x87, 0x07, 0x9A, data, true};
  ScriptedChannel chained({{Bytes("1087079AFF") + std::string(255, 'x'), Bytes("9000")},
                           {Bytes("0087079A01") + "x", Bytes("6101")},
                           {Bytes("00C0000001"), Bytes("AA9000")}},
                          yubikey_atr, /*t0=*/true);
  ApduExchange long_exchange(&chained);
  EXPECT_EQ(long_exchange.Send(command)->data, Bytes("AA"));
}

TEST(PivApduTest, AWrongLengthIsCorrectedOnce) {
  ScriptedChannel channel({{Bytes("00FD000000"), Bytes("6102")},
                           {Bytes("00C0000002"), Bytes("6C03")},
                           {Bytes("00C0000003"), Bytes("6C04")}});
  ApduExchange exchange(&channel);
  EXPECT_EQ(exchange.Send({0xFD, 0, 0, "", true})->status, 0x6C04);
}

TEST(PivApduTest, AnAnswerThatDoesNotEndIsAnError) {
  ScriptedChannel channel(
      {{Bytes("00FD000000"), Bytes("6100")}, {Bytes("00C0000000"), Bytes("6100")}});
  ApduExchange exchange(&channel);
  EXPECT_EQ(DeviceErrorOf(exchange.Send({0xFD, 0, 0, "", true}).status()), DeviceError::kOther);
}

TEST(PivApduTest, AnAnswerWithoutStatusWordIsAnError) {
  for (const char* hex : {"", "90"}) {
    ScriptedChannel channel({{Bytes("00FD000000"), Bytes(hex)}});
    ApduExchange exchange(&channel);
    EXPECT_EQ(DeviceErrorOf(exchange.Send({0xFD, 0, 0, "", true}).status()), DeviceError::kOther);
  }
}

TEST(PivApduTest, FallsBackToShortApdusAndStaysThere) {
  const std::string data(256, 'x');
  const CommandApdu command{0x87, 0x07, 0x9A, data, true};
  const auto pieces = EncodeShort(command, false);
  ScriptedChannel channel({{EncodeExtended(command), Bytes("6700")},
                           {pieces[0], Bytes("9000")},
                           {pieces[1], Bytes("AA9000")},
                           {pieces[0], Bytes("9000")},
                           {pieces[1], Bytes("BB9000")}},
                          Bytes("3BFD1300008131FE158073C021C057597562694B657940"));
  ApduExchange exchange(&channel);
  EXPECT_EQ(exchange.Send(command)->data, Bytes("AA"));
  EXPECT_EQ(exchange.Send(command)->data, Bytes("BB"));
}

TEST(PivDataTest, KnowsTheSlots) {
  EXPECT_EQ(*ParseSlot("9a"), 0x9A);
  EXPECT_EQ(*ParseSlot("9C"), 0x9C);
  EXPECT_EQ(*ParseSlot("82"), 0x82);
  for (const char* text : {"", "9", "9b", "9B", "81", "96", "f9", "9a ", " 9a", "0x9a", "9g"}) {
    EXPECT_THAT(ParseSlot(text), HasCode(kInvalid)) << text;
  }
  EXPECT_EQ(CertificateObject(0x9A), 0x5FC105u);
  EXPECT_EQ(CertificateObject(0x9C), 0x5FC10Au);
  EXPECT_EQ(CertificateObject(0x9D), 0x5FC10Bu);
  EXPECT_EQ(CertificateObject(0x9E), 0x5FC101u);
  EXPECT_EQ(CertificateObject(0x82), 0x5FC10Du);
  EXPECT_EQ(CertificateObject(0x95), 0x5FC120u);
  EXPECT_EQ(DedicatedSlots().front(), 0x82);
  EXPECT_EQ(DedicatedSlots().back(), 0x9C);
}

TEST(PivDataTest, ReadsMetadata) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  const std::string point = key.public_key().spki().substr(key.public_key().spki().size() - 65);
  auto metadata = ParseMetadata(Bytes("010111"
                                      "02020302"
                                      "030101") +
                                EncodeTlv(4, EncodeTlv(0x86, point)));
  ASSERT_THAT(metadata, IsOk());
  EXPECT_EQ(metadata->pin, PinPolicy::kAlways);
  EXPECT_EQ(metadata->touch, TouchPolicy::kAlways);
  EXPECT_TRUE(metadata->generated);
  EXPECT_EQ(metadata->public_key->spki(), key.public_key().spki());
  auto puk =
      ParseMetadata(Bytes("0101FF"
                          "050101"
                          "06020302"));
  ASSERT_THAT(puk, IsOk());
  EXPECT_EQ(puk->tries_total, 3);
  EXPECT_EQ(puk->tries_left, 2);
  EXPECT_EQ(puk->is_default, true);
  for (const char* hex :
       {"", "0100", "010111010111", "010111020103", "0101110601", "010111060103"}) {
    EXPECT_FALSE(ParseMetadata(Bytes(hex)).ok()) << hex;
  }
}

TEST(PivDataTest, ReadsPublicKeysExactly) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  const std::string point = key.public_key().spki().substr(key.public_key().spki().size() - 65);
  EXPECT_THAT(ParsePivPublicKey(EncodeTlv(0x86, point), 0x11), IsOk());
  EXPECT_FALSE(ParsePivPublicKey(EncodeTlv(0x86, point), 0x14).ok());
  EXPECT_FALSE(ParsePivPublicKey(EncodeTlv(0x86, point) + EncodeTlv(0x87, ""), 0x11).ok());
  EXPECT_FALSE(ParsePivPublicKey(EncodeTlv(0x86, point.substr(1)), 0x11).ok());
  EXPECT_FALSE(ParsePivPublicKey(EncodeTlv(0x86, "\x04" + std::string(64, 'x')), 0x11).ok());
  SoftwareKey ed = SoftwareKey::Generate(Algorithm::kEdDsa);
  const std::string raw = ed.public_key().spki().substr(ed.public_key().spki().size() - 32);
  EXPECT_EQ(ParsePivPublicKey(EncodeTlv(0x86, raw), 0xE0)->spki(), ed.public_key().spki());
}

TEST(PivDataTest, ReadsWhichPinCounts) {
  const std::string aid = Bytes("4F0BA000000308000010000100");
  EXPECT_EQ(*ParsePinReference(Bytes("7E12") + aid + Bytes("5F2F024000")), 0x80);
  EXPECT_EQ(*ParsePinReference(Bytes("7E12") + aid + Bytes("5F2F026010")), 0x80);
  EXPECT_EQ(*ParsePinReference(Bytes("7E12") + aid + Bytes("5F2F026020")), 0x00);
  EXPECT_FALSE(ParsePinReference(Bytes("7E12") + aid).ok());
  EXPECT_FALSE(ParsePinReference(Bytes("7E045F2F0140")).ok());
}

TEST(PivDataTest, ReadsCertificateObjects) {
  EXPECT_EQ(*ParseCertificateObject(EncodeCertificateObject("a certificate")), "a certificate");
  EXPECT_THAT(ParseCertificateObject(""), HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(ParseCertificateObject(Bytes("7000710100FE00")),
              HasCode(absl::StatusCode::kNotFound));
  EXPECT_EQ(*ParseCertificateObject(Bytes("7001AA7100FE00")), "\xAA") << "an empty CertInfo";
  EXPECT_THAT(ParseCertificateObject(Bytes("7001AA710107FE00")), HasCode(kInvalid));
  EXPECT_THAT(ParseCertificateObject(Bytes("7001AA71020000FE00")), HasCode(kInvalid));
  EXPECT_THAT(ParseCertificateObject(Bytes("7001AA7001BB")), HasCode(kInvalid));
}

std::string Gzip(absl::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(PivDataTest, UncompressesCertificatesWithinBounds) {
  auto object = [](absl::string_view bytes) {
    return EncodeTlvs({{0x70, bytes}, {0x71, "\x01"}, {0xFE, ""}});
  };
  const std::string text(5000, 'c');
  EXPECT_EQ(*ParseCertificateObject(object(Gzip(text))), text);
  const std::string old = EncodeTlvs({{0x70, Gzip(text)}, {0x71, "\x80"}, {0xFE, ""}});
  EXPECT_EQ(*ParseCertificateObject(old), text) << "as cards said it before SP 800-73-3";
  EXPECT_THAT(ParseCertificateObject(object(Gzip(std::string(1 << 20, 'b')))), HasCode(kInvalid));
  EXPECT_THAT(ParseCertificateObject(object(Gzip(text) + "x")), HasCode(kInvalid));
  EXPECT_THAT(ParseCertificateObject(object(Gzip(text).substr(0, 20))), HasCode(kInvalid));
  EXPECT_THAT(ParseCertificateObject(object("garbage")), HasCode(kInvalid));
}

TEST(PivDataTest, ReadsTheStoredManagementKey) {
  EXPECT_TRUE(*ParseManagementKeyIsStored(Bytes("8003810102")));
  EXPECT_FALSE(*ParseManagementKeyIsStored(Bytes("8003810101")));
  EXPECT_FALSE(*ParseManagementKeyIsStored(Bytes("8000")));
  EXPECT_FALSE(ParseManagementKeyIsStored(Bytes("800381020202")).ok());
  const std::string key(24, 'k');
  EXPECT_EQ(ParseStoredManagementKey(EncodeTlv(0x88, EncodeTlv(0x89, key)))->view(), key);
  EXPECT_FALSE(ParseStoredManagementKey(EncodeTlv(0x88, EncodeTlv(0x89, "short"))).ok());
}

TEST(PivUriTest, ReadsAndWritesUris) {
  for (const char* text : {"piv:", "piv:#9c", "piv:serial=12345678", "piv:serial=1#82",
                           "piv:Yubico%20YubiKey%2000%2000#9a"}) {
    auto uri = PivUri::Parse(text);
    ASSERT_THAT(uri, IsOk()) << text;
    EXPECT_EQ(uri->Text(), text);
  }
  EXPECT_EQ(PivUri::Parse("piv:Yubico YubiKey 00 00#9A")->Text(),
            "piv:Yubico%20YubiKey%2000%2000#9a");
  EXPECT_EQ(PivUri::Parse("piv:serial=7#9A")->serial, 7u);
}

TEST(PivUriTest, RefusesOthers) {
  for (const char* text :
       {"", "piv", "tpm:", "pivx:", "piv:serial=", "piv:serial=x", "piv:serial=01", "piv:serial=+1",
        "piv:serial=4294967296", "piv:serial= 1", "piv:x#", "piv:x#9b", "piv:%", "piv:%4",
        "piv:%zz", "piv:%00", "piv:%0A"}) {
    EXPECT_THAT(PivUri::Parse(text), HasCode(kInvalid)) << text;
  }
  EXPECT_THAT(PivUri::Parse("piv:" + std::string(200, 'x')), HasCode(kInvalid));
}

TEST(PivKeyReferenceTest, ReadsWhatItWrote) {
  for (Algorithm algorithm :
       {Algorithm::kEs256, Algorithm::kEs384, Algorithm::kEdDsa, Algorithm::kRs256}) {
    SoftwareKey key = SoftwareKey::Generate(algorithm);
    PivKeyReference reference{*PivUri::Parse("piv:serial=77#9c"), "", PinPolicy::kAlways,
                              TouchPolicy::kCached, key.public_key()};
    const std::string text = SerializeKeyReference(reference);
    auto read = ParseKeyReference(text);
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(read->uri.Text(), "piv:serial=77#9c");
    EXPECT_EQ(read->pin_policy, PinPolicy::kAlways);
    EXPECT_EQ(read->touch_policy, TouchPolicy::kCached);
    EXPECT_EQ(read->public_key.spki(), key.public_key().spki());
  }
}

TEST(PivKeyReferenceTest, RefusesAnythingElse) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  PivKeyReference reference{*PivUri::Parse("piv:reader#9c"), std::string(32, 'd'), PinPolicy::kOnce,
                            TouchPolicy::kUnknown, key.public_key()};
  const std::string good = SerializeKeyReference(reference);
  ASSERT_THAT(ParseKeyReference(good), IsOk());
  for (size_t size = 0; size < good.size(); size += 7) {
    EXPECT_THAT(ParseKeyReference(good.substr(0, size)), HasCode(kInvalid)) << size;
  }
  EXPECT_THAT(ParseKeyReference(good + "x"), HasCode(kInvalid));
  EXPECT_THAT(ParseKeyReference("x" + good), HasCode(kInvalid));
  reference.uri.slot.reset();
  EXPECT_THAT(ParseKeyReference(SerializeKeyReference(reference)), HasCode(kInvalid));
}

TEST(PivSignatureInputTest, PadsRsaAsPkcs1Says) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kRs256);
  const std::string input = SignatureInput(key.public_key(), "a statement");
  // What the card does: the private operation on the block as it is.
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key.evp(), nullptr));
  size_t size = 512;
  std::string signature(size, '\0');
  ASSERT_EQ(EVP_PKEY_decrypt_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING), 1);
  ASSERT_EQ(
      EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       reinterpret_cast<const unsigned char*>(input.data()), input.size()),
      1);
  signature.resize(size);
  EXPECT_THAT(key.public_key().Verify("a statement", signature), IsOk());
}

TEST(PivManagementKeyTest, KnowsAllFourCiphers) {
  for (auto [size, algorithm] :
       {std::pair<size_t, int>{24, 0x03}, {16, 0x08}, {24, 0x0A}, {32, 0x0C}}) {
    auto cipher =
        ManagementCipher::New(Secret(std::string(size, 'k')), static_cast<uint8_t>(algorithm));
    ASSERT_THAT(cipher, IsOk());
    const size_t block = algorithm == 0x03 ? 8 : 16;
    auto answers = cipher->Answer(std::string(block, 'w'));
    ASSERT_THAT(answers, IsOk());
    EXPECT_EQ(answers->challenge.size(), block);
    // Decrypting what was encrypted gives the challenge back.
    EXPECT_EQ(cipher->Answer(answers->expected)->witness, answers->challenge);
    EXPECT_THAT(cipher->Answer("short"), HasCode(kInvalid));
  }
  EXPECT_EQ(ManagementCipher::New(Secret(), std::nullopt)->algorithm(), 0x03);
  EXPECT_EQ(ManagementCipher::New(Secret(std::string(32, 'k')), std::nullopt)->algorithm(), 0x0C);
  EXPECT_THAT(ManagementCipher::New(Secret(std::string(16, 'k')), uint8_t{0x03}),
              HasCode(kInvalid));
  EXPECT_THAT(ManagementCipher::New(Secret(), uint8_t{0x11}), HasCode(kInvalid));
}

TEST(PivManagementKeyTest, IsGivenInHex) {
  EXPECT_EQ(ParseManagementKey(std::string(48, '0'))->size(), 24u);
  for (const std::string& hex :
       {std::string(), std::string("0g"), std::string(46, '0'), std::string(47, '0')}) {
    EXPECT_THAT(ParseManagementKey(hex), HasCode(kInvalid));
  }
}

TEST(PivErrorsTest, TellsStatusWordsApart) {
  EXPECT_THAT(FromStatusWord(0x9000, "VERIFY"), IsOk());
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x63C2, "VERIFY")), DeviceError::kWrongPin);
  EXPECT_THAT(FromStatusWord(0x63C2, "VERIFY").message(),
              HasSubstr("0x63C2 wrong PIN, tries left: 2"));
  EXPECT_THAT(FromStatusWord(0x6302, "VERIFY").message(),
              HasSubstr("0x6302 wrong PIN, tries left: 2"));
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x6302, "VERIFY")), DeviceError::kWrongPin);
  EXPECT_THAT(FromStatusWord(0x6300, "VERIFY").message(), HasSubstr("verification failed"));
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x6983, "VERIFY")), DeviceError::kPinBlocked);
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x6982, "X")), DeviceError::kPinRequired);
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x6A82, "X")), DeviceError::kNotSetUp);
  EXPECT_EQ(DeviceErrorOf(FromStatusWord(0x1234, "X")), DeviceError::kOther);
}

TEST(PivErrorsTest, TellsPcscCodesApart) {
  EXPECT_THAT(FromPcsc(SCARD_S_SUCCESS, "SCardConnect"), IsOk());
  EXPECT_EQ(DeviceErrorOf(FromPcsc(SCARD_W_REMOVED_CARD, "X")), DeviceError::kGone);
  EXPECT_EQ(DeviceErrorOf(FromPcsc(SCARD_W_SECURITY_VIOLATION, "SCardConnect")),
            DeviceError::kNoAccess);
  EXPECT_EQ(InterruptionOf(FromPcsc(SCARD_W_RESET_CARD, "X")), Interruption::kCardReset);
  EXPECT_EQ(InterruptionOf(FromPcsc(SCARD_E_SERVICE_STOPPED, "X")), Interruption::kServiceLost);
  absl::Status sharing = FromPcsc(SCARD_E_SHARING_VIOLATION, "SCardConnect");
  EXPECT_EQ(DeviceErrorOf(sharing), DeviceError::kBusy);
  EXPECT_THAT(sharing.message(), HasSubstr("0x8010000b SCARD_E_SHARING_VIOLATION"));
  EXPECT_EQ(DeviceErrorOf(FromPcsc(0x80100099, "X")), DeviceError::kOther);
}

TEST(PivNewKeyTest, AlgorithmsHaveTheNamesOfYubicosTool) {
  for (const char* name : {"eccp256", "eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519"}) {
    auto algorithm = NewKeyAlgorithmFromName(name);
    ASSERT_THAT(algorithm, IsOk());
    EXPECT_EQ(NewKeyAlgorithmName(*algorithm), name);
  }
  for (const char* name : {"", "rsa1024", "x25519", "ECCP256", "eccp256 ", "3des"}) {
    EXPECT_THAT(NewKeyAlgorithmFromName(name), HasCode(kInvalid)) << name;
  }
  EXPECT_THAT(NewKeyAlgorithmFromName("rsa1024").status().message(),
              HasSubstr("eccp256, eccp384, rsa2048"));
}

TEST(PivNewKeyTest, WithoutAWishItIsP256UnlessThatGivesTheKeyAway) {
  EXPECT_EQ(*ChooseNewKeyAlgorithm(std::nullopt, std::nullopt), PivAlgorithm::kEccP256);
  for (PivVersion version : {PivVersion{4, 3, 1}, PivVersion{4, 4, 1}, PivVersion{4, 4, 3},
                             PivVersion{4, 4, 5}, PivVersion{5, 4, 3}, PivVersion{5, 7, 4}}) {
    EXPECT_EQ(*ChooseNewKeyAlgorithm(std::nullopt, version), PivAlgorithm::kEccP256)
        << version.Text();
  }
  for (PivVersion version : {PivVersion{4, 4, 2}, PivVersion{4, 4, 4}}) {
    EXPECT_EQ(*ChooseNewKeyAlgorithm(std::nullopt, version), PivAlgorithm::kRsa2048)
        << version.Text();
    for (PivAlgorithm ecdsa : {PivAlgorithm::kEccP256, PivAlgorithm::kEccP384}) {
      absl::Status status = ChooseNewKeyAlgorithm(ecdsa, version).status();
      EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
      EXPECT_THAT(status.message(), HasSubstr("YSA-2019-02"));
    }
  }
}

TEST(PivNewKeyTest, RsaIsNotMadeByFirmwareWhoseModuliCanBeFactored) {
  for (PivVersion version : {PivVersion{4, 2, 6}, PivVersion{4, 3, 1}, PivVersion{4, 3, 4}}) {
    absl::Status status = ChooseNewKeyAlgorithm(PivAlgorithm::kRsa2048, version).status();
    EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
    EXPECT_THAT(status.message(), HasSubstr("YSA-2017-01"));
    EXPECT_THAT(ChooseNewKeyAlgorithm(PivAlgorithm::kEccP384, version), IsOk());
  }
  for (PivVersion version : {PivVersion{4, 2, 5}, PivVersion{4, 3, 5}, PivVersion{4, 4, 4}}) {
    EXPECT_THAT(ChooseNewKeyAlgorithm(PivAlgorithm::kRsa2048, version), IsOk()) << version.Text();
  }
}

TEST(PivNewKeyTest, WhatCameWithLaterFirmwareIsNotAskedOfOlder) {
  using enum PivAlgorithm;
  for (PivAlgorithm later : {kRsa3072, kRsa4096, kEd25519}) {
    absl::Status status = ChooseNewKeyAlgorithm(later, PivVersion{5, 6, 9}).status();
    EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp);
    EXPECT_THAT(status.message(), HasSubstr("(5.7.0 does)"));
    EXPECT_EQ(*ChooseNewKeyAlgorithm(later, PivVersion{5, 7, 0}), later);
    EXPECT_EQ(*ChooseNewKeyAlgorithm(later, std::nullopt), later) << "the card answers for itself";
  }
  EXPECT_THAT(ChooseNewKeyAlgorithm(kEccP384, PivVersion{3, 9, 9}).status().message(),
              HasSubstr("(4.0.0 does)"));
  EXPECT_EQ(DeviceErrorOf(ChooseNewKeyAlgorithm(kAes128, PivVersion{5, 7, 4}).status()),
            DeviceError::kNotSetUp);
}

class PivFoldersTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& path, absl::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + path).parent_path());
    ASSERT_THAT(WriteFileAtomically(folder_ + path, text), IsOk());
  }
  std::string folder_ = "/tmp/forekey-test-XXXXXX";
};

TEST_F(PivFoldersTest, NamesTheLikelyHolder) {
  EXPECT_EQ(LikelyHolders(folder_), "another program");
  Write("/812/comm", "scdaemon\n");
  Write("/813/comm", "bash\n");
  Write("/self/comm", "scdaemon\n");
  EXPECT_EQ(LikelyHolders(folder_), "another program, likely scdaemon (process 812),");
  EXPECT_EQ(LikelyHolders(folder_ + "/none"), "another program");
}

TEST_F(PivFoldersTest, SeesUsbReaders) {
  EXPECT_FALSE(HasUsbReader(folder_));
  Write("/1-1:1.0/bInterfaceClass", "03\n");
  EXPECT_FALSE(HasUsbReader(folder_));
  Write("/1-1:1.1/bInterfaceClass", "0b\n");
  EXPECT_TRUE(HasUsbReader(folder_));
}

TEST_F(PivFoldersTest, TellsAMissingServiceFromOneThatIsClosedToThisUser) {
  EXPECT_EQ(DeviceErrorOf(NoService(folder_ + "/none")), DeviceError::kNotSetUp);
  EXPECT_THAT(NoService(folder_ + "/none").message(),
              HasSubstr("systemctl enable --now pcscd.socket"));
}

}  // namespace
}  // namespace forekey
