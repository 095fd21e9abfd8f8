// SPDX-License-Identifier: Apache-2.0
// Who calls, for a service that does not link the gate: metadata for who trusts the way from the
// gate, and a JWT (RFC 7519) for who does not.
//
//   forekey-subject   alice
//   forekey-roles     admin,clerk
//   forekey-factors   fido2,fido2+uv,password
//   forekey-caller    the token, ES256. Its claims: iss (the gate's audience), aud (the upstream's
//                     name), sub (the subject), iat, exp, method, roles, factors ({name, at}),
//                     credentials (kinds), session (a hash of it; absent where hardware signed the
//                     call)
//
// A token is good for one method at one upstream, for as long as the configuration says: a service
// compares all three. It is no proof of any other call, and nobody who sees it can make another
// one.
#ifndef FOREKEY_SRC_GATE_CALLER_CALLER_TOKEN_H_
#define FOREKEY_SRC_GATE_CALLER_CALLER_TOKEN_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "forekey/caller.h"
#include "src/base/clock.h"
#include "src/gate/caller/caller_keys.h"

namespace forekey {

// As a header's value may hold it: what is not printable ASCII, commas, quotes and '%' are
// percent-encoded (RFC 3986, section 2.1).
std::string HeaderText(absl::string_view text);

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// Safe from any thread.
class CallerTokens {
 public:
  // All are borrowed. `lifetime`: of each token.
  CallerTokens(const CallerKeys& keys, const Clock& clock, std::string issuer,
               absl::Duration lifetime);

  // The four, in that order. Signing costs some 30 us; a session's token for a method is used again
  // while half of its lifetime is left.
  HeaderList Describe(const CallerInfo& caller, absl::string_view method,
                      absl::string_view upstream);

  std::string Token(const CallerInfo& caller, absl::string_view method, absl::string_view upstream);

 private:
  static constexpr size_t kMostKept = 4096;
  struct Kept {
    std::string token;
    absl::Time until;
  };

  const CallerKeys& keys_;
  const Clock& clock_;
  const std::string issuer_;
  const absl::Duration lifetime_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Kept> kept_ ABSL_GUARDED_BY(mutex_);  // by what it says
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALLER_CALLER_TOKEN_H_
