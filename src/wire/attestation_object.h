// SPDX-License-Identifier: Apache-2.0
// Attestation object (WebAuthn Level 3 section 6.5.4): { fmt: text, attStmt: map, authData: bytes
// }, encoded by the client. Nothing signs this outer object; authData is under the statement's
// signature.
#ifndef FOREKEY_SRC_WIRE_ATTESTATION_OBJECT_H_
#define FOREKEY_SRC_WIRE_ATTESTATION_OBJECT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/wire/cbor.h"

namespace forekey {

inline constexpr size_t kMaxAttestationObjectSize = 65536;
// Clients in the field leave a few dozen bytes behind authData in the outer object, unsigned and of
// no meaning. Fewer have not been seen on hardware: one stray byte is a broken encoder or a probe.
inline constexpr size_t kMinTolerableTail = 16;
inline constexpr size_t kMaxTolerableTail = 64;

// Views into the bytes given to Parse, which must outlive it.
struct AttestationObject {
  absl::string_view format;
  CborValue statement;  // a map
  absl::string_view auth_data;
  size_t tail = 0;  // bytes that were left over and ignored (see above)

  // Map keys may come in any order. Refuses with kEvidenceMalformed: CBOR that cbor.h refuses, a
  // member missing, of another type or too many, a tail outside the bounds above, more than
  // kMaxAttestationObjectSize bytes.
  static absl::StatusOr<AttestationObject> Parse(absl::string_view bytes);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_ATTESTATION_OBJECT_H_
