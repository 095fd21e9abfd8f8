// SPDX-License-Identifier: Apache-2.0
// Device proofs, the client's side: the statement is built from what the client itself knows,
// signed by every token, and never sent.
#ifndef FOREKEY_SRC_CLIENT_DEVICE_PROOF_H_
#define FOREKEY_SRC_CLIENT_DEVICE_PROOF_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// What a token gave for a statement.
struct SignedStatement {
  std::string signature;
  std::string authenticator_data;  // FIDO2
  std::string client_data_json;    // FIDO2
};

struct Signer {
  std::string credential_id;  // 32 bytes
  std::function<absl::StatusOr<SignedStatement>(absl::string_view statement)> sign;
};

struct DeviceProofInput {
  absl::string_view audience;  // of the record, never of the peer
  absl::string_view method;
  absl::string_view challenge;        // 64 bytes
  absl::string_view channel_binding;  // 32 bytes
  absl::string_view key_share;        // 32 bytes or empty
  absl::string_view request_digest;   // 32 bytes or empty
};

struct DeviceProof {
  std::string prefix;
  std::string statement;
};

// Asks each of 1..3 signers (distinct credentials, any order; they are sorted here) once, in order
// of the credential ids. InvalidArgument for sizes that the protocol does not have; a signer's
// error is returned as it is.
absl::StatusOr<DeviceProof> MakeDeviceProof(const DeviceProofInput& input,
                                            std::vector<Signer> signers);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_DEVICE_PROOF_H_
