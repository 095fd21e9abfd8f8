// SPDX-License-Identifier: Apache-2.0
#include "src/agent/tls_anchors.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

std::string PemOf(const Certificate& certificate) {
  constexpr size_t kLine = 64;
  const std::string text = absl::Base64Escape(certificate.der());
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (size_t at = 0; at < text.size(); at += kLine) {
    absl::StrAppend(&pem, absl::string_view(text).substr(at, kLine), "\n");
  }
  return pem + "-----END CERTIFICATE-----\n";
}

}  // namespace

absl::StatusOr<std::string> MergeTlsAnchors(absl::string_view known, absl::string_view announced,
                                            absl::Time now) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Certificate> all, Certificate::ParseAll(known));
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Certificate> more, Certificate::ParseAll(announced));
  const auto has_ended = [now](const Certificate& one) { return one.not_after() < now; };
  const size_t before = all.size();
  for (const Certificate& one : more) {
    const auto same = [&one](const Certificate& other) { return other.der() == one.der(); };
    if (!has_ended(one) && std::none_of(all.begin(), all.end(), same)) all.push_back(one);
  }
  if (all.size() == before) return std::string(known);
  if (!std::all_of(all.begin(), all.end(), has_ended)) std::erase_if(all, has_ended);
  if (all.size() > kMostTlsAnchors) {
    return absl::ResourceExhaustedError(
        absl::StrCat("that would be more than ", kMostTlsAnchors, " CAs"));
  }
  std::string merged;
  for (const Certificate& one : all) absl::StrAppend(&merged, PemOf(one));
  return merged;
}

}  // namespace forekey
