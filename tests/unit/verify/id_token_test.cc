// SPDX-License-Identifier: Apache-2.0
// Attacks on ID tokens, each with the reason for which it is refused.
#include "src/verify/id_token.h"

#include "absl/strings/str_split.h"
#include "tests/support/id_provider.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using Json = nlohmann::json;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
constexpr char kIssuer[] = "https://idp.test";
constexpr char kClient[] = "gate-client";

// Keys are made once: RSA's take long.
const IdpKey& KeyOf(const std::string& algorithm) {
  static auto& keys = *new std::map<std::string, IdpKey>();
  auto found = keys.find(algorithm);
  if (found == keys.end()) {
    found = keys.emplace(algorithm, IdpKey::New("key-" + algorithm, algorithm)).first;
  }
  return found->second;
}

class IdTokenTest : public ::testing::Test {
 protected:
  IdTokenTest() {
    policy_.issuer = kIssuer;
    policy_.client_id = kClient;
    keys_ = Keys({KeyOf("RS256"), KeyOf("ES256")});
  }
  static std::shared_ptr<const JwkSet> Keys(const std::vector<IdpKey>& keys) {
    auto set = JwkSet::Parse(JwksOf(keys));
    EXPECT_THAT(set, IsOk());
    return *set;
  }
  Json Claims() const { return HonestClaims(kIssuer, kClient, "ada-at-idp", nonce_, kNow); }
  static Json Header(const std::string& alg = "ES256") {
    return {{"alg", alg}, {"kid", "key-" + alg}, {"typ", "JWT"}};
  }
  absl::StatusOr<VerifiedIdToken> Verify(const std::string& token, absl::Time now = kNow) const {
    return VerifyIdToken(token, *keys_, policy_, nonce_, now);
  }
  absl::StatusOr<VerifiedIdToken> VerifyClaims(const Json& claims, absl::Time now = kNow) const {
    return Verify(MakeJwt(KeyOf("ES256"), claims), now);
  }
  // One claim changed, or taken away (null).
  absl::StatusOr<VerifiedIdToken> With(const std::string& name, const Json& value) const {
    Json claims = Claims();
    if (value.is_null()) {
      claims.erase(name);
    } else {
      claims[name] = value;
    }
    return VerifyClaims(claims);
  }
  absl::StatusOr<VerifiedIdToken> WithHeader(const Json& header) const {
    return Verify(MakeJwt(KeyOf("ES256"), header, Claims().dump()));
  }

  const std::string nonce_ =
      IdTokenNonce("gate.test", std::string(32, 'k'), {std::string(32, 'c')});
  IdTokenPolicy policy_;
  std::shared_ptr<const JwkSet> keys_;
};

TEST_F(IdTokenTest, AnHonestTokenSaysWhoAndWhen) {
  auto token = VerifyClaims(Claims());
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(token->issuer(), kIssuer);
  EXPECT_EQ(token->subject(), "ada-at-idp");
  EXPECT_EQ(token->identity(), "ada-at-idp");
  EXPECT_EQ(token->issued_at(), kNow);
  EXPECT_EQ(token->good_until(), kNow + absl::Minutes(5));
  EXPECT_EQ(token->one_use_id().size(), 32u);
}

TEST_F(IdTokenTest, EveryAlgorithmOfTheListVerifiesUnderItsOwnKey) {
  for (const char* alg :
       {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}) {
    policy_.algorithms = {alg};
    keys_ = Keys({KeyOf(alg)});
    EXPECT_THAT(Verify(MakeJwt(KeyOf(alg), Claims())), IsOk()) << alg;
  }
}

TEST_F(IdTokenTest, RefusesUnsignedTokens) {
  for (const char* alg : {"none", "None", "NONE", ""}) {
    const std::string input =
        SigningInput(Json{{"alg", alg}, {"kid", "key-ES256"}}.dump(), Claims().dump());
    const Reason reason = *alg == '\0' ? Reason::kIdTokenMalformed : Reason::kIdTokenAlgorithm;
    EXPECT_THAT(Verify(input + "."), RefusedWith(reason)) << alg;
    EXPECT_THAT(Verify(input + ".AAAA"), RefusedWith(reason)) << alg;
  }
}

TEST_F(IdTokenTest, RefusesAnHmacUnderTheProvidersPublicKey) {
  // What a confused verifier would take for the secret: the key as PEM, as DER, as JWK, its
  // modulus.
  const IdpKey& key = KeyOf("RS256");
  uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(key.key.get(), &der);
  const std::string spki(View(der, static_cast<size_t>(size)));
  OPENSSL_free(der);
  std::string modulus;
  absl::WebSafeBase64Unescape(key.Number(OSSL_PKEY_PARAM_RSA_N), &modulus);
  for (const std::string& secret : {spki, modulus, key.Jwk().dump()}) {
    const std::string input =
        SigningInput(Json{{"alg", "HS256"}, {"kid", "key-RS256"}}.dump(), Claims().dump());
    std::string mac(32, '\0');
    unsigned int mac_size = 0;
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), U8(input), input.size(),
         U8(mac), &mac_size);
    EXPECT_THAT(Verify(WithSignature(input, mac)), RefusedWith(Reason::kIdTokenAlgorithm));
    // Not even a policy that was told to.
    policy_.algorithms.insert("HS256");
    EXPECT_THAT(Verify(WithSignature(input, mac)), RefusedWith(Reason::kIdTokenAlgorithm));
  }
}

TEST_F(IdTokenTest, RefusesAlgorithmsThatTheKeyIsNotFor) {
  const auto claim_alg = [&](const char* alg, const char* key) {
    const std::string input = SigningInput(
        Json{{"alg", alg}, {"kid", std::string("key-") + key}}.dump(), Claims().dump());
    return Verify(WithSignature(input, KeyOf(key).Sign(alg, input)));
  };
  policy_.algorithms = {"RS256", "RS512", "PS256", "ES256", "ES384"};
  EXPECT_THAT(claim_alg("RS512", "RS256"), RefusedWith(Reason::kIdTokenAlgorithm))
      << "the JWK says RS256";
  EXPECT_THAT(claim_alg("PS256", "RS256"), RefusedWith(Reason::kIdTokenAlgorithm));
  EXPECT_THAT(claim_alg("ES384", "ES256"), RefusedWith(Reason::kIdTokenAlgorithm))
      << "another curve's";
  // An EC key's id with RSA's algorithm, and the other way round.
  const std::string input =
      SigningInput(Json{{"alg", "RS256"}, {"kid", "key-ES256"}}.dump(), Claims().dump());
  EXPECT_THAT(Verify(WithSignature(input, KeyOf("ES256").Sign("ES256", input))),
              RefusedWith(Reason::kIdTokenAlgorithm));
  // Not on the gate's list, though the provider has such a key.
  policy_.algorithms = {"RS256"};
  EXPECT_THAT(VerifyClaims(Claims()), RefusedWith(Reason::kIdTokenAlgorithm));
}

TEST_F(IdTokenTest, EdDsaIsForEd25519KeysAloneAndTheyForNothingElse) {
  keys_ = Keys({KeyOf("ES256"), KeyOf("EdDSA"), KeyOf("RS256")});
  const IdpKey& key = KeyOf("EdDSA");
  const auto signed_by = [&](const char* alg, const char* kid, const std::string& signature_of) {
    const std::string input =
        SigningInput(Json{{"alg", alg}, {"kid", kid}}.dump(), Claims().dump());
    return Verify(WithSignature(input, KeyOf(signature_of).Sign(signature_of, input)));
  };
  EXPECT_THAT(signed_by("EdDSA", "key-EdDSA", "EdDSA"), IsOk());
  EXPECT_THAT(signed_by("EdDSA", "key-ES256", "EdDSA"), RefusedWith(Reason::kIdTokenAlgorithm));
  EXPECT_THAT(signed_by("EdDSA", "key-RS256", "RS256"), RefusedWith(Reason::kIdTokenAlgorithm));
  EXPECT_THAT(signed_by("ES256", "key-EdDSA", "ES256"), RefusedWith(Reason::kIdTokenAlgorithm));
  EXPECT_THAT(signed_by("ES256", "key-EdDSA", "EdDSA"), RefusedWith(Reason::kIdTokenAlgorithm));
  EXPECT_THAT(signed_by("EdDSA", "key-EdDSA", "ES256"), RefusedWith(Reason::kIdTokenSignature));
  const std::string input =
      SigningInput(Json{{"alg", "EdDSA"}, {"kid", "key-EdDSA"}}.dump(), Claims().dump());
  const std::string signature = key.Sign("EdDSA", input);
  for (const std::string& bad :
       {signature.substr(0, 63), signature + std::string(1, '\0'), std::string(),
        std::string(64, '\0'), KeyOf("EdDSA").Sign("EdDSA", input + "x")}) {
    EXPECT_THAT(Verify(WithSignature(input, bad)), RefusedWith(Reason::kIdTokenSignature))
        << bad.size();
  }
  policy_.algorithms.erase("EdDSA");
  EXPECT_THAT(signed_by("EdDSA", "key-EdDSA", "EdDSA"), RefusedWith(Reason::kIdTokenAlgorithm));
}

TEST_F(IdTokenTest, RefusesKeysThatTheTokenBringsAlong) {
  const IdpKey own =
      IdpKey::New("key-ES256", "ES256");  // the attacker's, under the provider's name
  for (const char* name : {"jwk", "jku", "x5u", "x5c"}) {
    Json header = Header();
    header[name] = std::string(name) == "jwk"   ? own.Jwk()
                   : std::string(name) == "x5c" ? Json::array({"MIIB"})
                                                : Json("https://evil.test/keys");
    EXPECT_THAT(Verify(MakeJwt(own, header, Claims().dump())),
                RefusedWith(Reason::kIdTokenSignature))
        << name;
    EXPECT_THAT(WithHeader(header), IsOk()) << name << ": not looked at";
  }
  EXPECT_THAT(Verify(MakeJwt(own, Claims())), RefusedWith(Reason::kIdTokenSignature));
}

TEST_F(IdTokenTest, RefusesUnknownAndAmbiguousKeys) {
  EXPECT_THAT(WithHeader({{"alg", "ES256"}, {"kid", "another"}}),
              RefusedWith(Reason::kIdTokenKeyUnknown));
  EXPECT_THAT(WithHeader({{"alg", "ES256"}}), IsOk()) << "the only one for ES256";
  IdpKey twin = IdpKey::New("key-ES256", "ES256");
  keys_ = Keys({KeyOf("ES256"), twin});
  EXPECT_THAT(WithHeader(Header()), RefusedWith(Reason::kIdTokenKeyUnknown));
  EXPECT_THAT(WithHeader({{"alg", "ES256"}}), RefusedWith(Reason::kIdTokenKeyUnknown));
}

TEST_F(IdTokenTest, RefusesChangedTokens) {
  const std::string token = MakeJwt(KeyOf("RS256"), Claims());
  const std::vector<std::string> parts = absl::StrSplit(token, '.');
  Json claims = Claims();
  claims["sub"] = "eve-at-idp";
  EXPECT_THAT(
      Verify(absl::StrCat(parts[0], ".", absl::WebSafeBase64Escape(claims.dump()), ".", parts[2])),
      RefusedWith(Reason::kIdTokenSignature));
  EXPECT_THAT(Verify(absl::StrCat(parts[0], ".", parts[1], ".")),
              RefusedWith(Reason::kIdTokenSignature));
  for (size_t i = parts[0].size() + parts[1].size() + 2; i < token.size(); i += 7) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(Verify(changed).ok()) << i;
  }
  // DER instead of r || s; r || s with more before each.
  const std::string input = SigningInput(Header().dump(), Claims().dump());
  const std::string raw = KeyOf("ES256").Sign("ES256", input);
  for (const std::string& signature :
       {raw + std::string(2, '\0'),
        std::string(1, '\0') + raw.substr(0, 32) + std::string(1, '\0') + raw.substr(32),
        raw.substr(0, 63), std::string(64, '\0')}) {
    EXPECT_THAT(Verify(WithSignature(input, signature)), RefusedWith(Reason::kIdTokenSignature));
  }
}

TEST_F(IdTokenTest, RefusesWhatIsNoCompactJwsOfOneSignature) {
  const std::string token = MakeJwt(KeyOf("ES256"), Claims());
  const std::vector<std::string> parts = absl::StrSplit(token, '.');
  const std::string json =
      Json{{"payload", parts[1]},
           {"signatures",
            {{{"protected", parts[0]}, {"signature", parts[2]}}, {{"signature", "AA"}}}}}
          .dump();
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".."), json, token + ".",
        token + "." + parts[2], " " + token, token + "\n", token + "=", parts[0] + "." + parts[1],
        parts[0] + "..x." + parts[1] + "." + parts[2], token + std::string(1, '\0'),
        std::string(9000, 'A')}) {
    EXPECT_THAT(Verify(text), RefusedWith(Reason::kIdTokenMalformed)) << text.substr(0, 20);
  }
  Json claims = Claims();
  claims["filling"] = std::string(8000, 'x');
  EXPECT_THAT(VerifyClaims(claims), RefusedWith(Reason::kIdTokenMalformed)) << "oversized";
  // The same bytes in another base64url: the last character's unused bits.
  std::string loose = token;
  loose.back() =
      loose.back() == 'A' || loose.back() == 'Q' || loose.back() == 'g' || loose.back() == 'w'
          ? static_cast<char>(loose.back() + 1)
          : loose.back();
  EXPECT_THAT(Verify(loose), RefusedWith(Reason::kIdTokenMalformed));
}

TEST_F(IdTokenTest, RefusesHeadersThatItDoesNotUnderstandAndOtherKindsOfTokens) {
  Json header = Header();
  header["crit"] = {"exp"};
  header["exp"] = 1;
  EXPECT_THAT(WithHeader(header), RefusedWith(Reason::kIdTokenMalformed));
  header = Header();
  header["crit"] = Json::array();
  EXPECT_THAT(WithHeader(header), RefusedWith(Reason::kIdTokenMalformed));
  for (const char* type : {"at+jwt", "application/at+jwt", "logout+jwt", "JOSE"}) {
    header = Header();
    header["typ"] = type;
    EXPECT_THAT(WithHeader(header), RefusedWith(Reason::kIdTokenMalformed)) << type;
  }
  for (const Json& kid : {Json(7), Json(""), Json(std::string(300, 'k')), Json(nullptr)}) {
    header = Header();
    header["kid"] = kid;
    EXPECT_THAT(WithHeader(header), RefusedWith(Reason::kIdTokenMalformed)) << kid;
  }
  header = Header();
  header.erase("alg");
  EXPECT_THAT(WithHeader(header), RefusedWith(Reason::kIdTokenMalformed));
}

TEST_F(IdTokenTest, RefusesJsonThatReadersReadInTwoWays) {
  const auto sign = [&](const std::string& header, const std::string& claims) {
    const std::string input = SigningInput(header, claims);
    return Verify(WithSignature(input, KeyOf("ES256").Sign("ES256", input)));
  };
  std::string twice = Claims().dump();
  twice.insert(1, R"("sub":"eve",)");
  EXPECT_THAT(sign(Header().dump(), twice), RefusedWith(Reason::kIdTokenMalformed));
  std::string escaped = Claims().dump();
  escaped.insert(1, R"("s\u0075b":"eve",)");
  EXPECT_THAT(sign(Header().dump(), escaped), RefusedWith(Reason::kIdTokenMalformed));
  std::string two_algorithms = Header().dump();
  two_algorithms.insert(1, R"("alg":"none",)");
  EXPECT_THAT(sign(two_algorithms, Claims().dump()), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(sign(Header().dump(), Claims().dump() + "x"), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(sign(Header().dump(), Claims().dump() + std::string(1, '\0')),
              RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(sign(Header().dump(), "[]"), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(sign(Header().dump(), ""), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(sign("\xff{}", Claims().dump()), RefusedWith(Reason::kIdTokenMalformed));
}

TEST_F(IdTokenTest, RefusesClaimsThatAreMissingOrOfAnotherType) {
  for (const char* name : {"iss", "sub", "aud", "exp", "iat"}) {
    EXPECT_THAT(With(name, Json()), RefusedWith(Reason::kIdTokenMalformed)) << name;
    EXPECT_THAT(With(name, Json::object()), RefusedWith(Reason::kIdTokenMalformed)) << name;
  }
  for (const char* name : {"exp", "iat", "nbf", "auth_time"}) {
    for (const Json& value :
         {Json("1800000000"), Json(-1), Json(1e300), Json(true), Json(253402300800)}) {
      EXPECT_THAT(With(name, value), RefusedWith(Reason::kIdTokenMalformed)) << name << value;
    }
  }
  for (const char* name : {"nonce", "jti", "azp", "sub"}) {
    EXPECT_THAT(With(name, 7), RefusedWith(Reason::kIdTokenMalformed)) << name;
    EXPECT_THAT(With(name, std::string(300, 'x')), RefusedWith(Reason::kIdTokenMalformed)) << name;
  }
  EXPECT_THAT(With("iat", 1799999999.75), IsOk()) << "a fraction is allowed";
}

TEST_F(IdTokenTest, RefusesOtherIssuers) {
  for (const char* issuer :
       {"https://idp.test/", "https://IDP.test", "https://idp.test.evil", "http://idp.test"}) {
    EXPECT_THAT(With("iss", issuer), RefusedWith(Reason::kIdTokenIssuer)) << issuer;
  }
}

TEST_F(IdTokenTest, RefusesTokensForOthersAndForSeveral) {
  EXPECT_THAT(With("aud", Json::array({kClient})), IsOk());
  for (const Json& audience : {Json("other-client"), Json("gate-clien"), Json("Gate-client"),
                               Json::array({kClient, "other"}), Json::array({"other", kClient}),
                               Json::array({kClient, kClient}), Json("")}) {
    EXPECT_THAT(With("aud", audience), RefusedWith(Reason::kIdTokenAudience)) << audience;
  }
  EXPECT_THAT(With("aud", Json::array()), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(With("aud", Json::array({7})), RefusedWith(Reason::kIdTokenMalformed));
  EXPECT_THAT(With("azp", kClient), IsOk());
  EXPECT_THAT(With("azp", "other-client"), RefusedWith(Reason::kIdTokenAudience));
}

TEST_F(IdTokenTest, RefusesExpiredOldAndFutureTokensToTheSecond) {
  const Json claims =
      Claims();  // iat: now, exp: in 600 s; at most 300 s old, 30 s between the clocks
  EXPECT_THAT(VerifyClaims(claims, kNow + absl::Seconds(299)), IsOk());
  EXPECT_THAT(VerifyClaims(claims, kNow + absl::Seconds(300)),
              RefusedWith(Reason::kIdTokenExpired));
  EXPECT_THAT(VerifyClaims(claims, kNow - absl::Seconds(30)), IsOk());
  EXPECT_THAT(VerifyClaims(claims, kNow - absl::Seconds(31)), RefusedWith(Reason::kIdTokenExpired));
  policy_.max_age = absl::Hours(1);
  EXPECT_THAT(VerifyClaims(claims, kNow + absl::Seconds(629)), IsOk());
  EXPECT_THAT(VerifyClaims(claims, kNow + absl::Seconds(630)),
              RefusedWith(Reason::kIdTokenExpired));
  EXPECT_THAT(With("nbf", absl::ToUnixSeconds(kNow) + 30), IsOk());
  EXPECT_THAT(With("nbf", absl::ToUnixSeconds(kNow) + 31), RefusedWith(Reason::kIdTokenExpired));
  auto ahead = VerifyClaims(claims, kNow - absl::Seconds(20));
  ASSERT_THAT(ahead, IsOk());
  EXPECT_EQ(ahead->issued_at(), kNow - absl::Seconds(20))
      << "a factor is never proved in the future";
}

TEST_F(IdTokenTest, RefusesALoginThatIsTooLongAgoWhereThatIsAsked) {
  const int64_t now = absl::ToUnixSeconds(kNow);
  EXPECT_THAT(With("auth_time", now - 100'000), IsOk());
  policy_.max_authentication_age = absl::Hours(1);
  EXPECT_THAT(VerifyClaims(Claims()), RefusedWith(Reason::kIdTokenExpired)) << "it does not say";
  EXPECT_THAT(With("auth_time", now - 3599), IsOk());
  EXPECT_THAT(With("auth_time", now - 3600), RefusedWith(Reason::kIdTokenExpired));
  EXPECT_THAT(With("auth_time", now + 31), RefusedWith(Reason::kIdTokenExpired));
}

TEST_F(IdTokenTest, RefusesOtherNoncesAlways) {
  EXPECT_THAT(With("nonce", Json()), RefusedWith(Reason::kIdTokenNonce));
  const std::string others[] = {
      IdTokenNonce("other.test", std::string(32, 'k'), {std::string(32, 'c')}),
      IdTokenNonce("gate.test", std::string(32, 'l'), {std::string(32, 'c')}),
      IdTokenNonce("gate.test", std::string(32, 'k'), {std::string(32, 'd')}), nonce_ + "x", "n"};
  for (const bool required : {true, false}) {
    policy_.nonce_required = required;
    for (const std::string& other : others) {
      EXPECT_THAT(With("nonce", other), RefusedWith(Reason::kIdTokenNonce)) << required;
    }
    EXPECT_THAT(With("nonce", ""), RefusedWith(Reason::kIdTokenMalformed));
  }
  EXPECT_THAT(With("nonce", Json()), IsOk()) << "if-present";
}

TEST_F(IdTokenTest, TakesTheIdentityFromTheClaimThatThePolicyNames) {
  policy_.claim = "preferred_username";
  EXPECT_THAT(VerifyClaims(Claims()), RefusedWith(Reason::kIdTokenSubject));
  EXPECT_THAT(With("preferred_username", 7), RefusedWith(Reason::kIdTokenSubject));
  EXPECT_THAT(With("preferred_username", ""), RefusedWith(Reason::kIdTokenSubject));
  auto token = With("preferred_username", "ada");
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(token->identity(), "ada");
  EXPECT_EQ(token->subject(), "ada-at-idp");
}

TEST_F(IdTokenTest, AnEmailAddressCountsOnlyWhereTheProviderVerifiedIt) {
  policy_.claim = "email";
  Json claims = Claims();
  claims["email"] = "ada@example.test";
  EXPECT_THAT(VerifyClaims(claims), RefusedWith(Reason::kIdTokenSubject));
  for (const Json& value : {Json(false), Json("true"), Json(1)}) {
    claims["email_verified"] = value;
    EXPECT_THAT(VerifyClaims(claims), RefusedWith(Reason::kIdTokenSubject)) << value;
  }
  claims["email_verified"] = true;
  EXPECT_THAT(VerifyClaims(claims), IsOk());
}

TEST_F(IdTokenTest, ATokenWithAnotherSignatureIsTheSameUse) {
  // (r, s) and (r, n - s) verify both; and ECDSA signs at random anyway.
  const std::string input = SigningInput(Header().dump(), Claims().dump());
  auto one = Verify(WithSignature(input, KeyOf("ES256").Sign("ES256", input)));
  auto two = Verify(WithSignature(input, KeyOf("ES256").Sign("ES256", input)));
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(one->one_use_id(), two->one_use_id());
  auto with_id = With("jti", "id-1"), same_id = With("jti", "id-1"), other_id = With("jti", "id-2");
  EXPECT_EQ(with_id->one_use_id(), same_id->one_use_id());
  EXPECT_NE(with_id->one_use_id(), other_id->one_use_id());
  policy_.issuer = "https://other.test";
  Json elsewhere = Claims();
  elsewhere.update({{"jti", "id-1"}, {"iss", "https://other.test"}});
  EXPECT_NE(VerifyClaims(elsewhere)->one_use_id(), with_id->one_use_id())
      << "a jti is its issuer's";
}

}  // namespace
}  // namespace forekey::testing
