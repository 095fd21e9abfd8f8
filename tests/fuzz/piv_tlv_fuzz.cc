// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_piv
// TLV that parses is written back with the same meaning; data objects never crash.
#include <cstdlib>
#include <string>

#include "hw/piv/piv_data.h"
#include "hw/piv/tlv.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  auto elements = forekey::ParseTlvs(bytes);
  if (elements.ok()) {
    std::string again;
    for (const forekey::Tlv& element : *elements)
      again += forekey::EncodeTlv(element.tag, element.value);
    auto reparsed = forekey::ParseTlvs(again);
    if (!reparsed.ok() || reparsed->size() != elements->size()) abort();
    for (size_t i = 0; i < elements->size(); ++i) {
      if ((*reparsed)[i].tag != (*elements)[i].tag || (*reparsed)[i].value != (*elements)[i].value)
        abort();
    }
  }
  forekey::ParseMetadata(bytes).status().IgnoreError();
  for (uint8_t algorithm : {0x07, 0x11, 0x14, 0xE0}) {
    forekey::ParsePivPublicKey(bytes, algorithm).status().IgnoreError();
  }
  forekey::ParsePinReference(bytes).status().IgnoreError();
  forekey::ParseCertificateObject(bytes).status().IgnoreError();
  forekey::ParseManagementKeyIsStored(bytes).status().IgnoreError();
  forekey::ParseStoredManagementKey(bytes).status().IgnoreError();
  forekey::PoliciesOfAttestation(bytes);
  return 0;
}
