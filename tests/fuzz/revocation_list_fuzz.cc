// SPDX-License-Identifier: Apache-2.0
// deps: forekey_crypto
// A revocation list from a folder, in DER or PEM, and everything that is asked of it.
#include "src/base/bytes.h"
#include "src/crypto/revocation_list.h"
#include "tests/support/certificate_maker.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using forekey::testing::TestCa;
  static const TestCa& ca = *new TestCa(TestCa::New("Issuing CA"));
  static const forekey::Certificate& issuer =
      *new forekey::Certificate(forekey::testing::Make(ca.CaSpec(ca)));
  const auto list = forekey::RevocationList::Parse(forekey::View(data, size));
  if (!list.ok()) return 0;
  (void)list->IssuerText();
  (void)list->Check(issuer, issuer, absl::FromUnixSeconds(1'800'000'000));
  return 0;
}
