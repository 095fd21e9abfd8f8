// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/identity.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

// The file: this line, then "current <hex private key> <created, unix s>" and, after a rotation,
// "previous <hex private key> <created> <retired>". One file, so that a crash leaves one state.
constexpr absl::string_view kFirstLine = "forekey-gate-identity 1";

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(path, ": ", what,
                   ". Restore it from a backup: agents pinned this identity; with a new one each "
                   "of them would have to be enrolled again"));
}

absl::StatusOr<absl::Time> ParseTime(absl::string_view text) {
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(text, &seconds)) return absl::InvalidArgumentError("a time");
  return absl::FromUnixSeconds(seconds);
}

absl::StatusOr<X25519PrivateKey> ParseKey(absl::string_view hex) {
  if (hex.size() != 2 * kX25519Size) return absl::InvalidArgumentError("a key's size");
  for (char c : hex) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError("a key that is not hex");
    }
  }
  const Secret raw(absl::HexStringToBytes(hex));
  return X25519PrivateKey::FromRaw(raw.view());
}

void AppendLine(std::string& out, absl::string_view word, const GateIdentity& identity) {
  const Secret raw = identity.key().Raw();
  const Secret hex(absl::BytesToHexString(raw.view()));
  absl::StrAppend(&out, word, " ", hex.view(), " ", absl::ToUnixSeconds(identity.created_at()));
}

}  // namespace

std::string IdentityFingerprint(absl::string_view public_key) { return Sha256(public_key); }

GateIdentity::GateIdentity(X25519PrivateKey key, absl::Time created_at)
    : key_(std::move(key)),
      fingerprint_(IdentityFingerprint(key_.public_key())),
      created_at_(created_at) {}

GateIdentities::GateIdentities(std::string path, const Clock& clock, absl::Duration overlap)
    : path_(std::move(path)), clock_(clock), overlap_(overlap) {}

absl::StatusOr<std::unique_ptr<GateIdentities>> GateIdentities::Open(const std::string& directory,
                                                                     const Clock& clock,
                                                                     absl::Duration overlap) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(directory));
  auto identities = std::unique_ptr<GateIdentities>(
      new GateIdentities(absl::StrCat(directory, "/keys"), clock, overlap));
  FOREKEY_RETURN_IF_ERROR(identities->Load());
  return identities;
}

absl::Status GateIdentities::Load() {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<std::string> content = ReadPrivateFile(path_, 4096);
  if (absl::IsNotFound(content.status())) {
    auto made =
        std::make_shared<const GateIdentity>(X25519PrivateKey::Generate(), clock_.WallNow());
    FOREKEY_RETURN_IF_ERROR(Save(*made, nullptr, absl::InfinitePast()));
    current_ = std::move(made);
    return absl::OkStatus();
  }
  FOREKEY_RETURN_IF_ERROR(content.status());
  const Secret text(*std::move(content));
  std::vector<absl::string_view> lines = absl::StrSplit(text.view(), '\n');
  if (lines.size() < 3 || lines.size() > 4 || lines[0] != kFirstLine || !lines.back().empty()) {
    return Damaged(path_, "not a gate identity of this version");
  }
  for (size_t i = 1; i + 1 < lines.size(); ++i) {
    std::vector<absl::string_view> words = absl::StrSplit(lines[i], ' ');
    const bool is_current = i == 1;
    if (words.size() != (is_current ? 3u : 4u) ||
        words[0] != (is_current ? "current" : "previous")) {
      return Damaged(path_, absl::StrCat("line ", i + 1, " is malformed"));
    }
    absl::StatusOr<X25519PrivateKey> key = ParseKey(words[1]);
    absl::StatusOr<absl::Time> created = ParseTime(words[2]);
    absl::StatusOr<absl::Time> retired = ParseTime(words.back());
    if (!key.ok() || !created.ok() || !retired.ok()) {
      return Damaged(path_, absl::StrCat("line ", i + 1, " is malformed"));
    }
    auto identity = std::make_shared<const GateIdentity>(*std::move(key), *created);
    if (is_current) {
      current_ = std::move(identity);
    } else {
      previous_ = std::move(identity);
      retired_at_ = *retired;
    }
  }
  return absl::OkStatus();
}

absl::Status GateIdentities::Save(const GateIdentity& current, const GateIdentity* previous,
                                  absl::Time retired_at) const {
  std::string text;
  text.reserve(1024);  // no reallocation leaves a copy of a key behind
  absl::StrAppend(&text, kFirstLine, "\n");
  AppendLine(text, "current", current);
  if (previous != nullptr) {
    absl::StrAppend(&text, "\n");
    AppendLine(text, "previous", *previous);
    absl::StrAppend(&text, " ", absl::ToUnixSeconds(retired_at));
  }
  absl::StrAppend(&text, "\n");
  absl::Status status = WriteFileAtomically(path_, text, 0600);
  Wipe(text);
  return status;
}

std::shared_ptr<const GateIdentity> GateIdentities::current() const {
  absl::MutexLock lock(&mutex_);
  return current_;
}

absl::StatusOr<std::shared_ptr<const GateIdentity>> GateIdentities::Find(
    absl::string_view fingerprint) const {
  absl::MutexLock lock(&mutex_);
  if (fingerprint == current_->fingerprint()) return current_;
  if (previous_ != nullptr && fingerprint == previous_->fingerprint()) {
    if (clock_.WallNow() < retired_at_ + overlap_) return previous_;
    return Refuse(Reason::kGateIdentityUnknown,
                  "the identity was rotated, and its overlap is over");
  }
  return Refuse(Reason::kGateIdentityUnknown);
}

std::string GateIdentities::NextFor(const GateIdentity& used) const {
  absl::MutexLock lock(&mutex_);
  return used.fingerprint() == current_->fingerprint() ? std::string() : current_->public_key();
}

absl::Status GateIdentities::Rotate() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.WallNow();
  auto made = std::make_shared<const GateIdentity>(X25519PrivateKey::Generate(), now);
  FOREKEY_RETURN_IF_ERROR(Save(*made, current_.get(), now));
  previous_ = std::exchange(current_, std::move(made));
  retired_at_ = now;
  return absl::OkStatus();
}

}  // namespace forekey
