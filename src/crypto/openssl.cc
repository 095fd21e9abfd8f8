// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/openssl.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace forekey {

absl::Status OpenSslError(absl::string_view call) {
  std::string message(call);
  while (unsigned long error = ERR_get_error()) {
    char text[256];
    ERR_error_string_n(error, text, sizeof(text));
    absl::StrAppend(&message, ": ", text);
  }
  return absl::InternalError(message);
}

void OrDie(bool ok, absl::string_view call) {
  if (ok) return;
  std::string message = OpenSslError(call).ToString();
  std::fprintf(stderr, "forekey: OpenSSL is unusable, ending the process: %s\n", message.c_str());
  std::abort();
}

}  // namespace forekey
