// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_tpm
// What a TPM's NV memory holds, whatever a vendor or an interposer put there.
#include <cstdlib>

#include "hw/tpm/certificate_bytes.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view nv = forekey::View(data, size);
  if (forekey::FirstCertificate(nv).size() > size) abort();
  size_t total = 0;
  for (const std::string& certificate : forekey::SplitCertificates(nv, 8))
    total += certificate.size();
  if (total > size) abort();
  if (auto area = forekey::UnmarshalTemplate(nv); area.ok()) {
    forekey::PublicKeyOf(*area).status().IgnoreError();
  }
  if (auto area = forekey::UnmarshalPublic(nv); area.ok()) {
    forekey::PublicKeyOf(area->publicArea).status().IgnoreError();
  }
  return 0;
}
