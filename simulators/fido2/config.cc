// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/config.h"

#include <utility>

namespace forekey::fido2sim {

std::optional<AttestationKind> AttestationKindFromName(absl::string_view name) {
  for (auto [text, kind] : {std::pair{"packed-x5c", AttestationKind::kPackedX5c},
                            std::pair{"packed-self", AttestationKind::kPackedSelf},
                            std::pair{"fido-u2f", AttestationKind::kFidoU2f},
                            std::pair{"none", AttestationKind::kNone}}) {
    if (name == text) return kind;
  }
  return std::nullopt;
}

std::optional<Misbehaviour> MisbehaviourFromName(absl::string_view name) {
  for (const MisbehaviourName& entry : kMisbehaviourNames) {
    if (name == entry.name) return entry.value;
  }
  return std::nullopt;
}

}  // namespace forekey::fido2sim
