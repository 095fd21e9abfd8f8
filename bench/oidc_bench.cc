// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// One ID token, from its text to VerifiedIdToken; a 2048-bit RSA key and a P-256 key. Beside it,
// reading it alone: what a token costs whose key is not known.
#include <benchmark/benchmark.h>

#include "src/verify/id_token.h"
#include "tests/support/id_provider.h"

namespace forekey::testing {
namespace {

void VerifyToken(benchmark::State& state, const std::string& algorithm) {
  const IdpKey key = IdpKey::New("k", algorithm);
  const auto keys = *JwkSet::Parse(JwksOf({key, IdpKey::New("other", algorithm)}));
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  IdTokenPolicy policy;
  policy.issuer = "https://idp.test";
  policy.client_id = "gate";
  const std::string token = MakeJwt(key, HonestClaims("https://idp.test", "gate", "ada", "n", now));
  for (auto _ : state) {
    const auto verified = VerifyIdToken(token, *keys, policy, "n", now);
    if (!verified.ok()) state.SkipWithError(std::string(verified.status().message()).c_str());
    benchmark::DoNotOptimize(verified);
  }
}
BENCHMARK_CAPTURE(VerifyToken, ES256, "ES256");
BENCHMARK_CAPTURE(VerifyToken, RS256, "RS256");

void ParseToken(benchmark::State& state) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const std::string token =
      MakeJwt(IdpKey::New("k", "ES256"), HonestClaims("https://idp.test", "gate", "ada", "n", now));
  for (auto _ : state) benchmark::DoNotOptimize(ParsedIdToken::Parse(token));
}
BENCHMARK(ParseToken);

}  // namespace
}  // namespace forekey::testing

BENCHMARK_MAIN();
