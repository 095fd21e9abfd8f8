// SPDX-License-Identifier: Apache-2.0
// CBOR as CTAP2 has it (CTAP 2.1 section 8, "Message Encoding"): the simulated token's own reader
// and writer, sharing nothing with the ones that judge its answers.
#ifndef FOREKEY_SIMULATORS_FIDO2_CBOR_ITEM_H_
#define FOREKEY_SIMULATORS_FIDO2_CBOR_ITEM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace forekey::fido2sim {

// One data item, with views into the bytes it was parsed from, which must outlive it.
struct Item {
  struct Entry;
  enum class Type { kInt, kBytes, kText, kArray, kMap, kBool, kNull };
  Type type = Type::kNull;
  int64_t number = 0;       // kInt; kBool: 0 or 1
  absl::string_view bytes;  // kBytes, kText
  std::vector<Item> array;
  std::vector<Entry> map;
  absl::string_view raw;  // the item's own encoding

  // Exactly one item in canonical form: shortest lengths, map keys in order and once, nothing
  // indefinite, no floats or tags, at most 4 levels, nothing left over. nullopt otherwise.
  static std::optional<Item> Parse(absl::string_view bytes);
  // The value for a key of this map; null where there is none or this is no map.
  const Item* Find(int64_t key) const;
  const Item* Find(absl::string_view key) const;
};

struct Item::Entry {
  Item key;
  Item value;
};

// Encoded items.
std::string CborInt(int64_t value);
std::string CborBytes(absl::string_view bytes);
std::string CborText(absl::string_view text);
std::string CborBool(bool value);
std::string CborArray(const std::vector<std::string>& items);
// Puts the entries into canonical order.
std::string CborMap(std::vector<std::pair<std::string, std::string>> entries);

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_CBOR_ITEM_H_
