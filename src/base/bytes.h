// SPDX-License-Identifier: Apache-2.0
// Bytes, everywhere in Forekey, are std::string when owned and absl::string_view when borrowed: the
// same types that protobuf and Abseil use, so that nothing is copied to change its type.
#ifndef FOREKEY_SRC_BASE_BYTES_H_
#define FOREKEY_SRC_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

inline const uint8_t* U8(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}
inline uint8_t* U8(std::string& bytes) { return reinterpret_cast<uint8_t*>(bytes.data()); }

inline absl::string_view View(const uint8_t* data, size_t size) {
  return absl::string_view(reinterpret_cast<const char*>(data), size);
}

// Appends big-endian integers, and byte strings with a length before them.
class ByteWriter {
 public:
  ByteWriter& Raw(absl::string_view bytes) {
    out_.append(bytes.data(), bytes.size());
    return *this;
  }
  ByteWriter& U8(uint8_t value) {
    out_.push_back(static_cast<char>(value));
    return *this;
  }
  ByteWriter& U16(uint16_t value) { return Big(value, 2); }
  ByteWriter& U32(uint32_t value) { return Big(value, 4); }
  ByteWriter& U64(uint64_t value) { return Big(value, 8); }
  // The caller bounds the sizes: Len1 takes at most 255 bytes, Len2 at most 65535.
  ByteWriter& Len1(absl::string_view bytes) {
    return U8(static_cast<uint8_t>(bytes.size())).Raw(bytes);
  }
  ByteWriter& Len2(absl::string_view bytes) {
    return U16(static_cast<uint16_t>(bytes.size())).Raw(bytes);
  }
  const std::string& bytes() const& { return out_; }
  std::string bytes() && { return std::move(out_); }
  void Reserve(size_t size) { out_.reserve(size); }

 private:
  ByteWriter& Big(uint64_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
      out_.push_back(static_cast<char>(value >> shift));
    }
    return *this;
  }
  std::string out_;
};

// Reads big-endian structures out of untrusted bytes. After the first read past the end every
// further read gives zeros or empty views and ok() is false, so that a parser may read a whole
// structure and ask once; it must ask Finished(), which also refuses bytes that are left over.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  uint8_t U8() { return static_cast<uint8_t>(Big(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Big(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Big(4)); }
  uint64_t U64() { return Big(8); }
  absl::string_view Raw(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    absl::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  absl::string_view Len1() { return Raw(U8()); }
  absl::string_view Len2() { return Raw(U16()); }
  absl::string_view Rest() { return Raw(rest_.size()); }

  size_t remaining() const { return rest_.size(); }
  bool ok() const { return ok_; }
  // True when every read so far was within the bytes and nothing is left.
  bool Finished() const { return ok_ && rest_.empty(); }

 private:
  uint64_t Big(size_t size) {
    uint64_t value = 0;
    for (char c : Raw(size)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_BYTES_H_
