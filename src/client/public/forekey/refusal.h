// SPDX-License-Identifier: Apache-2.0
// Why a call on a forekey::Channel failed, for programs: what kind of thing it is, what a person
// has to do, and whether the same call may succeed by itself.
//
//   grpc::Status status = stub->Delete(&context, request, &response);
//   if (auto refusal = forekey::RefusalOf(status)) {
//     if (refusal->retry_can_help) ...                          // later, with a pause
//     else Tell(status.error_message(), refusal->reference);   // a person has to act
//   }
#ifndef FOREKEY_REFUSAL_H_
#define FOREKEY_REFUSAL_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"

namespace forekey {

struct Refusal {
  enum class Kind {
    kAgentNotRunning,  // start forekey-agent, or enable forekey-agent.socket
    kNotEnrolled,      // the agent is not enrolled at this gate: forekey enroll
    kGateUnreachable,  // no address, nobody there, silence
    kGateUntrusted,    // TLS: the certificate is not what the gate was enrolled with, or has ended
    kGateRefused,      // its audit log has the exact reason under `reference`
    kTokenMissing,     // not plugged in, or another one is
    kTokenUnusable,    // no access, not set up, locked, PIN blocked, broken
    kTokenBusy,        // another program has it
    kPersonNeeded,     // a PIN is needed and nobody could be asked
    kPersonDeclined,   // wrong PIN, cancelled, refused or not touched in time
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string reference;  // 16 hex digits; empty where no gate refused
  // What the gate wants and nothing here could prove, as in docs/PROTOCOL.md, "Step-up":
  // "fido2+uv&call|tpm&password"; empty where that is not what is wrong.
  std::string lacking;
  std::string reason;  // of a refusal on this machine: a name of docs/AUDIT.md; may be empty
  // The same call may succeed later with nobody doing anything. Never true where another attempt
  // could use up a try of a PIN.
  bool retry_can_help = false;
};

// "token-missing", ...: for logs.
absl::string_view RefusalKindName(Refusal::Kind kind);

// Nullopt for OK, and for errors that neither Forekey's client library nor a gate gave: a
// handler's. A server can write its own errors like a gate's refusals: trust them as you trust the
// server.
std::optional<Refusal> RefusalOf(const grpc::Status& status);
// Of what forekey::Channel() returned.
std::optional<Refusal> RefusalOf(const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_REFUSAL_H_
