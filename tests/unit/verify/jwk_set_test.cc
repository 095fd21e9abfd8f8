// SPDX-License-Identifier: Apache-2.0
// Which keys of a provider are kept, and what is no key set at all.
#include "src/verify/jwk_set.h"

#include "tests/support/id_provider.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using Json = nlohmann::json;

const IdpKey& JwkOfKind(const std::string& algorithm) {
  static const IdpKey& ec = *new IdpKey(IdpKey::New("ec", "ES256"));
  static const IdpKey& rsa = *new IdpKey(IdpKey::New("rsa", "RS256"));
  return algorithm == "ES256" ? ec : rsa;
}

TEST(JwkSetTest, KeepsWhatCanVerifyAndLeavesOutTheRest) {
  const Json good = JwkOfKind("ES256").Jwk();
  const auto kept = [&](const Json& key) {
    const auto set = JwkSet::Parse(Json{{"keys", {key}}}.dump());
    return set.ok() ? (*set)->size() : 0;
  };
  EXPECT_EQ(kept(good), 1u);
  EXPECT_EQ(kept(JwkOfKind("RS256").Jwk()), 1u);
  const auto with = [](Json key, const std::string& name, const Json& value) {
    if (value.is_null()) {
      key.erase(name);
    } else {
      key[name] = value;
    }
    return key;
  };
  EXPECT_EQ(kept(with(good, "use", Json())), 1u);
  EXPECT_EQ(kept(with(good, "alg", Json())), 1u);
  EXPECT_EQ(kept(with(good, "kid", Json())), 1u);
  EXPECT_EQ(kept(with(good, "key_ops", {"sign", "verify"})), 1u);
  for (const auto& [name, value] : std::vector<std::pair<std::string, Json>>{
           {"use", "enc"},   {"use", 7},      {"key_ops", {"sign"}}, {"key_ops", "verify"},
           {"alg", "HS256"}, {"alg", "none"}, {"alg", "ECDH-ES"},    {"kid", 7},
           {"kid", ""},      {"d", "AA"},     {"k", "AA"},           {"kty", "oct"},
           {"kty", "OKP"},   {"kty", Json()}, {"crv", "secp256k1"},  {"crv", "P-384"},
           {"crv", Json()},  {"x", "AAAA"},   {"x", Json()},         {"y", good["x"]},
           {"y", "!!"}}) {
    EXPECT_EQ(kept(with(good, name, value)), 0u) << name << "=" << value;
  }
  const Json rsa = JwkOfKind("RS256").Jwk();
  EXPECT_EQ(kept(with(rsa, "e", "Aw")), 0u) << "exponent 3";
  EXPECT_EQ(kept(with(rsa, "e", "AAEAAQ")), 0u) << "a leading zero";
  EXPECT_EQ(kept(with(rsa, "n", rsa["n"].get<std::string>().substr(0, 172))), 0u) << "1024 bits";
  EXPECT_EQ(kept(with(rsa, "n", absl::WebSafeBase64Escape(std::string(513, '\xff')))), 0u)
      << "4104 bits";
  EXPECT_EQ(kept({{"kty", "oct"}, {"k", "c2VjcmV0"}, {"kid", "h"}}), 0u);
  EXPECT_EQ(kept(7), 0u);
  // Beside a good one they do no harm.
  const auto mixed =
      JwkSet::Parse(Json{{"keys", {7, with(good, "use", "enc"), good, {{"kty", "oct"}}}}}.dump());
  ASSERT_THAT(mixed, IsOk());
  EXPECT_EQ((*mixed)->size(), 1u);
}

// Libraries that keep numbers, not bytes, write every 256th coordinate short; others put a zero
// before a number whose highest bit is set. The key is the same, and an outage at each such
// rotation would not be.
TEST(JwkSetTest, AZeroLessOrMoreBeforeANumberIsTheSameKey) {
  const auto bytes_of = [](const Json& jwk, const char* name) {
    std::string bytes;
    EXPECT_TRUE(absl::WebSafeBase64Unescape(jwk.at(name).get<std::string>(), &bytes));
    return bytes;
  };
  const auto with = [](Json jwk, const char* name, const std::string& bytes) {
    jwk[name] = absl::WebSafeBase64Escape(bytes);
    return jwk;
  };
  const auto verifies = [](const IdpKey& key, const Json& jwk) {
    const auto set = JwkSet::Parse(Json{{"keys", {jwk}}}.dump());
    const std::string input = absl::StrCat(
        absl::WebSafeBase64Escape(Json{{"alg", key.alg}, {"kid", key.kid}}.dump()), ".e30");
    const std::string signature = key.Sign(key.alg, input);
    const std::string token = absl::StrCat(input, ".", absl::WebSafeBase64Escape(signature));
    return set.ok() && (*set)->Verify(token, key.alg, key.kid, signature).ok();
  };
  int found = 0;
  for (int i = 0; i < 100'000 && found < 2; ++i) {
    const IdpKey key = IdpKey::New("ec", "ES256");
    const Json jwk = key.Jwk();
    for (const char* name : {"x", "y"}) {
      const std::string bytes = bytes_of(jwk, name);
      if (bytes[0] != '\0') continue;
      EXPECT_TRUE(verifies(key, with(jwk, name, bytes.substr(1)))) << name;
      EXPECT_TRUE(verifies(key, jwk)) << name;
      ++found;
    }
  }
  EXPECT_GE(found, 2);
  for (const char* name : {"x", "n"}) {
    const IdpKey& key = JwkOfKind(*name == 'x' ? "ES256" : "RS256");
    const std::string bytes = bytes_of(key.Jwk(), name), zero(1, '\0');
    EXPECT_TRUE(verifies(key, with(key.Jwk(), name, zero + bytes))) << name;
    EXPECT_FALSE(verifies(key, with(key.Jwk(), name, bytes.substr(1))))
        << name << ": another number";
    EXPECT_FALSE(verifies(key, with(key.Jwk(), name, bytes + zero))) << name << ": another number";
  }
  const std::string x = bytes_of(JwkOfKind("ES256").Jwk(), "x");
  EXPECT_FALSE(
      verifies(JwkOfKind("ES256"), with(JwkOfKind("ES256").Jwk(), "x", std::string(2, '\0') + x)));
}

// RFC 8037, appendix A.
TEST(JwkSetTest, VerifiesTheRfcsEd25519Signature) {
  const Json rfc_key = {
      {"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}};
  const std::string input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  const std::string signature_text =
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
  std::string signature;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(signature_text, &signature));
  const auto set = JwkSet::Parse(Json{{"keys", {rfc_key}}}.dump());
  ASSERT_THAT(set, IsOk());
  EXPECT_THAT(
      (*set)->Verify(absl::StrCat(input, ".", signature_text), "EdDSA", std::nullopt, signature),
      IsOk());
  EXPECT_THAT(
      (*set)->Verify(absl::StrCat(input, "A.", signature_text), "EdDSA", std::nullopt, signature),
      RefusedWith(Reason::kIdTokenSignature));
  const auto kept = [](Json key) {
    return JwkSet::Parse(Json{{"keys", {std::move(key)}}}.dump()).ok();
  };
  for (const auto& [name, value] : std::vector<std::pair<std::string, Json>>{
           {"crv", "Ed448"},
           {"crv", "X25519"},
           {"crv", "P-256"},
           {"crv", Json()},
           {"kty", "EC"},
           {"alg", "ES256K"},
           {"d", "AA"},
           {"use", "enc"},
           {"x", "AA"},
           {"x", Json()},
           {"x", std::string(44, 'A')},
           {"x", absl::WebSafeBase64Escape(std::string(32, '\0'))},
           {"x", absl::WebSafeBase64Escape("\x01" + std::string(31, '\0'))}}) {
    Json key = rfc_key;
    key[name] = value;
    EXPECT_FALSE(kept(key)) << name << "=" << value;
  }
}

TEST(JwkSetTest, RefusesWhatIsNoJwkSet) {
  const std::string good = JwksOf({JwkOfKind("ES256")});
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"),
        std::string("<html>"), std::string(R"({"keys":{}})"), std::string(R"({"keys":[]})"),
        good + "x", good + std::string(1, '\0'), good.substr(0, good.size() - 1),
        R"({"keys":[],)" + good.substr(1), std::string("\xff"),
        good + std::string(kMaxJwkSetSize, ' '), std::string(100'000, '[')}) {
    EXPECT_THAT(JwkSet::Parse(text), HasCode(absl::StatusCode::kInvalidArgument))
        << text.substr(0, 30);
  }
  Json many = Json::array();
  for (size_t i = 0; i <= kMaxJwks; ++i) many.push_back(JwkOfKind("ES256").Jwk());
  EXPECT_THAT(JwkSet::Parse(Json{{"keys", many}}.dump()),
              HasCode(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace forekey::testing
