// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/oidc_config.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/gate/factor/oidc_factor.h"
#include "src/verify/id_token.h"
#include "src/verify/oidc_discovery.h"

namespace forekey {
namespace {

constexpr size_t kMaxOidcName = 255;
constexpr size_t kMostProviders = 16;  // each has a thread

// A name that tokens are compared with: as it is, so nothing invisible in it.
void OidcName(ConfigTable& table, absl::string_view key, std::string* out) {
  table.String(key, out);
  bool good = !out->empty() && out->size() <= kMaxOidcName;
  for (char c : *out) good = good && absl::ascii_isgraph(static_cast<unsigned char>(c));
  if (!good) table.Error(key, "must be 1 to 255 printable ASCII characters without spaces");
}

void ReadJwks(ConfigTable& table, absl::string_view base, OidcProviderConfig* config) {
  table.Path("jwks_file", base, &config->jwks_file);
  table.String("jwks_url", &config->jwks_url);
  table.Path("ca", base, &config->ca);
  if (!config->jwks_file.empty() && !config->jwks_url.empty()) {
    table.Error("jwks_url", "is there beside jwks_file: one of the two, or none to have it found");
  }
  if (!config->jwks_url.empty() && !absl::StartsWith(config->jwks_url, "https://")) {
    table.Error("jwks_url", "must begin with https://");
  }
  if (!config->ca.empty() && !config->jwks_file.empty())
    table.Error("ca", "is for https, not for jwks_file");
  if (config->jwks_file.empty() && config->jwks_url.empty()) {
    if (absl::Status found = CheckDiscoverable(config->token.issuer); !found.ok()) {
      table.Error("issuer", absl::StrCat(found.message(),
                                         ": where its keys are can't be found, so that it "
                                         "needs jwks_url or jwks_file"));
    }
  }
  table.Duration("refresh", absl::Seconds(10), absl::Hours(24), &config->refresh);
  table.Duration("retry", absl::Seconds(1), absl::Hours(1), &config->retry);
  table.Duration("max_stale", absl::Seconds(10), absl::Hours(24 * 30), &config->max_stale);
  table.Duration("timeout", absl::Seconds(1), absl::Minutes(1), &config->timeout);
  if (config->jwks_file.empty() && config->max_stale < config->refresh) {
    table.Error("max_stale", "is shorter than refresh: the keys would always be too old");
  }
}

void ReadAlgorithms(ConfigTable& table, IdTokenPolicy* token) {
  if (!table.Has("algorithms")) return;
  std::vector<std::string> names;
  table.Strings("algorithms", &names);
  token->algorithms = {names.begin(), names.end()};
  for (const std::string& name : names) {
    if (IsIdTokenAlgorithm(name)) continue;
    table.Error("algorithms", absl::StrCat("\"", absl::CHexEscape(name),
                                           "\" is none of RS256, RS384, RS512, PS256, PS384, "
                                           "PS512, ES256, ES384, ES512, EdDSA"));
  }
  if (names.empty()) table.Error("algorithms", "is empty: leave it out for the default");
}

OidcProviderConfig ReadProvider(ConfigTable& table, absl::string_view base) {
  OidcProviderConfig config;
  IdTokenPolicy& token = config.token;
  OidcName(table, "issuer", &token.issuer);
  OidcName(table, "client_id", &token.client_id);
  OidcName(table, "claim", &token.claim);
  ReadJwks(table, base, &config);
  ReadAlgorithms(table, &token);
  std::string nonce = "required";
  table.String("nonce", &nonce);
  if (nonce != "required" && nonce != "if-present") {
    table.Error("nonce", "must be \"required\" or \"if-present\"");
  }
  token.nonce_required = nonce == "required";
  table.Duration("max_age", absl::Seconds(10), absl::Hours(24), &token.max_age);
  table.Duration("leeway", absl::ZeroDuration(), absl::Minutes(5), &token.leeway);
  if (table.Has("max_authentication_age")) {
    absl::Duration age = absl::Hours(12);
    table.Duration("max_authentication_age", absl::Seconds(10), absl::Hours(24 * 30), &age);
    token.max_authentication_age = age;
  }
  return config;
}

}  // namespace

std::string OidcProviderConfig::KeySource() const {
  if (!jwks_file.empty()) return jwks_file;
  return jwks_url.empty() ? DiscoveryUrl(token.issuer) : jwks_url;
}

void OidcSection::Read(ConfigTable factors, absl::string_view base) {
  if (!factors.Has("oidc")) return;
  ConfigTable table = factors.Table("oidc");
  for (const char* key : {"issuer", "client_id", "jwks_file", "jwks_url"}) {
    if (table.Has(key)) {
      table.Error(key,
                  "belongs in [[factors.oidc.provider]], of which there is one for each provider");
    }
  }
  for (ConfigTable& provider : table.Tables("provider")) {
    OidcProviderConfig read = ReadProvider(provider, base);
    for (const OidcProviderConfig& other : config.providers) {
      if (other.token.issuer == read.token.issuer) {
        provider.Error("issuer",
                       "is that of another provider, too: which of the two would a token be for?");
      }
    }
    config.providers.push_back(std::move(read));
  }
  if (config.providers.empty())
    table.Error("provider", "must be there at least once, as [[factors.oidc.provider]]");
  if (config.providers.size() > kMostProviders) {
    table.Error("provider", absl::StrCat("is there more than ", kMostProviders, " times"));
  }
  table.Number("tries", 1, 1000, &config.tries);
  table.Duration("per", absl::Seconds(10), absl::Hours(24), &config.per);
  table.Number("remembered", 1000, 100'000'000, &config.remembered);
}

std::unique_ptr<Factor> OidcSection::Make(const FactorEnvironment& environment) const {
  return std::make_unique<OidcFactor>(config, *environment.registry, *environment.clock,
                                      environment.report);
}

}  // namespace forekey
