// SPDX-License-Identifier: Apache-2.0
// Memory for secrets: wiped when it goes, never printed, compared in constant time.
#ifndef FOREKEY_SRC_BASE_SECRET_H_
#define FOREKEY_SRC_BASE_SECRET_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace forekey {

// True when both have the same size and bytes. The time taken depends on the sizes alone.
bool ConstantTimeEqual(absl::string_view a, absl::string_view b);

// Overwrites `bytes` in a way the compiler may not remove, then empties it.
void Wipe(std::string& bytes);

// Owns secret bytes (keys, PINs, tokens). Movable; a copy must be asked for with Clone(). There is
// no operator== and no printing: use ConstantTimeEqual on view(), and never log it.
class Secret {
 public:
  Secret() = default;
  // Short strings are copied by a move: what is left of `bytes` is wiped, too.
  explicit Secret(std::string bytes) : bytes_(std::move(bytes)) { Wipe(bytes); }
  static Secret CopyOf(absl::string_view bytes) { return Secret(std::string(bytes)); }
  Secret(Secret&& other) noexcept { *this = std::move(other); }
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Wipe(bytes_); }

  Secret Clone() const { return Secret(bytes_); }
  absl::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string bytes_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_SECRET_H_
