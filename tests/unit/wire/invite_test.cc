// SPDX-License-Identifier: Apache-2.0
#include "src/wire/invite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsError;
using testing::IsOk;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Invite Good() {
  return Invite{.audience = "gate.example",
                .address = "gate.example:50051",
                .identity_fingerprint = std::string(32, 'F'),
                .seed = Secret("0123456789abcdef"),
                .ca_certificates = {"first certificate", "second"}};
}

std::string Decoded(const std::string& text) {
  std::string bytes;
  absl::WebSafeBase64Unescape(absl::StripPrefix(text, "forekey-invite:"), &bytes);
  return bytes;
}

// An invite around any bytes, with the right checksum.
std::string Wrap(absl::string_view body) {
  return absl::StrCat("forekey-invite:",
                      absl::WebSafeBase64Escape(absl::StrCat(body, Sha256(body).substr(0, 4))));
}
std::string BodyOf(const Invite& invite) {
  std::string bytes = Decoded(invite.Serialize());
  return bytes.substr(0, bytes.size() - 4);
}

TEST(InviteTest, GoesRound) {
  for (bool with_certificates : {true, false}) {
    Invite invite = Good();
    if (!with_certificates) invite.ca_certificates.clear();
    const std::string text = invite.Serialize();
    EXPECT_EQ(text.find_first_of(" \n=+/"), std::string::npos) << "one word, safe to paste";
    auto again = Invite::Parse(text);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(again->audience, invite.audience);
    EXPECT_EQ(again->address, invite.address);
    EXPECT_EQ(again->identity_fingerprint, invite.identity_fingerprint);
    EXPECT_TRUE(ConstantTimeEqual(again->seed.view(), invite.seed.view()));
    EXPECT_EQ(again->ca_certificates, invite.ca_certificates);
    EXPECT_EQ(again->Serialize(), text);
  }
}

TEST(InviteTest, WhiteSpaceAroundItIsForgiven) {
  EXPECT_THAT(Invite::Parse(absl::StrCat(" \n", Good().Serialize(), "\r\n")), IsOk());
}

TEST(InviteTest, EveryTypingErrorIsNoticed) {
  const std::string text = Good().Serialize();
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = changed[at] == 'x' ? 'y' : 'x';
    EXPECT_THAT(Invite::Parse(changed), IsError(kInvalid, "not an invite")) << at;
    EXPECT_THAT(Invite::Parse(text.substr(0, at)), IsError(kInvalid, "not an invite")) << at;
    EXPECT_THAT(Invite::Parse(text.substr(0, at) + " " + text.substr(at)),
                at == 0 ? IsError(absl::StatusCode::kOk, "") : IsError(kInvalid, "not an invite"))
        << at;
  }
  EXPECT_THAT(Invite::Parse(text + "A"), IsError(kInvalid, "not an invite"));
  EXPECT_THAT(Invite::Parse(text + "="), IsError(kInvalid, "base64url"));
  EXPECT_THAT(Invite::Parse(text + "."), IsError(kInvalid, "base64url"));
  EXPECT_THAT(Invite::Parse(text + text), IsError(kInvalid, "base64url"));
}

TEST(InviteTest, SaysWhatIsWrong) {
  EXPECT_THAT(Invite::Parse(""), IsError(kInvalid, "does not begin"));
  EXPECT_THAT(Invite::Parse("garbage"), IsError(kInvalid, "does not begin"));
  EXPECT_THAT(Invite::Parse("forekey-invite:"), IsError(kInvalid, "cut short"));
  EXPECT_THAT(Invite::Parse("forekey-invite:AAAA"), IsError(kInvalid, "cut short"));
  EXPECT_THAT(Invite::Parse("forekey-invite:!"), IsError(kInvalid, "base64url"));
  EXPECT_THAT(Invite::Parse(std::string(kMaxInviteTextSize + 1, 'A')),
              IsError(kInvalid, "too long"));
  std::string mistyped = Good().Serialize();
  mistyped[30] = mistyped[30] == 'A' ? 'B' : 'A';
  EXPECT_THAT(Invite::Parse(mistyped), IsError(kInvalid, "checksum"));
}

TEST(InviteTest, RefusesWrongBytesUnderARightChecksum) {
  const std::string body = BodyOf(Good());
  ASSERT_THAT(Invite::Parse(Wrap(body)), IsOk());
  EXPECT_THAT(Invite::Parse(Wrap(body + '\0')), IsError(kInvalid, "wrong size"));
  for (size_t size = 1; size < body.size(); ++size) {
    EXPECT_THAT(Invite::Parse(Wrap(body.substr(0, size))), IsError(kInvalid, "not an invite"))
        << size;
  }
  std::string version = body;
  version[0] = 2;
  EXPECT_THAT(Invite::Parse(Wrap(version)), IsError(kInvalid, "version 2"));
  // The list of certificates ends inside a certificate.
  Invite bare = Good();
  bare.ca_certificates.clear();
  std::string list = BodyOf(bare);
  list.resize(list.size() - 2);
  EXPECT_THAT(Invite::Parse(Wrap(list + ByteWriter().U16(3).U16(9).U8(1).bytes())),
              IsError(kInvalid, "CA certificates"));
  EXPECT_THAT(Invite::Parse(Wrap(list + ByteWriter().U16(1).U8(1).bytes())),
              IsError(kInvalid, "CA certificates"));
  EXPECT_THAT(Invite::Parse(Wrap(list + ByteWriter().U16(2).U16(0).bytes())),
              IsError(kInvalid, "empty CA certificate"));
}

TEST(InviteTest, RefusesFieldsThatAGateWouldNotHave) {
  auto refused = [](auto change, absl::string_view text) {
    Invite invite = Good();
    change(invite);
    EXPECT_THAT(invite.Validate(), IsError(kInvalid, text));
    EXPECT_EQ(invite.Serialize(), "");
  };
  refused([](Invite& i) { i.audience = ""; }, "audience");
  refused([](Invite& i) { i.audience = "a/b"; }, "audience");
  refused([](Invite& i) { i.audience = std::string(256, 'a'); }, "audience");
  for (absl::string_view address :
       {"", "host", ":443", "host:", "host:0", "host:65536", "host:99999999999", "host:-1",
        "host:+1", "host: 1", "a b:1", "host/x:1", "host:443\n", "unix:/run/x"}) {
    refused([&](Invite& i) { i.address = std::string(address); }, "address");
  }
  refused([](Invite& i) { i.address = std::string(300, 'h') + ":1"; }, "address");
  refused([](Invite& i) { i.identity_fingerprint.pop_back(); }, "fingerprint");
  refused([](Invite& i) { i.seed = Secret("short"); }, "seed");
  refused([](Invite& i) { i.ca_certificates = {""}; }, "CA certificate");
  refused([](Invite& i) { i.ca_certificates.assign(9, std::string(2000, 'c')); },
          "CA certificates");
  Invite six = Good();
  six.address = "[2001:db8::1]:50051";
  EXPECT_THAT(six.Validate(), IsOk());
}

// And the same when they come from outside: Parse asks Validate.
TEST(InviteTest, ParseRefusesThemToo) {
  Invite invite = Good();
  std::string body = BodyOf(invite);
  body[2] = '/';  // the audience's first byte
  EXPECT_THAT(Invite::Parse(Wrap(body)), IsError(kInvalid, "audience"));
}

TEST(InviteTest, ErrorsNeverQuoteTheInvite) {
  const std::string text = Good().Serialize();
  for (const std::string& bad : {text + "!", "x" + text, text.substr(0, text.size() - 3)}) {
    const std::string message = Invite::Parse(bad).status().ToString();
    EXPECT_FALSE(absl::StrContains(message, text.substr(20, 8))) << message;
  }
}

TEST(InviteTest, ItsKeyIsOfThisAudienceAndSeedAlone) {
  Invite invite = Good();
  auto key = invite.SigningKey();
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->public_key().algorithm(), Algorithm::kEdDsa);
  auto expected = SoftwareKey::Ed25519FromSeed(
      HkdfSha256("0123456789abcdef", "",
                 absl::StrCat("forekey/1 invite-key", absl::string_view("\0", 1), "gate.example"),
                 32)
          .view());
  ASSERT_THAT(expected, IsOk());
  EXPECT_EQ(key->public_key().spki(), expected->public_key().spki());
  invite.audience = "gatf.example";
  EXPECT_NE(invite.SigningKey()->public_key().spki(), key->public_key().spki());
  invite = Good();
  invite.seed = Secret("0123456789abcdeg");
  EXPECT_NE(invite.SigningKey()->public_key().spki(), key->public_key().spki());
  invite.seed = Secret("short");
  EXPECT_THAT(invite.SigningKey(), IsError(kInvalid, "seed"));
}

}  // namespace
}  // namespace forekey
