// Which device proofs were admitted lately, in a fixed 128 KiB: so that a handler's accessor need not
// check a signature twice. A tag is a MAC under a key of this process, so nobody can make one; one that
// was overwritten by a later call only costs the signature check again.
#ifndef FOREKEY_SRC_GATE_CORE_ADMITTED_TAGS_H_
#define FOREKEY_SRC_GATE_CORE_ADMITTED_TAGS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/crypto/digest.h"

namespace forekey {

// Safe from any thread.
class AdmittedTags {
 public:
  AdmittedTags();
  void Add(absl::string_view prefix, absl::string_view path);
  bool Contains(absl::string_view prefix, absl::string_view path) const;

 private:
  static constexpr size_t kSlots = 8192;
  using Tag = std::array<uint8_t, 16>;
  Tag TagOf(absl::string_view prefix, absl::string_view path) const;
  static size_t SlotOf(const Tag& tag) { return (size_t{tag[0]} << 8 | tag[1]) % kSlots; }

  const HmacSha256 key_;
  mutable absl::Mutex mutex_;
  std::vector<Tag> tags_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_ADMITTED_TAGS_H_
