// SPDX-License-Identifier: Apache-2.0
// What a simulated security key holds: its credentials, PIN and counters, and the attestation key
// with its vendor's CA. One file, state.json, replaced as a whole after every change, so that a
// killed simulator comes back with the last answer's state.
#ifndef FOREKEY_SIMULATORS_FIDO2_STATE_H_
#define FOREKEY_SIMULATORS_FIDO2_STATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "simulators/fido2/config.h"
#include "src/base/secret.h"

namespace forekey::fido2sim {

inline constexpr int kPinRetries = 8;
inline constexpr int kUvRetries = 3;

struct Credential {
  std::string id;
  std::string rp_id;       // empty: made by U2F, which knows the hash alone
  std::string rp_id_hash;  // 32 bytes
  std::string user_id, user_name, user_display_name;
  int algorithm = kEs256;
  Secret key;  // DER
  bool discoverable = false;
  int cred_protect = 1;  // CTAP 2.1 section 12.1: 1 to 3
};

struct State {
  std::vector<Credential> credentials;  // the newest last
  Secret pin_hash;                      // first 16 bytes of SHA-256(PIN); empty: no PIN
  int pin_retries = kPinRetries;
  int uv_retries = kUvRetries;
  uint32_t counter = 0;
  // The vendor: root, then an attestation key with a certificate of each kind.
  Secret root_key, attestation_key;         // DER
  std::string root, packed_leaf, u2f_leaf;  // DER
  std::string leaf_for;  // the AAGUID (empty: no extension) that packed_leaf was made for

  // Makes what is missing of the vendor's part, or what was made for another AAGUID.
  absl::Status EnsureVendor(const Config& config);
  std::string RootPem() const;
  Credential* Find(absl::string_view credential_id);

  // `directory` must exist. A missing file is a new token.
  static absl::StatusOr<State> Load(const std::string& directory);
  absl::Status Save(const std::string& directory) const;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_STATE_H_
