// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// A slot's attestation as it comes from a card: the value of a single extension, or a
// whole certificate up to the verifier, which trusts the certificate itself so that all is reached.
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/verify/piv_attestation.h"
#include "src/verify/piv_quirks.h"
#include "src/wire/piv_attestation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace forekey;  // NOLINT
  const absl::string_view input = View(data, size);
  (void)ParsePivFirmware(input);
  (void)ParsePivSerial(input);
  (void)ParsePivFirmwareText(input);
  const auto certificate = Certificate::ParseDer(input);
  if (!certificate.ok()) return 0;
  (void)PivExtensions::Parse(*certificate);
  (void)PivSlotOf(*certificate);
  const Certificate* leaf = &*certificate;
  IsF9WithoutConstraints(*certificate, absl::MakeConstSpan(&leaf, 1));
  TrustAnchors trust;
  trust.Add(*certificate);
  PivPolicy policy;
  policy.trust = &trust;
  policy.time = absl::FromUnixSeconds(1'767'225'600);
  (void)VerifyPivAttestation(*certificate, {*certificate}, policy);
  (void)VerifyPivCertificate(*certificate, {*certificate}, policy);
  return 0;
}
