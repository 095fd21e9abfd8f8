// SPDX-License-Identifier: Apache-2.0
// forekey-test-id-token KEY.pem SUBJECT [CLAIMS]: writes an ID token that the key signed (ES256,
// key id "test-key") for what FOREKEY_OIDC_* say; CLAIMS is a JSON object that replaces some of its
// claims. Each run adds a line with the nonce to KEY.pem.runs.
#include <openssl/pem.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "tests/support/id_provider.h"

namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  forekey::BioPtr file(BIO_new_file(argv[1], "r"));
  EVP_PKEY* key =
      file == nullptr ? nullptr : PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr);
  if (key == nullptr) {
    std::cerr << "the key can't be read: " << argv[1] << std::endl;
    return 1;
  }
  const forekey::testing::IdpKey idp{"test-key", "ES256",
                                     std::shared_ptr<EVP_PKEY>(forekey::EvpPkeyPtr(key))};
  nlohmann::json claims = forekey::testing::HonestClaims(
      Variable("FOREKEY_OIDC_ISSUER"), Variable("FOREKEY_OIDC_CLIENT_ID"), argv[2],
      Variable("FOREKEY_OIDC_NONCE"), absl::Now());
  if (argc > 3) claims.update(nlohmann::json::parse(argv[3]));
  std::ofstream(std::string(argv[1]) + ".runs", std::ios::app)
      << Variable("FOREKEY_OIDC_NONCE") << "\n";
  std::cout << forekey::testing::MakeJwt(idp, claims) << std::endl;
  return 0;
}
