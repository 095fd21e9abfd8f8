// SPDX-License-Identifier: Apache-2.0
// Threats to a card's certificate, and what stands against each:
//  W1 a certificate of a CA that was not configured    VerifyPath to the issuing CAs alone
//  W2 the CA also certifies keys in software           `cert`, unless a policy OID says hardware
//  W3 a sub-CA that asserts a policy it was not given  the policy must hold from the anchor to the
//                                                      certificate (RFC 5280 §6.1), which names it
//  W7 a CA that gives a policy another's name          none counts below a CA with policyMappings
//  W4 a key that TLS, mail or logon signs with         extKeyUsage: shared unless reserved for
//                                                      Forekey
//  W5 a card that was lost                             revocation lists
//  W6 a sub-CA for web servers, or for mail, that issues cards' certificates
//                                                      a purpose counts where every CA may issue
//                                                      for it
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/piv_attestation.h"
#include "src/verify/piv_path.h"
#include "src/verify/roca_modulus.h"

namespace forekey {
namespace {

constexpr absl::string_view kExtendedKeyUsageOid = "2.5.29.37";
constexpr absl::string_view kAnyExtendedKeyUsage = "2.5.29.37.0";
constexpr absl::string_view kSubjectAltNameOid = "2.5.29.17";

bool Holds(const std::vector<std::string>& all, absl::string_view one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// W2, W3, W7: the first configured policy that holds along the whole path.
std::optional<std::string> HardwarePolicy(const VerifiedPath& path, const PivPolicy& policy) {
  if (path.policies().mapped) return std::nullopt;
  for (const std::string& wanted : policy.hardware_policies) {
    // By anyPolicy alone the certificate would be of every kind at once.
    if (Holds(path.leaf().Policies(), wanted) && path.policies().named.count(wanted) != 0) {
      return wanted;
    }
  }
  return std::nullopt;
}

// W4: only usages that are reserved for Forekey.
bool IsDedicatedCertificate(const Certificate& leaf, const PivPolicy& policy) {
  const std::vector<std::string> usages = leaf.ExtendedKeyUsages();
  return !usages.empty() && std::all_of(usages.begin(), usages.end(), [&policy](const auto& usage) {
    return Holds(policy.dedicated_usages, usage);
  });
}

// W6. Forekey has no purpose of its own to ask of agencies' CAs: one of those that the certificate
// names must be its issuers' to give, and one of those that the configuration names, if it does.
absl::Status CheckPurpose(const VerifiedPath& path, const PivPolicy& policy) {
  const Certificate& leaf = path.leaf();
  const std::optional<uint32_t> usage = leaf.KeyUsage();
  if (usage && (*usage & KU_DIGITAL_SIGNATURE) == 0) {
    return Refuse(Reason::kCertificatePurpose, "keyUsage lacks digitalSignature");
  }
  const std::vector<std::string> usages = leaf.ExtendedKeyUsages();
  const bool given = usages.empty() || std::any_of(usages.begin(), usages.end(), [&](auto& usage) {
                       return usage == kAnyExtendedKeyUsage || path.MayBeFor(usage);
                     });
  if (!given) {
    return Refuse(Reason::kCertificatePurpose,
                  absl::StrCat("the CAs above it may issue for none of its extKeyUsage ",
                               absl::StrJoin(usages, ", ")));
  }
  if (policy.required_usages.empty()) return absl::OkStatus();
  for (const std::string& wanted : policy.required_usages) {
    if (Holds(usages, wanted) && path.MayBeFor(wanted)) return absl::OkStatus();
  }
  return Refuse(
      Reason::kCertificatePurpose,
      absl::StrCat("extKeyUsage holds none of ", absl::StrJoin(policy.required_usages, ", "),
                   ", or a CA above it may not issue for that"));
}

}  // namespace

absl::StatusOr<VerifiedAttestation> VerifyPivCertificate(
    const Certificate& certificate, const std::vector<Certificate>& intermediates,
    const PivPolicy& policy) {
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PivKeyOf(certificate));
  PathOptions options;
  // Agencies' certificates name the person in the subjectAltName, Forekey does not use it.
  options.understood_critical = {std::string(kExtendedKeyUsageOid),
                                 std::string(kSubjectAltNameOid)};
  FOREKEY_ASSIGN_OR_RETURN(VerifiedPath path,
                           FindPivPath(certificate, intermediates, policy, std::move(options)));
  FOREKEY_RETURN_IF_ERROR(CheckRocaIssuers(path));
  FOREKEY_RETURN_IF_ERROR(RefuseCa(certificate));
  FOREKEY_ASSIGN_OR_RETURN(
      const bool revocation_checked,
      CheckRevocation(path, policy.revocation, RevocationScope::kLeafToo, policy.time));
  FOREKEY_RETURN_IF_ERROR(CheckPurpose(path, policy));
  const std::optional<std::string> hardware = HardwarePolicy(path, policy);
  if (!hardware && policy.hardware_only) {
    return Refuse(Reason::kCertificatePolicy,
                  absl::StrCat("none of ", absl::StrJoin(policy.hardware_policies, ", "),
                               " holds along the path",
                               path.policies().mapped ? ", in which a CA maps policies" : ""));
  }
  const bool dedicated = IsDedicatedCertificate(certificate, policy);
  if (!dedicated && !policy.allow_shared) {
    return Refuse(
        Reason::kPivSharedKey,
        absl::StrCat("extKeyUsage is ", absl::StrJoin(certificate.ExtendedKeyUsages(), ", "),
                     certificate.ExtendedKeyUsages().empty() ? "absent" : ""));
  }
  const std::vector<std::string> factors = {!hardware ? "cert" : dedicated ? "piv" : "piv-shared"};
  nlohmann::json proved = {{"proof", "certificate"},
                           {"hardware", hardware.has_value()},
                           {"dedicated", dedicated},
                           {"revocation_checked", revocation_checked},
                           {"factors", factors}};
  if (hardware) proved["policy"] = *hardware;
  DescribePivPath(path, key, &proved);
  return AttestationBuilder::Build(v1::TOKEN_KIND_PIV, std::move(key), "", factors,
                                   std::move(proved));
}

}  // namespace forekey
