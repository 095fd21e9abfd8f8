// SPDX-License-Identifier: Apache-2.0
#include "src/client/key_confirmation.h"

#include <utility>

#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {

absl::StatusOr<std::shared_ptr<const ClientSession>> ConfirmSession(
    const SessionOpening& opening, const forekey::v1::OpenSessionResponse& response,
    const Clock* clock) {
  if (response.session_id().size() != kSessionIdSize ||
      response.gate_share().size() != kKeyShareSize ||
      response.confirmation().size() != kSha256Size ||
      (!response.next_gate_identity().empty() &&
       response.next_gate_identity().size() != kX25519Size) ||
      response.subject().size() > kMaxSubjectSize) {
    return Refuse(Reason::kGateConfirmationInvalid,
                  "a field of the gate's answer has a size that the protocol does not have");
  }
  FOREKEY_ASSIGN_OR_RETURN(Secret ephemeral_secret,
                           opening.ephemeral->Agree(response.gate_share()));
  FOREKEY_ASSIGN_OR_RETURN(Secret identity_secret, opening.ephemeral->Agree(opening.gate_identity));
  SessionKeyInput input;
  input.ephemeral_secret = &ephemeral_secret;
  input.identity_secret = &identity_secret;
  input.parent_key = opening.parent_key;
  input.salt = opening.salt;
  input.transcript = opening.transcript;
  input.gate_share = response.gate_share();
  input.session_id = response.session_id();
  Secret key = DeriveSessionKey(input);

  ConfirmationInput confirmed;
  confirmed.session_id = response.session_id();
  confirmed.gate_share = response.gate_share();
  confirmed.idle_s = response.idle_s();
  confirmed.absolute_s = response.absolute_s();
  confirmed.window = response.window();
  confirmed.next_gate_identity = response.next_gate_identity();
  confirmed.subject = response.subject();
  if (!ConstantTimeEqual(ComputeConfirmation(key, confirmed), response.confirmation())) {
    return Refuse(Reason::kGateConfirmationInvalid,
                  "the server that answered does not hold the gate identity that was pinned at "
                  "enrolment, or something between changed its answer: nothing of it was believed");
  }
  if (!IsWellFormedSubject(response.subject()) || response.idle_s() == 0 ||
      response.absolute_s() == 0) {
    return Refuse(Reason::kGateConfirmationInvalid,
                  "the gate's answer has no usable subject or lifetime");
  }
  absl::string_view anchors;
  if (!opening.tls_anchors.empty()) {
    const absl::string_view mac = opening.tls_anchors.substr(0, kSha256Size);
    anchors = opening.tls_anchors.substr(mac.size());
    if (anchors.empty() || anchors.size() > kMaxTlsAnchors ||
        !ConstantTimeEqual(ComputeTlsAnchorsMac(key, response.session_id(), anchors), mac)) {
      return Refuse(Reason::kGateConfirmationInvalid,
                    "the gate's answer names CAs of its TLS that are not the gate's own word");
    }
  }
  ClientSession::Parts parts;
  parts.id = response.session_id();
  parts.key = std::move(key);
  parts.channel_binding = std::string(opening.channel_binding);
  // The gate opened it between sending and receiving: the middle is at most half a round trip off.
  parts.opened_at = opening.sent_at + (clock->BootNow() - opening.sent_at) / 2;
  parts.idle_s = response.idle_s();
  parts.absolute_s = response.absolute_s();
  parts.subject = response.subject();
  parts.next_gate_identity = response.next_gate_identity();
  parts.tls_anchors = std::string(anchors);
  // It proves nothing: one that something between put here is refused when it is used.
  if (response.ticket().size() <= kMaxTicketSize) parts.ticket = response.ticket();
  return std::make_shared<const ClientSession>(std::move(parts), clock);
}

}  // namespace forekey
