// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/factor_settings.h"

namespace forekey {

FactorSettings::FactorSettings() : sections_(ListFactors()) {}

FactorSettings& FactorSettings::operator=(const FactorSettings& other) {
  if (this == &other) return *this;
  sections_.clear();
  for (const auto& section : other.sections_) sections_.push_back(section->Clone());
  return *this;
}

void FactorSettings::Read(ConfigTable factors, absl::string_view base) {
  for (const auto& section : sections_) section->Read(factors, base);
}

}  // namespace forekey
