// SPDX-License-Identifier: Apache-2.0
// What the enrolments of one kind of token are verified by (vendors' roots, issuing CAs, revocation
// lists, metadata), read again while the gate runs. An enrolment is verified by the old reading or
// by the new one, never by some of each; keys that are enrolled are the business of
// CredentialRecheck.
//
// A reading that fails, or that would forget something by accident, leaves the one in force as it
// is.
#ifndef FOREKEY_SRC_GATE_TOKEN_LIVE_TRUST_H_
#define FOREKEY_SRC_GATE_TOKEN_LIVE_TRUST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/reread.h"
#include "src/gate/token/token_verifier.h"

namespace forekey {

struct TrustReading {
  std::unique_ptr<TokenVerifier> verifier;
  std::string detail;                 // what was read, for the audit log
  std::vector<std::string> left_out;  // files of trust folders that hold no certificate, and why
  std::string signature;              // of the files, before they were read: LiveTrust fills it in
};

struct TrustSource {
  std::string name;                // "attestation.piv"
  std::vector<std::string> paths;  // folders and files; empty ones are passed over
  // Reads all of it. Called on one thread at a time. Errors name the configuration's key and the
  // file.
  std::function<absl::StatusOr<TrustReading>()> read;
};

// Safe from any thread.
class LiveTrust {
 public:
  // Reads for the first time; an error here is the gate's reason not to start.
  static absl::StatusOr<std::unique_ptr<LiveTrust>> New(TrustSource source);

  // By the reading in force.
  std::shared_ptr<const TokenVerifier> Now() const;
  TokenKind kind() const { return Now()->kind(); }

  const std::string& name() const { return source_.name; }
  // What the first reading gave.
  const std::string& detail() const { return detail_; }
  const std::vector<std::string>& left_out() const { return left_out_; }

  // What the reading in force left out: whom it does not trust may be trusted by one of those.
  std::vector<std::string> LeftOutNow() const;

  // Reads again; what is in force stays until Use(). FailedPrecondition, too, for a file that was
  // good in the reading in force and is not any more: trust does not shrink by a file that was half
  // copied.
  absl::StatusOr<TrustReading> Read();
  void Use(TrustReading reading);

  // The files are others than those in use, and have stayed the same since the last call: a file
  // that is being written looks like another one, too. True again, after a pause that grows, until
  // what was read of them is in use. Called once a second or so.
  bool Changed();
  // What Changed() asked for came to nothing. True where people have not been told of that yet.
  bool Failed(absl::string_view message);

 private:
  explicit LiveTrust(TrustSource source) : source_(std::move(source)) {}

  const TrustSource source_;
  std::string detail_;
  std::vector<std::string> left_out_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<const TokenVerifier> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> known_left_out_ ABSL_GUARDED_BY(mutex_);

  Reread reread_ ABSL_GUARDED_BY(mutex_);

  absl::Mutex reading_ ABSL_ACQUIRED_BEFORE(mutex_);  // one reading after the other
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_LIVE_TRUST_H_
