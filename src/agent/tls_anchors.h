// SPDX-License-Identifier: Apache-2.0
// The CAs that an agent trusts for one gate's TLS, while the gate changes its CA.
#ifndef FOREKEY_SRC_AGENT_TLS_ANCHORS_H_
#define FOREKEY_SRC_AGENT_TLS_ANCHORS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

// `known` (PEM), and behind it what of `announced` (PEM, which the gate vouched for) is not in it.
// What has expired at `now` goes, of `known` as long as something is left. A CA is never taken away
// before its end: another way to the gate may still show a certificate of it. Errors: one
// of them can't be read, or there would be more than kMostTlsAnchors.
inline constexpr size_t kMostTlsAnchors = 16;
absl::StatusOr<std::string> MergeTlsAnchors(absl::string_view known, absl::string_view announced,
                                            absl::Time now);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_TLS_ANCHORS_H_
