// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// What stands in an NV index, up to the attributes that administrators are shown.
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/verify/tpm_endorsement.h"
#include "src/verify/tpm_quirks.h"
#include "src/wire/tpm_nv_certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace forekey;  // NOLINT
  const auto der = TrimNvCertificate(View(data, size));
  if (!der.ok()) return 0;
  const auto certificate = Certificate::ParseDer(*der);
  if (!certificate.ok()) return 0;
  IsTpm12Certificate(*certificate);
  const auto attributes = ReadTpmAttributes(*certificate);
  if (attributes.ok()) TpmVendorName(attributes->manufacturer);
  TrustAnchors trust;
  EndorsementPolicy policy;
  policy.trust = &trust;
  EndorsementEvidence evidence;
  evidence.ek_certificate = View(data, size);
  (void)VerifyEndorsement(evidence, policy);
  return 0;
}
