// SPDX-License-Identifier: Apache-2.0
// Where a provider's keys are, as its own document has it.
#include "src/verify/oidc_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kTenant[] = "https://idp.test/tenant";

Json DiscoveryDocument() {
  return {{"issuer", kTenant},
          {"jwks_uri", "https://keys.test/jwks"},
          {"scopes_supported", {"openid"}}};
}

std::string WhyNoDiscovery(const std::string& text) {
  const auto keys = ParseDiscovery(text, kTenant);
  EXPECT_FALSE(keys.ok());
  EXPECT_EQ(keys.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(keys.status().message());
}

TEST(OidcDiscoveryTest, TheAddressIsMadeOfTheIssuer) {
  EXPECT_EQ(DiscoveryUrl("https://idp.test"), "https://idp.test/.well-known/openid-configuration");
  EXPECT_EQ(DiscoveryUrl("https://idp.test/"), "https://idp.test/.well-known/openid-configuration");
  EXPECT_EQ(DiscoveryUrl(kTenant), "https://idp.test/tenant/.well-known/openid-configuration");
  EXPECT_THAT(CheckDiscoverable(kTenant), IsOk());
  for (const char* bad : {"http://idp.test", "idp.test", "", "https://", "https://idp.test?a",
                          "https://idp.test#a", "https://idp .test"}) {
    EXPECT_FALSE(CheckDiscoverable(bad).ok()) << bad;
  }
}

TEST(OidcDiscoveryTest, GivesTheKeysAddressOfTheDocumentOfThatIssuerAlone) {
  EXPECT_EQ(ParseDiscovery(DiscoveryDocument().dump(), kTenant).value(), "https://keys.test/jwks");
  for (const char* other :
       {"https://idp.test/tenant/", "https://idp.test", "https://IDP.test/tenant",
        "http://idp.test/tenant", "https://evil.test", ""}) {
    Json document = DiscoveryDocument();
    document["issuer"] = other;
    EXPECT_THAT(WhyNoDiscovery(document.dump()), HasSubstr("another issuer")) << other;
  }
  Json document = DiscoveryDocument();
  document["issuer"] = {kTenant};
  EXPECT_THAT(WhyNoDiscovery(document.dump()), HasSubstr("another issuer"));
  document.erase("issuer");
  EXPECT_THAT(WhyNoDiscovery(document.dump()), HasSubstr("another issuer"));
}

TEST(OidcDiscoveryTest, RefusesKeysThatAnybodyOnTheWayCouldChange) {
  for (const Json& bad :
       {Json("http://keys.test/jwks"), Json("file:///etc/jwks"), Json("https://"), Json(""),
        Json("HTTPS://keys.test"), Json("https://keys.test/a b"), Json("https://keys.test/\n"),
        Json(7), Json("https://" + std::string(3000, 'x')), Json()}) {
    Json document = DiscoveryDocument();
    document["jwks_uri"] = bad;
    EXPECT_THAT(WhyNoDiscovery(document.dump()), HasSubstr("no jwks_uri that is https")) << bad;
  }
  Json document = DiscoveryDocument();
  document.erase("jwks_uri");
  EXPECT_THAT(WhyNoDiscovery(document.dump()), HasSubstr("no jwks_uri"));
}

TEST(OidcDiscoveryTest, RefusesWhatIsNoOneObject) {
  const std::string good = DiscoveryDocument().dump();
  std::string twice = good;
  twice.insert(1, R"("issuer":"https://evil.test",)");
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("<html>"), good + "x",
        good + std::string(1, '\0'), good.substr(0, good.size() - 1), twice}) {
    EXPECT_FALSE(ParseDiscovery(bad, kTenant).ok()) << bad;
  }
}

}  // namespace
}  // namespace forekey::testing
