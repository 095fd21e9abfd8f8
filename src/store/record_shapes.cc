// SPDX-License-Identifier: Apache-2.0
#include "src/store/record_shapes.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"

namespace forekey {

TokenKind KindFromRow(int64_t value) {
  return value >= 0 && value <= INT32_MAX ? static_cast<TokenKind>(value)
                                          : v1::TOKEN_KIND_UNSPECIFIED;
}

std::vector<std::string> SplitWords(const std::string& words) {
  return absl::StrSplit(words, ' ', absl::SkipEmpty());
}

std::vector<TokenKind> SplitKinds(const std::string& kinds) {
  std::vector<TokenKind> split;
  for (const std::string& kind : SplitWords(kinds)) {
    int64_t value = 0;
    split.push_back(KindFromRow(absl::SimpleAtoi(kind, &value) ? value : 0));
  }
  return split;
}

std::string JoinWords(const std::vector<std::string>& words) { return absl::StrJoin(words, " "); }
std::string JoinKinds(const std::vector<TokenKind>& kinds) {
  return absl::StrJoin(std::vector<int>(kinds.begin(), kinds.end()), " ");
}

std::vector<std::string> SortedOnce(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

absl::Status CheckNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!IsWellFormedSubject(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CEscape(name), "\" is no well-formed name"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInviteShape(const InviteRecord& invite) {
  FOREKEY_RETURN_IF_ERROR(CheckNames({invite.subject}));
  FOREKEY_RETURN_IF_ERROR(CheckNames(invite.roles));
  if (invite.public_key.size() != 32 || invite.id != Sha256(invite.public_key)) {
    return absl::InvalidArgumentError("an invite's id is the SHA-256 of its 32-byte public key");
  }
  return absl::OkStatus();
}

absl::Status CheckCredentialShape(const CredentialRecord& credential) {
  FOREKEY_RETURN_IF_ERROR(CheckNames({credential.subject}));
  // Factors have the alphabet of names: "piv+pin", "tpm".
  FOREKEY_RETURN_IF_ERROR(CheckNames(credential.factors));
  if (credential.id.size() != kCredentialIdSize) {
    return absl::InvalidArgumentError("a credential's id has 32 bytes");
  }
  if (credential.spki.empty()) return absl::InvalidArgumentError("a credential has a key");
  if (credential.revoked_at) return absl::InvalidArgumentError("a new credential is not revoked");
  return absl::OkStatus();
}

absl::Status CheckInviteIsFor(const InviteRecord& invite, const Registry::Enrollment& enrollment) {
  const CredentialRecord& credential = enrollment.credential;
  if (invite.used_at) return Refuse(Reason::kInviteUsed);
  if (enrollment.now >= invite.expires_at) return Refuse(Reason::kInviteExpired);
  if (credential.subject != invite.subject) {
    return Refuse(Reason::kSubjectMismatch, "the invite is for another subject");
  }
  if (!invite.kinds.empty() &&
      std::find(invite.kinds.begin(), invite.kinds.end(), credential.kind) == invite.kinds.end()) {
    return Refuse(Reason::kTokenKindNotAllowed);
  }
  if (!invite.pinned_device.empty() && credential.device_id != invite.pinned_device) {
    return Refuse(Reason::kDeviceNotPinned);
  }
  return absl::OkStatus();
}

absl::Status CheckFamilySubject(const Registry::FamilyStep& step, const FamilySubject& subject) {
  if (subject.disabled) return Refuse(Reason::kSubjectDisabled);
  if (subject.sessions_epoch != step.sessions_epoch) {
    return Refuse(Reason::kSessionEnded, "the subject was disabled meanwhile");
  }
  if (step.factors_epoch && subject.factors_epoch != *step.factors_epoch) {
    return Refuse(Reason::kSessionEnded, "the password or the identity that it proved was changed");
  }
  if (step.ticket_made <= subject.tickets_after) {
    return Refuse(Reason::kTicketExpired,
                  "the subject ended more sessions than are remembered one by one");
  }
  return absl::OkStatus();
}

absl::Status CheckFamilyShape(const Registry::FamilyStep& step) {
  return step.family.size() == kSessionFamilySize
             ? absl::OkStatus()
             : absl::InvalidArgumentError("a family has 16 bytes");
}

absl::Time EndedFamilyGoodUntil(const Registry::FamilyStep& step, bool resumed, absl::Time now) {
  return resumed || step.serial > 0 ? step.ends_at : std::min(step.ends_at, now + step.ticket_life);
}

}  // namespace forekey
