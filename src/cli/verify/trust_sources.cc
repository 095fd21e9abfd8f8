// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_sources.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/cli/verify/cabinet.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxSource = 64 << 20;
constexpr size_t kMaxSourceFile = 1 << 20;
constexpr size_t kMaxSourceFiles = 10'000;
constexpr int kMaxSourceDepth = 8;

absl::StatusOr<std::vector<SourceFile>> ReadOne(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxSource));
  std::vector<SourceFile> files;
  if (!IsCabinet(bytes)) {
    files.push_back({fs::path(path).filename().string(), std::move(bytes)});
    return files;
  }
  absl::StatusOr<std::vector<CabinetFile>> cabinet = ReadCabinet(bytes);
  if (!cabinet.ok()) {
    return absl::Status(cabinet.status().code(),
                        absl::StrCat(path, ": ", cabinet.status().message()));
  }
  for (CabinetFile& file : *cabinet) {
    files.push_back({std::move(file.name), std::move(file.content)});
  }
  return files;
}

}  // namespace

absl::StatusOr<std::vector<SourceFile>> ReadTrustSource(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return ReadOne(path);
  std::vector<SourceFile> files;
  size_t total = 0;
  fs::recursive_directory_iterator entry(path, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name[0] == '.') {
      if (entry->is_directory(ignored)) entry.disable_recursion_pending();
      continue;
    }
    if (entry.depth() > kMaxSourceDepth || files.size() >= kMaxSourceFiles) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is no folder of certificates: it has too many files, or too deep"));
    }
    const fs::file_status found = entry->status(ignored);
    if (fs::is_directory(found)) continue;
    // What can't be looked at must not look like what is not there any more.
    if (!fs::is_regular_file(found)) {
      return absl::FailedPreconditionError(
          absl::StrCat(entry->path().string(), " is no file that can be read",
                       entry->is_symlink(ignored) ? ": a link to nothing?" : ""));
    }
    FOREKEY_ASSIGN_OR_RETURN(std::string bytes, ReadFile(entry->path().string(), kMaxSourceFile));
    total += bytes.size();
    if (total > kMaxSource) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is no folder of certificates: it has more than 64 MiB"));
    }
    files.push_back({entry->path().lexically_relative(path).string(), std::move(bytes)});
  }
  if (error) {
    return absl::PermissionDeniedError(absl::StrCat("can't read ", path, ": ", error.message()));
  }
  // The order of a folder is the file system's accident.
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  return files;
}

}  // namespace forekey
