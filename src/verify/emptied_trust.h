// SPDX-License-Identifier: Apache-2.0
// A folder of trust without a certificate: by mistake, or on purpose.
#ifndef FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_
#define FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_

#include <string>

namespace forekey {

// The file that `forekey trust` leaves in a folder out of which it took the last certificate. With
// it a gate takes the folder for what it says (nobody is trusted); without it an empty folder is
// taken for a mistake, and what was read before stays. It counts where there is no certificate.
inline constexpr char kEmptiedTrust[] = ".emptied";

// kOutdated: the folder was changed more than a minute after the mark was written (who writes it
// changes the folder a little later, too). Then it says nothing: a certificate that somebody
// brought by hand since, and that is gone, may be gone by mistake.
enum class EmptiedMark { kNone, kGood, kOutdated };
EmptiedMark EmptiedMarkIn(const std::string& folder);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_
