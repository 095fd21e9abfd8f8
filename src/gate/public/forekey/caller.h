// SPDX-License-Identifier: Apache-2.0
// Who made the call that a handler is serving.
#ifndef FOREKEY_CALLER_H_
#define FOREKEY_CALLER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// All that is known of a caller, as one value: for who keeps it, or passes it on.
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

// A caller, as the gate verified it. It shares what the gate knows, so asking for one copies no
// text, and whatever it is asked for is made then. It stays good after the call has ended. Copying
// is cheap; reading one from several threads is safe.
class VerifiedCaller {
 public:
  const std::string& subject() const;  // as long as this caller
  bool HasRole(absl::string_view role) const;
  bool HasFactor(absl::string_view factor) const;
  // As they are now: they may change while the call lives. Sorted.
  std::vector<std::string> roles() const;
  std::vector<CallerCredential> credentials() const;
  std::vector<CallerFactor> factors() const;
  std::string session_id() const;  // hex; empty when hardware signed this very call
  bool child_session() const;

  CallerInfo Info() const;
  // So that a caller may be taken as a value where it is asked for:
  //   absl::StatusOr<forekey::CallerInfo> caller = forekey::Caller(context);
  operator CallerInfo() const { return Info(); }

 private:
  friend struct CallerMaker;
  enum class Kind { kSession, kDevice, kGiven };
  VerifiedCaller(Kind kind, std::shared_ptr<const void> from)
      : kind_(kind), from_(std::move(from)) {}
  // Of what stands behind it, by its own type.
  template <typename OfGiven, typename OfVerified>
  decltype(auto) Ask(const OfGiven& of_given, const OfVerified& of_verified) const;

  Kind kind_;
  std::shared_ptr<const void> from_;
};

// The caller of this very call, as the gate verified it before the call was routed. Takes every
// kind of server context: ServerContext, CallbackServerContext, GenericServerContext,
// GenericCallbackServerContext. May be asked from any thread, as long as the context lives (for an
// asynchronous server: from when its tag came until it is destroyed).
//
// Unauthenticated where there is no caller: the method is exempt, the call came through a port that
// is not the gate's, or the server has no gate. Never trust request metadata instead of this.
absl::StatusOr<VerifiedCaller> Caller(const grpc::ServerContextBase* context);

}  // namespace forekey

#endif  // FOREKEY_CALLER_H_
