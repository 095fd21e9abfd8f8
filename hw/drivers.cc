// SPDX-License-Identifier: Apache-2.0
#include "hw/drivers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "hw/fido2/fido2_driver.h"
#include "hw/piv/piv_driver.h"
#include "hw/tpm/tpm_driver.h"

namespace forekey {
namespace {

std::vector<std::string> OfScheme(const std::vector<std::string>& uris, absl::string_view scheme) {
  std::vector<std::string> result;
  for (const std::string& uri : uris) {
    if (absl::StartsWith(uri, absl::StrCat(scheme, ":"))) result.push_back(uri);
  }
  return result;
}

}  // namespace

std::vector<std::unique_ptr<Driver>> AllDrivers(const std::vector<std::string>& uris) {
  std::vector<std::unique_ptr<Driver>> drivers;
  drivers.push_back(std::make_unique<TpmDriver>(OfScheme(uris, "tpm")));
  drivers.push_back(std::make_unique<Fido2Driver>(OfScheme(uris, "fido2")));
  drivers.push_back(std::make_unique<PivDriver>(OfScheme(uris, "piv")));
  return drivers;
}

}  // namespace forekey
