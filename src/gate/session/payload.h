// Request payloads: bytes that were signed or MACed as they are, and are parsed only after that.
#ifndef FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_
#define FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace forekey {

// Parses all of `bytes` (at most `max_size`) into `message`. Refuses with kRequestMalformed, also
// for fields that this gate does not know, at any depth: what a client asked for must not be
// ignored.
absl::Status ParsePayload(absl::string_view bytes, size_t max_size,
                          google::protobuf::Message* message);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_PAYLOAD_H_
