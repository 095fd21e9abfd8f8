// SPDX-License-Identifier: Apache-2.0
// What the agent remembers of a gate: record.json in the gate's folder (docs/AGENT.md, "State").
#ifndef FOREKEY_SRC_AGENT_GATE_RECORD_H_
#define FOREKEY_SRC_AGENT_GATE_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "forekey/v1/gate.pb.h"
#include "src/client/tls_channel.h"

namespace forekey {

// The registry has a CredentialRecord of its own: one program may hold both.
struct HeldCredential {
  std::string id;  // 32 bytes
  forekey::v1::TokenKind kind = forekey::v1::TOKEN_KIND_UNSPECIFIED;
  std::string label;
  std::string key_file;  // a name in the gate's folder; what Driver::Load takes
  std::string driver;    // scheme of the driver: "tpm", ...
  std::string rp_id;     // FIDO2, pinned at enrolment
  std::string origin;
  // The gate's answer to the enrolment was never seen: it may know the credential or not. Cleared
  // when a session was opened with it.
  bool pending = false;
  int64_t enrolled_unix_s = 0;
};

struct GateRecord {
  GateTarget target;
  std::string subject;
  std::vector<std::string>
      identities;  // 32 bytes each: pinned X25519 keys, 1..2: the first is tried first
  std::vector<HeldCredential> credentials;  // oldest first
  // Id of the one that signs where nothing else is asked for; empty: the newest.
  std::string default_credential;

  // Refuses (kInvalidArgument, naming the member) what Serialize doesn't write: other types, sizes,
  // malformed names, a version of the future.
  static absl::StatusOr<GateRecord> Parse(absl::string_view json);
  std::string Serialize() const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_GATE_RECORD_H_
