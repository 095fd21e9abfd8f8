// SPDX-License-Identifier: Apache-2.0
#include "src/wire/session_keys.h"

#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

std::string Hmac(const Secret& key, absl::string_view message) {
  std::array<uint8_t, kSha256Size> mac = HmacSha256(key.view()).Mac({message});
  return std::string(View(mac.data(), mac.size()));
}

}  // namespace

Secret DeriveSessionKey(const SessionKeyInput& input) {
  std::string material;
  // Reserved, so that no earlier, smaller buffer is left behind with secrets in it.
  material.reserve(2 * kX25519Size + kSessionKeySize);
  for (absl::string_view secret :
       {input.ephemeral_secret->view(), input.identity_secret->view(), input.parent_key}) {
    material.append(secret.data(), secret.size());
  }
  Secret key(std::move(material));
  ByteWriter info;
  info.Raw(label::kSession)
      .U8(0)
      .Raw(Sha256(input.transcript))
      .Raw(input.gate_share)
      .Raw(input.session_id);
  return HkdfSha256(key.view(), input.salt, info.bytes(), kSessionKeySize);
}

std::string ComputeConfirmation(const Secret& session_key, const ConfirmationInput& input) {
  ByteWriter message;
  message.Raw(label::kConfirm)
      .U8(0)
      .Raw(input.session_id)
      .Raw(input.gate_share)
      .U32(input.idle_s)
      .U32(input.absolute_s)
      .U32(input.window)
      .Len1(input.next_gate_identity)
      .Len2(input.subject);
  return Hmac(session_key, message.bytes());
}

std::string ComputeTlsAnchorsMac(const Secret& session_key, absl::string_view session_id,
                                 absl::string_view anchors) {
  ByteWriter message;
  message.Raw(label::kTlsAnchors).U8(0).Raw(session_id).Raw(anchors);
  return Hmac(session_key, message.bytes());
}

Secret DeriveEnrollmentKey(const Secret& identity_secret, absl::string_view challenge,
                           absl::string_view audience) {
  ByteWriter info;
  info.Raw(label::kEnrollConfirm).U8(0).Len2(audience);
  return HkdfSha256(identity_secret.view(), challenge, info.bytes(), kSessionKeySize);
}

std::string ComputeEnrollmentConfirmation(const Secret& key, uint8_t step,
                                          absl::string_view request_payload,
                                          absl::string_view response_payload) {
  ByteWriter message;
  message.U8(step).Raw(Sha256(request_payload)).Raw(Sha256(response_payload));
  return Hmac(key, message.bytes());
}

}  // namespace forekey
