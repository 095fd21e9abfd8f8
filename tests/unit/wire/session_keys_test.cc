// SPDX-License-Identifier: Apache-2.0
#include "src/wire/session_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsOk;

constexpr absl::string_view kZero("\0", 1);

std::string Mac(absl::string_view key, absl::string_view message) {
  const auto mac = HmacSha256(key).Mac({message});
  return std::string(View(mac.data(), mac.size()));
}

// RFC 5869 for one block, written out.
std::string Hkdf32(absl::string_view key, absl::string_view salt, absl::string_view info) {
  return Mac(Mac(salt, key), absl::StrCat(info, "\x01"));
}

class SessionKeyTest : public ::testing::Test {
 protected:
  std::string Derive() const { return std::string(DeriveSessionKey(input_).view()); }

  const Secret ephemeral_{std::string(32, 'e')};
  const Secret identity_{std::string(32, 'i')};
  const Secret other_{std::string(32, 'x')};
  const std::string parent_ = std::string(32, 'p');
  const std::string salt_ = std::string(64, 'C');
  const std::string share_ = std::string(32, 'S');
  const std::string id_ = std::string(16, 'I');
  SessionKeyInput input_{.ephemeral_secret = &ephemeral_,
                         .identity_secret = &identity_,
                         .salt = salt_,
                         .transcript = "statement",
                         .gate_share = share_,
                         .session_id = id_};
};

TEST_F(SessionKeyTest, IsTheSchedulesOfTheProtocol) {
  const std::string info =
      absl::StrCat("forekey/1 session", kZero, Sha256("statement"), share_, id_);
  EXPECT_EQ(Derive(), Hkdf32(absl::StrCat(ephemeral_.view(), identity_.view()), salt_, info));
  input_.parent_key = parent_;
  EXPECT_EQ(Derive(),
            Hkdf32(absl::StrCat(ephemeral_.view(), identity_.view(), parent_), salt_, info));
}

TEST_F(SessionKeyTest, EveryInputCounts) {
  std::set<std::string> all = {Derive()};
  const SessionKeyInput base = input_;
  auto expect_new = [&](auto change) {
    input_ = base;
    change(input_);
    EXPECT_TRUE(all.insert(Derive()).second);
  };
  // Without the gate's identity a man in the middle would do; without the ephemeral, its theft
  // later.
  expect_new([&](SessionKeyInput& i) { i.identity_secret = &other_; });
  expect_new([&](SessionKeyInput& i) { i.ephemeral_secret = &other_; });
  expect_new([&](SessionKeyInput& i) { std::swap(i.ephemeral_secret, i.identity_secret); });
  expect_new([&](SessionKeyInput& i) { i.parent_key = parent_; });
  expect_new([&](SessionKeyInput& i) { i.salt = parent_; });
  expect_new([&](SessionKeyInput& i) { i.transcript = "another"; });
  expect_new([&](SessionKeyInput& i) { i.gate_share = parent_; });
  expect_new([&](SessionKeyInput& i) { i.session_id = absl::string_view(share_).substr(0, 16); });
}

TEST(SessionKeyAgreementTest, BothSidesDeriveTheSameAndAGateOfAnotherIdentityDoesNot) {
  const auto client = X25519PrivateKey::Generate();
  const auto gate = X25519PrivateKey::Generate();
  const auto identity = X25519PrivateKey::Generate();
  const auto rogue = X25519PrivateKey::Generate();
  const std::string salt(64, 'C'), id(16, 'I');
  auto derive = [&](const Secret& ephemeral, const Secret& with_identity) {
    return std::string(DeriveSessionKey({.ephemeral_secret = &ephemeral,
                                         .identity_secret = &with_identity,
                                         .salt = salt,
                                         .transcript = "statement",
                                         .gate_share = gate.public_key(),
                                         .session_id = id})
                           .view());
  };
  auto c1 = client.Agree(gate.public_key()), c2 = client.Agree(identity.public_key());
  auto g1 = gate.Agree(client.public_key()), g2 = identity.Agree(client.public_key());
  auto r2 = rogue.Agree(client.public_key());
  ASSERT_THAT(c1, IsOk());
  ASSERT_THAT(c2, IsOk());
  ASSERT_THAT(g1, IsOk());
  ASSERT_THAT(g2, IsOk());
  ASSERT_THAT(r2, IsOk());
  EXPECT_EQ(derive(*c1, *c2), derive(*g1, *g2));
  EXPECT_NE(derive(*c1, *c2), derive(*g1, *r2));
}

TEST(ConfirmationTest, IsTheBytesOfTheProtocolAndEveryFieldCounts) {
  const Secret key(std::string(32, 'k'));
  const std::string id(16, 'I'), share(32, 'S'), next(32, 'N'), other(32, 'x');
  const ConfirmationInput base{.session_id = id,
                               .gate_share = share,
                               .idle_s = 900,
                               .absolute_s = 43200,
                               .window = 1024,
                               .next_gate_identity = next,
                               .subject = "alice"};
  EXPECT_EQ(
      ComputeConfirmation(key, base),
      Mac(key.view(), absl::StrCat("forekey/1 confirm", kZero, id, share,
                                   absl::string_view("\x00\x00\x03\x84", 4),
                                   absl::string_view("\x00\x00\xa8\xc0", 4),
                                   absl::string_view("\x00\x00\x04\x00", 4), "\x20", next, kZero,
                                   "\x05"
                                   "alice")));
  std::set<std::string> all = {ComputeConfirmation(key, base)};
  auto expect_new = [&](auto change) {
    ConfirmationInput changed = base;
    change(changed);
    EXPECT_TRUE(all.insert(ComputeConfirmation(key, changed)).second);
  };
  expect_new([&](ConfirmationInput& c) { c.session_id = absl::string_view(other).substr(0, 16); });
  expect_new([&](ConfirmationInput& c) { c.gate_share = other; });
  expect_new([](ConfirmationInput& c) { ++c.idle_s; });
  expect_new([](ConfirmationInput& c) { ++c.absolute_s; });
  expect_new([](ConfirmationInput& c) { ++c.window; });
  // A rotation that the holder of the pinned identity did not announce.
  expect_new([&](ConfirmationInput& c) { c.next_gate_identity = other; });
  expect_new([](ConfirmationInput& c) { c.next_gate_identity = {}; });
  expect_new([](ConfirmationInput& c) { c.subject = "mallory"; });
  EXPECT_TRUE(all.insert(ComputeConfirmation(Secret(other), base)).second);
}

TEST(TlsAnchorsMacTest, IsTheBytesOfTheProtocolAndEveryFieldCounts) {
  const Secret key(std::string(32, 'k'));
  const std::string id(16, 'I');
  const std::string mac = ComputeTlsAnchorsMac(key, id, "PEM");
  EXPECT_EQ(mac, Mac(key.view(), absl::StrCat("forekey/1 tls-anchors", kZero, id, "PEM")));
  EXPECT_NE(mac, ComputeTlsAnchorsMac(key, std::string(16, 'J'), "PEM"));
  EXPECT_NE(mac, ComputeTlsAnchorsMac(key, id, "PEN"));
  EXPECT_NE(mac, ComputeTlsAnchorsMac(Secret(std::string(32, 'x')), id, "PEM"));
}

TEST(EnrollmentConfirmationTest, IsTheBytesOfTheProtocolAndEveryFieldCounts) {
  const Secret identity(std::string(32, 'i'));
  const std::string challenge(64, 'C');
  const Secret key = DeriveEnrollmentKey(identity, challenge, "gate");
  EXPECT_EQ(key.view(), Hkdf32(identity.view(), challenge,
                               absl::StrCat("forekey/1 enroll-confirm", kZero, kZero, "\x04gate")));
  EXPECT_NE(DeriveEnrollmentKey(identity, std::string(64, 'D'), "gate").view(), key.view());
  EXPECT_NE(DeriveEnrollmentKey(identity, challenge, "gatf").view(), key.view());
  EXPECT_NE(DeriveEnrollmentKey(Secret(std::string(32, 'j')), challenge, "gate").view(),
            key.view());

  const std::string begin = ComputeEnrollmentConfirmation(key, 1, "request", "response");
  EXPECT_EQ(begin, Mac(key.view(), absl::StrCat("\x01", Sha256("request"), Sha256("response"))));
  EXPECT_NE(ComputeEnrollmentConfirmation(key, 2, "request", "response"), begin);
  EXPECT_NE(ComputeEnrollmentConfirmation(key, 1, "requesu", "response"), begin);
  EXPECT_NE(ComputeEnrollmentConfirmation(key, 1, "request", "responsf"), begin);
  EXPECT_NE(ComputeEnrollmentConfirmation(key, 1, "response", "request"), begin);
}

}  // namespace
}  // namespace forekey
