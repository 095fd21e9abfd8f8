// SPDX-License-Identifier: Apache-2.0
// The TLS leaf certificates through which callers may reach this gate, as channel bindings (SHA-256
// of the DER): its own, and those in a folder (a balancer's, RSA and ECDSA twins). Read again while
// the gate runs. There is no "off": a caller who saw another certificate is refused.
//
// A certificate that was replaced (its file has another leaf now) stays accepted for a day, so that
// connections and sessions made under it go on. When a file is removed from the folder, its
// certificate and those that it replaced are refused at once: removing is how an administrator says
// no.
#ifndef FOREKEY_SRC_GATE_CALL_CERTIFICATES_H_
#define FOREKEY_SRC_GATE_CALL_CERTIFICATES_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"

namespace forekey {

struct AcceptedCertificatesOptions {
  std::vector<std::string> own_files;  // PEM chains, leaf first: what the listener presents
  std::string folder;                  // may be empty; each file's first certificate counts
  absl::Duration replaced_lifetime = absl::Hours(24);
};

// Accepts() takes no lock. Safe from any thread.
class AcceptedCertificates {
 public:
  // Errors: a file or the folder can't be read, or holds no certificate (named in the message).
  static absl::StatusOr<std::unique_ptr<AcceptedCertificates>> New(
      AcceptedCertificatesOptions options, const Clock& clock);
  ~AcceptedCertificates();

  // `binding`: 32 bytes.
  bool Accepts(absl::string_view binding, BootTime now) const;
  // The accepted bindings, own first: for messages and for asking which one a caller saw.
  std::vector<std::string> Bindings(BootTime now) const;

  // Reads everything again, and parses what has other bytes than before. On an error the last good
  // set stays, and the error says which file.
  absl::Status Reload();

 private:
  struct Snapshot;
  AcceptedCertificates(AcceptedCertificatesOptions options, const Clock& clock);
  struct File {
    std::string content_digest;  // SHA-256 of its bytes
    std::string binding;
    bool operator==(const File&) const = default;
  };
  using Files = std::map<std::string, File>;  // by path
  absl::StatusOr<File> Read(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Files> ReadAll() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const AcceptedCertificatesOptions options_;
  const Clock& clock_;
  absl::Mutex mutex_;
  Files by_path_ ABSL_GUARDED_BY(mutex_);
  // Readers hold no reference, so old snapshots are kept; there is one a certificate change.
  std::vector<std::unique_ptr<const Snapshot>> snapshots_ ABSL_GUARDED_BY(mutex_);
  std::atomic<const Snapshot*> current_{nullptr};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_CERTIFICATES_H_
