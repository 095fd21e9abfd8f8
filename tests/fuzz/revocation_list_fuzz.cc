// deps: forekey_crypto
// A revocation list from a folder, in DER or PEM.
#include "src/base/bytes.h"
#include "src/crypto/revocation_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto list = forekey::RevocationList::Parse(forekey::View(data, size));
  if (list.ok()) (void)list->IssuerText();
  return 0;
}
