#include "src/gate/token/trust_folder.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace forekey {

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
  if (anchors->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(key, ": ", folder, " holds no certificate",
                                                      skipped.empty() ? "" : ": ",
                                                      absl::StrJoin(skipped, "; ")));
  }
  for (const std::string& file : skipped) left_out->push_back(absl::StrCat(key, ": ", file));
  return anchors;
}

}  // namespace forekey
