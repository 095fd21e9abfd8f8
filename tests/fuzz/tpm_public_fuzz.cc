// SPDX-License-Identifier: Apache-2.0
// deps: forekey_verify
#include "src/base/bytes.h"
#include "src/base/secret.h"
#include "src/verify/tpm_attestation.h"
#include "src/verify/tpm_make_credential.h"
#include "src/wire/tpm_public.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace forekey;  // NOLINT
  const auto area = TpmPublic::Parse(View(data, size));
  if (!area.ok()) return 0;
  (void)area->Key();
  area->KeyText();
  (void)VerifyAkPublic(View(data, size));
  (void)MakeCredential(*area, area->Name(), Secret(std::string(kActivationSecretSize, 's')));
  return 0;
}
