// SPDX-License-Identifier: Apache-2.0
// COSE keys, client data, authenticator data and attestation objects: the nouns of WebAuthn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/wire/attestation_object.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/client_data.h"
#include "src/wire/cose_key.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"
#include "tests/support/webauthn_maker.h"

namespace forekey {
namespace {

using testing::AttestationObjectBytes;
using testing::CborArray;
using testing::CborBytes;
using testing::CborEntries;
using testing::CborInt;
using testing::CborMap;
using testing::CborText;
using testing::CoseEntries;
using testing::FromHex;
using testing::IsOk;
using testing::RefusedWith;
using testing::TestToken;

// ---- COSE keys ----

// The entries of `key` with the value under `label` replaced; with "" it is taken out.
CborEntries Replace(CborEntries entries, int64_t label, const std::string& value) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].first != CborInt(label)) continue;
    if (value.empty()) {
      entries.erase(entries.begin() + i);
    } else {
      entries[i].second = value;
    }
    return entries;
  }
  entries.emplace_back(CborInt(label), value);
  return entries;
}

const PublicKey& Es256() {
  static const auto& key = *new SoftwareKey(SoftwareKey::Generate(Algorithm::kEs256));
  return key.public_key();
}
const PublicKey& Rs256() {
  static const auto& key = *new SoftwareKey(SoftwareKey::Generate(Algorithm::kRs256));
  return key.public_key();
}

TEST(CoseKeyTest, ReadsEveryAlgorithm) {
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    const Algorithm algorithm = facts.algorithm;
    const SoftwareKey key = SoftwareKey::Generate(algorithm);
    const auto cose = CoseKey::Parse(CborMap(CoseEntries(key.public_key())));
    ASSERT_THAT(cose, IsOk());
    EXPECT_EQ(cose->key.algorithm(), algorithm);
    EXPECT_EQ(cose->key.spki(), key.public_key().spki());
  }
}

TEST(CoseKeyTest, RejectsOtherAlgorithms) {
  // PS256, ES256K, ES256 and Ed25519 by their other names, and RS1, which is for TPM statements
  // alone.
  for (int alg : {-37, -47, -9, -19, 7, 0}) {
    EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 3, CborInt(alg)))),
                RefusedWith(Reason::kKeyAlgorithm))
        << alg;
  }
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Rs256()), 3, CborInt(-65535)))),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 3, FromHex("1b00000001fffffff9")))),
      RefusedWith(Reason::kKeyAlgorithm));
}

TEST(CoseKeyTest, RejectsAnAlgorithmThatDoesNotFitTheKey) {
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 3, CborInt(-8)))),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 1, CborInt(1)))),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -1, CborInt(2)))),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 3, CborInt(-35)))),
              RefusedWith(Reason::kKeyAlgorithm));
}

// WebAuthn section 5.8.5: -36 is P-521 and -53 is Ed448, whatever else COSE would let them be.
TEST(CoseKeyTest, RejectsEs512AndEd448OnAnotherCurve) {
  const auto refused = RefusedWith(Reason::kKeyAlgorithm);
  const PublicKey es512 = SoftwareKey::Generate(Algorithm::kEs512).public_key();
  const PublicKey ed448 = SoftwareKey::Generate(Algorithm::kEd448).public_key();
  const PublicKey ed25519 = SoftwareKey::Generate(Algorithm::kEdDsa).public_key();
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(es512), -1, CborInt(2)))), refused);
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(es512), 3, CborInt(-7)))), refused);
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), 3, CborInt(-36)))), refused);
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(ed448), 3, CborInt(-8)))), refused);
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(ed25519), 3, CborInt(-53)))), refused);
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(ed448), -1, CborInt(6)))), refused);
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(ed448), -2, CborBytes(std::string(57, '\0'))))),
      refused)
      << "a point of small order";
}

TEST(CoseKeyTest, RejectsAnotherShape) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  for (int64_t label : {1, 3, -1, -2, -3}) {
    EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), label, ""))), malformed)
        << label;
    EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), label, CborText("x")))),
                malformed)
        << label;
  }
  // A compressed point, a short and a long coordinate, a private key, an optional parameter.
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -3, "\xf5"))), malformed);
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -3, CborBytes(std::string(31, 1))))),
      malformed);
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -2, CborBytes(std::string(33, 1))))),
      malformed);
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -4, CborBytes(std::string(32, 1))))),
      malformed);
  EXPECT_THAT(CoseKey::Parse(CborArray({})), malformed);
  EXPECT_THAT(CoseKey::Parse(absl::StrCat(CborMap(CoseEntries(Es256())), "x")), malformed);
  EXPECT_THAT(CoseKey::Parse(CborMap(
                  Replace(CoseEntries(Rs256()), -2, CborBytes(absl::string_view("\0\1\0\1", 4))))),
              malformed);
}

TEST(CoseKeyTest, RejectsPointsThatAreNotOnTheCurveAndWeakRsa) {
  EXPECT_THAT(
      CoseKey::Parse(CborMap(Replace(CoseEntries(Es256()), -3, CborBytes(std::string(32, 1))))),
      RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(CoseKey::Parse(
                  CborMap(Replace(CoseEntries(Rs256()), -1, CborBytes(std::string(128, '\xff'))))),
              RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(CoseKey::Parse(CborMap(Replace(CoseEntries(Rs256()), -2, CborBytes("\x03")))),
              RefusedWith(Reason::kKeyAlgorithm));
}

TEST(CoseKeyTest, OnlyU2fKeysMayLackTheirCurve) {
  const std::string bytes = CborMap(Replace(CoseEntries(Es256()), -1, ""));
  const auto map = CborValue::Parse(bytes);
  ASSERT_THAT(map, IsOk());
  EXPECT_THAT(CoseKey::FromCbor(*map), RefusedWith(Reason::kEvidenceMalformed));
  EXPECT_THAT(CoseKey::FromCbor(*map, {.from_u2f = true}), IsOk());
}

// ---- Client data ----

constexpr absl::string_view kGood =
    R"({"type":"webauthn.get","challenge":"AAAA","origin":"https://a.example","crossOrigin":false})";

TEST(ClientDataTest, ReadsWhatItNeedsAndIgnoresTheRest) {
  const auto data = ClientData::Parse(
      R"({"extra":{"type":"x","a":[1,2]},"origin":"https://a.example","challenge":"AAAA",)"
      R"("type":"webauthn.get","tokenBinding":{"status":"not-supported"},"crossOrigin":true,)"
      R"("topOrigin":"https://b.example"})");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->type, "webauthn.get");
  EXPECT_EQ(data->challenge, "AAAA");
  EXPECT_EQ(data->origin, "https://a.example");
  EXPECT_EQ(data->cross_origin, true);
  EXPECT_EQ(data->top_origin, "https://b.example");
  EXPECT_THAT(
      ClientData::Parse(R"({"type":"t","challenge":"c","origin":"o","tokenBinding":"unused"})"),
      IsOk());
  EXPECT_THAT(ClientData::Parse(absl::StrCat("\xef\xbb\xbf", kGood)), IsOk());
}

TEST(ClientDataTest, EscapesAreReadNotMatched) {
  const auto data = ClientData::Parse(
      R"({"type":"webauthn\u002eget","challenge":"AAAA","origin":"https:\/\/a.example"})");
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->type, "webauthn.get");
  EXPECT_EQ(data->origin, "https://a.example");
}

TEST(ClientDataTest, RejectsWhatTwoReadersWouldReadInTwoWays) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  EXPECT_THAT(ClientData::Parse(R"({"type":"a","type":"b","challenge":"c","origin":"o"})"),
              malformed);
  EXPECT_THAT(ClientData::Parse(R"({"type":"a","\u0074ype":"b","challenge":"c","origin":"o"})"),
              malformed);
  EXPECT_THAT(ClientData::Parse(R"({"type":"a","challenge":"c","origin":"o","x":{"y":1,"y":2}})"),
              malformed);
  // The same name at two depths, or in two objects, is no duplicate.
  EXPECT_THAT(
      ClientData::Parse(
          R"({"type":"a","challenge":"c","origin":"o","x":{"type":1},"z":[{"y":1},{"y":1}]})"),
      IsOk());
  EXPECT_THAT(ClientData::Parse(absl::StrCat(kGood, absl::string_view("\0x", 2))), malformed);
  EXPECT_THAT(ClientData::Parse(absl::StrCat(kGood, kGood)), malformed);
  EXPECT_THAT(ClientData::Parse(absl::StrCat(kGood, "x")), malformed);
}

TEST(ClientDataTest, RejectsAnotherShape) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  for (absl::string_view json :
       {"", "[]", "null", "{", "{}", R"({"challenge":"c","origin":"o"})",
        R"({"type":"t","origin":"o"})", R"({"type":"t","challenge":"c"})",
        R"({"type":1,"challenge":"c","origin":"o"})", R"({"type":"t","challenge":[],"origin":"o"})",
        R"({"type":"t","challenge":"c","origin":null})",
        R"({"type":"t","challenge":"c","origin":"o","crossOrigin":"false"})",
        R"({"type":"t","challenge":"c","origin":"o","topOrigin":true})",
        "{\"type\":\"t\",\"challenge\":\"c\",\"origin\":\"\xff\"}",
        R"({'type':'t','challenge':'c','origin':'o'})"}) {
    EXPECT_THAT(ClientData::Parse(json), malformed) << json;
  }
  EXPECT_THAT(ClientData::Parse(absl::StrCat(kGood, std::string(kMaxClientDataSize, ' '))),
              malformed);
}

TEST(ClientDataTest, ParsesWhatItSerializes) {
  const std::string json = ClientData::Serialize(kClientDataGet, "\xfb\xff", "forekey://gate-1");
  EXPECT_EQ(
      json,
      R"({"type":"webauthn.get","challenge":"-_8","origin":"forekey://gate-1","crossOrigin":false})");
  EXPECT_THAT(ClientData::Parse(json), IsOk());
}

// ---- Authenticator data ----

TEST(AuthenticatorDataTest, ReadsItsParts) {
  TestToken token;
  token.flags = 0xcd;
  token.after = CborMap({{CborText("credProtect"), CborInt(2)}});
  const std::string bytes = token.AuthData();
  const auto data = AuthenticatorData::Parse(bytes);
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->rp_id_hash, Sha256(testing::kTestRpId));
  EXPECT_TRUE(data->flags.up() && data->flags.uv() && data->flags.be() && !data->flags.bs());
  EXPECT_EQ(data->sign_count, 7u);
  ASSERT_TRUE(data->attested);
  EXPECT_EQ(data->attested->aaguid, token.aaguid);
  EXPECT_EQ(data->attested->credential_id, token.credential_id);
  EXPECT_EQ(data->attested->key.key.spki(), token.credential.public_key().spki());
  EXPECT_THAT(data->extensions, ::testing::ElementsAre("credProtect"));
}

TEST(AuthenticatorDataTest, RejectsReservedAndContradictoryFlags) {
  for (int flags : {0x03, 0x21, 0x11}) {
    TestToken token;
    token.flags = static_cast<uint8_t>(flags);
    EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), RefusedWith(Reason::kFlagsInvalid))
        << flags;
  }
}

TEST(AuthenticatorDataTest, RejectsWhatIsLeftOverOrMissing) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  TestToken token;
  const std::string good = token.AuthData();
  EXPECT_THAT(AuthenticatorData::Parse(absl::StrCat(good, "x")), malformed);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(AuthenticatorData::Parse(good.substr(0, size)), malformed) << size;
  }
  // Extensions that the flags do not announce, and announced ones that are not there.
  token.after = CborMap({{CborText("credProtect"), CborInt(2)}});
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
  token.after.clear();
  token.flags = 0xc1;
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
  // An assertion's 37 bytes, with something behind.
  token.flags = 0x01;
  token.after = "x";
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
}

TEST(AuthenticatorDataTest, RejectsOddCredentialIdsKeysAndExtensions) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  TestToken token;
  token.credential_id.clear();
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
  token.credential_id.assign(1023, 'c');
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), IsOk());
  token.credential_id.assign(1024, 'c');
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
  token = TestToken();
  token.flags = 0xc1;
  for (const std::string& extensions :
       {CborArray({}), CborMap({{CborInt(1), CborInt(1)}}), CborInt(1)}) {
    token.after = extensions;
    EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), malformed);
  }
  EXPECT_THAT(AuthenticatorData::Parse(std::string(kMaxAuthenticatorDataSize + 1, '\0')),
              malformed);
}

TEST(AuthenticatorDataTest, OnlyU2fKeysMayBeOutOfOrder) {
  TestToken token;
  CborEntries entries = CoseEntries(token.credential.public_key());
  std::swap(entries[3], entries[4]);
  token.cose = CborMap(entries);
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData()), RefusedWith(Reason::kEvidenceMalformed));
  EXPECT_THAT(AuthenticatorData::Parse(token.AuthData(), {.from_u2f = true}), IsOk());
}

TEST(AaguidTest, HasOneTextForm) {
  const std::string aaguid = FromHex("0123456789abcdef0123456789abcdef");
  EXPECT_EQ(AaguidText(aaguid), "01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_EQ(AaguidFromText("01234567-89ab-cdef-0123-456789abcdef"), aaguid);
  for (absl::string_view text :
       {"", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg",
        "01234567-89ab-cdef-01234-56789abcdef"}) {
    EXPECT_FALSE(AaguidFromText(text)) << text;
  }
}

// ---- Attestation objects ----

TEST(AttestationObjectTest, TakesMembersInAnyOrder) {
  const std::string auth_data = TestToken().AuthData();
  const std::string canonical = AttestationObjectBytes("none", CborMap({}), auth_data);
  const std::string other = CborMap({{CborText("authData"), CborBytes(auth_data)},
                                     {CborText("fmt"), CborText("none")},
                                     {CborText("attStmt"), CborMap({})}});
  for (const std::string& bytes : {canonical, other}) {
    const auto object = AttestationObject::Parse(bytes);
    ASSERT_THAT(object, IsOk());
    EXPECT_EQ(object->format, "none");
    EXPECT_EQ(object->auth_data, auth_data);
    EXPECT_EQ(object->tail, 0u);
  }
}

TEST(AttestationObjectTest, ToleratesAFewDozenUnsignedBytesAndNoOtherTail) {
  const std::string good = AttestationObjectBytes("none", CborMap({}), TestToken().AuthData());
  for (size_t size : {16u, 35u, 64u}) {
    const std::string bytes = good + std::string(size, '\xa0');
    const auto object = AttestationObject::Parse(bytes);
    ASSERT_THAT(object, IsOk()) << size;
    EXPECT_EQ(object->tail, size);
  }
  for (size_t size : {1u, 15u, 65u, 1000u}) {
    EXPECT_THAT(AttestationObject::Parse(good + std::string(size, '\xa0')),
                RefusedWith(Reason::kEvidenceMalformed))
        << size;
  }
}

TEST(AttestationObjectTest, RejectsAnotherShape) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  const CborEntries good = {{CborText("fmt"), CborText("none")},
                            {CborText("attStmt"), CborMap({})},
                            {CborText("authData"), CborBytes("x")}};
  for (size_t i = 0; i < good.size(); ++i) {
    CborEntries changed = good;
    changed[i].second = CborInt(1);
    EXPECT_THAT(AttestationObject::Parse(CborMap(changed)), malformed);
    changed.erase(changed.begin() + i);
    EXPECT_THAT(AttestationObject::Parse(CborMap(changed)), malformed);
    changed = good;
    changed.push_back(good[i]);
    EXPECT_THAT(AttestationObject::Parse(CborMap(changed)), malformed);
  }
  CborEntries more = good;
  more.emplace_back(CborText("more"), CborInt(1));
  EXPECT_THAT(AttestationObject::Parse(CborMap(more)), malformed);
  EXPECT_THAT(AttestationObject::Parse(CborArray({})), malformed);
  const std::string whole = CborMap(good);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(AttestationObject::Parse(whole.substr(0, size)), malformed) << size;
  }
  EXPECT_THAT(AttestationObject::Parse(std::string(kMaxAttestationObjectSize + 1, '\xa0')),
              malformed);
}

}  // namespace
}  // namespace forekey
