// SPDX-License-Identifier: Apache-2.0
// CBOR (RFC 8949) as CTAP 2.1 section 8 restricts it ("CTAP2 canonical CBOR encoding form"): what
// authenticators and WebAuthn clients encode attestation objects, credential keys and extensions
// in.
//
// Refused, always with Reason::kEvidenceMalformed and the byte where it happened: indefinite
// lengths, integers and lengths that are not the shortest, tags, reserved values, map keys that are
// neither integer nor text, duplicate keys, invalid UTF-8, nesting deeper than
// CborOptions::max_depth, more than CborOptions::max_items items, anything that reaches past the
// end. Nothing is allocated for a length that is only claimed.
#ifndef FOREKEY_SRC_WIRE_CBOR_H_
#define FOREKEY_SRC_WIRE_CBOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct CborOptions {
  size_t max_depth = 4;  // CTAP 2.1 section 8: at most four levels of arrays and maps
  size_t max_items = 1024;
  // Keys must come in the canonical order (major type, then length, then bytes). Clients' outer
  // objects come in any order (webauthn_quirks.h); what authenticators sign does not.
  bool canonical_order = true;
};

// One data item. Byte and text strings are views into the bytes that were parsed, which must
// outlive it. Immutable; safe from any thread.
class CborValue {
 public:
  enum class Type { kInteger, kBytes, kText, kArray, kMap, kBool, kNull, kFloat };

  // The whole of `bytes` is one item: what is left over is refused.
  static absl::StatusOr<CborValue> Parse(absl::string_view bytes, const CborOptions& options = {});
  // One item at the beginning of `*bytes`, which is taken off it.
  static absl::StatusOr<CborValue> ParsePrefix(absl::string_view* bytes,
                                               const CborOptions& options = {});

  Type type() const { return type_; }
  // nullopt when the item is of another type; integers also when they don't fit.
  std::optional<int64_t> integer() const;
  std::optional<absl::string_view> bytes() const;
  std::optional<absl::string_view> text() const;
  std::optional<bool> boolean() const;
  bool is_array() const { return type_ == Type::kArray; }
  bool is_map() const { return type_ == Type::kMap; }
  // The elements of an array; empty for anything else.
  const std::vector<CborValue>& elements() const { return children_; }
  // A map's entries: entry i has key children()[2 * i] and value children()[2 * i + 1].
  size_t entries() const { return is_map() ? children_.size() / 2 : 0; }
  const CborValue& key(size_t entry) const { return children_[2 * entry]; }
  const CborValue& value(size_t entry) const { return children_[2 * entry + 1]; }
  // The value under a key of a map; null when there is none, or when this is no map.
  const CborValue* Find(absl::string_view key) const;
  const CborValue* Find(int64_t key) const;

 private:
  friend class CborParser;
  CborValue() = default;
  Type type_ = Type::kNull;
  bool negative_ = false;
  uint64_t number_ = 0;     // the argument: value, length, or simple value
  absl::string_view view_;  // strings: the content
  std::vector<CborValue> children_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_CBOR_H_
