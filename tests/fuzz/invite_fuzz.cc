// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
// What Invite::Parse accepts serializes to the same text. The input is taken twice: as the text,
// and as the bytes under a right checksum, which no fuzzer finds by itself.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/wire/invite.h"

static void Check(absl::string_view text) {
  auto invite = forekey::Invite::Parse(text);
  if (!invite.ok()) return;
  if (invite->Serialize() != absl::StripAsciiWhitespace(text) || !invite->SigningKey().ok()) {
    std::abort();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  Check(bytes);
  Check(absl::StrCat("forekey-invite:", absl::WebSafeBase64Escape(absl::StrCat(
                                            bytes, forekey::Sha256(bytes).substr(0, 4)))));
  return 0;
}
