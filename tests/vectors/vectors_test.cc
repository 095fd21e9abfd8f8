// SPDX-License-Identifier: Apache-2.0
// Recomputes every value of forekey-v1.json from the inputs that stand beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/wire/id_token.h"
#include "src/wire/invite.h"
#include "src/wire/prefix.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using nlohmann::json;
using testing::FromHex;
using testing::IsError;
using testing::IsOk;
using testing::RefusedWith;
using testing::ToHex;

class VectorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto content = ReadFile(FOREKEY_SOURCE "/tests/vectors/forekey-v1.json");
    ASSERT_THAT(content, IsOk());
    all_ = json::parse(*content);
    ASSERT_EQ(all_["protocol"], "forekey/1");
  }
  // A section must not be empty: or nothing was tested.
  const json& Section(const char* name) {
    EXPECT_FALSE(all_.at(name).empty()) << name;
    return all_.at(name);
  }
  static std::string Text(const json& v, const char* name) { return v.at(name).get<std::string>(); }
  static std::string Bytes(const json& v, const char* name) { return FromHex(Text(v, name)); }
  static uint64_t Big(const json& v, const char* name) { return std::stoull(Text(v, name)); }
  json all_;
};

TEST_F(VectorsTest, Challenges) {
  for (const json& v : Section("challenges")) {
    const std::string head = ByteWriter()
                                 .U8(v.at("version"))
                                 .U8(v.at("purpose"))
                                 .Raw(Bytes(v, "instance_tag"))
                                 .U64(Big(v, "issued_ns"))
                                 .Raw(Bytes(v, "random"))
                                 .bytes();
    const std::string message =
        ByteWriter().Raw(label::kChallenge).U8(0).Len2(Text(v, "audience")).Raw(head).bytes();
    const auto mac = HmacSha256(Bytes(v, "key")).Mac({message});
    EXPECT_EQ(Text(v, "challenge"), ToHex(head) + ToHex(View(mac.data(), mac.size())));
    EXPECT_EQ(Bytes(v, "challenge").size(), kChallengeSize);
  }
}

TEST_F(VectorsTest, CredentialIds) {
  for (const json& v : Section("credential_ids")) {
    EXPECT_EQ(Text(v, "credential_id"),
              ToHex(CredentialId(Text(v, "audience"), Text(v, "subject"), Bytes(v, "spki"))));
  }
}

TEST_F(VectorsTest, CallStatements) {
  for (const json& v : Section("call_statements")) {
    std::vector<std::string> ids;
    for (const json& id : v.at("credential_ids")) ids.push_back(FromHex(id.get<std::string>()));
    const std::vector<absl::string_view> views(ids.begin(), ids.end());
    const std::string audience = Text(v, "audience"), method = Text(v, "method"),
                      challenge = Bytes(v, "challenge"), binding = Bytes(v, "channel_binding"),
                      share = Bytes(v, "key_share"), digest = Bytes(v, "request_digest");
    const std::string statement = BuildStatement(CallStatement{.audience = audience,
                                                               .method = method,
                                                               .challenge = challenge,
                                                               .channel_binding = binding,
                                                               .credential_ids = views,
                                                               .key_share = share,
                                                               .request_digest = digest});
    EXPECT_EQ(Text(v, "statement"), ToHex(statement));
    EXPECT_EQ(Text(v, "sha256"), ToHex(Sha256(statement)));
    auto key = SoftwareKey::Ed25519FromSeed(Bytes(v, "ed25519_seed"));
    ASSERT_THAT(key, IsOk());
    EXPECT_THAT(key->public_key().Verify(statement, Bytes(v, "ed25519_signature")), IsOk());
  }
}

TEST_F(VectorsTest, EnrollStatements) {
  for (const json& v : Section("enroll_statements")) {
    const std::string audience = Text(v, "audience"), id = Bytes(v, "enrollment_id"),
                      subject = Text(v, "subject"), spki = Bytes(v, "spki"),
                      binding = Bytes(v, "channel_binding"), challenge = Bytes(v, "challenge");
    EXPECT_EQ(Text(v, "statement"), ToHex(BuildStatement(EnrollStatement{
                                        .audience = audience,
                                        .enrollment_id = id,
                                        .subject = subject,
                                        .kind = static_cast<TokenKind>(v.at("kind").get<int>()),
                                        .spki = spki,
                                        .channel_binding = binding,
                                        .challenge = challenge})));
  }
}

TEST_F(VectorsTest, SessionKeysAndConfirmations) {
  for (const json& v : Section("session_keys")) {
    auto client = X25519PrivateKey::FromRaw(Bytes(v, "client_private"));
    auto gate = X25519PrivateKey::FromRaw(Bytes(v, "gate_private"));
    auto identity = X25519PrivateKey::FromRaw(Bytes(v, "identity_private"));
    ASSERT_TRUE(client.ok() && gate.ok() && identity.ok());
    EXPECT_EQ(Text(v, "client_share"), ToHex(client->public_key()));
    EXPECT_EQ(Text(v, "gate_share"), ToHex(gate->public_key()));
    EXPECT_EQ(Text(v, "identity"), ToHex(identity->public_key()));
    EXPECT_EQ(Text(v, "identity_fingerprint"), ToHex(Sha256(identity->public_key())));
    // The gate's side; the generator took the client's.
    auto ephemeral_secret = gate->Agree(client->public_key());
    auto identity_secret = identity->Agree(client->public_key());
    ASSERT_TRUE(ephemeral_secret.ok() && identity_secret.ok());
    EXPECT_EQ(Text(v, "ephemeral_secret"), ToHex(ephemeral_secret->view()));
    EXPECT_EQ(Text(v, "identity_secret"), ToHex(identity_secret->view()));
    const std::string parent_key = Bytes(v, "parent_key"), salt = Bytes(v, "salt"),
                      transcript = Bytes(v, "transcript"), id = Bytes(v, "session_id");
    const Secret key = DeriveSessionKey({.ephemeral_secret = &*ephemeral_secret,
                                         .identity_secret = &*identity_secret,
                                         .parent_key = parent_key,
                                         .salt = salt,
                                         .transcript = transcript,
                                         .gate_share = gate->public_key(),
                                         .session_id = id});
    EXPECT_EQ(Text(v, "session_key"), ToHex(key.view()));
    EXPECT_EQ(Text(v, "tls_anchors_mac"),
              ToHex(ComputeTlsAnchorsMac(key, id, Text(v, "tls_anchors"))));
    for (const json& c : v.at("confirmations")) {
      const std::string next = Bytes(c, "next_gate_identity"), subject = Text(c, "subject");
      EXPECT_EQ(Text(c, "confirmation"),
                ToHex(ComputeConfirmation(key, {.session_id = id,
                                                .gate_share = gate->public_key(),
                                                .idle_s = c.at("idle_s"),
                                                .absolute_s = c.at("absolute_s"),
                                                .window = c.at("window"),
                                                .next_gate_identity = next,
                                                .subject = subject})));
    }
  }
}

TEST_F(VectorsTest, CallMacs) {
  for (const json& v : Section("call_macs")) {
    const std::string id = Bytes(v, "session_id"), method = Text(v, "method"),
                      binding = Bytes(v, "channel_binding"), digest = Bytes(v, "request_digest");
    const CallMacInput input{.session_id = id,
                             .sequence = Big(v, "sequence"),
                             .age_s = v.at("age_s"),
                             .method = method,
                             .channel_binding = binding,
                             .request_digest = digest};
    const HmacSha256 key(Bytes(v, "key"));
    EXPECT_EQ(Text(v, "bytes"), ToHex(BuildCallMacBytes(input)));
    EXPECT_EQ(Text(v, "mac"), ToHex(ComputeCallMac(key, input)));
    EXPECT_TRUE(CallMacMatches(key, input, Bytes(v, "mac")));
  }
}

TEST_F(VectorsTest, ResumptionMacs) {
  for (const json& v : Section("resumption_macs")) {
    const std::string audience = Text(v, "audience"), method = Text(v, "method"),
                      ticket = Bytes(v, "ticket"), challenge = Bytes(v, "challenge"),
                      binding = Bytes(v, "channel_binding"), share = Bytes(v, "key_share"),
                      digest = Bytes(v, "request_digest"), prefix = Bytes(v, "prefix");
    const std::string statement = BuildStatement(
        ResumptionStatement{audience, method, ticket, challenge, binding, share, digest});
    EXPECT_EQ(ToHex(statement), Text(v, "bytes"));
    EXPECT_EQ(ToHex(ComputeResumptionMac(Bytes(v, "key"), statement)), Text(v, "mac"));
    const auto parsed = Prefix::Parse(prefix);
    ASSERT_THAT(parsed, IsOk());
    ASSERT_NE(parsed->resumption(), nullptr);
    EXPECT_EQ(ToHex(parsed->resumption()->ticket), Text(v, "ticket"));
    EXPECT_EQ(ToHex(parsed->resumption()->mac), Text(v, "mac"));
    EXPECT_EQ(ToHex(SerializePrefix(*parsed->resumption())), ToHex(prefix));
    // Nothing left over, nothing missing, nothing twice.
    for (size_t size = 0; size < prefix.size(); ++size) {
      EXPECT_THAT(Prefix::Parse(absl::string_view(prefix).substr(0, size)),
                  RefusedWith(Reason::kPrefixMalformed));
    }
    EXPECT_THAT(Prefix::Parse(prefix + std::string(1, '\0')),
                RefusedWith(Reason::kPrefixMalformed));
    EXPECT_THAT(Prefix::Parse(prefix + prefix), ::testing::Not(IsOk()));
  }
}

TEST_F(VectorsTest, EnrollmentConfirmations) {
  for (const json& v : Section("enrollment_confirmations")) {
    auto client = X25519PrivateKey::FromRaw(Bytes(v, "client_private"));
    ASSERT_THAT(client, IsOk());
    auto secret = client->Agree(Bytes(v, "identity"));
    ASSERT_THAT(secret, IsOk());
    const Secret key = DeriveEnrollmentKey(*secret, Bytes(v, "challenge"), Text(v, "audience"));
    EXPECT_EQ(Text(v, "key"), ToHex(key.view()));
    EXPECT_EQ(Text(v, "confirmation"),
              ToHex(ComputeEnrollmentConfirmation(key, v.at("step"), Bytes(v, "request_payload"),
                                                  Bytes(v, "response_payload"))));
  }
}

TEST_F(VectorsTest, Prefixes) {
  for (const json& v : Section("prefixes")) {
    const std::string bytes = Bytes(v, "bytes");
    auto prefix = Prefix::Parse(bytes);
    ASSERT_THAT(prefix, IsOk());
    if (v.contains("session")) {
      const json& want = v["session"];
      ASSERT_NE(prefix->session(), nullptr);
      EXPECT_EQ(Text(want, "session_id"), ToHex(prefix->session()->session_id));
      EXPECT_EQ(Big(want, "sequence"), prefix->session()->sequence);
      EXPECT_EQ(want.at("age_s"), prefix->session()->age_s);
      EXPECT_EQ(Text(want, "mac"), ToHex(prefix->session()->mac));
      EXPECT_EQ(Text(want, "request_digest"), ToHex(prefix->session()->request_digest));
      EXPECT_EQ(ToHex(SerializePrefix(*prefix->session())), ToHex(bytes));
      continue;
    }
    const json& want = v.at("device");
    ASSERT_NE(prefix->device(), nullptr);
    EXPECT_EQ(Text(want, "challenge"), ToHex(prefix->device()->challenge));
    EXPECT_EQ(Text(want, "channel_binding"), ToHex(prefix->device()->channel_binding));
    EXPECT_EQ(Text(want, "key_share"), ToHex(prefix->device()->key_share));
    EXPECT_EQ(Text(want, "request_digest"), ToHex(prefix->device()->request_digest));
    ASSERT_EQ(want.at("assertions").size(), prefix->device()->assertions.size());
    for (size_t i = 0; i < prefix->device()->assertions.size(); ++i) {
      const AssertionView& assertion = prefix->device()->assertions[i];
      const json& a = want.at("assertions")[i];
      EXPECT_EQ(Text(a, "credential_id"), ToHex(assertion.credential_id));
      EXPECT_EQ(Text(a, "signature"), ToHex(assertion.signature));
      EXPECT_EQ(Text(a, "authenticator_data"), ToHex(assertion.authenticator_data));
      EXPECT_EQ(Text(a, "client_data_json"), ToHex(assertion.client_data_json));
    }
    EXPECT_EQ(ToHex(SerializePrefix(*prefix->device())), ToHex(bytes));
  }
}

TEST_F(VectorsTest, SealedFactors) {
  for (const json& v : Section("sealed_factors")) {
    const auto identity = X25519PrivateKey::FromRaw(Bytes(v, "identity_private"));
    ASSERT_THAT(identity, IsOk());
    std::vector<std::string> ids;
    for (const json& id : v.at("credential_ids")) ids.push_back(FromHex(id.get<std::string>()));
    const std::vector<absl::string_view> views(ids.begin(), ids.end());
    const std::string audience = Text(v, "audience"), challenge = Bytes(v, "challenge");
    const auto opened =
        OpenFactors(Bytes(v, "sealed"), FactorContext{audience, challenge, views}, *identity);
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(opened->password.view(), Text(v, "password"));
    EXPECT_EQ(opened->id_token.view(), Text(v, "id_token"));
    EXPECT_EQ(ToHex(SerializeFactors(*opened, Bytes(v, "blinder"))->view()), Text(v, "plain"));
  }
}

TEST_F(VectorsTest, IdTokenNonces) {
  for (const json& v : Section("id_token_nonces")) {
    std::vector<std::string> ids;
    for (const json& id : v.at("credential_ids")) ids.push_back(FromHex(id.get<std::string>()));
    const std::vector<absl::string_view> views(ids.begin(), ids.end());
    EXPECT_EQ(IdTokenNonce(Text(v, "audience"), Bytes(v, "key_share"), views), Text(v, "nonce"));
  }
}

TEST_F(VectorsTest, InvalidPrefixes) {
  for (const json& v : Section("invalid_prefixes")) {
    auto reason = ReasonOf(Prefix::Parse(Bytes(v, "bytes")).status());
    ASSERT_TRUE(reason.has_value()) << v;
    EXPECT_EQ(ReasonName(*reason), Text(v, "reason")) << v;
  }
}

TEST_F(VectorsTest, Invites) {
  for (const json& v : Section("invites")) {
    auto invite = Invite::Parse(Text(v, "text"));
    ASSERT_THAT(invite, IsOk());
    EXPECT_EQ(invite->audience, Text(v, "audience"));
    EXPECT_EQ(invite->address, Text(v, "address"));
    EXPECT_EQ(ToHex(invite->identity_fingerprint), Text(v, "identity_fingerprint"));
    EXPECT_EQ(ToHex(invite->seed.view()), Text(v, "seed"));
    ASSERT_EQ(invite->ca_certificates.size(), v.at("ca_certificates").size());
    for (size_t i = 0; i < invite->ca_certificates.size(); ++i) {
      EXPECT_EQ(ToHex(invite->ca_certificates[i]), v.at("ca_certificates")[i]);
    }
    EXPECT_EQ(invite->Serialize(), Text(v, "text"));
    auto key = invite->SigningKey();
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ(PublicKey::FromEd25519(Bytes(v, "public_key"))->spki(), key->public_key().spki());
    for (const json& s : v.at("signatures")) {
      const std::string statement =
          BuildInviteStatement(Text(s, "label"), invite->audience, Bytes(s, "payload"));
      EXPECT_EQ(Text(s, "statement"), ToHex(statement));
      EXPECT_EQ(Text(s, "signature"), ToHex(key->Sign(statement)));
    }
  }
}

TEST_F(VectorsTest, InvalidInvites) {
  for (const json& v : Section("invalid_invites")) {
    EXPECT_THAT(Invite::Parse(Text(v, "text")),
                IsError(absl::StatusCode::kInvalidArgument, "not an invite"))
        << v;
  }
}

TEST_F(VectorsTest, InvalidShares) {
  for (const json& v : Section("invalid_shares")) {
    auto client = X25519PrivateKey::FromRaw(Bytes(v, "client_private"));
    ASSERT_THAT(client, IsOk());
    EXPECT_FALSE(client->Agree(Bytes(v, "share")).ok()) << v;
  }
}

TEST_F(VectorsTest, Names) {
  for (const json& v : Section("names")) {
    const std::string kind = Text(v, "kind"), text = Text(v, "text");
    const bool valid = kind == "method"     ? IsWellFormedMethod(text)
                       : kind == "audience" ? IsWellFormedAudience(text)
                                            : IsWellFormedSubject(text);
    EXPECT_EQ(valid, v.at("valid")) << v;
  }
}

TEST_F(VectorsTest, StepUps) {
  for (const json& v : Section("step_ups")) {
    EXPECT_EQ(json(StepUp::FromMessage(Text(v, "message")).alternatives()), v.at("alternatives"));
  }
}

}  // namespace
}  // namespace forekey
