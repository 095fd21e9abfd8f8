// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
// Whole registrations, as a relying party that takes every type: nothing that is made up may get an
// attestation type with a certificate, since nobody is trusted here.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/verify/webauthn_registration.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& party =
      *new forekey::RelyingParty(forekey::RelyingParty::Of("example.org", "https://example.org"));
  forekey::RegistrationOptions options;
  options.attestation_object = forekey::View(data, size);
  options.client_data_json =
      R"({"type":"webauthn.create","challenge":"AAAA","origin":"https://example.org"})";
  options.challenge = absl::string_view("\0\0\0", 3);
  options.relying_party = &party;
  options.policy.allow_none = options.policy.allow_self = true;
  options.policy.allow_backup_eligible = true;
  options.policy.require_fixed_tpm_key = false;
  options.time = absl::FromUnixSeconds(1'800'000'000);
  const auto verified = forekey::VerifyRegistration(options);
  if (verified.ok() && verified->proved()["attestation_type"] != "none" &&
      verified->proved()["attestation_type"] != "self") {
    std::abort();
  }
  return 0;
}
