// SPDX-License-Identifier: Apache-2.0
// Refusals. A verifier that refuses returns an absl::Status made by Refuse(): it carries the exact
// Reason (for the audit log, tests and administrators) and a detail for people. What a peer may
// learn of it is only PublicCode(): see LAW 6 in docs/PROTOCOL.md.
#ifndef FOREKEY_SRC_BASE_REASON_H_
#define FOREKEY_SRC_BASE_REASON_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

enum class Reason {
#define FOREKEY_REASON(enumerator, name, code, meaning) k##enumerator,
#include "src/base/reason.def"
#undef FOREKEY_REASON
};

inline constexpr size_t kReasonCount = 0
#define FOREKEY_REASON(enumerator, name, code, meaning) +1
#include "src/base/reason.def"
#undef FOREKEY_REASON
    ;

// "challenge-replayed": what the audit log prints.
absl::string_view ReasonName(Reason reason);
// One sentence for an administrator.
absl::string_view ReasonMeaning(Reason reason);
// UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE: all that a peer learns.
absl::StatusCode PublicCode(Reason reason);
// The reason of that name, if there is one.
std::optional<Reason> ReasonFromName(absl::string_view name);

// A refusal: status code PublicCode(reason), message "<name>: <detail>", the reason as a payload.
// `detail` goes to logs, never to peers, and must hold no secret.
absl::Status Refuse(Reason reason, absl::string_view detail = "");

// `status` with the reason as a payload, for who answers with it; its code and message, which are
// all that gRPC sends, stay what they are.
absl::Status WithReason(absl::Status status, Reason reason);

// The reason that a status carries; nullopt for OK and for failures that are not refusals.
std::optional<Reason> ReasonOf(const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_REASON_H_
