// SPDX-License-Identifier: Apache-2.0
// What `forekey trust bundle` says of a bundle, for people and as JSON.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_VIEW_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_VIEW_H_

#include <ostream>

#include "src/cli/verify/trust_bundle.h"

namespace forekey {

void PrintTrustBundle(const VerifiedTrustBundle& verified, bool json, std::ostream& out);

// Of `verified`, against the folder that `changes` are of.
void PrintTrustBundleChanges(const VerifiedTrustBundle& verified, const TrustBundleChanges& changes,
                             bool json, std::ostream& out);
// The lines on firmware alone.
void PrintFirmwareChanges(const TrustBundleChanges& changes, std::ostream& out);
// Nothing where the list stays, or there was none.
void WarnOfLostFirmwareList(const TrustBundleChanges& changes, std::ostream& err);
// Of lines on firmware that may not mean what they look like.
void WarnOfDoubtfulFirmware(const TrustBundle& bundle, std::ostream& err);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_VIEW_H_
