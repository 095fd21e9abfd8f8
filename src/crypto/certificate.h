// SPDX-License-Identifier: Apache-2.0
// X.509 certificates (RFC 5280) of attestation chains, and paths to trust anchors. OpenSSL parses
// and checks signatures; what may issue what, which critical extensions are understood, and the
// quirks of vendors' certificates are decided here and in certificate_quirks.cc, each with its
// reason.
//
// Never used on the per-call path.
#ifndef FOREKEY_SRC_CRYPTO_CERTIFICATE_H_
#define FOREKEY_SRC_CRYPTO_CERTIFICATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/crypto/certificate_policies.h"
#include "src/crypto/openssl.h"

namespace forekey {

// An immutable parsed certificate; copies share it.
class Certificate {
 public:
  // Exactly one DER certificate: anything left over, an outer encoding that is not DER, an
  // extension that is there twice, a date that can't be read: all refuse (kCertificateMalformed).
  // Whether the public key is one that OpenSSL knows is not asked here.
  static absl::StatusOr<Certificate> ParseDer(absl::string_view der);
  // DER or the first PEM block; PEM may have text around it.
  static absl::StatusOr<Certificate> Parse(absl::string_view bytes);
  // Every certificate of a PEM bundle, or one DER certificate. At least one, and none that is bad.
  static absl::StatusOr<std::vector<Certificate>> ParseAll(absl::string_view bytes);
  // The same, where one bad certificate must not spoil the others: one result a certificate.
  static std::vector<absl::StatusOr<Certificate>> ParseEach(absl::string_view bytes);

  const std::string& der() const { return der_; }
  std::string Fingerprint() const;  // SHA-256 of der, 32 bytes
  std::string Spki() const;         // DER SubjectPublicKeyInfo as it stands in the certificate
  std::string SubjectText() const;  // RFC 2253, for people: cut after 512 bytes
  std::string IssuerText() const;
  std::string SerialHex() const;
  absl::Time not_before() const;
  absl::Time not_after() const;  // InfiniteFuture for 99991231235959Z
  // The raw value (inside the OCTET STRING) of the extension with this dotted OID, if present once.
  std::optional<std::string> Extension(absl::string_view oid) const;
  bool ExtensionIsCritical(absl::string_view oid) const;
  // basicConstraints says cA TRUE (RFC 5280 §4.2.1.9). False without the extension.
  bool IsCa() const;
  // The policies of certificatePolicies (§4.2.1.4), dotted; empty when it is absent or does not
  // parse.
  std::vector<std::string> Policies() const;
  // The commonNames of the subject, in UTF-8, in their order.
  std::vector<std::string> CommonNames() const;
  // The bits of keyUsage (OpenSSL's KU_ constants); nullopt when there is no such extension. An
  // extension that does not parse gives no bits.
  std::optional<uint32_t> KeyUsage() const;
  // Subject and issuer are the same name. Names are compared as RFC 5280 §7.1 says: string types,
  // case and spaces don't matter.
  bool IsSelfIssued() const;
  bool IsIssuedByNameOf(const Certificate& issuer) const;
  // Extended key usage holds this OID; nullopt when there is no EKU extension.
  std::optional<bool> HasExtendedKeyUsage(absl::string_view oid) const;
  // There is no extended key usage, or it holds `purpose` or anyExtendedKeyUsage. One that does not
  // parse holds nothing.
  bool MayBeFor(absl::string_view purpose) const;
  // All of extended key usage, dotted; empty when it is absent or does not parse.
  std::vector<std::string> ExtendedKeyUsages() const;
  // Borrowed. It has no key that OpenSSL knows of, and can't be verified by X509_verify: it belongs
  // to a library context without algorithms. Key and signature are asked for here.
  X509* x509() const { return x509_.get(); }
  // Borrowed; null for one that OpenSSL does not know.
  EVP_PKEY* key() const { return key_.get(); }
  // Whether `key` made its signature, over the bytes of der() as they stand, by the algorithm that
  // it names. Which algorithms and keys are good enough is for the caller to say.
  bool IsSignedBy(EVP_PKEY* key) const;
  // The identifiers of keys that it has of its own and of its issuer (RFC 5280 sections 4.2.1.2 and
  // 4.2.1.1); nullopt where there is none that can be read.
  std::optional<std::string> SubjectKeyId() const;
  std::optional<std::string> AuthorityKeyId() const;
  // OpenSSL could only parse a repaired form of der() (certificate_quirks.h).
  bool repaired() const { return repaired_; }

 private:
  Certificate(std::shared_ptr<X509> x509, std::string der, bool repaired);
  std::shared_ptr<X509> x509_;
  std::shared_ptr<EVP_PKEY> key_;
  std::string der_;
  absl::Time not_before_;
  absl::Time not_after_;
  bool repaired_;
};

// Trust anchors: a name and a key each, taken as they are, whatever else they say of themselves
// (expired, version 1, CA:FALSE, self-signed with SHA-1), except for their path length, which is
// kept. Every certificate that an administrator puts into a trust folder is an anchor; an
// intermediate put there is trusted by that, without its root.
class TrustAnchors {
 public:
  TrustAnchors() = default;
  // All files of a folder (PEM bundles or DER). One bad file or certificate does not stop the load:
  // it is named in `skipped`, with the reason. NotFound when the folder is missing.
  static absl::StatusOr<TrustAnchors> FromDirectory(const std::string& path,
                                                    std::vector<std::string>* skipped);
  void Add(Certificate anchor);
  bool empty() const { return anchors_.empty(); }
  const std::vector<Certificate>& anchors() const { return anchors_; }

 private:
  std::vector<Certificate> anchors_;
};

struct PathOptions {
  absl::Time time;                   // validity is checked at this time
  size_t max_length = 6;             // certificates in the path, leaf and anchor included
  size_t max_signature_checks = 32;  // in all; beyond it VerifyPath gives up
  // Dotted OIDs of critical extensions of the leaf that the caller checks by itself (extKeyUsage
  // and subjectAltName are not understood otherwise; keyUsage, basicConstraints and
  // certificatePolicies are, but it is the caller who reads them).
  std::vector<std::string> understood_critical;
  // What the path is for, a dotted OID of extKeyUsage; empty: that is not asked. Every CA below the
  // anchor that has an extKeyUsage must list it, or anyExtendedKeyUsage (kCertificatePurpose). A CA
  // without one may issue for everything. The leaf's own extKeyUsage is the caller's to look at.
  std::string purpose;
  // The leaf may itself be a trust anchor (FIDO MDS lists such leaves).
  bool leaf_may_be_anchor = false;
  // Two allowances, each for the caller to keep narrow; absent: none. `below`: the path so far,
  // leaf first. Signatures, keyUsage, validity and length are checked all the same. An intermediate
  // that has no basicConstraints at all: true takes it for a CA (old Yubico F9).
  std::function<bool(const Certificate& issuer, absl::Span<const Certificate* const> below)>
      takes_for_ca;
  // An anchor whose pathLenConstraint `below` exceeds: true lets it (Yubico's U2F root over an F9).
  std::function<bool(const Certificate& anchor, absl::Span<const Certificate* const> below)>
      excuses_path_length;
};

// Leaf first, anchor last. Only VerifyPath makes one.
class VerifiedPath {
 public:
  const std::vector<Certificate>& certificates() const { return certificates_; }
  const Certificate& leaf() const { return certificates_.front(); }
  const Certificate& anchor() const { return certificates_.back(); }
  // As PathOptions::purpose, asked afterwards: all CAs below the anchor may issue for `purpose`.
  bool MayBeFor(absl::string_view purpose) const;
  // None for a leaf that is its own anchor.
  const PathPolicies& policies() const { return policies_; }

 private:
  friend absl::StatusOr<VerifiedPath> VerifyPath(const Certificate&,
                                                 const std::vector<Certificate>&,
                                                 const TrustAnchors&, const PathOptions&);
  VerifiedPath(std::vector<Certificate> certificates, PathPolicies policies)
      : certificates_(std::move(certificates)), policies_(std::move(policies)) {}
  std::vector<Certificate> certificates_;
  PathPolicies policies_;
};

// Builds and checks a path from `leaf` through `intermediates` (untrusted, any order, extras are
// ignored) to an anchor: names chain, signatures, validity of each but the anchor at `time` (an
// anchor that has expired still anchors: Nuvoton EKs outlive their root), issuers are CAs with
// keyCertSign where they say so, and may issue for the purpose where one is asked for, path lengths
// (the anchor's, too), critical extensions understood, a policy that holds throughout where a
// policyConstraints requires one. Issuers' keys: RSA of 2048 to 8192 bits, P-256, P-384, P-521,
// Ed25519, Ed448. Signatures with hashes weaker than SHA-256 are refused on every certificate but
// the anchor. Does not check revocation, the leaf's EKU, which policies, names or the leaf's key:
// the caller does. Refuses with the most telling Certificate reason; tries every candidate before
// it refuses. Hostile input costs at most `max_signature_checks` public-key operations.
absl::StatusOr<VerifiedPath> VerifyPath(const Certificate& leaf,
                                        const std::vector<Certificate>& intermediates,
                                        const TrustAnchors& anchors, const PathOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_CERTIFICATE_H_
