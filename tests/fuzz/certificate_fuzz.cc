// SPDX-License-Identifier: Apache-2.0
// deps: forekey_crypto
// Parses hostile certificates and asks everything of them, a path included.
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/crypto/certificate_quirks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace forekey;  // NOLINT
  const absl::string_view bytes = View(data, size);
  RepairSerial(bytes);
  for (const auto& certificate : Certificate::ParseEach(bytes)) {
    if (!certificate.ok()) continue;
    certificate->Spki();
    certificate->SubjectText();
    certificate->IssuerText();
    certificate->SerialHex();
    certificate->HasExtendedKeyUsage("2.23.133.8.1");
    certificate->Extension("2.5.29.17");
    certificate->KeyUsage();
    certificate->IsCa();
    certificate->IsSelfIssued();
    TrustAnchors anchors;
    anchors.Add(*certificate);
    PathOptions options;
    options.time = absl::FromUnixSeconds(1'800'000'000);
    options.purpose = "2.23.133.8.1";
    (void)VerifyPath(*certificate, {*certificate}, anchors, options);
    // Its policies as a CA's and as a leaf's, whether it could be one or not.
    const Certificate* const path[] = {&*certificate, &*certificate};
    (void)FindPathPolicies(path);
  }
  return 0;
}
