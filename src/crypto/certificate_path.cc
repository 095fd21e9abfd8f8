// SPDX-License-Identifier: Apache-2.0
// Paths: RFC 5280 §6.1, with these deviations.
// - An anchor is a name, a key and a path length: its validity, extensions and own signature are
//   not looked at (§6.1.1 (d) leaves them to local policy). Vendors' roots expire before their EKs
//   do.
// - No policy is asked for: critical certificatePolicies are understood, and have an effect where a
//   CA requires that some policy holds, or where the caller looks at VerifiedPath::policies(). What
//   does not parse of policyConstraints, inhibitAnyPolicy and policyMappings refuses the path.
// - extKeyUsage of CAs limits what they may issue for, as all implementations have it though RFC
//   5280 does not say so: where the caller names a purpose, every CA below the anchor that has the
//   extension must list it. Specifications name one for EKs (2.23.133.8.1), for the AIKs of tpm
//   statements (2.23.133.8.3) and for web servers. For packed and U2F statements and for
//   attestations of PIV slots they name none: there extKeyUsage of CAs, critical or not, is
//   understood and has no effect. The anchor is never asked.
// - nameConstraints are not understood: where they are critical, the path is refused.
// - basicConstraints and keyUsage need not be critical (Yubico's roots, old intermediates).
//
// Threats, and what stands against each:
//  T1 a chain under names copied from a vendor            every signature is checked, up to an
//                                                         anchor
//  T2 a leaf (or anything that is no CA) that issues      cA, keyCertSign, pathLenConstraint
//  T3 collisions and weak keys                            SHA-256 at least, RSA 2048 at least
//  T4 a key on attacker-chosen curve parameters           three named curves only
//  T5 intermediates crafted so that the search explodes   a budget of signature checks for all of
//                                                         it, lengths looked at before them, no
//                                                         name and key twice in a path, no RSA
//                                                         exponent or curve that makes one costly
//  T6 an untrusted certificate passing as an anchor       anchors come from TrustAnchors alone
//  T7 a certificate that means something not understood   unknown critical extensions refuse
//  T8 a CA for something else (web servers, AKs) below the same anchor
//                                                         the purpose, of every CA that limits it
#include <openssl/core_names.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/certificate_policies.h"
#include "src/crypto/public_key.h"

namespace forekey {
namespace {

using BasicConstraintsPtr = std::unique_ptr<BASIC_CONSTRAINTS, OpenSslFree<BASIC_CONSTRAINTS_free>>;

constexpr absl::string_view kIssuerAltName = "2.5.29.18";
constexpr absl::string_view kKeyUsage = "2.5.29.15";
constexpr absl::string_view kSubjectAltName = "2.5.29.17";
constexpr absl::string_view kBasicConstraints = "2.5.29.19";
constexpr absl::string_view kCrlDistributionPoints = "2.5.29.31";
constexpr absl::string_view kCertificatePolicies = "2.5.29.32";
constexpr absl::string_view kPolicyMappings = "2.5.29.33";
constexpr absl::string_view kPolicyConstraints = "2.5.29.36";
constexpr absl::string_view kExtKeyUsage = "2.5.29.37";
constexpr absl::string_view kInhibitAnyPolicy = "2.5.29.54";

std::string Describe(const Certificate& certificate) {
  return absl::StrCat("certificate \"", certificate.SubjectText(), "\" serial ",
                      certificate.SerialHex(), " of \"", certificate.IssuerText(), "\"");
}

std::string ObjectText(const ASN1_OBJECT* object) {
  char text[128];
  const int size = OBJ_obj2txt(text, sizeof(text), object, 1);
  return size > 0 ? std::string(text) : "(unknown)";
}

// T3, T4. The checks of OpenSSL's security levels are part of X509_verify_cert, not of X509_verify.
absl::Status CheckIssuerKey(EVP_PKEY* key, const Certificate& issuer) {
  const auto refuse = [&issuer](absl::string_view why) {
    return Refuse(Reason::kCertificateAlgorithm, absl::StrCat(why, " in ", Describe(issuer)));
  };
  if (key == nullptr) return refuse("an issuer's key that is not understood");
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      if (bits < 2048 || bits > 8192) return refuse(absl::StrCat("an RSA key of ", bits, " bits"));
      if (!HasSoundRsaExponent(key)) return refuse("an RSA exponent that is not accepted");
      return absl::OkStatus();
    case EVP_PKEY_EC: {
      int explicit_parameters = 0;
      EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                             &explicit_parameters);
      char group[64] = {};
      EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr);
      // No vendor uses others, and OpenSSL is slow on them (brainpool: some milliseconds).
      static constexpr std::array<int, 3> kCurves = {NID_X9_62_prime256v1, NID_secp384r1,
                                                     NID_secp521r1};
      if (explicit_parameters != 0 ||
          std::find(kCurves.begin(), kCurves.end(), OBJ_sn2nid(group)) == kCurves.end()) {
        return refuse(absl::StrCat("an elliptic curve that is not accepted (", group, ")"));
      }
      return absl::OkStatus();
    }
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return absl::OkStatus();
    default:
      return refuse("an issuer's key of a kind that is not accepted");
  }
}

absl::Status CheckSignatureAlgorithm(const Certificate& certificate) {
  int md_nid = NID_undef;
  int key_nid = NID_undef;
  int security_bits = 0;
  uint32_t flags = 0;
  const bool known =
      X509_get_signature_info(certificate.x509(), &md_nid, &key_nid, &security_bits, &flags) == 1;
  ERR_clear_error();
  static constexpr std::array<int, 6> kHashes = {NID_sha256,   NID_sha384,   NID_sha512,
                                                 NID_sha3_256, NID_sha3_384, NID_sha3_512};
  const bool strong = key_nid == NID_ED25519 || key_nid == NID_ED448 ||
                      std::find(kHashes.begin(), kHashes.end(), md_nid) != kHashes.end();
  if (known && strong) return absl::OkStatus();
  return Refuse(Reason::kCertificateAlgorithm,
                absl::StrCat(OBJ_nid2sn(X509_get_signature_nid(certificate.x509())),
                             " is not accepted as the signature of ", Describe(certificate)));
}

absl::Status CheckSignature(const Certificate& certificate, const Certificate& issuer) {
  FOREKEY_RETURN_IF_ERROR(CheckIssuerKey(issuer.key(), issuer));
  FOREKEY_RETURN_IF_ERROR(CheckSignatureAlgorithm(certificate));
  if (certificate.IsSignedBy(issuer.key())) return absl::OkStatus();
  return Refuse(Reason::kCertificateSignatureInvalid,
                absl::StrCat("the signature of ", Describe(certificate), " is not by the key of \"",
                             issuer.SubjectText(), "\""));
}

absl::Status CheckValidity(const Certificate& certificate, absl::Time time) {
  if (time >= certificate.not_before() && time <= certificate.not_after()) return absl::OkStatus();
  return Refuse(Reason::kCertificateExpired,
                absl::StrCat(Describe(certificate), " is valid from ",
                             absl::FormatTime(certificate.not_before(), absl::UTCTimeZone()),
                             " to ", absl::FormatTime(certificate.not_after(), absl::UTCTimeZone()),
                             ", not at ", absl::FormatTime(time, absl::UTCTimeZone())));
}

// T7.
template <typename Understood>
absl::Status CheckCriticalExtensions(const Certificate& certificate, Understood understood) {
  for (int i = 0; i < X509_get_ext_count(certificate.x509()); ++i) {
    X509_EXTENSION* extension = X509_get_ext(certificate.x509(), i);
    if (X509_EXTENSION_get_critical(extension) == 0) continue;
    const std::string oid = ObjectText(X509_EXTENSION_get_object(extension));
    if (understood(oid)) continue;
    return Refuse(Reason::kCertificateCriticalExtension,
                  absl::StrCat(oid, " in ", Describe(certificate)));
  }
  return absl::OkStatus();
}

absl::Status CheckIntermediate(const Certificate& certificate, const PathOptions& options,
                               absl::Span<const Certificate* const> below) {
  const bool taken_for_ca = !certificate.Extension(kBasicConstraints) && options.takes_for_ca &&
                            options.takes_for_ca(certificate, below);
  if (!certificate.IsCa() && !taken_for_ca) {
    return Refuse(Reason::kCertificateNotCa, absl::StrCat(Describe(certificate), " is not a CA"));
  }
  const std::optional<uint32_t> usage = certificate.KeyUsage();
  if (usage && (*usage & KU_KEY_CERT_SIGN) == 0) {
    return Refuse(Reason::kCertificateNotCa,
                  absl::StrCat("the keyUsage of ", Describe(certificate), " lacks keyCertSign"));
  }
  FOREKEY_RETURN_IF_ERROR(CheckValidity(certificate, options.time));
  if (!options.purpose.empty() && !certificate.MayBeFor(options.purpose)) {  // T8
    return Refuse(Reason::kCertificatePurpose,
                  absl::StrCat("the extKeyUsage of ", Describe(certificate), ", a CA, lacks ",
                               options.purpose, ": it is for ",
                               absl::StrJoin(certificate.ExtendedKeyUsages(), ", ")));
  }
  return CheckCriticalExtensions(certificate, [](absl::string_view oid) {
    return oid == kBasicConstraints || oid == kKeyUsage || oid == kCertificatePolicies ||
           oid == kExtKeyUsage || oid == kSubjectAltName || oid == kIssuerAltName ||
           oid == kCrlDistributionPoints || oid == kPolicyMappings || oid == kPolicyConstraints ||
           oid == kInhibitAnyPolicy;
  });
}

absl::Status CheckLeaf(const Certificate& leaf, const PathOptions& options) {
  FOREKEY_RETURN_IF_ERROR(CheckValidity(leaf, options.time));
  return CheckCriticalExtensions(leaf, [&options](absl::string_view oid) {
    const auto& more = options.understood_critical;
    return oid == kBasicConstraints || oid == kKeyUsage || oid == kCertificatePolicies ||
           oid == kIssuerAltName || oid == kCrlDistributionPoints ||
           std::find(more.begin(), more.end(), oid) != more.end();
  });
}

// Whether `issuer` has the key identifier that `certificate` names as its issuer's (RFC 5280
// §4.2.1.1). A hint alone: there are CAs whose certificates have different ones for one key.
enum class KeyIdentifiers { kMatch, kUnknown, kDiffer };

KeyIdentifiers CompareKeyIdentifiers(const Certificate& certificate, const Certificate& issuer) {
  const std::optional<std::string> wanted = certificate.AuthorityKeyId();
  const std::optional<std::string> has = issuer.SubjectKeyId();
  if (!wanted || !has) return KeyIdentifiers::kUnknown;
  return *wanted == *has ? KeyIdentifiers::kMatch : KeyIdentifiers::kDiffer;
}

bool IsSameNameAndKey(const Certificate& one, const Certificate& other) {
  return X509_NAME_cmp(X509_get_subject_name(one.x509()), X509_get_subject_name(other.x509())) ==
             0 &&
         one.Spki() == other.Spki();
}

// Depth first. Anchors come before intermediates, so that a path ends at the first anchor it meets,
// but for those whose key identifier is another one.
class PathSearch {
 public:
  PathSearch(const std::vector<Certificate>& intermediates, const TrustAnchors& anchors,
             const PathOptions& options)
      : anchors_(anchors), options_(options), checks_left_(options.max_signature_checks) {
    for (const Certificate& candidate : intermediates) {
      const bool repeated = std::any_of(
          intermediates_.begin(), intermediates_.end(),
          [&candidate](const Certificate* other) { return other->der() == candidate.der(); });
      if (!repeated) intermediates_.push_back(&candidate);
    }
  }

  absl::Status Run(const Certificate& leaf) {
    path_.push_back(&leaf);
    if (Extend()) return absl::OkStatus();
    // An issuer that was passed over for its path length is the reason, if it is the issuer.
    for (const TooShort& one : too_short_) {
      if (rank_ == kIssuerFault) break;
      if (Spend(*one.certificate, *one.issuer, kOtherKey)) Note(kIssuerFault, one.why);
    }
    return failure_;
  }

  // After Run() was OK.
  std::vector<Certificate> Found() const {
    std::vector<Certificate> result;
    for (const Certificate* certificate : path_) result.push_back(*certificate);
    return result;
  }
  PathPolicies TakePolicies() { return std::move(policies_); }

 private:
  // How much a failure tells: a fault of a certificate that really is the issuer says more than a
  // search that was given up, that more than a signature that does not match, that more than a
  // length that ended the search in one direction, that more than a signature that was not expected
  // to match (another key identifier), and that more than a missing issuer.
  enum Rank { kNone, kNoIssuer, kOtherKey, kTooLong, kSignature, kGaveUp, kIssuerFault };

  struct Candidate {
    const Certificate* issuer;
    bool is_anchor;
    KeyIdentifiers identifiers;
    // The smallest first.
    int order() const {
      return (identifiers == KeyIdentifiers::kDiffer ? 4 : 0) + (is_anchor ? 0 : 2) +
             (identifiers == KeyIdentifiers::kMatch ? 0 : 1);
    }
  };

  // An issuer by its name whose pathLenConstraint ends the path; its signature was not looked at.
  struct TooShort {
    const Certificate* certificate;
    const Certificate* issuer;
    absl::Status why;
  };

  bool Extend() {
    const Certificate& current = *path_.back();
    for (const Candidate& candidate : CandidatesFor(current)) {
      if (!IsIssuer(current, candidate)) continue;
      path_.push_back(candidate.issuer);
      if (candidate.is_anchor || Extend()) return true;
      path_.pop_back();
    }
    Note(kNoIssuer,
         Refuse(Reason::kCertificateUntrusted,
                absl::StrCat("no trust anchor and no intermediate that helps is named \"",
                             current.IssuerText(), "\", the issuer of ", Describe(current))));
    return false;
  }

  std::vector<Candidate> CandidatesFor(const Certificate& current) const {
    std::vector<Candidate> candidates;
    const auto add = [&](const Certificate& issuer, bool is_anchor) {
      if (!current.IsIssuedByNameOf(issuer) || IsInPath(issuer)) return;
      candidates.push_back({&issuer, is_anchor, CompareKeyIdentifiers(current, issuer)});
    };
    for (const Certificate& anchor : anchors_.anchors()) add(anchor, true);
    for (const Certificate* intermediate : intermediates_) add(*intermediate, false);
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.order() < b.order(); });
    return candidates;
  }

  // A CA's name and key once more, in whatever certificate, lead nowhere that the first did not.
  bool IsInPath(const Certificate& issuer) const {
    return path_.front()->der() == issuer.der() ||
           std::any_of(path_.begin() + 1, path_.end(),
                       [&issuer](const Certificate* ca) { return IsSameNameAndKey(*ca, issuer); });
  }

  // What costs nothing comes before the signature.
  bool IsIssuer(const Certificate& current, const Candidate& candidate) {
    const Certificate& issuer = *candidate.issuer;
    // Behind an intermediate there must be room for an anchor.
    const size_t length = path_.size() + (candidate.is_anchor ? 1 : 2);
    if (length > options_.max_length) {
      return Note(kTooLong, Refuse(Reason::kCertificateNotCa,
                                   absl::StrCat("the path is longer than ", options_.max_length,
                                                " certificates")));
    }
    if (absl::Status status = CheckPathLength(issuer, candidate.is_anchor); !status.ok()) {
      if (too_short_.size() < options_.max_signature_checks) {
        too_short_.push_back({&current, &issuer, std::move(status)});
      }
      return false;
    }
    const bool expected = candidate.identifiers != KeyIdentifiers::kDiffer;
    if (!Spend(current, issuer, expected ? kSignature : kOtherKey)) return false;
    if (!candidate.is_anchor) {
      return Note(kIssuerFault, CheckIntermediate(issuer, options_, path_));
    }
    absl::StatusOr<PathPolicies> policies = FindPathPolicies(path_);
    if (!Note(kIssuerFault, policies.status())) return false;
    policies_ = *std::move(policies);
    return true;
  }

  // T1, T5: checks one signature, if there is budget left.
  bool Spend(const Certificate& current, const Certificate& issuer, Rank rank) {
    if (checks_left_ == 0) {
      return Note(kGaveUp, Refuse(Reason::kCertificateUntrusted,
                                  absl::StrCat("gave up after ", options_.max_signature_checks,
                                               " signatures: too many certificates that may be "
                                               "issuers")));
    }
    --checks_left_;
    return Note(rank, CheckSignature(current, issuer));
  }

  // T2. Self-issued intermediates don't count (RFC 5280 §6.1.4 (l)).
  absl::Status CheckPathLength(const Certificate& issuer, bool is_anchor) const {
    BasicConstraintsPtr constraints(static_cast<BASIC_CONSTRAINTS*>(
        X509_get_ext_d2i(issuer.x509(), NID_basic_constraints, nullptr, nullptr)));
    ERR_clear_error();
    if (constraints == nullptr || constraints->pathlen == nullptr) return absl::OkStatus();
    const long allowed = ASN1_INTEGER_get(constraints->pathlen);
    const long between =
        std::count_if(path_.begin() + 1, path_.end(),
                      [](const Certificate* certificate) { return !certificate->IsSelfIssued(); });
    if (between <= allowed) return absl::OkStatus();
    if (is_anchor && options_.excuses_path_length && options_.excuses_path_length(issuer, path_)) {
      return absl::OkStatus();
    }
    return Refuse(Reason::kCertificateNotCa, absl::StrCat(Describe(issuer), " allows ", allowed,
                                                          " CAs below it, there are ", between));
  }

  // Remembers the failure that tells most, the earliest of equals. True for OK.
  bool Note(Rank rank, absl::Status status) {
    if (status.ok()) return true;
    if (rank > rank_) {
      rank_ = rank;
      failure_ = std::move(status);
    }
    return false;
  }

  const TrustAnchors& anchors_;
  const PathOptions& options_;
  std::vector<const Certificate*> intermediates_;
  std::vector<const Certificate*> path_;
  std::vector<TooShort> too_short_;
  PathPolicies policies_;
  size_t checks_left_;
  Rank rank_ = kNone;
  absl::Status failure_;
};

}  // namespace

bool VerifiedPath::MayBeFor(absl::string_view purpose) const {
  if (certificates_.size() < 2) return true;
  return std::all_of(certificates_.begin() + 1, certificates_.end() - 1,
                     [purpose](const Certificate& ca) { return ca.MayBeFor(purpose); });
}

absl::StatusOr<VerifiedPath> VerifyPath(const Certificate& leaf,
                                        const std::vector<Certificate>& intermediates,
                                        const TrustAnchors& anchors, const PathOptions& options) {
  if (options.leaf_may_be_anchor) {
    for (const Certificate& anchor : anchors.anchors()) {
      if (anchor.der() == leaf.der()) return VerifiedPath({leaf}, PathPolicies());
    }
  }
  PathSearch search(intermediates, anchors, options);
  FOREKEY_RETURN_IF_ERROR(search.Run(leaf));
  // Only now: what an unsigned certificate says of itself is no reason.
  FOREKEY_RETURN_IF_ERROR(CheckLeaf(leaf, options));
  return VerifiedPath(search.Found(), search.TakePolicies());
}

}  // namespace forekey
