// SPDX-License-Identifier: Apache-2.0
// Laws guarded: a list is understood whole or not at all; what it asks of a version that is not
// known is asked; what ships with Forekey says the same to everybody.
#include "src/wire/firmware_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/wire/weak_firmware.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using testing::IsError;
using testing::IsOk;
using Problem = FirmwareFinding::Problem;
using Keys = TokenFirmware::Keys;

constexpr char kAaguid[] = "2fc0579f-8113-47ea-b116-bb5a8db9202a";

absl::StatusOr<FirmwareList> Parse(absl::string_view lines) {
  return FirmwareList::Parse(absl::StrCat("forekey-firmware-list 1\n", lines));
}

TokenFirmware Tpm(absl::string_view version, const std::string& maker = "IFX") {
  TokenFirmware token;
  token.kind = v1::TOKEN_KIND_TPM;
  token.maker = maker;
  token.version = FirmwareFromText(token.kind, version);
  return token;
}

TokenFirmware Piv(absl::string_view version, Keys keys, const std::string& maker = "yubikey") {
  TokenFirmware token;
  token.kind = v1::TOKEN_KIND_PIV;
  token.maker = maker;
  token.version = FirmwareFromText(token.kind, version);
  token.keys = keys;
  return token;
}

TokenFirmware Fido2(absl::string_view version) {
  TokenFirmware token;
  token.kind = v1::TOKEN_KIND_FIDO2;
  token.maker = kAaguid;
  token.version = FirmwareFromText(token.kind, version);
  return token;
}

std::optional<Problem> Said(absl::string_view lines, const TokenFirmware& token) {
  const auto list = Parse(lines);
  EXPECT_THAT(list, IsOk()) << lines;
  if (!list.ok()) return std::nullopt;
  const auto found = list->Find(token);
  return found ? std::optional<Problem>(found->problem) : std::nullopt;
}

TEST(FirmwareListTest, AWeakRangeHasBothItsEndsAndAllThatBeginsLikeThem) {
  constexpr char kLine[] = "tpm IFX weak 5.0-5.61 : CVE-2017-15361";
  EXPECT_EQ(Said(kLine, Tpm("4.65535.65535.65535")), std::nullopt);
  EXPECT_EQ(Said(kLine, Tpm("5.0.0.0")), Problem::kWeak);
  EXPECT_EQ(Said(kLine, Tpm("5.61.65535.65535")), Problem::kWeak);
  EXPECT_EQ(Said(kLine, Tpm("5.62.0.0")), std::nullopt);
  EXPECT_EQ(Said(kLine, Tpm("5.10.0.0", "STM")), std::nullopt) << "another maker's";
  EXPECT_EQ(Said(kLine, Piv("5.10.0", Keys::kRsa)), std::nullopt) << "another kind";
  EXPECT_EQ(Said("tpm IFX weak -5.61", Tpm("1.2.0.0")), Problem::kWeak);
  EXPECT_EQ(Said("tpm IFX weak 7.85.17", Tpm("7.85.17.51968")), Problem::kWeak);
  EXPECT_EQ(Said("tpm IFX weak 7.85.17.1", Tpm("7.85.17.51968")), std::nullopt);
  EXPECT_EQ(Said("tpm STM weak 65535.65535.65535.65535-65535.65535.65535.65535",
                 Tpm("65535.65535.65535.65535", "STM")),
            Problem::kWeak);
}

TEST(FirmwareListTest, TheLeastVersionIsGoodAndNumbersAreNoText) {
  EXPECT_EQ(Said("piv yubikey least 5.7", Piv("5.7.0", Keys::kEcdsa)), std::nullopt);
  EXPECT_EQ(Said("piv yubikey least 5.7", Piv("5.6.255", Keys::kEcdsa)), Problem::kTooOld);
  EXPECT_EQ(Said("piv yubikey least 5.7", Piv("5.10.0", Keys::kEcdsa)), std::nullopt);
  EXPECT_EQ(Said("piv yubikey least 5.7", Piv("5.4.3", Keys::kRsa, "yubikey-bio")),
            Problem::kTooOld);
  EXPECT_EQ(Said("piv yubikey-bio least 5.7.2", Piv("5.7.1", Keys::kEcdsa)), std::nullopt);
  EXPECT_EQ(Said("piv yubikey-bio least 5.7.2", Piv("5.7.1", Keys::kEcdsa, "yubikey-bio")),
            Problem::kTooOld);
}

TEST(FirmwareListTest, KeysOfAnotherAlgorithmAreNotMeantAndUnknownOnesAre) {
  constexpr char kLine[] = "piv yubikey weak 4.2.6-4.3.4 rsa";
  EXPECT_EQ(Said(kLine, Piv("4.3.1", Keys::kRsa)), Problem::kWeak);
  EXPECT_EQ(Said(kLine, Piv("4.3.1", Keys::kEcdsa)), std::nullopt);
  EXPECT_EQ(Said(kLine, Piv("4.3.1", Keys::kOther)), std::nullopt);
  EXPECT_EQ(Said(kLine, Piv("4.3.1", Keys::kUnknown)), Problem::kWeak);
}

TEST(FirmwareListTest, AModelIsItsLettersAndDigitsFromTheBeginning) {
  TokenFirmware token = Tpm("7.61.0.0");
  token.model = "SLB 9670 TPM2.0";
  EXPECT_EQ(Said("tpm ifx/slb9670 least 7.85", token), Problem::kTooOld);
  EXPECT_EQ(Said("tpm IFX/SLB9672 least 15.23", token), std::nullopt);
  token.model.clear();
  EXPECT_EQ(Said("tpm IFX/SLB9672 least 15.23", token), Problem::kTooOld) << "it may be one";
}

TEST(FirmwareListTest, WhatIsNotKnownIsAskedForAndAllNeedsNoVersion) {
  EXPECT_EQ(Said("tpm IFX least 7.85", Tpm("")), Problem::kUnknown);
  EXPECT_EQ(Said("tpm IFX weak 5.0-5.61", Tpm("")), Problem::kUnknown);
  EXPECT_EQ(Said("tpm IFX weak all", Tpm("")), Problem::kWeak);
  EXPECT_EQ(Said("tpm IFX weak all", Tpm("99.0.0.0")), Problem::kWeak);
  EXPECT_EQ(Said("tpm STM least 7.85", Tpm("")), std::nullopt);
  // The worst is said, whichever line it stands in.
  EXPECT_EQ(Said("tpm IFX least 9\ntpm IFX weak 7", Tpm("7.1.0.0")), Problem::kWeak);
}

TEST(FirmwareListTest, TheMetadatasVersionIsTheLeastOfItsModel) {
  const std::string line = absl::StrCat("fido2 ", kAaguid, " least metadata");
  TokenFirmware token = Fido2("5.7.1");
  EXPECT_EQ(Said(line, token), Problem::kUnknown) << "no metadata says one";
  token.least_of_metadata = 0x050702;
  EXPECT_EQ(Said(line, token), Problem::kTooOld);
  token.version = 0x050702;
  EXPECT_EQ(Said(line, token), std::nullopt);
  token.version.reset();
  EXPECT_EQ(Said(line, token), Problem::kUnknown);
}

TEST(FirmwareListTest, AFido2VersionIsAnIntegerOrThreeBytes) {
  const auto fido2 = [](absl::string_view rule) {
    return absl::StrCat("fido2 ", kAaguid, " ", rule);
  };
  EXPECT_EQ(Said(fido2("least 329476"), Fido2("5.7.4")), std::nullopt);
  EXPECT_EQ(Said(fido2("least 329477"), Fido2("5.7.4")), Problem::kTooOld);
  EXPECT_EQ(Said(fido2("weak 2-4"), Fido2("3")), Problem::kWeak);
  EXPECT_EQ(Said(fido2("weak 2-4"), Fido2("5")), std::nullopt);
  EXPECT_EQ(FirmwareText(v1::TOKEN_KIND_FIDO2, 0x050704), "5.7.4");
  EXPECT_EQ(FirmwareText(v1::TOKEN_KIND_FIDO2, 3), "3");
  EXPECT_EQ(FirmwareText(v1::TOKEN_KIND_TPM, 0x000700550011cb00), "7.85.17.51968");
  EXPECT_EQ(FirmwareText(v1::TOKEN_KIND_PIV, 0x050704), "5.7.4");
}

TEST(FirmwareListTest, AVersionAsInfineonPrintsItIsSaidToBeOne) {
  for (const char* line : {"tpm IFX least 7.85.4555", "tpm ifx/SLB9670 least 7.85.4555.0",
                           "tpm IFX weak 7.0-7.85.4555", "tpm id:49465800 weak 7.85.4555-7.86"}) {
    EXPECT_THAT(Parse(line), IsError(absl::StatusCode::kInvalidArgument, "7.85.17.51968")) << line;
  }
  EXPECT_EQ(Said("tpm IFX least 7.85.17.51968", Tpm("7.85.17.51968")), std::nullopt);
  EXPECT_THAT(Parse("tpm STM least 1.2.4555"), IsOk());
}

TEST(FirmwareListTest, AnIntegerOfFido2IsNoBeginningOfAVersion) {
  const auto fido2 = [](absl::string_view rule) {
    return Parse(absl::StrCat("fido2 ", kAaguid, " ", rule));
  };
  for (const char* rule : {"weak 5.0-6", "weak 5-5.4.3"}) {
    EXPECT_THAT(fido2(rule), IsError(absl::StatusCode::kInvalidArgument, "no range")) << rule;
  }
  for (const char* rule : {"least 6", "weak 2-4", "weak -5", "weak 5"}) {
    EXPECT_EQ(fido2(rule)->Doubts().size(), 1u) << rule;
  }
  for (const char* rule :
       {"least 6.0", "least 329476", "weak -5.4.3", "weak all", "least metadata"}) {
    EXPECT_EQ(fido2(rule)->Doubts().size(), 0u) << rule;
  }
  EXPECT_EQ(Parse("tpm IFX least 7")->Doubts().size(), 0u);
}

TEST(FirmwareListTest, CommentsSpacesAndEndsOfLinesDoNotMatter) {
  const auto list = Parse("# ours\r\n\r\n  tpm\tIFX   weak 5.0-5.61 : why  not \r\n#end");
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->entries().size(), 1u);
  EXPECT_EQ(list->entries()[0].why, "why not");
  EXPECT_THAT(FirmwareList::Parse("# before\n\nforekey-firmware-list 1"), IsOk());
  EXPECT_TRUE(FirmwareList::Parse("forekey-firmware-list 1")->empty()) << "it asks nothing";
}

TEST(FirmwareListTest, WhatIsNotUnderstoodMakesAllOfItRefused) {
  for (const std::string& line : {std::string("tpm IFX"),
                                  std::string("tpm IFX weak"),
                                  std::string("tpm IFX weak 5.0 5.61"),
                                  std::string("tpm IFX weak 5.0 - 5.61"),
                                  std::string("tpm IFX weak 5.61-5.0"),
                                  std::string("tpm IFX weak 5..0"),
                                  std::string("tpm IFX weak 1.2.3.4.5"),
                                  std::string("tpm IFX weak 65536"),
                                  std::string("tpm IFX weak -"),
                                  std::string("tpm IFX weak 5-"),
                                  std::string("tpm IFX weak 5 rsa"),
                                  std::string("tpm IFX least all"),
                                  std::string("tpm IFX least metadata"),
                                  std::string("tpm IFX least 7.85-7.90"),
                                  std::string("tpm IFX most 7"),
                                  std::string("tpm INFINEON least 7"),
                                  std::string("tpm id:0000101 least 7"),
                                  std::string("tpm IFX/ least 7"),
                                  std::string("tpm IFX/-- least 7"),
                                  std::string("piv other least 5"),
                                  std::string("piv yubikey least 5.256"),
                                  std::string("piv yubikey least 5.7.0.1"),
                                  std::string("piv yubikey weak 5 dsa"),
                                  std::string("fido2 yubikey least 5.7"),
                                  std::string("fido3 x least 1"),
                                  absl::StrCat("fido2 ", kAaguid, " least 4294967296"),
                                  absl::StrCat("fido2 ", kAaguid, " least 5.7.256"),
                                  std::string("TPM IFX least 7"),
                                  std::string("tpm IFX least 7:why"),
                                  std::string("tpm IFX least 7 : \x1b[2J"),
                                  std::string("tpm IFX least 7 : ") + std::string(600, 'x')}) {
    const auto list = Parse(absl::StrCat("tpm IFX least 7.85\n", line));
    EXPECT_THAT(list, IsError(absl::StatusCode::kInvalidArgument, "line 3")) << line;
  }
  for (const char* begin : {"", "tpm IFX least 7", "forekey-firmware-list",
                            "forekey-firmware-list 2", "forekey-firmware-list 1 x", "{}"}) {
    EXPECT_THAT(FirmwareList::Parse(begin),
                IsError(absl::StatusCode::kInvalidArgument, "must begin with"))
        << begin;
  }
  EXPECT_THAT(FirmwareList::Parse(std::string(kMaxFirmwareList + 1, '\n')),
              IsError(absl::StatusCode::kInvalidArgument, "1 MiB"));
  std::string many;
  for (int i = 0; i <= 10'000; ++i) many += "tpm IFX least 7\n";
  EXPECT_THAT(Parse(many), IsError(absl::StatusCode::kInvalidArgument, "10000"));
}

TEST(FirmwareListTest, AMakerIsItsIdentifierHoweverItIsWritten) {
  EXPECT_EQ(TpmMakerOf("id:49465800"), "IFX");
  EXPECT_EQ(TpmMakerOf("id:53544D20"), "STM");
  EXPECT_EQ(TpmMakerOf("id:00001014"), "id:00001014");
  EXPECT_EQ(TpmMakerOf("id:0000ABCD"), "id:0000abcd");
  EXPECT_EQ(TpmMakerOf("Infineon"), "Infineon");
  EXPECT_EQ(Said("tpm id:49465800 least 7.85", Tpm("7.84.0.0")), Problem::kTooOld);
  EXPECT_EQ(Said("tpm id:0000ABCD least 2", Tpm("1.0.0.0", "id:0000abcd")), Problem::kTooOld);
}

TEST(WeakFirmwareTest, RocaIsOfInfineonsTpmsUntilTheyWereMended) {
  const auto ids = [](const TokenFirmware& token) {
    std::string all;
    for (const WeakFirmware& known : WeaknessesOf(token)) all += known.id + " ";
    return all;
  };
  EXPECT_EQ(ids(Tpm("5.61.0.0")), "CVE-2017-15361 ");
  EXPECT_EQ(ids(Tpm("5.62.0.0")), "");
  EXPECT_EQ(ids(Tpm("7.61.2785.0")), "CVE-2017-15361 ");
  EXPECT_EQ(ids(Tpm("7.62.0.0")), "");
  EXPECT_EQ(ids(Tpm("7.61.0.0", "NTC")), "");
  EXPECT_EQ(ids(Tpm("")), "") << "what is not known is not weak";
}

}  // namespace
}  // namespace forekey
