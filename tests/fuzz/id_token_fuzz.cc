// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify forekey_agent
// The first byte chooses. 'T': a token as it comes from a client. 'C': claims, in a token that is
// signed as it must be. 'H': a header, likewise. 'K': a provider's key set. 'D': its discovery
// document. 'F': the file that names the agent's token command.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/agent/token_command.h"
#include "src/verify/id_token.h"
#include "src/verify/oidc_discovery.h"
#include "tests/support/id_provider.h"

namespace {

using forekey::testing::IdpKey;

struct Provider {
  IdpKey key = IdpKey::New("k", "ES256");
  std::shared_ptr<const forekey::JwkSet> keys =
      *forekey::JwkSet::Parse(forekey::testing::JwksOf({key}));
  forekey::IdTokenPolicy policy;
  absl::Time now = absl::FromUnixSeconds(1'800'000'000);

  Provider() {
    policy.issuer = "https://idp.test";
    policy.client_id = "c";
  }
  std::string Sign(const std::string& header, const std::string& claims) const {
    const std::string input = forekey::testing::SigningInput(header, claims);
    return forekey::testing::WithSignature(input, key.Sign("ES256", input));
  }
};

// What is accepted must be what the policy says, by a reading of its own.
void Check(const Provider& provider, const std::string& token) {
  const auto verified =
      forekey::VerifyIdToken(token, *provider.keys, provider.policy, "n", provider.now);
  if (!verified.ok()) return;
  const auto parsed = forekey::ParsedIdToken::Parse(token);
  const bool right = parsed.ok() && parsed->issuer == "https://idp.test" &&
                     parsed->algorithm == "ES256" &&
                     parsed->audience == std::vector<std::string>{"c"} && parsed->nonce == "n" &&
                     verified->identity() == parsed->subject &&
                     verified->issued_at() <= provider.now && verified->good_until() > provider.now;
  if (!right) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Provider& provider = *new Provider();
  if (size == 0) return 0;
  const std::string rest(forekey::View(data + 1, size - 1));
  switch (data[0]) {
    case 'T':
      Check(provider, rest);
      break;
    case 'C':
      Check(provider, provider.Sign(R"({"alg":"ES256","kid":"k"})", rest));
      break;
    case 'H':
      Check(provider,
            provider.Sign(rest, R"({"iss":"https://idp.test","aud":"c","sub":"s","nonce":"n",)"
                                R"("iat":1800000000,"exp":1800000600})"));
      break;
    case 'K':
      if (const auto keys = forekey::JwkSet::Parse(rest); keys.ok()) {
        for (const char* algorithm : {"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"}) {
          const std::string token = provider.Sign(R"({"alg":"ES256","kid":"k"})", "{}");
          // No key that a stranger made up verifies what ours signed.
          if ((*keys)->Verify(token, algorithm, "k", std::string(64, '\0')).ok()) std::abort();
        }
      }
      break;
    case 'D':
      (void)forekey::ParseDiscovery(rest, "https://idp.test");
      break;
    case 'F':
      (void)forekey::TokenCommand::Parse(rest);
      break;
    default:
      break;
  }
  return 0;
}
