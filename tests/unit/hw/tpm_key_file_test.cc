// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/key_file.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace forekey {
namespace {

TpmKeyFile Sample() {
  TpmKeyFile key;
  key.device_uri = "tpm:swtpm:path=/run/x.sock";
  key.parent_name = std::string(34, 'n');
  key.parent = 0x40000001;
  key.public_area = "public";
  key.private_area = "private";
  return key;
}

std::string Text(const TpmKeyFile& key) {
  auto text = SerializeKeyFile(key);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

// A PEM block of our own around some DER.
std::string Pem(absl::string_view der, absl::string_view type = "TSS2 PRIVATE KEY") {
  return absl::StrCat("-----BEGIN ", type, "-----\n", absl::Base64Escape(der), "\n-----END ", type,
                      "-----\n");
}
std::string DerOf(const std::string& text) {
  const size_t begin = text.find("-----\n", text.find("-----BEGIN")) + 6;
  std::string base64 =
      absl::StrReplaceAll(text.substr(begin, text.find("-----END") - begin), {{"\n", ""}});
  std::string der;
  EXPECT_TRUE(absl::Base64Unescape(base64, &der));
  return der;
}

bool IsRefused(const std::string& text) {
  return ParseKeyFile(text).status().code() == absl::StatusCode::kInvalidArgument;
}

TEST(TpmKeyFileTest, ReadsWhatItWrites) {
  for (bool has_password : {false, true}) {
    for (uint32_t parent : {0x40000001u, 0x81000001u}) {
      TpmKeyFile key = Sample();
      key.has_password = has_password;
      key.parent = parent;
      auto read = ParseKeyFile(Text(key));
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->device_uri, key.device_uri);
      EXPECT_EQ(read->parent_name, key.parent_name);
      EXPECT_EQ(read->parent, parent);
      EXPECT_EQ(read->has_password, has_password);
      EXPECT_EQ(read->public_area, "public");
      EXPECT_EQ(read->private_area, "private");
    }
  }
}

// draft-bottomley-tpm2-keys: SEQUENCE { OID 2.23.133.10.1.3, [0] { TRUE }, parent, pubkey, privkey
// }
TEST(TpmKeyFileTest, WritesTheEcosystemsAsn1) {
  TpmKeyFile key = Sample();
  key.public_area = "P";
  key.private_area = "Q";
  EXPECT_EQ(absl::BytesToHexString(DerOf(Text(key))),
            "3019"
            "0606"
            "6781050a0103"
            "a0030101ff"
            "020440000001"
            "040150"
            "040151");
  key.has_password = true;
  EXPECT_EQ(absl::BytesToHexString(DerOf(Text(key))),
            "3019"
            "0606"
            "6781050a0103"
            "a003010100"
            "020440000001"
            "040150"
            "040151");
}

TEST(TpmKeyFileTest, TakesAnAbsentEmptyAuthForAPassword) {
  auto read =
      ParseKeyFile(Pem(absl::HexStringToBytes("3014"
                                              "0606"
                                              "6781050a0103"
                                              "020440000001"
                                              "040150"
                                              "040151")));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->has_password);
}

TEST(TpmKeyFileTest, TakesAPlainFileAsThisMachinesTpm) {
  auto read = ParseKeyFile(Pem(DerOf(Text(Sample()))));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->device_uri, "tpm:");
  EXPECT_EQ(read->parent_name, "");
}

TEST(TpmKeyFileTest, RefusesWhatItWouldNotWrite) {
  const std::string der = DerOf(Text(Sample()));
  EXPECT_TRUE(IsRefused(""));
  EXPECT_TRUE(IsRefused("garbage"));
  EXPECT_TRUE(IsRefused(Pem("garbage")));
  EXPECT_TRUE(IsRefused(Pem(der, "PRIVATE KEY")));
  EXPECT_TRUE(IsRefused(Pem(absl::StrCat(der, "x"))));
  for (size_t size = 0; size < der.size(); ++size)
    EXPECT_TRUE(IsRefused(Pem(der.substr(0, size)))) << size;
  std::string sealed = der;  // 2.23.133.10.1.5: sealed data
  sealed[9] = 5;
  EXPECT_TRUE(IsRefused(Pem(sealed)));
  EXPECT_TRUE(IsRefused(std::string(20000, 'x')));
}

TEST(TpmKeyFileTest, RefusesParentsThatAreNone) {
  std::string der = DerOf(Text(Sample()));
  const size_t parent = der.find(std::string("\x02\x04\x40\x00\x00\x01", 6)) + 2;
  for (const char* bytes : {"4000000b", "80000001", "00000000", "c0000001"}) {
    std::string other = der;
    other.replace(parent, 4, absl::HexStringToBytes(bytes));
    EXPECT_TRUE(IsRefused(Pem(other))) << bytes;
  }
}

TEST(TpmKeyFileTest, RefusesBadLines) {
  const std::string text = Text(Sample());
  EXPECT_TRUE(IsRefused(absl::StrReplaceAll(text, {{"Device: tpm:", "Device: fido2:"}})));
  EXPECT_TRUE(IsRefused(absl::StrReplaceAll(text, {{"Name: 6e", "Name: zz"}})));
  EXPECT_TRUE(IsRefused(absl::StrReplaceAll(text, {{"Name: 6e", "Name: "}})));
}

TEST(TpmKeyFileTest, DoesNotWriteAUriThatWouldBreakTheLine) {
  TpmKeyFile key = Sample();
  key.device_uri = "tpm:\nForekey-Parent-Name: x";
  EXPECT_FALSE(SerializeKeyFile(key).ok());
  key = Sample();
  key.parent = 0x80000000;
  EXPECT_FALSE(SerializeKeyFile(key).ok());
}

}  // namespace
}  // namespace forekey
