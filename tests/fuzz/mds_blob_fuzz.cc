// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// The first byte chooses: 'J', the rest is a JWS as it comes from the network; else the rest is the
// payload of one that is signed as it must be.
#include <cstddef>
#include <cstdint>

#include <openssl/ecdsa.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/verify/fido_metadata.h"
#include "tests/support/certificate_maker.h"

namespace {

using forekey::testing::TestCa;

struct Signer {
  TestCa root = TestCa::New("Root");
  std::shared_ptr<EVP_PKEY> key = forekey::testing::NewEcKey();
  std::string head;
  forekey::MetadataOptions options;

  Signer() {
    const std::string leaf = forekey::testing::MakeDer(root.Spec("Signer", key));
    head = absl::WebSafeBase64Escape(
        absl::StrCat(R"({"alg":"ES256","x5c":[")", absl::Base64Escape(leaf), "\"]}"));
    options.roots.Add(forekey::testing::Make(root.CaSpec(root)));
    options.time = absl::FromUnixSeconds(1'800'000'000);
  }

  std::string Blob(absl::string_view payload) const {
    const std::string input = absl::StrCat(head, ".", absl::WebSafeBase64Escape(payload));
    forekey::EvpMdCtxPtr context(EVP_MD_CTX_new());
    uint8_t der[128];
    size_t size = sizeof(der);
    EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get());
    EVP_DigestSign(context.get(), der, &size, forekey::U8(input), input.size());
    const uint8_t* at = der;
    forekey::EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), forekey::U8(raw), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), forekey::U8(raw) + 32, 32);
    return absl::StrCat(input, ".", absl::WebSafeBase64Escape(raw));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Signer& signer = *new Signer();
  if (size == 0) return 0;
  const absl::string_view rest = forekey::View(data + 1, size - 1);
  const auto metadata = forekey::FidoMetadata::Parse(
      data[0] == 'J' ? std::string(rest) : signer.Blob(rest), signer.options);
  if (metadata.ok()) {
    for (const auto& entry : metadata->entries()) {
      (void)entry.CheckStatus({}, signer.options.time);
      (void)entry.CertificationLevel(signer.options.time);
    }
  }
  return 0;
}
