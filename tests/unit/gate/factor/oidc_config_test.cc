// SPDX-License-Identifier: Apache-2.0
// [factors.oidc]: strict where it is silent, and every mistake has its line.
#include "src/gate/factor/oidc_config.h"
#include "absl/strings/str_cat.h"
#include "src/gate/config/config.h"
#include "src/gate/factor/password_config.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<GateConfig> ParseOidc(const std::string& lines) {
  return GateConfig::Parse(
      absl::StrCat(
          "audience = \"gate.test\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[state]\n"
          "directory = \"s\"\n[[factors.oidc.provider]]\n",
          lines),
      "gate.toml", "/etc/forekey");
}

std::string OidcErrors(const std::string& lines) {
  const auto config = ParseOidc(lines);
  EXPECT_FALSE(config.ok());
  return std::string(config.status().message());
}

constexpr char kLeast[] =
    "issuer = \"https://idp.test\"\nclient_id = \"gate\"\njwks_url = \"https://idp.test/jwks\"\n";

TEST(OidcConfigTest, DefaultsAreStrict) {
  const auto config = ParseOidc(kLeast);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->factors.Get<OidcSection>().config.providers.size(), 1u);
  const OidcProviderConfig& oidc = config->factors.Get<OidcSection>().config.providers[0];
  EXPECT_TRUE(oidc.token.nonce_required);
  EXPECT_EQ(oidc.token.claim, "sub");
  EXPECT_EQ(oidc.token.max_age, absl::Minutes(5));
  EXPECT_EQ(oidc.token.leeway, absl::Seconds(30));
  EXPECT_EQ(oidc.token.max_authentication_age, std::nullopt);
  EXPECT_THAT(oidc.token.algorithms, ElementsAre("ES256", "ES384", "EdDSA", "PS256", "RS256"));
  EXPECT_EQ(oidc.max_stale, absl::Hours(24));
  const auto without = GateConfig::Parse(
      "audience = \"gate.test\"\n[tls]\ncertificate = \"c\"\nprivate_key = "
      "\"k\"\n[state]\ndirectory = \"s\"\n",
      "gate.toml");
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE(without->factors.Get<OidcSection>().config.providers.empty());
}

TEST(OidcConfigTest, ReadsEveryKey) {
  const auto config = ParseOidc(
      "issuer = \"https://idp.test\"\nclient_id = \"gate\"\njwks_file = \"keys/jwks.json\"\n"
      "algorithms = [\"ES256\"]\nnonce = \"if-present\"\nclaim = \"email\"\nmax_age = "
      "\"2m\"\nleeway = \"5s\"\n"
      "max_authentication_age = \"8h\"\nrefresh = \"10m\"\nretry = \"10s\"\nmax_stale = "
      "\"6h\"\ntimeout = \"3s\"\n"
      "[factors.oidc]\ntries = 20\nper = \"1m\"\nremembered = 5000\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const OidcProviderConfig& oidc = config->factors.Get<OidcSection>().config.providers.at(0);
  EXPECT_EQ(oidc.KeySource(), oidc.jwks_file);
  EXPECT_EQ(oidc.jwks_file, "/etc/forekey/keys/jwks.json");
  EXPECT_FALSE(oidc.token.nonce_required);
  EXPECT_EQ(oidc.token.claim, "email");
  EXPECT_EQ(oidc.token.max_age, absl::Minutes(2));
  EXPECT_EQ(oidc.token.leeway, absl::Seconds(5));
  EXPECT_EQ(oidc.token.max_authentication_age, absl::Hours(8));
  EXPECT_THAT(oidc.token.algorithms, ElementsAre("ES256"));
  EXPECT_EQ(oidc.refresh, absl::Minutes(10));
  EXPECT_EQ(oidc.retry, absl::Seconds(10));
  EXPECT_EQ(oidc.max_stale, absl::Hours(6));
  EXPECT_EQ(oidc.timeout, absl::Seconds(3));
  EXPECT_EQ(config->factors.Get<OidcSection>().config.tries, 20u);
  EXPECT_EQ(config->factors.Get<OidcSection>().config.per, absl::Minutes(1));
  EXPECT_EQ(config->factors.Get<OidcSection>().config.remembered, 5000u);
}

TEST(OidcConfigTest, RefusesWhatIsMissingOrWouldWeaken) {
  const std::string least(kLeast);
  EXPECT_THAT(OidcErrors(""), HasSubstr("factors.oidc.provider.issuer: must be"));
  EXPECT_THAT(OidcErrors(""), HasSubstr("factors.oidc.provider.client_id: must be"));
  EXPECT_THAT(
      OidcErrors("issuer = \"idp\"\nclient_id = \"c\"\n"),
      HasSubstr(
          "gate.toml:8: factors.oidc.provider.issuer: must begin with https://: where its keys"));
  EXPECT_THAT(OidcErrors("issuer = \"https://idp.test?x\"\nclient_id = \"c\"\n"),
              HasSubstr("has a query or a fragment"));
  EXPECT_THAT(OidcErrors(least + "jwks_file = \"x\"\n"), HasSubstr("one of the two"));
  EXPECT_THAT(
      OidcErrors("issuer = \"i\"\nclient_id = \"c\"\njwks_url = \"http://idp.test/jwks\"\n"),
      HasSubstr("must begin with https://"));
  EXPECT_THAT(OidcErrors("issuer = \"i\"\nclient_id = \"c\"\njwks_file = \"x\"\nca = \"ca.pem\"\n"),
              HasSubstr("ca: is for https"));
  for (const char* bad : {"none", "HS256", "RS1", "rs256", "Ed448", ""}) {
    EXPECT_THAT(OidcErrors(absl::StrCat(least, "algorithms = [\"", bad, "\"]\n")),
                HasSubstr("is none of RS256"));
  }
  EXPECT_THAT(OidcErrors(least + "algorithms = []\n"), HasSubstr("is empty"));
  EXPECT_THAT(OidcErrors(least + "nonce = \"off\"\n"), HasSubstr("\"required\" or \"if-present\""));
  EXPECT_THAT(OidcErrors(least + "leeway = \"1h\"\n"), HasSubstr("leeway: must be from"));
  EXPECT_THAT(OidcErrors(least + "max_age = \"48h\"\n"), HasSubstr("max_age: must be from"));
  EXPECT_THAT(OidcErrors(least + "max_stale = \"1m\"\n"), HasSubstr("shorter than refresh"));
  EXPECT_THAT(OidcErrors(least + "audience = \"x\"\n"),
              HasSubstr("unknown key factors.oidc.provider.audience"));
}

TEST(OidcConfigTest, SeveralProvidersEachOfAnotherIssuer) {
  const std::string least(kLeast),
      found = "[[factors.oidc.provider]]\nissuer = \"https://b.test/x/\"\nclient_id = \"gate\"\n";
  const auto config = ParseOidc(least + found);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->factors.Get<OidcSection>().config.providers.size(), 2u);
  EXPECT_EQ(config->factors.Get<OidcSection>().config.providers[0].KeySource(),
            "https://idp.test/jwks");
  EXPECT_EQ(config->factors.Get<OidcSection>().config.providers[1].KeySource(),
            "https://b.test/x/.well-known/openid-configuration");
  EXPECT_THAT(OidcErrors(least + found + found),
              HasSubstr("gate.toml:15: factors.oidc.provider.issuer: is that of another provider"));
  std::string many;
  for (int i = 0; i < 16; ++i) {
    absl::StrAppend(&many, "[[factors.oidc.provider]]\nissuer = \"https://", i,
                    ".test\"\nclient_id = \"gate\"\n");
  }
  EXPECT_THAT(OidcErrors(least + many), HasSubstr("more than 16 times"));
}

TEST(OidcConfigTest, OneProviderWithoutItsTableIsToldWhereItBelongs) {
  const auto config = GateConfig::Parse(
      absl::StrCat(
          "audience = \"gate.test\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[state]\n"
          "directory = \"s\"\n[factors.oidc]\n",
          kLeast),
      "gate.toml");
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("gate.toml:8: factors.oidc.issuer: belongs in [[factors.oidc.provider]]"));
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr("factors.oidc.provider: must be there at least once"));
}

}  // namespace
}  // namespace forekey::testing
