// SPDX-License-Identifier: Apache-2.0
#include "src/verify/emptied_trust.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace forekey {
namespace {

constexpr absl::Duration kMarking = absl::Minutes(1);

}  // namespace

EmptiedMark EmptiedMarkIn(const std::string& folder) {
  struct stat marked = {}, changed = {};
  if (stat(absl::StrCat(folder, "/", kEmptiedTrust).c_str(), &marked) != 0 ||
      stat(folder.c_str(), &changed) != 0) {
    return EmptiedMark::kNone;
  }
  const absl::Duration later =
      absl::TimeFromTimespec(changed.st_mtim) - absl::TimeFromTimespec(marked.st_mtim);
  return later > kMarking ? EmptiedMark::kOutdated : EmptiedMark::kGood;
}

}  // namespace forekey
