// What each kind of token is verified by at enrolment and at a recheck, as the config says. Kinds
// that the config does not enrol are not in it.
#ifndef FOREKEY_SRC_GATE_ADMIN_TOKEN_TRUST_H_
#define FOREKEY_SRC_GATE_ADMIN_TOKEN_TRUST_H_

#include <vector>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/gate/config/config.h"
#include "src/gate/token/enrollment_kind.h"
#include "src/gate/token/live_trust.h"

namespace forekey {

struct TokenTrust {
  EnrollmentKinds kinds;
  std::vector<LiveTrust*> live;  // of `kinds`: those that read files
};

// Reads all of it for the first time. `stand_ins` take the place of the configured ones of the same
// kind. Errors name the configuration's key and the file. `clock` is borrowed.
absl::StatusOr<TokenTrust> ReadTokenTrust(const GateConfig& config, const Clock& clock,
                                          EnrollmentKinds stand_ins = {});

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ADMIN_TOKEN_TRUST_H_
