// SPDX-License-Identifier: Apache-2.0
#include "src/wire/attestation_object.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status Malformed(absl::string_view what) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("attestation object: ", what));
}

}  // namespace

absl::StatusOr<AttestationObject> AttestationObject::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxAttestationObjectSize) return Malformed("too long");
  CborOptions options;
  options.canonical_order = false;
  absl::string_view rest = bytes;
  FOREKEY_ASSIGN_OR_RETURN(const CborValue object, CborValue::ParsePrefix(&rest, options));
  if (!rest.empty() && (rest.size() < kMinTolerableTail || rest.size() > kMaxTolerableTail)) {
    return Malformed(absl::StrCat(rest.size(), " bytes left over"));
  }
  if (!object.is_map()) return Malformed("no map");
  const CborValue* format = object.Find("fmt");
  const CborValue* statement = object.Find("attStmt");
  const CborValue* auth_data = object.Find("authData");
  if (format == nullptr || !format->text()) return Malformed("fmt is missing or no text");
  if (statement == nullptr || !statement->is_map())
    return Malformed("attStmt is missing or no map");
  if (auth_data == nullptr || !auth_data->bytes()) {
    return Malformed("authData is missing or no byte string");
  }
  if (object.entries() != 3) return Malformed("a member too many");
  return AttestationObject{*format->text(), *statement, *auth_data->bytes(), rest.size()};
}

}  // namespace forekey
