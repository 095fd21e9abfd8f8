// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/cbor_item.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace forekey::fido2sim {
namespace {

constexpr int kMaxDepth = 4;

// CTAP2 canonical: by major type, then by length, then byte by byte.
bool KeyBefore(absl::string_view a, absl::string_view b) {
  const int major_a = static_cast<uint8_t>(a[0]) >> 5, major_b = static_cast<uint8_t>(b[0]) >> 5;
  if (major_a != major_b) return major_a < major_b;
  if (a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

std::string Head(int major, uint64_t value) {
  const int size = value < 24            ? 0
                   : value <= 0xff       ? 1
                   : value <= 0xffff     ? 2
                   : value <= 0xffffffff ? 4
                                         : 8;
  const uint8_t info = size == 0   ? static_cast<uint8_t>(value)
                       : size == 1 ? 24
                       : size == 2 ? 25
                       : size == 4 ? 26
                                   : 27;
  std::string out(1, static_cast<char>(major << 5 | info));
  for (int i = size - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : all_(bytes) {}

  bool Read(Item& item, int depth) {
    const size_t start = at_;
    int major;
    uint64_t value;
    if (!ReadHead(major, value) || !ReadBody(item, major, value, depth)) return false;
    item.raw = all_.substr(start, at_ - start);
    return true;
  }
  bool AtEnd() const { return at_ == all_.size(); }

 private:
  bool ReadHead(int& major, uint64_t& value) {
    if (AtEnd()) return false;
    const uint8_t first = static_cast<uint8_t>(all_[at_++]);
    major = first >> 5;
    value = first & 31;
    if (value < 24) return true;
    if (value > 27) return false;
    const int size = 1 << (value - 24);
    if (all_.size() - at_ < static_cast<size_t>(size)) return false;
    value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(all_[at_++]);
    // The shortest form is the only one; simple values have none of these.
    constexpr uint64_t kLeast[] = {24, 0x100, 0x10000, 0x100000000};
    return major != 7 && value >= kLeast[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3];
  }

  bool ReadBody(Item& item, int major, uint64_t value, int depth) {
    switch (major) {
      case 0:
      case 1:
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
        item.type = Item::Type::kInt;
        item.number = major == 0 ? static_cast<int64_t>(value) : -1 - static_cast<int64_t>(value);
        return true;
      case 2:
      case 3:
        if (value > all_.size() - at_) return false;
        item.type = major == 2 ? Item::Type::kBytes : Item::Type::kText;
        item.bytes = all_.substr(at_, value);
        at_ += value;
        return true;
      case 4:
        item.type = Item::Type::kArray;
        if (depth >= kMaxDepth || value > all_.size() - at_) return false;
        for (uint64_t i = 0; i < value; ++i) {
          if (!Read(item.array.emplace_back(), depth + 1)) return false;
        }
        return true;
      case 5:
        return ReadMap(item, value, depth);
      case 7:
        item.type = value == 22 ? Item::Type::kNull : Item::Type::kBool;
        item.number = value == 21;
        return value >= 20 && value <= 22;
      default:
        return false;  // tags
    }
  }

  bool ReadMap(Item& item, uint64_t entries, int depth) {
    item.type = Item::Type::kMap;
    if (depth >= kMaxDepth || entries > (all_.size() - at_) / 2) return false;
    for (uint64_t i = 0; i < entries; ++i) {
      auto& [key, value] = item.map.emplace_back();
      if (!Read(key, depth + 1)) return false;
      if (key.type != Item::Type::kInt && key.type != Item::Type::kText) return false;
      if (i > 0 && !KeyBefore(item.map[i - 1].key.raw, key.raw)) return false;
      if (!Read(value, depth + 1)) return false;
    }
    return true;
  }

  absl::string_view all_;
  size_t at_ = 0;
};

}  // namespace

std::optional<Item> Item::Parse(absl::string_view bytes) {
  Reader reader(bytes);
  Item item;
  if (!reader.Read(item, 0) || !reader.AtEnd()) return std::nullopt;
  return item;
}

const Item* Item::Find(int64_t key) const {
  for (const auto& [name, value] : map) {
    if (name.type == Type::kInt && name.number == key) return &value;
  }
  return nullptr;
}

const Item* Item::Find(absl::string_view key) const {
  for (const auto& [name, value] : map) {
    if (name.type == Type::kText && name.bytes == key) return &value;
  }
  return nullptr;
}

std::string CborInt(int64_t value) {
  return value >= 0 ? Head(0, static_cast<uint64_t>(value))
                    : Head(1, static_cast<uint64_t>(-1 - value));
}
std::string CborBytes(absl::string_view bytes) {
  return absl::StrCat(Head(2, bytes.size()), bytes);
}
std::string CborText(absl::string_view text) { return absl::StrCat(Head(3, text.size()), text); }
std::string CborBool(bool value) { return std::string(1, value ? '\xf5' : '\xf4'); }

std::string CborArray(const std::vector<std::string>& items) {
  std::string out = Head(4, items.size());
  for (const std::string& item : items) out += item;
  return out;
}

std::string CborMap(std::vector<std::pair<std::string, std::string>> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return KeyBefore(a.first, b.first); });
  std::string out = Head(5, entries.size());
  for (const auto& [key, value] : entries) out += key + value;
  return out;
}

}  // namespace forekey::fido2sim
