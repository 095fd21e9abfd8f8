// SPDX-License-Identifier: Apache-2.0
// The seam for further factors of a session: what is proved at an opening besides the tokens'
// signatures. A factor is one object: its name, how it is checked and used up, how many threads it
// may hold. What the configuration says of it is its section (factor_settings.h), and
// factor_list.cc is where sections are listed.
#ifndef FOREKEY_SRC_GATE_FACTOR_FACTOR_H_
#define FOREKEY_SRC_GATE_FACTOR_FACTOR_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/secret.h"
#include "src/store/proved_factor.h"

namespace forekey {

// The opening that a factor is checked for. Its signatures are verified. Views outlive the check
// alone.
struct FactorAttempt {
  absl::string_view audience;
  absl::string_view subject;
  absl::string_view key_share;                   // of this opening alone
  absl::Span<const std::string> credential_ids;  // who signed
};

// A factor that was right, and is not used up yet.
struct CheckedFactor {
  ProvedFactor proved;  // with the factor's name, and since when it holds
  std::string remark;   // for the audit log; may be empty
  // Uses it up, once, when all factors of the opening are right: what may serve for one opening
  // alone must be gone when it returns OK. Empty: nothing is used up.
  std::function<absl::Status()> commit;
};

// Safe from any thread.
class Factor {
 public:
  virtual ~Factor() = default;

  // As rules, sessions, the sealed factors of a request and the audit log call it.
  virtual absl::string_view name() const = 0;

  // Threads that Check() may hold at once; who comes beyond them must be refused at once. 0: it
  // never waits.
  virtual size_t MostThreads() const = 0;

  // Before the first check. An error is the gate's reason not to start.
  virtual absl::Status Start() { return absl::OkStatus(); }

  // `evidence`: what the caller sent for it, not empty. Refuses with the factor's own reasons.
  // Tries are counted durably before the evidence is looked at.
  virtual absl::StatusOr<CheckedFactor> Check(const FactorAttempt& attempt,
                                              const Secret& evidence) = 0;

  // An administrator asks for whatever it keeps of elsewhere to be fetched anew; does not wait.
  virtual void RefreshSoon() {}
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_FACTOR_H_
