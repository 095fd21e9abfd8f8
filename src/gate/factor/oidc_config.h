// SPDX-License-Identifier: Apache-2.0
// [factors.oidc] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_FACTOR_OIDC_CONFIG_H_
#define FOREKEY_SRC_GATE_FACTOR_OIDC_CONFIG_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/gate/factor/factor_settings.h"
#include "src/verify/id_token_policy.h"

namespace forekey {

struct OidcProviderConfig {
  IdTokenPolicy token;
  // One of the two; neither: as the provider's own document says (OpenID Connect Discovery).
  std::string jwks_file;
  std::string jwks_url;  // https://
  std::string ca;        // PEM, for https; empty: the system's
  absl::Duration refresh = absl::Minutes(15);
  absl::Duration retry = absl::Seconds(30);
  absl::Duration max_stale = absl::Hours(24);
  absl::Duration timeout = absl::Seconds(10);
  absl::Duration longest_wait = absl::Seconds(3);  // of an opening for keys; not configurable

  // Where the keys come from: a path, or the first address that is asked.
  std::string KeySource() const;
};

struct OidcConfig {
  std::vector<OidcProviderConfig>
      providers;      // each of another issuer; none: no ID tokens are taken
  size_t tries = 10;  // of one credential ...
  absl::Duration per = absl::Minutes(5);
  size_t remembered = 100'000;  // used tokens
};

struct OidcSection final : FactorSection {
  OidcConfig config;

  std::unique_ptr<FactorSection> Clone() const override {
    return std::make_unique<OidcSection>(*this);
  }
  void Read(ConfigTable factors, absl::string_view base) override;
  bool enabled() const override { return !config.providers.empty(); }
  std::unique_ptr<Factor> Make(const FactorEnvironment& environment) const override;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_OIDC_CONFIG_H_
