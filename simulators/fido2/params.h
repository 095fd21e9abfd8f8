// SPDX-License-Identifier: Apache-2.0
// Reads the parameters of a CTAP command: the first thing wrong decides the status.
#ifndef FOREKEY_SIMULATORS_FIDO2_PARAMS_H_
#define FOREKEY_SIMULATORS_FIDO2_PARAMS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/cbor_item.h"

namespace forekey::fido2sim {

class Params {
 public:
  explicit Params(const Item* map) : map_(map) {
    if (map == nullptr)
      status_ = kMissingParameter;
    else if (map->type != Item::Type::kMap)
      status_ = kCborUnexpectedType;
  }
  // Null where it is missing (an error for a required one) or of another type (always an error).
  template <typename Key>
  const Item* Get(Key key, Item::Type type, bool required = true) {
    const Item* item = map_ == nullptr ? nullptr : map_->Find(key);
    if (item == nullptr) {
      if (required) Fail(kMissingParameter);
      return nullptr;
    }
    if (item->type != type) {
      Fail(kCborUnexpectedType);
      return nullptr;
    }
    return item;
  }
  template <typename Key>
  absl::string_view Bytes(Key key, bool required = true) {
    const Item* item = Get(key, Item::Type::kBytes, required);
    return item == nullptr ? absl::string_view() : item->bytes;
  }
  template <typename Key>
  absl::string_view Text(Key key, bool required = true) {
    const Item* item = Get(key, Item::Type::kText, required);
    return item == nullptr ? absl::string_view() : item->bytes;
  }
  template <typename Key>
  int64_t Int(Key key, bool required = true) {
    const Item* item = Get(key, Item::Type::kInt, required);
    return item == nullptr ? 0 : item->number;
  }
  void Fail(uint8_t status) {
    if (status_ == kOk) status_ = status;
  }
  uint8_t status() const { return status_; }

 private:
  const Item* map_;
  uint8_t status_ = kOk;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_PARAMS_H_
