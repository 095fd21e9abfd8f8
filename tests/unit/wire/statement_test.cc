// SPDX-License-Identifier: Apache-2.0
#include "src/wire/statement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::ToHex;

constexpr absl::string_view kZero("\0", 1);

constexpr absl::string_view kLabels[] = {
    label::kOpen,      label::kCallDevice,   label::kEnroll,        label::kCall,
    label::kSession,   label::kConfirm,      label::kCredential,    label::kInviteBegin,
    label::kInviteKey, label::kInviteFinish, label::kEnrollConfirm, label::kChallenge};

TEST(LabelTest, EveryOneIsInTheProtocolDocument) {
  auto document = ReadFile(FOREKEY_SOURCE "/docs/PROTOCOL.md");
  ASSERT_THAT(document, IsOk());
  for (absl::string_view label : kLabels) {
    EXPECT_TRUE(absl::StrContains(*document, absl::StrCat("`", label, "`"))) << label;
  }
}

TEST(LabelTest, OneARoleAndNoneBeginsAnotherWithItsZero) {
  std::set<std::string> ended;
  for (absl::string_view label : kLabels) {
    EXPECT_TRUE(absl::StartsWith(label, "forekey/1 "));
    EXPECT_EQ(label.find('\0'), absl::string_view::npos);
    EXPECT_TRUE(ended.insert(absl::StrCat(label, kZero)).second) << label;
  }
  for (const std::string& one : ended) {
    for (const std::string& other : ended) {
      EXPECT_TRUE(one == other || !absl::StartsWith(one, other)) << one << " " << other;
    }
  }
}

TEST(MethodTest, IsExactlyServiceSlashMethod) {
  for (absl::string_view good : {"/a/b", "/forekey.v1.Gate/OpenSession", "/a_1.B2/c_3", "/./b"}) {
    EXPECT_TRUE(IsWellFormedMethod(good)) << good;
  }
  EXPECT_TRUE(IsWellFormedMethod("/a/" + std::string(kMaxMethodSize - 3, 'm')));
  for (absl::string_view bad :
       {"",       "/",      "//",          "/a",     "/a/",    "//b",    "a/b",    "/a/b/",
        "/a/b/c", "/a//b",  "/a/b.c",      "/a/b?x", "/a/b#",  "/a/%62", "/a /b",  "/a/b ",
        " /a/b",  "/a/b\n", "/a/\xc3\xa9", "/a-b/c", "/a/b-c", "/a:b/c", "/a/../b"}) {
    EXPECT_FALSE(IsWellFormedMethod(bad)) << bad;
  }
  EXPECT_FALSE(IsWellFormedMethod(absl::string_view("/a/b\0", 5)));
  EXPECT_FALSE(IsWellFormedMethod("/a/" + std::string(kMaxMethodSize - 2, 'm')));
}

TEST(AudienceTest, IsPrintableAndFitsAnOriginAndAFileName) {
  for (absl::string_view good : {"a", "gate.example", "gate:50051", "prod@eu-1", "[::1]:443"}) {
    EXPECT_TRUE(IsWellFormedAudience(good)) << good;
  }
  EXPECT_TRUE(IsWellFormedAudience(std::string(255, 'a')));
  EXPECT_FALSE(IsWellFormedAudience(std::string(256, 'a')));
  for (absl::string_view bad :
       {"", "a b", "a/b", "a\\b", "a\"b", "a'b", "a#b", "a\n", "a\x7f", "a\x80"}) {
    EXPECT_FALSE(IsWellFormedAudience(bad)) << bad;
  }
  EXPECT_FALSE(IsWellFormedAudience(kZero));
}

TEST(SubjectTest, IsANameThatIsNoOptionAndNoHiddenFile) {
  for (absl::string_view good : {"a", "alice@example.org", "ci-runner_7+x", "_x", "@x", "+x"}) {
    EXPECT_TRUE(IsWellFormedSubject(good)) << good;
  }
  EXPECT_TRUE(IsWellFormedSubject(std::string(255, 's')));
  EXPECT_FALSE(IsWellFormedSubject(std::string(256, 's')));
  for (absl::string_view bad :
       {"", "-a", ".a", "a b", "a/b", "a:b", "a,b", "a\n", "\xc3\xa9", "a\"b"}) {
    EXPECT_FALSE(IsWellFormedSubject(bad)) << bad;
  }
  EXPECT_FALSE(IsWellFormedSubject(absl::string_view("a\0b", 3)));
}

class CallStatementTest : public ::testing::Test {
 protected:
  const std::string challenge_ = std::string(64, 'C');
  const std::string binding_ = std::string(32, 'B');
  const std::string share_ = std::string(32, 'S');
  const std::string digest_ = std::string(32, 'D');
  const std::string first_ = std::string(32, '1');
  const std::string second_ = std::string(32, '2');
  const std::vector<absl::string_view> ids_ = {first_, second_};
  CallStatement statement_{.audience = "gate",
                           .method = "/a.B/C",
                           .challenge = challenge_,
                           .channel_binding = binding_,
                           .credential_ids = ids_,
                           .key_share = share_,
                           .request_digest = digest_};
};

TEST_F(CallStatementTest, IsTheBytesOfTheProtocol) {
  EXPECT_EQ(
      BuildStatement(statement_),
      absl::StrCat("forekey/1 call-device", kZero, kZero, "\x04gate", kZero, "\x06/a.B/C",
                   challenge_, binding_, "\x02", first_, second_, "\x20", share_, "\x20", digest_));
  statement_.key_share = {};
  statement_.request_digest = {};
  statement_.credential_ids = absl::MakeConstSpan(ids_).subspan(0, 1);
  EXPECT_EQ(BuildStatement(statement_),
            absl::StrCat("forekey/1 call-device", kZero, kZero, "\x04gate", kZero, "\x06/a.B/C",
                         challenge_, binding_, "\x01", first_, kZero, kZero));
}

// Opening has a label of its own: a signature made for it opens nothing else, and the other way
// round.
TEST_F(CallStatementTest, OpeningHasItsOwnLabel) {
  statement_.method = kOpenSessionMethod;
  EXPECT_TRUE(absl::StartsWith(BuildStatement(statement_), absl::StrCat("forekey/1 open", kZero)));
  for (absl::string_view other : {kOpenChildSessionMethod, kEndSessionMethod, kWhoAmIMethod}) {
    statement_.method = other;
    EXPECT_TRUE(
        absl::StartsWith(BuildStatement(statement_), absl::StrCat("forekey/1 call-device", kZero)));
  }
}

TEST_F(CallStatementTest, EverythingThatIsCheckedIsInIt) {
  const std::string other64(64, 'x'), other32(32, 'x');
  const std::vector<absl::string_view> one = {first_};
  std::set<std::string> all = {BuildStatement(statement_)};
  auto expect_new = [&all](const CallStatement& changed) {
    EXPECT_TRUE(all.insert(BuildStatement(changed)).second);
  };
  auto with = [this](auto change) {
    CallStatement changed = statement_;
    change(changed);
    return changed;
  };
  expect_new(with([](CallStatement& s) { s.audience = "gatf"; }));
  expect_new(with([](CallStatement& s) { s.method = "/a.B/D"; }));
  expect_new(with([&](CallStatement& s) { s.challenge = other64; }));
  expect_new(with([&](CallStatement& s) { s.channel_binding = other32; }));
  expect_new(with([&](CallStatement& s) { s.credential_ids = one; }));
  expect_new(with([&](CallStatement& s) { s.key_share = other32; }));
  expect_new(with([&](CallStatement& s) { s.key_share = {}; }));
  expect_new(with([&](CallStatement& s) { s.request_digest = other32; }));
  expect_new(with([&](CallStatement& s) { s.request_digest = {}; }));
  // A share is not a digest.
  expect_new(with([&](CallStatement& s) {
    s.key_share = {};
    s.request_digest = share_;
  }));
  // Lengths keep what stands side by side apart.
  expect_new(with([](CallStatement& s) {
    s.audience = "gate/a";
    s.method = ".B/C";
  }));
}

TEST(EnrollStatementTest, IsTheBytesOfTheProtocol) {
  const std::string id(16, 'I'), binding(32, 'B'), challenge(64, 'C');
  EnrollStatement statement{.audience = "gate",
                            .enrollment_id = id,
                            .subject = "alice",
                            .kind = v1::TOKEN_KIND_TPM,
                            .spki = "spki",
                            .channel_binding = binding,
                            .challenge = challenge};
  EXPECT_EQ(BuildStatement(statement),
            absl::StrCat("forekey/1 enroll", kZero, kZero, "\x04gate", id, kZero,
                         "\x05"
                         "alice",
                         "\x01", kZero, "\x04spki", binding, challenge));
  statement.spki = "";
  EXPECT_EQ(BuildStatement(statement),
            absl::StrCat("forekey/1 enroll", kZero, kZero, "\x04gate", id, kZero,
                         "\x05"
                         "alice",
                         "\x01", kZero, kZero, binding, challenge));
}

TEST(EnrollStatementTest, EverythingThatIsCheckedIsInIt) {
  const std::string id(16, 'I'), binding(32, 'B'), challenge(64, 'C');
  const EnrollStatement base{.audience = "gate",
                             .enrollment_id = id,
                             .subject = "alice",
                             .kind = v1::TOKEN_KIND_TPM,
                             .spki = "spki",
                             .channel_binding = binding,
                             .challenge = challenge};
  const std::string other16(16, 'x'), other32(32, 'x'), other64(64, 'x');
  std::set<std::string> all = {BuildStatement(base)};
  EnrollStatement s = base;
  s.audience = "gatf";
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.enrollment_id = other16;
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.subject = "mallory";
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.kind = v1::TOKEN_KIND_FIDO2;
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.spki = "spkj";
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.channel_binding = other32;
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
  s = base;
  s.challenge = other64;
  EXPECT_TRUE(all.insert(BuildStatement(s)).second);
}

TEST(InviteStatementTest, IsTheBytesOfTheProtocol) {
  EXPECT_EQ(BuildInviteStatement(label::kInviteBegin, "gate", "payload"),
            absl::StrCat("forekey/1 invite-begin", kZero, kZero, "\x04gate", Sha256("payload")));
  EXPECT_NE(BuildInviteStatement(label::kInviteBegin, "gate", "payload"),
            BuildInviteStatement(label::kInviteFinish, "gate", "payload"));
}

TEST(CredentialIdTest, NamesAudienceSubjectAndKey) {
  const std::string id = CredentialId("gate", "alice", "spki");
  EXPECT_EQ(id, Sha256(absl::StrCat("forekey/1 credential", kZero, kZero, "\x04gate", kZero,
                                    "\x05"
                                    "alice",
                                    kZero, "\x04spki")));
  EXPECT_NE(CredentialId("gatf", "alice", "spki"), id);
  EXPECT_NE(CredentialId("gate", "alicf", "spki"), id);
  EXPECT_NE(CredentialId("gate", "alice", "spkj"), id);
  EXPECT_NE(CredentialId("gat", "ealice", "spki"), id);
  EXPECT_NE(CredentialId("gate", "alices", "pki"), id);
}

class CallMacTest : public ::testing::Test {
 protected:
  const std::string session_ = std::string(16, 'I');
  const std::string binding_ = std::string(32, 'B');
  const std::string digest_ = std::string(32, 'D');
  const HmacSha256 key_{std::string(32, 'K')};
  CallMacInput input_{.session_id = session_,
                      .sequence = 0x0102030405060708,
                      .age_s = 0x090a0b0c,
                      .method = "/a.B/C",
                      .channel_binding = binding_,
                      .request_digest = digest_};
};

TEST_F(CallMacTest, IsTheBytesOfTheProtocol) {
  const std::string want =
      absl::StrCat("forekey/1 call", kZero, session_, "\x01\x02\x03\x04\x05\x06\x07\x08",
                   "\x09\x0a\x0b\x0c", kZero, "\x06/a.B/C", binding_, digest_);
  EXPECT_EQ(ToHex(BuildCallMacBytes(input_)), ToHex(want));
  const auto mac = key_.Mac({want});
  EXPECT_EQ(ComputeCallMac(key_, input_), View(mac.data(), 16));
  EXPECT_TRUE(CallMacMatches(key_, input_, View(mac.data(), 16)));
}

TEST_F(CallMacTest, EverythingThatIsCheckedIsUnderIt) {
  const std::string mac = ComputeCallMac(key_, input_);
  const std::string other16(16, 'x'), other32(32, 'x');
  auto refused = [&](auto change) {
    CallMacInput changed = input_;
    change(changed);
    return !CallMacMatches(key_, changed, mac);
  };
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.session_id = other16; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { ++i.sequence; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.sequence ^= uint64_t{1} << 63; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { ++i.age_s; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.age_s ^= 1u << 31; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.method = "/a.B/D"; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.channel_binding = other32; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.request_digest = other32; }));
  EXPECT_TRUE(refused([&](CallMacInput& i) { i.request_digest = {}; }));
  EXPECT_FALSE(CallMacMatches(HmacSha256(std::string(32, 'L')), input_, mac));
}

// One byte can be guessed: only the protocol's own size is compared at all.
TEST_F(CallMacTest, HasExactlyItsSize) {
  const auto whole = key_.Mac({BuildCallMacBytes(input_)});
  for (size_t size = 0; size <= whole.size(); ++size) {
    EXPECT_EQ(CallMacMatches(key_, input_, View(whole.data(), size)), size == kCallMacSize) << size;
  }
}

}  // namespace
}  // namespace forekey
