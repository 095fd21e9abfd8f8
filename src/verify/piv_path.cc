// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_path.h"

#include <openssl/err.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {

absl::StatusOr<VerifiedPath> FindPivPath(const Certificate& leaf,
                                         const std::vector<Certificate>& intermediates,
                                         const PivPolicy& policy, PathOptions options) {
  if (intermediates.size() > policy.max_intermediates) {
    return Refuse(Reason::kEvidenceMalformed,
                  absl::StrCat("more than ", policy.max_intermediates, " intermediates"));
  }
  options.time = policy.time;
  return VerifyPath(leaf, intermediates, *policy.trust, options);
}

absl::Status RefuseCa(const Certificate& leaf) {
  const uint32_t usage = leaf.KeyUsage().value_or(0);
  if (!leaf.IsCa() && (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) == 0) return absl::OkStatus();
  return Refuse(Reason::kCertificateProfile,
                absl::StrCat("\"", leaf.SubjectText(), "\" is a CA's certificate, not a slot's"));
}

absl::StatusOr<PublicKey> PivKeyOf(const Certificate& leaf) {
  EVP_PKEY* key = leaf.key();
  if (key == nullptr) return Refuse(Reason::kKeyAlgorithm, "the slot's key is not understood");
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, PublicKey::FromEvp(key));
  // Cards make no others, and the agent's driver signs with no others.
  if (public_key.algorithm() == Algorithm::kEs512 || public_key.algorithm() == Algorithm::kEd448) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat(AlgorithmName(public_key.algorithm()), ", which no PIV card has"));
  }
  return public_key;
}

void DescribePivPath(const VerifiedPath& path, const PublicKey& key, nlohmann::json* proved) {
  nlohmann::json subjects = nlohmann::json::array();
  for (const Certificate& certificate : path.certificates()) {
    const std::string subject = certificate.SubjectText();
    subjects.push_back(subject.empty() ? "(empty subject)" : subject);
  }
  (*proved)["path"] = std::move(subjects);
  (*proved)["algorithm"] = std::string(AlgorithmName(key.algorithm()));
  (*proved)["key_sha256"] = absl::BytesToHexString(Sha256(key.spki()));
  (*proved)["certificate_sha256"] = absl::BytesToHexString(path.leaf().Fingerprint());
  (*proved)["certificate_serial"] = path.leaf().SerialHex();
  (*proved)["anchor_sha256"] = absl::BytesToHexString(path.anchor().Fingerprint());
}

}  // namespace forekey
