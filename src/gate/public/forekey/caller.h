// SPDX-License-Identifier: Apache-2.0
// Who made the call that a handler is serving.
#ifndef FOREKEY_CALLER_H_
#define FOREKEY_CALLER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class ServerContextBase;
}

namespace forekey {

struct CallerCredential {
  std::string id;     // hex
  std::string kind;   // "tpm", "fido2", "piv"
  std::string label;  // the user's name for the device
};

struct CallerFactor {
  std::string name;  // "tpm", ...
  // When it was proved: at the session's opening, or with this very call.
  absl::Time proved_at;
};

struct CallerInfo {
  std::string subject;
  std::vector<std::string> roles;  // sorted, as they are now
  std::vector<CallerCredential> credentials;
  std::vector<CallerFactor> factors;
  std::string session_id;  // hex; empty when hardware signed this very call
  bool child_session = false;

  bool HasRole(absl::string_view role) const;
  bool HasFactor(absl::string_view factor) const;
};

// The caller of this very call, as the gate verified it before the call was routed. Takes every
// kind of server context: ServerContext, CallbackServerContext, GenericServerContext,
// GenericCallbackServerContext. May be asked from any thread, as long as the context lives (for an
// asynchronous server: from when its tag came until it is destroyed).
//
// Unauthenticated where there is no caller: the method is exempt, the call came through a port that
// is not the gate's, or the server has no gate. Never trust request metadata instead of this.
absl::StatusOr<CallerInfo> Caller(const grpc::ServerContextBase* context);

}  // namespace forekey

#endif  // FOREKEY_CALLER_H_
