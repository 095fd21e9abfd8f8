// SPDX-License-Identifier: Apache-2.0
// Options of an enrolment that one driver alone understands, by name: "slot" of a PIV card,
// "discoverable" of a FIDO2 key. Programs hand them through; only the driver knows their names, and
// refuses one that it does not know, so that nobody believes in an option that does nothing.
#ifndef FOREKEY_HW_DRIVER_OPTIONS_H_
#define FOREKEY_HW_DRIVER_OPTIONS_H_

#include <initializer_list>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// Values are kept as secrets, because some are. An empty value is the same as none.
class DriverOptions {
 public:
  void Set(absl::string_view name, absl::string_view value) { Set(name, Secret::CopyOf(value)); }
  void Set(absl::string_view name, Secret value);
  // "true", or nothing.
  void SetFlag(absl::string_view name, bool on) { Set(name, on ? "true" : ""); }

  // InvalidArgument, naming what is wrong and what there is, for an option that is not among
  // `known`. `driver`: its scheme.
  absl::Status CheckNames(absl::string_view driver,
                          std::initializer_list<absl::string_view> known) const;

  // Empty where there is none.
  absl::string_view Text(absl::string_view name) const;
  // "true", "false" or nothing; InvalidArgument for another value.
  absl::StatusOr<bool> Flag(absl::string_view name) const;

 private:
  std::map<std::string, Secret, std::less<>> values_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_DRIVER_OPTIONS_H_
