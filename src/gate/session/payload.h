// SPDX-License-Identifier: Apache-2.0
// Request payloads: bytes that were signed or MACed as they are, and are parsed only after that.
#ifndef FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_
#define FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace forekey {

// OK: `message` is what all of `bytes` (at most `max_size`) say. For ParsePayload().
absl::Status ParsePayloadInto(absl::string_view bytes, size_t max_size,
                              google::protobuf::Message& message);

// Parses all of `bytes` (at most `max_size`). Refuses with kRequestMalformed, also for fields that
// this gate does not know, at any depth: what a client asked for must not be ignored.
template <typename Message>
absl::StatusOr<Message> ParsePayload(absl::string_view bytes, size_t max_size) {
  Message message;
  if (absl::Status parsed = ParsePayloadInto(bytes, max_size, message); !parsed.ok()) return parsed;
  return message;
}

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_
