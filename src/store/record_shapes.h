// SPDX-License-Identifier: Apache-2.0
// What every store of src/store/registry.h shares: the shapes that records must have, and how
// their lists are written into one column.
#ifndef FOREKEY_SRC_STORE_RECORD_SHAPES_H_
#define FOREKEY_SRC_STORE_RECORD_SHAPES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/store/registry.h"

namespace forekey {

// Words with one space between: their alphabet has no space.
std::string JoinWords(const std::vector<std::string>& words);
std::vector<std::string> SplitWords(const std::string& words);
std::string JoinKinds(const std::vector<TokenKind>& kinds);
// A kind that does not read is one that no token has, so that "only these" never becomes "any".
std::vector<TokenKind> SplitKinds(const std::string& kinds);
// A number that is not listed stays what it is, and is refused where it is used; one that does not
// fit must not become a listed one by losing its upper half.
TokenKind KindFromRow(int64_t value);
std::vector<std::string> SortedOnce(std::vector<std::string> words);

// InvalidArgument, saying what is wrong.
absl::Status CheckNames(const std::vector<std::string>& names);
absl::Status CheckInviteShape(const InviteRecord& invite);
absl::Status CheckCredentialShape(const CredentialRecord& credential);

// What Registry::Enroll() refuses by the invite alone, in its order: used, expired, another
// subject's, another kind of token, another device.
absl::Status CheckInviteIsFor(const InviteRecord& invite, const Registry::Enrollment& enrollment);

// What Registry::AdvanceFamily() refuses by the subject alone.
struct FamilySubject {
  bool disabled = false;
  uint64_t sessions_epoch = 0;
  uint64_t factors_epoch = 0;
  absl::Time tickets_after;  // tickets that were made until then are void
};
absl::Status CheckFamilySubject(const Registry::FamilyStep& step, const FamilySubject& subject);
// InvalidArgument for a family that has not 16 bytes.
absl::Status CheckFamilyShape(const Registry::FamilyStep& step);
// When no ticket of a family that EndFamily() ends `now` can be good any more. `resumed`: the store
// knows that a session of it was.
absl::Time EndedFamilyGoodUntil(const Registry::FamilyStep& step, bool resumed, absl::Time now);
// Rows of families are kept for so long beyond the moment from which no ticket can be good.
inline constexpr absl::Duration kFamilyKeptBeyond = absl::Hours(1);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_RECORD_SHAPES_H_
