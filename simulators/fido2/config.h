// SPDX-License-Identifier: Apache-2.0
// What a simulated security key is (Config), and what it does wrong at this moment (Misbehaviour).
// What it holds is in state.h.
#ifndef FOREKEY_SIMULATORS_FIDO2_CONFIG_H_
#define FOREKEY_SIMULATORS_FIDO2_CONFIG_H_

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey::fido2sim {

// COSE algorithm numbers (RFC 9053).
inline constexpr int kEs256 = -7;
inline constexpr int kEdDsa = -8;
inline constexpr int kEs384 = -35;
inline constexpr int kRs256 = -257;

enum class AttestationKind { kPackedX5c, kPackedSelf, kFidoU2f, kNone };
// "packed-x5c", "packed-self", "fido-u2f", "none".
std::optional<AttestationKind> AttestationKindFromName(absl::string_view name);

struct Config {
  std::string aaguid = "ForekeySimulator";  // 16 bytes
  uint32_t firmware = 0x00050100;
  std::vector<int> algorithms = {kEs256, kEdDsa, kEs384, kRs256};
  std::vector<int> pin_protocols = {2, 1};  // as getInfo lists them: the preferred first
  bool ctap2 = true;                        // false: a U2F token, which knows CTAPHID_MSG only
  bool u2f = true;
  bool client_pin = true;
  bool built_in_uv = false;  // a fingerprint reader: a touch verifies the user
  bool resident_keys = true;
  bool cred_protect = true;
  bool credential_management = true;
  bool pin_uv_auth_token = true;  // CTAP 2.1's permissions; false: as CTAP 2.0
  bool make_cred_uv_not_required = true;
  bool counters = true;  // false: signature counters stay 0
  AttestationKind attestation = AttestationKind::kPackedX5c;
  bool aaguid_extension = true;  // in the attestation certificate
  size_t max_resident_keys = 25;
  size_t max_message_size = 1200;
  size_t max_credentials_in_list = 8;
  size_t min_pin_length = 4;
  bool auto_touch = false;
  absl::Duration touch_timeout = absl::Seconds(30);
  absl::Duration keepalive_interval = absl::Milliseconds(100);
  absl::Duration delay;  // processing time of every CBOR command
  // How long after power-up Reset is allowed (CTAP 2.1 section 6.6).
  absl::Duration reset_window = absl::Seconds(10);
};

enum class Misbehaviour {
  kGoneInMidCommand,
  kNeverTouched,
  kDenied,
  kPinBlocked,
  kPinAuthBlocked,
  kUvBlocked,
  kCounterRollback,
  kWrongRpIdHash,
  kUpCleared,
  kUvCleared,
  kBackupEligible,
  kReservedFlag,
  kOtherKeysSignature,
  kWrongClientDataHash,
  kWrongCredentialId,
  kWrongAttestationKey,
  kAaguidMismatch,
  kMalformedCbor,
  kTrailingCbor,
  kDuplicateCborKey,
  kEmptyAnswer,
  kTruncatedFrames,
  kWrongChannel,
  kWrongSequence,
  kOversizedLength,
  kEndlessKeepalive,
  kSilent,
  kChannelBusy,
};
using Misbehaviours = std::set<Misbehaviour>;

struct MisbehaviourName {
  Misbehaviour value;
  absl::string_view name;
  absl::string_view what;
};
inline constexpr MisbehaviourName kMisbehaviourNames[] = {
    {Misbehaviour::kGoneInMidCommand, "gone-in-mid-command",
     "pulled out while the next credential or assertion is made (once)"},
    {Misbehaviour::kNeverTouched, "never-touched",
     "nobody touches it: every wait runs into its time-out"},
    {Misbehaviour::kDenied, "denied", "the person refuses: OPERATION_DENIED"},
    {Misbehaviour::kPinBlocked, "pin-blocked", "no PIN tries left"},
    {Misbehaviour::kPinAuthBlocked, "pin-auth-blocked",
     "PIN tries are stopped until it is replugged"},
    {Misbehaviour::kUvBlocked, "uv-blocked", "no built-in user verification tries left"},
    {Misbehaviour::kCounterRollback, "counter-rollback",
     "signature counters go down, as a clone's"},
    {Misbehaviour::kWrongRpIdHash, "wrong-rp-id-hash",
     "authenticator data name another relying party"},
    {Misbehaviour::kUpCleared, "up-cleared", "the flag UP is not set"},
    {Misbehaviour::kUvCleared, "uv-cleared", "the flag UV is not set"},
    {Misbehaviour::kBackupEligible, "backup-eligible",
     "the flags BE and BS are set: a synced passkey"},
    {Misbehaviour::kReservedFlag, "reserved-flag", "a reserved flag is set"},
    {Misbehaviour::kOtherKeysSignature, "other-keys-signature",
     "assertions are signed by another key"},
    {Misbehaviour::kWrongClientDataHash, "wrong-client-data-hash",
     "signs another client data hash than was asked"},
    {Misbehaviour::kWrongCredentialId, "wrong-credential-id", "assertions name another credential"},
    {Misbehaviour::kWrongAttestationKey, "wrong-attestation-key",
     "attestations are not signed by the certificate's key"},
    {Misbehaviour::kAaguidMismatch, "aaguid-mismatch",
     "authenticator data have another AAGUID than the certificate"},
    {Misbehaviour::kMalformedCbor, "malformed-cbor", "answers are cut short inside the CBOR"},
    {Misbehaviour::kTrailingCbor, "trailing-cbor", "answers have a byte after the CBOR"},
    {Misbehaviour::kDuplicateCborKey, "duplicate-cbor-key",
     "the answer's first map entry comes twice"},
    {Misbehaviour::kEmptyAnswer, "empty-answer",
     "credentials and assertions are answered with success and no CBOR"},
    {Misbehaviour::kTruncatedFrames, "truncated-frames", "reports have 32 bytes"},
    {Misbehaviour::kWrongChannel, "wrong-channel", "CBOR answers come on another channel"},
    {Misbehaviour::kWrongSequence, "wrong-sequence", "continuation packets come out of order"},
    {Misbehaviour::kOversizedLength, "oversized-length",
     "answers announce more bytes than a message can have"},
    {Misbehaviour::kEndlessKeepalive, "endless-keepalive", "stays busy until it is told to cancel"},
    {Misbehaviour::kSilent, "silent", "never answers a command (INIT it does)"},
    {Misbehaviour::kChannelBusy, "channel-busy", "every command finds the device busy"},
};
std::optional<Misbehaviour> MisbehaviourFromName(absl::string_view name);

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_CONFIG_H_
