// SPDX-License-Identifier: Apache-2.0
// One running swtpm, reached over a socket pair: nothing listens, nothing has to be waited for, and
// when this process dies in whatever way, swtpm reads the end of its socket and ends too.
#ifndef FOREKEY_SIMULATORS_TPM_SWTPM_PROCESS_H_
#define FOREKEY_SIMULATORS_TPM_SWTPM_PROCESS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/process.h"
#include "simulators/tpm/raw_tpm.h"

namespace forekey {

class SwtpmProcess {
 public:
  // `directory`: as ManufactureTpm() lays it out.
  static absl::StatusOr<std::unique_ptr<SwtpmProcess>> Start(const std::string& directory);
  // Stops it cleanly; kills it where that fails.
  ~SwtpmProcess();

  int data_fd() const { return data_.get(); }
  int control_fd() const { return control_.get(); }
  pid_t pid() const { return child_.pid(); }
  RawTpm raw() { return RawTpm(data_.get()); }
  // Off (cleanly) and on again: objects and sessions are gone.
  absl::Status PowerCycle();
  // TPM2_Shutdown(CLEAR) first: without it an authorised command before counts as an attack on the
  // dictionary, and three of those lock the TPM.
  absl::Status Stop();

 private:
  SwtpmProcess() = default;
  UniqueFd data_;
  UniqueFd control_;
  ChildProcess child_;
};

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_SWTPM_PROCESS_H_
