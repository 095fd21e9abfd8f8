// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/announced_cas.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/wire/session_keys.h"

namespace forekey {
namespace {

absl::StatusOr<std::string> ReadCas(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string pem, ReadFile(path));
  const absl::StatusOr<std::vector<Certificate>> all = Certificate::ParseAll(pem);
  if (!all.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", all.status().message()));
  }
  if (!pem.empty() && pem.back() != '\n') pem += '\n';
  return pem;
}

}  // namespace

std::string NextCaPath(const std::string& ca) {
  absl::string_view stem = ca;
  absl::ConsumeSuffix(&stem, ".pem");
  return absl::StrCat(stem, "-next.pem");
}

AnnouncedCas::AnnouncedCas(std::string ca) : ca_(std::move(ca)) {}

absl::Status AnnouncedCas::Reload() {
  if (ca_.empty()) return absl::OkStatus();
  const std::string next = NextCaPath(ca_);
  const std::string next_signature = FileSignature(next);
  const std::string signature =
      next_signature.empty() ? "" : absl::StrCat(FileSignature(ca_), ";", next_signature);
  absl::MutexLock lock(&mutex_);
  if (signature == signature_ && read_.ok()) return read_;
  signature_ = signature;
  read_ = absl::OkStatus();
  if (signature.empty()) {
    pem_.clear();
    return read_;
  }
  const absl::StatusOr<std::string> now = ReadCas(ca_);
  const absl::StatusOr<std::string> later = ReadCas(next);
  read_.Update(now.status());
  read_.Update(later.status());
  if (read_.ok() && now->size() + later->size() > kMaxTlsAnchors) {
    read_ = absl::FailedPreconditionError(
        absl::StrCat(ca_, " and ", next, " have more than ", kMaxTlsAnchors, " bytes together"));
  }
  if (read_.ok()) pem_ = absl::StrCat(*now, *later);
  return read_;
}

std::string AnnouncedCas::pem() const {
  absl::MutexLock lock(&mutex_);
  return pem_;
}

}  // namespace forekey
