// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/live_trust.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/base/unseen_files.h"
#include "src/verify/emptied_trust.h"

namespace forekey {
namespace {

// Tells one state of the files from another. A folder's own times count, too: what can't be listed
// is not the same as nothing.
std::string SignatureOf(const std::vector<std::string>& paths) {
  std::string signature;
  for (const std::string& path : paths) {
    absl::StrAppend(&signature, path, "=", FileSignature(path), "\n");
    absl::StrAppend(&signature, FileSignature(absl::StrCat(path, "/", kEmptiedTrust)), "\n");
    const absl::StatusOr<std::vector<std::string>> names = ListFilesAndUnseen(path);
    if (!names.ok()) continue;  // a file, a folder that is gone, or no path at all
    for (const std::string& name : *names) {
      absl::StrAppend(&signature, name, "=", FileSignature(absl::StrCat(path, "/", name)), "\n");
    }
  }
  return signature;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LiveTrust>> LiveTrust::New(TrustSource source) {
  std::unique_ptr<LiveTrust> trust(new LiveTrust(std::move(source)));
  FOREKEY_ASSIGN_OR_RETURN(TrustReading read, trust->Read());
  trust->detail_ = read.detail;
  trust->left_out_ = read.left_out;
  trust->Use(std::move(read));
  return trust;
}

std::shared_ptr<const TokenVerifier> LiveTrust::Now() const {
  absl::MutexLock lock(&mutex_);
  return current_;
}

std::vector<std::string> LiveTrust::LeftOutNow() const {
  absl::MutexLock lock(&mutex_);
  return known_left_out_;
}

absl::StatusOr<TrustReading> LiveTrust::Read() {
  absl::MutexLock reading(&reading_);
  std::string signature = SignatureOf(source_.paths);
  FOREKEY_ASSIGN_OR_RETURN(TrustReading read, source_.read());
  read.signature = std::move(signature);
  absl::MutexLock lock(&mutex_);
  if (current_ == nullptr) return read;  // the first
  for (const std::string& file : read.left_out) {
    if (std::find(known_left_out_.begin(), known_left_out_.end(), file) == known_left_out_.end()) {
      return absl::FailedPreconditionError(file);
    }
  }
  return read;
}

void LiveTrust::Use(TrustReading reading) {
  absl::MutexLock lock(&mutex_);
  current_ = std::move(reading.verifier);
  known_left_out_ = std::move(reading.left_out);
  reread_.Use(std::move(reading.signature));
}

bool LiveTrust::Changed() {
  const std::string now = SignatureOf(source_.paths);
  absl::MutexLock lock(&mutex_);
  return reread_.Due(now);
}

bool LiveTrust::Failed(absl::string_view message) {
  absl::MutexLock lock(&mutex_);
  return reread_.Failed(message);
}

}  // namespace forekey
