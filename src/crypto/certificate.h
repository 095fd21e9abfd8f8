// X.509 certificates (RFC 5280) of attestation chains, and paths to trust anchors. OpenSSL parses and
// checks signatures; what may issue what, which critical extensions are understood, and the quirks
// of vendors' certificates are decided here and in certificate_quirks.cc, each with its reason.
//
// Never used on the per-call path.
#ifndef FOREKEY_SRC_CRYPTO_CERTIFICATE_H_
#define FOREKEY_SRC_CRYPTO_CERTIFICATE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/crypto/openssl.h"

namespace forekey {

// An immutable parsed certificate; copies share it.
class Certificate {
 public:
  // Exactly one DER certificate: anything left over refuses (kCertificateMalformed).
  static absl::StatusOr<Certificate> ParseDer(absl::string_view der);
  // DER or the first PEM block; PEM may have text around it.
  static absl::StatusOr<Certificate> Parse(absl::string_view bytes);
  // Every certificate of a PEM bundle, or one DER certificate.
  static absl::StatusOr<std::vector<Certificate>> ParseAll(absl::string_view bytes);

  const std::string& der() const { return der_; }
  std::string Fingerprint() const;    // SHA-256 of der, 32 bytes
  std::string Spki() const;           // DER SubjectPublicKeyInfo as it stands in the certificate
  std::string SubjectText() const;    // RFC 2253, for people
  std::string IssuerText() const;
  std::string SerialHex() const;
  absl::Time not_before() const;
  absl::Time not_after() const;       // InfiniteFuture for 99991231235959Z
  // The raw value (inside the OCTET STRING) of the extension with this dotted OID, if present once.
  std::optional<std::string> Extension(absl::string_view oid) const;
  bool ExtensionIsCritical(absl::string_view oid) const;
  // Extended key usage holds this OID; nullopt when there is no EKU extension.
  std::optional<bool> HasExtendedKeyUsage(absl::string_view oid) const;
  X509* x509() const { return x509_.get(); }  // borrowed

 private:
  Certificate(std::shared_ptr<X509> x509, std::string der);
  std::shared_ptr<X509> x509_;
  std::string der_;
};

// Trust anchors: certificates taken as they are, whatever they say of themselves.
class TrustAnchors {
 public:
  TrustAnchors() = default;
  // All files of a folder (PEM bundles or DER). One bad file does not stop the load: it is named in
  // `skipped`, with the reason. NotFound when the folder is missing.
  static absl::StatusOr<TrustAnchors> FromDirectory(const std::string& path,
                                                    std::vector<std::string>* skipped);
  void Add(Certificate anchor);
  bool empty() const { return anchors_.empty(); }
  const std::vector<Certificate>& anchors() const { return anchors_; }

 private:
  std::vector<Certificate> anchors_;
};

struct PathOptions {
  absl::Time time;                    // validity is checked at this time
  size_t max_length = 6;              // certificates in the path, leaf and anchor included
  // Dotted OIDs of critical extensions of the leaf that the caller checks by itself.
  std::vector<std::string> understood_critical;
  // The leaf may itself be a trust anchor (FIDO MDS lists such leaves).
  bool leaf_may_be_anchor = false;
  // CA certificates without basicConstraints that are accepted as issuers (quirks: old Yubico F9).
  bool allow_issuer_without_basic_constraints = false;
};

// Leaf first, anchor last. Only VerifyPath makes one.
class VerifiedPath {
 public:
  const std::vector<Certificate>& certificates() const { return certificates_; }
  const Certificate& leaf() const { return certificates_.front(); }
  const Certificate& anchor() const { return certificates_.back(); }

 private:
  friend absl::StatusOr<VerifiedPath> VerifyPath(const Certificate&, const std::vector<Certificate>&,
                                                 const TrustAnchors&, const PathOptions&);
  std::vector<Certificate> certificates_;
};

// Builds and checks a path from `leaf` through `intermediates` (untrusted, any order, extras are
// ignored) to an anchor: names chain, signatures, validity of each but the anchor at `time` (an
// anchor that has expired still anchors: Nuvoton EKs outlive their root), issuers are CAs with
// keyCertSign where they say so, path lengths, critical extensions understood. Does not check
// revocation, EKU, policies or names: the caller does. Refuses with the most telling Certificate
// reason; tries every candidate before it refuses.
absl::StatusOr<VerifiedPath> VerifyPath(const Certificate& leaf,
                                        const std::vector<Certificate>& intermediates,
                                        const TrustAnchors& anchors, const PathOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_CERTIFICATE_H_
