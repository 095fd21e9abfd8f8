// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/hide_invites.h"

#include <string.h>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace forekey {

void HideInvites(int argc, char** argv) {
  constexpr absl::string_view kScheme = "forekey-invite:";
  for (int i = 1; i < argc; ++i) {
    const size_t size = strlen(argv[i]);
    if (!absl::StartsWithIgnoreCase(argv[i], kScheme)) continue;
    memset(argv[i] + kScheme.size(), '*', size - kScheme.size());
  }
}

}  // namespace forekey
