// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// The firmware's version in a FIDO2 attestation certificate: what is read of an INTEGER is written
// as the same bytes again, so that one version has one form.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/base/bytes.h"
#include "src/verify/webauthn_certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = forekey::View(data, size);
  if (const auto version = forekey::FidoFirmwareFromInteger(input)) {
    std::string content;
    for (int shift = 24; shift >= 0; shift -= 8) {
      const auto octet = static_cast<char>(*version >> shift);
      if (octet != 0 || !content.empty() || shift == 0) content += octet;
    }
    if ((content[0] & 0x80) != 0) content.insert(content.begin(), '\0');
    std::string der = "\x02";
    der += static_cast<char>(content.size());
    if (der + content != input) std::abort();
  }
  if (const auto version = forekey::FidoFirmwareFromOctets(input)) {
    if (*version > 0xffffff || size != 5) std::abort();
  }
  return 0;
}
