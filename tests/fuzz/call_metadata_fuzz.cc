// SPDX-License-Identifier: Apache-2.0
// deps: forekey_rpc_proxy
// Whatever a header is, what passes on is metadata that gRPC sends (it aborts the process over
// others), and none of the gate's own names. The first byte is the length of the name.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "src/rpc/proxy/call_pump.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const absl::string_view key = rest.substr(0, data[0]);
  const absl::string_view value = rest.substr(key.size());
  if (!forekey::PassesOn(key, value)) return 0;
  const auto in_names = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
  };
  const auto in_values = [](char c) { return absl::ascii_isprint(c); };
  if (key.empty() || !std::all_of(key.begin(), key.end(), in_names)) std::abort();
  if (!absl::EndsWith(key, "-bin") && !std::all_of(value.begin(), value.end(), in_values)) {
    std::abort();
  }
  if (absl::StartsWithIgnoreCase(key, "forekey-")) std::abort();
  return 0;
}
