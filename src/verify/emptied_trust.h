// SPDX-License-Identifier: Apache-2.0
// A folder of trust without a certificate: by mistake, or on purpose.
#ifndef FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_
#define FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_

namespace forekey {

// The file that `forekey trust` leaves in a folder out of which it took the last certificate. With
// it a gate takes the folder for what it says (nobody is trusted); without it an empty folder is
// taken for a mistake, and what was read before stays. It counts only where there is no other file.
inline constexpr char kEmptiedTrust[] = ".emptied";

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_EMPTIED_TRUST_H_
