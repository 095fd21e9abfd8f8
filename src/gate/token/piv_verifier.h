// SPDX-License-Identifier: Apache-2.0
// Keys of PIV smartcards: enrolment over src/verify's PIV verifiers (docs/PROTOCOL.md, "Enrolment:
// PIV"), and plain signatures.
//
//   a key in software, or imported          the slot's attestation, or the issuing CA's word
//   an attestation seen elsewhere           it is no secret and says nothing fresh: possession is
//                                           all that ties it to this enrolment
//   a certificate shown as an attestation   `is_attestation` chooses the verifier and its anchors;
//                                           the issuing CAs never vouch for an attestation, nor the
//                                           reverse
#ifndef FOREKEY_SRC_GATE_TOKEN_PIV_VERIFIER_H_
#define FOREKEY_SRC_GATE_TOKEN_PIV_VERIFIER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/crypto/certificate.h"
#include "src/crypto/revocation_list.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/piv_config.h"
#include "src/gate/token/token_verifier.h"
#include "src/verify/piv_policy.h"
#include "src/wire/firmware_list.h"

namespace forekey {

struct PivVerifierOptions {
  PivPolicy policy;         // trust, time and revocation are filled in for each enrolment
  TrustAnchors trust;       // vendors' roots
  TrustAnchors issuers;     // issuing CAs of cards without attestation
  TrustAnchors simulators;  // empty unless the config says insecure_simulators
  std::vector<RevocationList> revocation;
  FirmwareList firmware;              // empty asks nothing
  std::vector<std::string> left_out;  // files of the folders that hold no certificate
  // A folder of these was emptied on purpose: what it vouched for was withdrawn
  // (kCertificateUntrusted), which is not the same as never having been taken.
  bool emptied = false;
};

// Demand: `slot` is a hint; one that the policy would refuse is refused before anybody makes a key
// or types a PIN (kPivSlotMismatch, kPivSharedKey), 0 says nothing. The demand lists the slots that
// are taken, and says which kinds of evidence are. Attest: the verifiers' reasons;
// kAttestationFormatRefused where the configuration trusts nothing for that kind of evidence. A key
// of a simulator's root is marked in what was proved.
std::unique_ptr<TokenVerifier> NewPivVerifier(PivVerifierOptions options);

// What the configuration says, loaded; errors name the key. A revocation list that can't be read or
// parsed is an error: it would be the way to forget who is revoked. One that has expired is loaded,
// and refuses its issuer's certificates (kCrlExpired) until a newer one is there.
absl::StatusOr<PivVerifierOptions> LoadPivTrust(const PivConfig& config);

// OK when lists that were loaded again forget nobody: for each list of before there is one of the
// same issuer that is no older, and verifies under each CA of the folders under which that one did.
// FailedPrecondition names the issuer whose list is gone, forged or rolled back.
absl::Status CheckNewLists(const PivVerifierOptions& before, const PivVerifierOptions& now);

// Reads what LoadPivTrust() reads; from the second time on the lists must pass CheckNewLists().
TrustSource PivTrustSource(const PivConfig& config);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_PIV_VERIFIER_H_
