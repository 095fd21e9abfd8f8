// SPDX-License-Identifier: Apache-2.0
#include "src/wire/cbor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

bool IsContinuation(absl::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80;
}

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = static_cast<uint8_t>(text[i]);
    size_t size = lead < 0x80   ? 1
                  : lead < 0xc2 ? 0
                  : lead < 0xe0 ? 2
                  : lead < 0xf0 ? 3
                  : lead < 0xf5 ? 4
                                : 0;
    if (size == 0) return false;
    for (size_t k = 1; k < size; ++k) {
      if (!IsContinuation(text, i + k)) return false;
    }
    const uint8_t second = size > 1 ? static_cast<uint8_t>(text[i + 1]) : 0;
    if (lead == 0xe0 && second < 0xa0) return false;
    if (lead == 0xed && second > 0x9f) return false;
    if (lead == 0xf0 && second < 0x90) return false;
    if (lead == 0xf4 && second > 0x8f) return false;
    i += size;
  }
  return true;
}

// CTAP 2.1 section 8: the lower major type first, then the shorter, then the lower bytes.
bool CanonicallyLess(absl::string_view a, absl::string_view b) {
  const int major_a = static_cast<uint8_t>(a[0]) >> 5;
  const int major_b = static_cast<uint8_t>(b[0]) >> 5;
  if (major_a != major_b) return major_a < major_b;
  if (a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

}  // namespace

class CborParser {
 public:
  CborParser(absl::string_view bytes, const CborOptions& options)
      : whole_(bytes), rest_(bytes), options_(options) {}

  absl::Status Item(CborValue& out, size_t depth) {
    if (++items_ > options_.max_items) return Malformed("too many items");
    if (rest_.empty()) return Malformed("ends too early");
    const uint8_t initial = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    const int major = initial >> 5;
    const int info = initial & 0x1f;
    if (major == 7) return Simple(info, out);
    FOREKEY_ASSIGN_OR_RETURN(out.number_, Argument(info));
    switch (major) {
      case 0:
      case 1:
        out.type_ = CborValue::Type::kInteger;
        out.negative_ = major == 1;
        return absl::OkStatus();
      case 2:
      case 3:
        return String(major == 3, out);
      case 4:
        return Array(out, depth);
      case 5:
        return Map(out, depth);
      default:
        return Malformed("a tag");
    }
  }

  absl::string_view rest() const { return rest_; }

 private:
  absl::Status Malformed(absl::string_view what) const {
    return Refuse(Reason::kEvidenceMalformed,
                  absl::StrCat("CBOR: ", what, " at byte ", whole_.size() - rest_.size()));
  }

  // The argument that follows the initial byte, in its shortest form.
  absl::StatusOr<uint64_t> Argument(int info) {
    if (info < 24) return static_cast<uint64_t>(info);
    if (info == 31) return Malformed("an indefinite length");
    if (info > 27) return Malformed("a reserved length");
    const size_t size = size_t{1} << (info - 24);
    if (rest_.size() < size) return Malformed("ends too early");
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(size);
    const bool shortest = size == 1 ? value >= 24 : value >> (4 * size) != 0;
    if (!shortest) return Malformed("an integer or length that is not the shortest");
    return value;
  }

  absl::Status Simple(int info, CborValue& out) {
    switch (info) {
      case 20:
      case 21:
        out.type_ = CborValue::Type::kBool;
        out.number_ = info == 21;
        return absl::OkStatus();
      case 22:
        out.type_ = CborValue::Type::kNull;
        return absl::OkStatus();
      case 25:
      case 26:
      case 27: {
        // Floats keep their width (CTAP 2.1 section 8); nothing here reads their value.
        const size_t size = size_t{1} << (info - 24);
        if (rest_.size() < size) return Malformed("ends too early");
        out.type_ = CborValue::Type::kFloat;
        rest_.remove_prefix(size);
        return absl::OkStatus();
      }
      case 31:
        return Malformed("a break without an indefinite length");
      default:
        return Malformed("an unassigned simple value");
    }
  }

  absl::Status String(bool text, CborValue& out) {
    if (out.number_ > rest_.size()) return Malformed("a string that reaches past the end");
    out.view_ = rest_.substr(0, out.number_);
    if (text && !IsUtf8(out.view_)) return Malformed("text that is not UTF-8");
    rest_.remove_prefix(out.number_);
    out.type_ = text ? CborValue::Type::kText : CborValue::Type::kBytes;
    return absl::OkStatus();
  }

  absl::Status Array(CborValue& out, size_t depth) {
    out.type_ = CborValue::Type::kArray;
    if (depth >= options_.max_depth) return Malformed("nested too deep");
    // Every element takes a byte at least, so that a claimed length costs nothing.
    if (out.number_ > rest_.size()) return Malformed("an array that reaches past the end");
    for (uint64_t i = 0; i < out.number_; ++i) {
      out.children_.push_back(CborValue());
      FOREKEY_RETURN_IF_ERROR(Item(out.children_.back(), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status Map(CborValue& out, size_t depth) {
    out.type_ = CborValue::Type::kMap;
    if (depth >= options_.max_depth) return Malformed("nested too deep");
    if (out.number_ > rest_.size() / 2) return Malformed("a map that reaches past the end");
    std::vector<absl::string_view> keys;
    for (uint64_t i = 0; i < out.number_; ++i) {
      const absl::string_view before = rest_;
      out.children_.push_back(CborValue());
      FOREKEY_RETURN_IF_ERROR(Item(out.children_.back(), depth + 1));
      const CborValue::Type type = out.children_.back().type_;
      if (type != CborValue::Type::kInteger && type != CborValue::Type::kText) {
        return Malformed("a map key that is neither integer nor text");
      }
      const absl::string_view key = before.substr(0, before.size() - rest_.size());
      if (options_.canonical_order && !keys.empty() && !CanonicallyLess(keys.back(), key)) {
        return Malformed(keys.back() == key ? "a duplicate map key" : "map keys out of order");
      }
      keys.push_back(key);
      out.children_.push_back(CborValue());
      FOREKEY_RETURN_IF_ERROR(Item(out.children_.back(), depth + 1));
    }
    if (!options_.canonical_order) {
      std::sort(keys.begin(), keys.end());
      // Encodings are the shortest, so equal keys have equal bytes.
      if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) {
        return Malformed("a duplicate map key");
      }
    }
    return absl::OkStatus();
  }

  const absl::string_view whole_;
  absl::string_view rest_;
  const CborOptions& options_;
  size_t items_ = 0;
};

absl::StatusOr<CborValue> CborValue::ParsePrefix(absl::string_view* bytes,
                                                 const CborOptions& options) {
  CborParser parser(*bytes, options);
  CborValue value;
  FOREKEY_RETURN_IF_ERROR(parser.Item(value, 0));
  *bytes = parser.rest();
  return value;
}

absl::StatusOr<CborValue> CborValue::Parse(absl::string_view bytes, const CborOptions& options) {
  absl::string_view rest = bytes;
  FOREKEY_ASSIGN_OR_RETURN(CborValue value, ParsePrefix(&rest, options));
  if (!rest.empty()) {
    return Refuse(Reason::kEvidenceMalformed,
                  absl::StrCat("CBOR: ", rest.size(), " bytes left over"));
  }
  return value;
}

std::optional<int64_t> CborValue::integer() const {
  if (type_ != Type::kInteger || number_ > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  const int64_t value = static_cast<int64_t>(number_);
  return negative_ ? -1 - value : value;
}

std::optional<absl::string_view> CborValue::bytes() const {
  if (type_ != Type::kBytes) return std::nullopt;
  return view_;
}

std::optional<absl::string_view> CborValue::text() const {
  if (type_ != Type::kText) return std::nullopt;
  return view_;
}

std::optional<bool> CborValue::boolean() const {
  if (type_ != Type::kBool) return std::nullopt;
  return number_ != 0;
}

const CborValue* CborValue::Find(absl::string_view key) const {
  for (size_t i = 0; i < entries(); ++i) {
    if (this->key(i).text() == key) return &value(i);
  }
  return nullptr;
}

const CborValue* CborValue::Find(int64_t key) const {
  for (size_t i = 0; i < entries(); ++i) {
    if (this->key(i).integer() == key) return &value(i);
  }
  return nullptr;
}

}  // namespace forekey
