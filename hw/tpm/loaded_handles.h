// SPDX-License-Identifier: Apache-2.0
// What one connection has loaded into a TPM, read off its commands and answers (TPM 2.0 Library
// Specification, part 3). A TPM without resource manager keeps objects and sessions when the
// connection ends, and has few slots for them. Private to hw/tpm. Not thread-safe.
#ifndef FOREKEY_HW_TPM_LOADED_HANDLES_H_
#define FOREKEY_HW_TPM_LOADED_HANDLES_H_

#include <tss2/tss2_tpm2_types.h>

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

// How long the machine has slept since it started.
absl::Duration MachineSlept();

class LoadedHandles {
 public:
  // `slept`: as MachineSlept().
  explicit LoadedHandles(absl::AnyInvocable<absl::Duration()> slept = MachineSlept);

  // A whole command, and the whole answer to it. A handle that the answer names is held until the
  // TPM has answered a TPM2_FlushContext of it, other than with "try again".
  //
  // This driver's sessions go on after each command (TPMA_SESSION_CONTINUESESSION): one that ended
  // with a command would be held all the same.
  void Note(absl::string_view command, absl::string_view answer);

  // A TPM loses what is loaded when the machine sleeps, and may give the same handle to another
  // program then: nothing from before is held after that.
  const std::vector<TPM2_HANDLE>& Held();

 private:
  bool ForgetAfterSleep();  // true where it slept since this was asked last

  absl::AnyInvocable<absl::Duration()> slept_;
  absl::Duration slept_before_;
  std::vector<TPM2_HANDLE> held_;
};

// TPM2_FlushContext of one handle, as bytes.
std::string FlushCommand(TPM2_HANDLE handle);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_LOADED_HANDLES_H_
