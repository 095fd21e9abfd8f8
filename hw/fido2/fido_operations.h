// SPDX-License-Identifier: Apache-2.0
// The two operations of an authenticator, as WebAuthn wants them (Level 3 sections 6.3.2
// and 6.3.3). Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_OPERATIONS_H_
#define FOREKEY_HW_FIDO2_FIDO_OPERATIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "forekey/v1/gate.pb.h"
#include "hw/device_key.h"
#include "hw/fido2/fido_key_file.h"
#include "hw/fido2/fido_token.h"
#include "src/base/secret.h"

namespace forekey {

// How the person is verified for one operation, or one after the other of an enrolment.
struct FidoVerification {
  bool built_in = false;
  Secret pin;  // empty: not by PIN
  bool verifies() const { return built_in || !pin.empty(); }
};

// Required: it is done, or the error says what is missing (kPinRequired, kNotSetUp, kPinBlocked).
// Else it is done where the key can and there is a prompt or a `given` PIN. A PIN is asked for
// once, with the tries that are left.
absl::StatusOr<FidoVerification> ChooseVerification(FidoToken& token, bool required,
                                                    const Secret& given, const FidoWait& wait);

struct MadeCredential {
  std::string attestation_object;
  std::string client_data_json;
  FidoKeyFile key;
};
absl::StatusOr<MadeCredential> MakeFidoCredential(FidoToken& token,
                                                  const forekey::v1::EnrollmentDemand& demand,
                                                  absl::string_view statement, bool discoverable,
                                                  const FidoVerification& verification,
                                                  const FidoWait& wait);

// The signature is verified before it is handed out.
absl::StatusOr<DeviceSignature> GetFidoAssertion(FidoToken& token, const FidoKeyFile& key,
                                                 absl::string_view statement,
                                                 absl::string_view origin,
                                                 const FidoVerification& verification,
                                                 const FidoWait& wait);

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_OPERATIONS_H_
