// SPDX-License-Identifier: Apache-2.0
// One factor that a session or a call has proved, and when.
#ifndef FOREKEY_SRC_STORE_PROVED_FACTOR_H_
#define FOREKEY_SRC_STORE_PROVED_FACTOR_H_

#include <ostream>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/boot_time.h"

namespace forekey {

// The name of a factor: "tpm", ... Each name is kept once, for ever, and this points to it; so it
// is for names that the gate's own code and configuration have, and never for a peer's words.
class FactorName {
 public:
  FactorName() : FactorName(absl::string_view()) {}
  FactorName(absl::string_view name);
  FactorName(const std::string& name) : FactorName(absl::string_view(name)) {}
  FactorName(const char* name) : FactorName(absl::string_view(name)) {}
  const std::string& str() const { return *name_; }

  friend bool operator==(FactorName one, FactorName other) { return one.name_ == other.name_; }
  friend bool operator==(FactorName one, absl::string_view other) { return *one.name_ == other; }
  friend bool operator==(FactorName one, const std::string& other) { return *one.name_ == other; }
  friend bool operator==(FactorName one, const char* other) { return *one.name_ == other; }
  friend std::ostream& operator<<(std::ostream& out, FactorName name) { return out << *name.name_; }

 private:
  const std::string* name_;
};

struct ProvedFactor {
  FactorName name;
  absl::Time proved_at;  // never moved by a child
  // The same instant: ages are taken from a clock that does not step.
  BootTime proved_boot;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_PROVED_FACTOR_H_
