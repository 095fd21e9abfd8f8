// SPDX-License-Identifier: Apache-2.0
#include "simulators/trust_out.h"

#include <openssl/evp.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigestBytes = 4;

absl::Status CopyFiles(const std::string& from, const std::string& folder,
                       absl::string_view prefix) {
  FOREKEY_ASSIGN_OR_RETURN(auto names, ListFiles(from));
  for (const std::string& name : names) {
    FOREKEY_ASSIGN_OR_RETURN(std::string pem, ReadFile(absl::StrCat(from, "/", name)));
    FOREKEY_RETURN_IF_ERROR(
        AddToTrust(folder, absl::StrCat(prefix, fs::path(name).stem().string()), pem));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddToTrust(const std::string& folder, absl::string_view name, absl::string_view pem) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat("can't make the folder ", folder, ": ", error.message()));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(pem.data(), pem.size(), digest, &size, EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("EVP_Digest failed");
  }
  const std::string tag = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), kDigestBytes));
  return WriteFileAtomically(absl::StrCat(folder, "/", name, "-", tag, ".pem"), pem);
}

absl::Status CopyTrust(const std::string& from, const std::string& folder) {
  FOREKEY_RETURN_IF_ERROR(CopyFiles(from, folder, ""));
  const std::string intermediates = absl::StrCat(from, "/intermediates");
  std::error_code ignored;
  if (!fs::is_directory(intermediates, ignored)) return absl::OkStatus();
  return CopyFiles(intermediates, folder, "intermediate-");
}

}  // namespace forekey
