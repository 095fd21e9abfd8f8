// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_assertion.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/authenticator_data.h"

namespace forekey {

absl::StatusOr<CheckedAssertion> CheckAssertion(const AssertionOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(const ClientData client, ClientData::Parse(options.client_data_json));
  FOREKEY_RETURN_IF_ERROR(CheckClientData(client, kClientDataGet, options.challenge,
                                          options.relying_party->origin,
                                          options.allow_cross_origin));
  FOREKEY_ASSIGN_OR_RETURN(const AuthenticatorData data,
                           AuthenticatorData::Parse(options.authenticator_data));
  if (!ConstantTimeEqual(data.rp_id_hash, options.relying_party->rp_id_hash)) {
    return Refuse(Reason::kRpIdMismatch);
  }
  // Section 6.3.3: an assertion's authenticator data has none.
  if (data.flags.at()) {
    return Refuse(Reason::kFlagsInvalid, "attested credential data (AT) in an assertion");
  }
  if (!data.flags.up()) return Refuse(Reason::kUserNotPresent);
  if (options.require_user_verification && !data.flags.uv()) {
    return Refuse(Reason::kUserNotVerified);
  }
  if (options.enrolled_backup_eligible && *options.enrolled_backup_eligible != data.flags.be()) {
    return Refuse(Reason::kFlagsInvalid, "backup eligible (BE) is not as it was at enrolment");
  }
  CheckedAssertion checked;
  checked.message = absl::StrCat(options.authenticator_data, Sha256(options.client_data_json));
  checked.uv = data.flags.uv();
  checked.backup_eligible = data.flags.be();
  checked.backed_up = data.flags.bs();
  checked.sign_count = data.sign_count;
  checked.extensions = data.extensions;
  return checked;
}

absl::StatusOr<VerifiedAssertion> VerifyAssertion(const AssertionOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(CheckedAssertion checked, CheckAssertion(options));
  FOREKEY_RETURN_IF_ERROR(options.key->Verify(checked.message, options.signature));
  VerifiedAssertion verified;
  verified.uv_ = checked.uv;
  verified.backup_eligible_ = checked.backup_eligible;
  verified.backed_up_ = checked.backed_up;
  verified.sign_count_ = checked.sign_count;
  verified.extensions_ = std::move(checked.extensions);
  return verified;
}

absl::Status CheckSignatureCounter(uint32_t stored, uint32_t current) {
  if (current > stored || (current == 0 && stored == 0)) return absl::OkStatus();
  return Refuse(Reason::kCounterRollback, absl::StrCat("counter ", current, " after ", stored));
}

}  // namespace forekey
