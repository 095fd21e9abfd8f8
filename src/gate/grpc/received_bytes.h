// SPDX-License-Identifier: Apache-2.0
// How much strangers may send. gRPC 1.51 keeps whatever a peer sends before a message or a header
// field is finished, so the bound is on what arrives, by the kernel's own count (LAW 7).
#ifndef FOREKEY_SRC_GATE_GRPC_RECEIVED_BYTES_H_
#define FOREKEY_SRC_GATE_GRPC_RECEIVED_BYTES_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace forekey {

// Everything that arrived at a TCP socket, TLS and all. Errors: the system's; UNIMPLEMENTED from a
// kernel that does not count it.
absl::StatusOr<uint64_t> BytesReceivedOn(int fd);

// Sends a byte over the loopback interface and asks for the count. Errors: FAILED_PRECONDITION
// where this system does not count (a kernel before Linux 4.18, a sandbox), or it can't be found
// out: the bound on strangers would be none.
absl::Status CheckBytesAreCounted();

enum class Allowance {
  kWithin,
  kOld,       // more than any stranger may send, but no faster than one may: it is only old
  kExceeded,  // or it is not known how much came
};

// A stranger may send `stranger_bytes`, and a KiB more with each second, but never more than twice
// `stranger_bytes`: what a peer may send is what it can make gRPC keep, however slowly it does so.
Allowance JudgeBytes(const absl::StatusOr<uint64_t>& received, absl::Duration age,
                     size_t stranger_bytes);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_RECEIVED_BYTES_H_
