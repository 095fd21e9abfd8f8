// SPDX-License-Identifier: Apache-2.0
// The key schedule of sessions and of enrolment (docs/PROTOCOL.md, "Session keys"). Both sides call
// the same functions: the client with its ephemeral key and the gate's two public keys, the gate
// with its two private keys and the client's share.
#ifndef FOREKEY_SRC_WIRE_SESSION_KEYS_H_
#define FOREKEY_SRC_WIRE_SESSION_KEYS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// Session key = HKDF-SHA256(ikm = ephemeral_secret || identity_secret || parent_key, salt,
// info = label kSession 00 || SHA-256(transcript) || gate_share || session_id, 32 bytes).
// Opened by a device proof: salt = challenge, transcript = the statement, no parent key.
// Opened by a parent: salt = parent's session_id || sequence (8), transcript = the bytes under the
// parent's MAC (BuildCallMacBytes), parent_key = the parent's session key.
struct SessionKeyInput {
  const Secret* ephemeral_secret = nullptr;  // DH(client ephemeral, gate ephemeral)
  const Secret* identity_secret = nullptr;   // DH(client ephemeral, gate identity)
  absl::string_view parent_key;
  absl::string_view salt;
  absl::string_view transcript;
  absl::string_view gate_share;
  absl::string_view session_id;
};
Secret DeriveSessionKey(const SessionKeyInput& input);

// HMAC-SHA256(session key, label kConfirm 00 || session_id || gate_share || idle_s (4) ||
// absolute_s (4) || window (4) || len1 next_gate_identity || len2 subject).
struct ConfirmationInput {
  absl::string_view session_id;
  absl::string_view gate_share;
  uint32_t idle_s = 0;
  uint32_t absolute_s = 0;
  uint32_t window = 0;
  absl::string_view next_gate_identity;
  absl::string_view subject;
};
std::string ComputeConfirmation(const Secret& session_key, const ConfirmationInput& input);

namespace label {
inline constexpr absl::string_view kTlsAnchors = "forekey/1 tls-anchors";
}  // namespace label

// HMAC-SHA256(session key, label kTlsAnchors 00 || session_id || anchors): the gate's word for the
// CAs of its TLS. `anchors`: at most kMaxTlsAnchors bytes, not empty. Both go, the MAC first, in
// the trailers of the answer to an opening: kTlsAnchorsMetadataKey.
inline constexpr size_t kMaxTlsAnchors = 4096;
inline constexpr absl::string_view kTlsAnchorsMetadataKey = "forekey-tls-anchors-bin";
std::string ComputeTlsAnchorsMac(const Secret& session_key, absl::string_view session_id,
                                 absl::string_view anchors);

// Enrolment: key = HKDF-SHA256(DH(client share, gate identity), salt = challenge,
// info = label kEnrollConfirm 00 || len2 audience), then HMAC over step (1 byte: 1 begin, 2 finish)
// || SHA-256(request payload) || SHA-256(response payload). At finish the response payload is the
// credential id.
Secret DeriveEnrollmentKey(const Secret& identity_secret, absl::string_view challenge,
                           absl::string_view audience);
std::string ComputeEnrollmentConfirmation(const Secret& key, uint8_t step,
                                          absl::string_view request_payload,
                                          absl::string_view response_payload);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_SESSION_KEYS_H_
