// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/mds_imports.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr size_t kMaxRemembered = 32;  // BLOBs, the oldest are forgotten

std::string StateDirectory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string own = variable("FOREKEY_STATE_DIR"); !own.empty()) return own;
  if (std::string xdg = variable("XDG_STATE_HOME"); !xdg.empty())
    return absl::StrCat(xdg, "/forekey");
  if (std::string home = variable("HOME"); !home.empty()) {
    return absl::StrCat(home, "/.local/state/forekey");
  }
  return "";
}

std::string HashText(absl::string_view bytes) { return absl::BytesToHexString(Sha256(bytes)); }

}  // namespace

absl::StatusOr<MdsImports> MdsImports::Open() {
  MdsImports imports;
  imports.directory_ = StateDirectory();
  if (imports.directory_.empty()) {
    return absl::FailedPreconditionError(
        "no place to remember imports: set FOREKEY_STATE_DIR, XDG_STATE_HOME or HOME");
  }
  imports.path_ = absl::StrCat(imports.directory_, "/mds-imports.json");
  imports.json_ = {{"blobs", nlohmann::json::array()}, {"latest", nlohmann::json::object()}};
  const absl::StatusOr<std::string> content = ReadFile(imports.path_, 1 << 20);
  if (absl::IsNotFound(content.status())) return imports;
  FOREKEY_RETURN_IF_ERROR(content.status());
  auto json = ParseBoundedJson(*content);
  if (!json.is_object() || !json["blobs"].is_array() || !json["latest"].is_object()) {
    return absl::DataLossError(
        absl::StrCat(imports.path_, " is damaged: remove it, and import again"));
  }
  imports.json_ = std::move(json);
  return imports;
}

std::optional<MdsImport> MdsImports::Find(absl::string_view blob) const {
  const std::string hash = HashText(blob);
  for (const auto& entry : json_["blobs"]) {
    if (!entry.is_object() || entry.value("sha256", "") != hash) continue;
    std::string der;
    absl::Time time;
    if (!absl::Base64Unescape(entry.value("anchor", ""), &der) ||
        !absl::ParseTime(absl::RFC3339_full, entry.value("time", ""), &time, nullptr)) {
      return std::nullopt;
    }
    auto anchor = Certificate::ParseDer(der);
    if (!anchor.ok()) return std::nullopt;
    return MdsImport{entry.value("no", uint64_t{0}), *std::move(anchor), time};
  }
  return std::nullopt;
}

std::optional<uint64_t> MdsImports::LatestNo(const Certificate& anchor) const {
  const auto found = json_["latest"].find(HashText(anchor.der()));
  if (found == json_["latest"].end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<uint64_t>();
}

absl::Status MdsImports::Record(absl::string_view blob, const MdsImport& import) {
  auto& latest = json_["latest"][HashText(import.anchor.der())];
  latest = std::max(import.no, latest.is_number_unsigned() ? latest.get<uint64_t>() : 0);
  const std::string hash = HashText(blob);
  nlohmann::json kept = nlohmann::json::array();
  for (auto& entry : json_["blobs"]) {
    if (entry.is_object() && entry.value("sha256", "") != hash) kept.push_back(std::move(entry));
  }
  while (kept.size() >= kMaxRemembered) kept.erase(kept.begin());
  kept.push_back(
      {{"sha256", hash},
       {"no", import.no},
       {"anchor", absl::Base64Escape(import.anchor.der())},
       {"time", absl::FormatTime(absl::RFC3339_full, import.time, absl::UTCTimeZone())}});
  json_["blobs"] = std::move(kept);
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(directory_));
  return WriteFileAtomically(path_, json_.dump(1) + "\n", 0600);
}

}  // namespace forekey
