// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/trust_folder.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/base/unseen_files.h"
#include "src/verify/emptied_trust.h"

namespace forekey {
namespace {

constexpr size_t kMaxCrlFile = 64 << 20;

}  // namespace

absl::Status StatusNaming(absl::string_view what, const absl::Status& status) {
  absl::Status named(status.code(), absl::StrCat(what, ": ", status.message()));
  status.ForEachPayload([&named](absl::string_view url, const absl::Cord& payload) {
    named.SetPayload(url, payload);
  });
  return named;
}

absl::StatusOr<TrustAnchors> LoadTrustFolder(const std::string& folder, absl::string_view key,
                                             std::vector<std::string>* left_out) {
  std::vector<std::string> skipped;
  absl::StatusOr<TrustAnchors> anchors = TrustAnchors::FromDirectory(folder, &skipped);
  if (!anchors.ok()) return StatusNaming(key, anchors.status());
  const EmptiedMark mark = anchors->empty() ? EmptiedMarkIn(folder) : EmptiedMark::kNone;
  if (mark == EmptiedMark::kGood) {
    std::fprintf(
        stderr,
        "forekey: warning: %s: the last certificate was taken out of %s: it trusts nobody\n",
        std::string(key).c_str(), folder.c_str());
  } else if (mark == EmptiedMark::kOutdated) {
    return absl::FailedPreconditionError(absl::StrCat(
        key, ": ", folder, " holds no certificate, and was changed since ", kEmptiedTrust,
        " was written there: `touch ", folder, "/", kEmptiedTrust, "` where it is meant"));
  } else if (anchors->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(key, ": ", folder, " holds no certificate",
                                                      skipped.empty() ? "" : ": ",
                                                      absl::StrJoin(skipped, "; ")));
  }
  for (const std::string& file : skipped) left_out->push_back(absl::StrCat(key, ": ", file));
  return anchors;
}

absl::StatusOr<std::vector<RevocationList>> LoadRevocationLists(const std::string& folder,
                                                                absl::string_view key) {
  absl::StatusOr<std::vector<std::string>> names = ListFilesAndUnseen(folder);
  if (!names.ok()) return StatusNaming(key, names.status());
  std::vector<RevocationList> lists;
  for (const std::string& name : *names) {
    absl::StatusOr<std::string> bytes = ReadFile(absl::StrCat(folder, "/", name), kMaxCrlFile);
    if (!bytes.ok()) return StatusNaming(key, bytes.status());
    absl::StatusOr<RevocationList> list = RevocationList::Parse(*bytes);
    if (!list.ok()) return StatusNaming(absl::StrCat(key, ": ", name), list.status());
    lists.push_back(*std::move(list));
  }
  if (!lists.empty()) return lists;
  return absl::FailedPreconditionError(
      absl::StrCat(key, ": ", folder, " holds no revocation list"));
}

}  // namespace forekey
