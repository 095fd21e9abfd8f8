// SPDX-License-Identifier: Apache-2.0
// Where a kind's list of weak firmware and least versions comes from, and how it is read again.
#ifndef FOREKEY_SRC_GATE_TOKEN_FIRMWARE_SOURCE_H_
#define FOREKEY_SRC_GATE_TOKEN_FIRMWARE_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/wire/firmware_list.h"

namespace forekey {

// Copies share what was read before. Read() is called on one thread at a time.
class FirmwareSource {
 public:
  // `key`: "attestation.tpm.firmware", for messages. `named`: the file that it names; empty: the
  // list that lies beside `trust` (a folder or a file of `forekey trust`; empty: there is none).
  FirmwareSource(std::string key, std::string named, absl::string_view trust);

  // What is read, for TrustSource::paths.
  std::vector<std::string> paths() const;

  // Empty where there is none. Errors: a file that is named and is not there, one that is not
  // understood, one that the applied bundle has and that is gone; and one that was there the last
  // time and that no bundle took away: a list is not given up by accident.
  absl::StatusOr<FirmwareList> Read() const;

  // For the audit log: "12 lines on firmware", or that there is no list.
  static std::string Describe(const FirmwareList& list);

 private:
  const std::string key_, named_;
  std::string folder_;  // where a list may lie beside the trust; empty: nowhere
  struct Before {
    bool had_list = false;
    bool of_bundle = false;  // the applied bundle had it
  };
  std::shared_ptr<Before> before_ = std::make_shared<Before>();
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_FIRMWARE_SOURCE_H_
