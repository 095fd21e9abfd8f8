// SPDX-License-Identifier: Apache-2.0
// The CAs that the gate tells clients of while the CA of its TLS changes (docs/ROTATION.md): the
// one that it has, and the next one, which lies beside it.
#ifndef FOREKEY_SRC_GATE_SESSION_ANNOUNCED_CAS_H_
#define FOREKEY_SRC_GATE_SESSION_ANNOUNCED_CAS_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// "ca-next.pem" beside "ca.pem".
std::string NextCaPath(const std::string& ca);

// Safe from any thread.
class AnnouncedCas {
 public:
  // `ca`: the file of [tls] ca; empty: nothing is ever announced.
  explicit AnnouncedCas(std::string ca);

  // Reads the files again where they have changed. On an error what was read before stays.
  absl::Status Reload();
  // PEM, at most kMaxTlsAnchors bytes; empty while there is no next one.
  std::string pem() const;

 private:
  const std::string ca_;
  mutable absl::Mutex mutex_;
  std::string signature_ ABSL_GUARDED_BY(mutex_);
  absl::Status read_ ABSL_GUARDED_BY(mutex_);
  std::string pem_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_ANNOUNCED_CAS_H_
