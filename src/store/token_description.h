// SPDX-License-Identifier: Apache-2.0
// A token as the audit log has it beside a call: what people call it by, as its attestation proved
// it, and what its signatures are checked with.
#ifndef FOREKEY_SRC_STORE_TOKEN_DESCRIPTION_H_
#define FOREKEY_SRC_STORE_TOKEN_DESCRIPTION_H_

#include <memory>
#include <string>

#include "src/store/registry.h"

namespace forekey {

struct TokenDescription {
  std::string kind;  // "tpm"
  std::string label;
  std::string model;  // with its maker, as far as both were proved
  // Where there is no serial number: what tells one device from another, such as its endorsement
  // key.
  std::string serial;
  // What a signature by it is checked with.
  int algorithm = 0;  // COSE
  std::string spki;
  std::string rp_id, origin;  // FIDO2
};

// As it is enrolled; the names are read out of the JSON that the registry keeps of it.
std::shared_ptr<const TokenDescription> DescribeToken(const CredentialRecord& credential);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_TOKEN_DESCRIPTION_H_
