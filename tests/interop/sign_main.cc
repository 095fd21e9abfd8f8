// SPDX-License-Identifier: Apache-2.0
// forekey_interop_sign REFERENCE STATEMENT OUT: signs with an enrolled key, for tests that need
// another process (tpm2-abrmd wants to run in a D-Bus session of its own).
#include <cstdio>
#include <string>

#include "hw/tpm/tpm_driver.h"
#include "src/base/file.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  forekey::TpmDriver driver;
  auto reference = forekey::ReadFile(argv[1]);
  if (!reference.ok()) return 2;
  auto key = driver.Load(*reference, forekey::Secret());
  absl::Status status = key.status();
  if (key.ok()) {
    auto signature = (*key)->Sign(argv[2], {});
    status = signature.ok() ? forekey::WriteFileAtomically(argv[3], signature->signature)
                            : signature.status();
  }
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
