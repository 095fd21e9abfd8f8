// SPDX-License-Identifier: Apache-2.0
// Certificate revocation lists (RFC 5280 §5), complete ones only: what a CA publishes as one file.
// Lists that cover a part of its certificates or of the reasons (issuingDistributionPoint), deltas
// and indirect lists are refused when they are read: a certificate that such a list does not name
// is not known to be good, and passing over one that names a certificate would let that one in.
#ifndef FOREKEY_SRC_CRYPTO_REVOCATION_LIST_H_
#define FOREKEY_SRC_CRYPTO_REVOCATION_LIST_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/crypto/certificate.h"
#include "src/crypto/openssl.h"

namespace forekey {

// Immutable; copies share it. Nothing is verified by parsing. Safe from any thread.
class RevocationList {
 public:
  // DER, or one PEM block; nothing left over. Refuses with kCrlInvalid, also what is not complete.
  static absl::StatusOr<RevocationList> Parse(absl::string_view bytes);

  std::string IssuerText() const;
  bool IsOfNameOf(const Certificate& issuer) const;
  bool IsOfSameName(const RevocationList& other) const;
  // As the list says; nullopt where it does not, or not so that it can be read.
  std::optional<absl::Time> this_update() const;
  std::optional<absl::Time> next_update() const;

  // OK when this list is `issuer`'s own and can be used, at some time. Refuses as Check() does.
  absl::Status CheckIssuer(const Certificate& issuer) const;
  // kCertificateRevoked: `issuer` signed this list and it names `certificate`, whatever else is
  // wrong with it: a list that is too old to say who is good still says who is not. OK when it does
  // not name the certificate, is `issuer`'s own and of that time. kCrlInvalid: another issuer's, a
  // signature that does not verify, a weak hash, no cRLSign, no nextUpdate. kCrlExpired: not of
  // that time.
  absl::Status Check(const Certificate& certificate, const Certificate& issuer,
                     absl::Time time) const;

  // Whether this list is by a CA of `issuer`'s name, but by another key than `issuer`'s, as its
  // authorityKeyIdentifier says. A CA that has renewed its key publishes such lists. It knows
  // nothing of what the other key has signed.
  bool IsByAnotherKeyThan(const Certificate& issuer) const;

  // An entry has the certificate's serial number. Nothing is verified: whose number it is depends
  // on whose list this is.
  bool Names(const Certificate& certificate) const;

  // How many signatures were checked so far, by this object and its copies: one for each issuer's
  // key, of which the last few are remembered. A list of 40 MB costs 130 ms.
  int signatures_checked() const;

 private:
  struct Verdicts;  // of signatures, by the issuer's key

  bool IsSignedBy(const Certificate& issuer) const;

  explicit RevocationList(std::shared_ptr<X509_CRL> crl);
  std::shared_ptr<X509_CRL> crl_;
  std::shared_ptr<Verdicts> verdicts_;
};

enum class RevocationScope {
  kWhereListed,  // certificates whose issuer has no list here pass
  kLeafToo,      // where there are lists at all, the leaf's issuer must have one
};

// Every certificate of the path but the anchor, against the lists of its issuer. One list that
// names a certificate is enough to refuse it. Of several lists of one issuer those that can't be
// used are passed over, as long as one can be; those by another key of the same CA know nobody
// here, and refuse (kCrlInvalid) whom they name all the same. Returns whether any list was asked;
// OK without lists.
absl::StatusOr<bool> CheckRevocation(const VerifiedPath& path,
                                     const std::vector<RevocationList>& lists,
                                     RevocationScope scope, absl::Time time);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_REVOCATION_LIST_H_
