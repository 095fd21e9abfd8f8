// SPDX-License-Identifier: Apache-2.0
// What the configuration says of further factors: for each a section of its own, [factors.NAME],
// which reads itself and makes the factor. The gate goes through the sections and names no factor.
#ifndef FOREKEY_SRC_GATE_FACTOR_FACTOR_SETTINGS_H_
#define FOREKEY_SRC_GATE_FACTOR_FACTOR_SETTINGS_H_

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/gate/settings/config_reader.h"

namespace forekey {

class Clock;
class Factor;
class Registry;

// What a section needs of the rest of the gate. Outlives what is made with it.
struct FactorEnvironment {
  Registry* registry = nullptr;
  const Clock* clock = nullptr;
  // Takes what the audit log should have of a factor's own doings; may be called by any thread.
  std::function<void(bool good, const std::string& what)> report;
};

class FactorSection {
 public:
  virtual ~FactorSection() = default;
  virtual std::unique_ptr<FactorSection> Clone() const = 0;

  // `factors`: the table [factors], in which it looks for its own. Relative paths are taken from
  // `base`. Errors are reported to the table's reader.
  virtual void Read(ConfigTable factors, absl::string_view base) = 0;
  // False: openings with this factor are refused.
  virtual bool enabled() const = 0;
  // Asked where it is enabled.
  virtual std::unique_ptr<Factor> Make(const FactorEnvironment& environment) const = 0;
};

// One section a factor, in the order in which they are checked: what is cheap comes first. A value:
// copies are deep.
class FactorSettings {
 public:
  // All factors that are listed, with their defaults.
  FactorSettings();
  FactorSettings(const FactorSettings& other) { *this = other; }
  FactorSettings& operator=(const FactorSettings& other);
  FactorSettings(FactorSettings&&) = default;
  FactorSettings& operator=(FactorSettings&&) = default;

  void Add(std::unique_ptr<FactorSection> section) { sections_.push_back(std::move(section)); }
  void Read(ConfigTable factors, absl::string_view base);
  const std::vector<std::unique_ptr<FactorSection>>& sections() const { return sections_; }

  // The section of this type; it must be there.
  template <typename Section>
  Section& Get() {
    for (auto& section : sections_) {
      if (auto* found = dynamic_cast<Section*>(section.get())) return *found;
    }
    std::abort();
  }
  template <typename Section>
  const Section& Get() const {
    return const_cast<FactorSettings*>(this)->Get<Section>();
  }

 private:
  std::vector<std::unique_ptr<FactorSection>> sections_;
};

// THE list of factors (factor_list.cc).
std::vector<std::unique_ptr<FactorSection>> ListFactors();

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_FACTOR_SETTINGS_H_
