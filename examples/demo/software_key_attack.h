// SPDX-License-Identifier: Apache-2.0
// An attack of the demo: somebody who owns a real TPM and an invite tries to enrol a software key
// as if the TPM held it.
#ifndef FOREKEY_EXAMPLES_DEMO_SOFTWARE_KEY_ATTACK_H_
#define FOREKEY_EXAMPLES_DEMO_SOFTWARE_KEY_ATTACK_H_

#include <string>

#include "absl/status/status.h"

namespace forekey::demo {

// Goes through the whole enrolment with the real TPM at `tpm_uri` (its EK, its AK, the activated
// secret), and then puts a software key's public area and Name into what the TPM certified. Returns
// the gate's answer.
absl::Status EnrollSoftwareKey(const std::string& tpm_uri, const std::string& invite_text);

}  // namespace forekey::demo

#endif  // FOREKEY_EXAMPLES_DEMO_SOFTWARE_KEY_ATTACK_H_
