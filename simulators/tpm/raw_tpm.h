// SPDX-License-Identifier: Apache-2.0
// The few TPM 2.0 commands that the simulator itself sends to swtpm, as bytes (TPM 2.0 Library
// Specification, part 3), so that it shares no encoder with the driver that is tested against it.
#ifndef FOREKEY_SIMULATORS_TPM_RAW_TPM_H_
#define FOREKEY_SIMULATORS_TPM_RAW_TPM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

inline constexpr size_t kMaxTpmCommandSize = 4096;

// A response that holds nothing but a code.
std::string TpmResponse(uint32_t code);

// Speaks over a connected stream socket, which it borrows. Not thread-safe.
class RawTpm {
 public:
  explicit RawTpm(int fd) : fd_(fd) {}

  // One whole command, one whole response. Unavailable when the socket is gone.
  absl::StatusOr<std::string> Transmit(absl::string_view command);
  // The same; Internal where the response code is not TPM_RC_SUCCESS. Returns what follows the
  // header.
  absl::StatusOr<std::string> Execute(absl::string_view command);

  absl::Status ShutdownClear();
  absl::Status StartupClear();
  // Raises or lowers how many wrong passwords are borne. 0 locks the TPM out at once.
  absl::Status SetMaxAuthTries(uint32_t tries);
  // Handles of one kind: first 0x80000000 (transient), 0x02000000 (loaded sessions), 0x81000000,
  // ...
  absl::StatusOr<std::vector<uint32_t>> Handles(uint32_t first);
  absl::Status Flush(uint32_t handle);

  struct Point {
    std::string x, y;
  };
  // Makes the P-256 EK (TCG EK Credential Profile, template L-2) and gives its handle and public
  // point.
  absl::StatusOr<uint32_t> LoadP256EndorsementKey(Point* point);
  // Defines an index as a manufacturer does (platform's, readable by all, no DA) and fills it.
  absl::Status WriteNv(uint32_t index, absl::string_view content);
  absl::Status UndefineNv(uint32_t index);
  // `platform`: of the platform's half (0x8180xxxx), otherwise of the owner's.
  absl::Status EvictPersistent(uint32_t handle, bool platform);
  // Gives a hierarchy (0x40000001 owner, 0x4000000B endorsement) a password.
  absl::Status ChangeHierarchyPassword(uint32_t hierarchy, absl::string_view password);

 private:
  int fd_;
};

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_RAW_TPM_H_
