// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/revocation_list.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

using CrlPtr = std::unique_ptr<X509_CRL, OpenSslFree<X509_CRL_free>>;
using AuthorityKeyIdPtr = std::unique_ptr<AUTHORITY_KEYID, OpenSslFree<AUTHORITY_KEYID_free>>;
using RsaPssParamsPtr = std::unique_ptr<RSA_PSS_PARAMS, OpenSslFree<RSA_PSS_PARAMS_free>>;
using IssuingDistPointPtr =
    std::unique_ptr<ISSUING_DIST_POINT, OpenSslFree<ISSUING_DIST_POINT_free>>;

// Agencies' lists have grown to tens of megabytes.
constexpr size_t kMaxCrlSize = 64 << 20;
constexpr absl::string_view kPemBegin = "-----BEGIN ";

absl::Status BadCrl(absl::string_view detail) {
  ERR_clear_error();
  return Refuse(Reason::kCrlInvalid, detail);
}

std::optional<absl::Time> CrlTime(const ASN1_TIME* asn1) {
  struct tm tm = {};
  if (asn1 == nullptr || ASN1_TIME_check(asn1) != 1 || ASN1_TIME_to_tm(asn1, &tm) != 1) {
    return std::nullopt;
  }
  return absl::FromTimeT(timegm(&tm));
}

// RSASSA-PSS-params (RFC 4055 §3.1): NID_undef where they do not parse, and where they name no
// hash, which means SHA-1.
int PssHash(const X509_CRL* crl) {
  const X509_ALGOR* algorithm = nullptr;
  X509_CRL_get0_signature(crl, nullptr, &algorithm);
  const RsaPssParamsPtr parameters(static_cast<RSA_PSS_PARAMS*>(
      ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter)));
  ERR_clear_error();
  if (parameters == nullptr || parameters->hashAlgorithm == nullptr) return NID_undef;
  return OBJ_obj2nid(parameters->hashAlgorithm->algorithm);
}

// As certificates' (CheckSignatureAlgorithm in certificate_path.cc).
bool HasStrongHash(const X509_CRL* crl) {
  int md_nid = NID_undef;
  int key_nid = NID_undef;
  const int nid = X509_CRL_get_signature_nid(crl);
  if (nid == NID_rsassaPss) {
    md_nid = PssHash(crl);
  } else if (OBJ_find_sigid_algs(nid, &md_nid, &key_nid) != 1) {
    return false;
  }
  static constexpr std::array<int, 6> kHashes = {NID_sha256,   NID_sha384,   NID_sha512,
                                                 NID_sha3_256, NID_sha3_384, NID_sha3_512};
  return key_nid == NID_ED25519 || key_nid == NID_ED448 ||
         std::find(kHashes.begin(), kHashes.end(), md_nid) != kHashes.end();
}

std::string ObjectOid(const ASN1_OBJECT* object) {
  char text[128];
  return OBJ_obj2txt(text, sizeof(text), object, 1) > 0 ? text : "(unknown)";
}

// What an issuingDistributionPoint (RFC 5280 §5.2.5) leaves out, for people.
std::string PartText(X509_CRL* crl) {
  const IssuingDistPointPtr part(static_cast<ISSUING_DIST_POINT*>(
      X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, nullptr, nullptr)));
  ERR_clear_error();
  if (part == nullptr) return "an issuingDistributionPoint that does not parse";
  if (part->indirectCRL > 0) return "an indirect list, of other issuers' certificates";
  if (part->onlysomereasons != nullptr) return "for some reasons of revocation alone";
  if (part->onlyuser > 0) return "for certificates of users alone";
  if (part->onlyCA > 0) return "for certificates of CAs alone";
  if (part->onlyattr > 0) return "for attribute certificates alone";
  return "for the certificates of one distribution point alone";
}

// Refuses whatever is not the whole word of its issuer on its certificates (§5.2, §5.3). The
// extensions count whether they are critical, as they must be, or not.
absl::Status CheckIsWhole(X509_CRL* crl) {
  constexpr absl::string_view kAdvice =
      ": put the complete list of the CA there, and remove this one";
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(crl, i);
    const ASN1_OBJECT* object = X509_EXTENSION_get_object(extension);
    const int nid = OBJ_obj2nid(object);
    if (nid == NID_delta_crl) {
      return BadCrl(absl::StrCat(
          "a delta list, which names only what has changed since another one (AD CS calls its "
          "file NAME+.crl)",
          kAdvice));
    }
    if (nid == NID_issuing_distribution_point) return BadCrl(PartText(crl) + std::string(kAdvice));
    if (X509_EXTENSION_get_critical(extension) == 0) continue;
    return BadCrl(absl::StrCat("a critical extension that is not understood: ", ObjectOid(object)));
  }
  const STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(crl);
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(entries, i);
    for (int j = 0; j < X509_REVOKED_get_ext_count(entry); ++j) {
      X509_EXTENSION* extension = X509_REVOKED_get_ext(entry, j);
      const ASN1_OBJECT* object = X509_EXTENSION_get_object(extension);
      if (OBJ_obj2nid(object) == NID_certificate_issuer) {
        return BadCrl(absl::StrCat(
            "an indirect list, with entries of another issuer's certificates", kAdvice));
      }
      if (X509_EXTENSION_get_critical(extension) == 0) continue;
      return BadCrl(absl::StrCat("an entry with a critical extension that is not understood: ",
                                 ObjectOid(object)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct RevocationList::Verdicts {
  struct Verdict {
    std::string key;  // SHA-256 of the SubjectPublicKeyInfo
    bool good;
  };
  absl::Mutex mutex;
  std::deque<Verdict> last ABSL_GUARDED_BY(mutex);
  int checked ABSL_GUARDED_BY(mutex) = 0;
};

RevocationList::RevocationList(std::shared_ptr<X509_CRL> crl)
    : crl_(std::move(crl)), verdicts_(std::make_shared<Verdicts>()) {}

absl::StatusOr<RevocationList> RevocationList::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxCrlSize) return BadCrl("larger than 64 MiB");
  std::string der(bytes);
  if (const size_t begin = bytes.substr(0, 4096).find(kPemBegin); begin != bytes.npos) {
    // A second list would go unread, and whom it revokes with it.
    if (absl::StrContains(bytes.substr(begin + 1), kPemBegin))
      return BadCrl("more than one PEM block");
    BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
    char* name = nullptr;
    char* header = nullptr;
    uint8_t* data = nullptr;
    long size = 0;
    const bool ok = PEM_read_bio(bio.get(), &name, &header, &data, &size) == 1;
    absl::Cleanup free_all = [&] {
      OPENSSL_free(name);
      OPENSSL_free(header);
      OPENSSL_free(data);
    };
    if (!ok || absl::string_view(name) != "X509 CRL") return BadCrl("no X509 CRL in the PEM text");
    der = std::string(View(data, size));
  }
  const uint8_t* at = U8(absl::string_view(der));
  CrlPtr crl(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  if (crl == nullptr || at != U8(absl::string_view(der)) + der.size()) {
    return BadCrl("not one revocation list in DER");
  }
  ERR_clear_error();
  FOREKEY_RETURN_IF_ERROR(CheckIsWhole(crl.get()));
  return RevocationList(std::shared_ptr<X509_CRL>(std::move(crl)));
}

std::string RevocationList::IssuerText() const {
  BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_CRL_get_issuer(crl_.get()), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, size);
}

bool RevocationList::IsOfNameOf(const Certificate& issuer) const {
  return X509_NAME_cmp(X509_CRL_get_issuer(crl_.get()), X509_get_subject_name(issuer.x509())) == 0;
}

bool RevocationList::IsOfSameName(const RevocationList& other) const {
  return X509_NAME_cmp(X509_CRL_get_issuer(crl_.get()), X509_CRL_get_issuer(other.crl_.get())) == 0;
}

std::optional<absl::Time> RevocationList::this_update() const {
  return CrlTime(X509_CRL_get0_lastUpdate(crl_.get()));
}

std::optional<absl::Time> RevocationList::next_update() const {
  return CrlTime(X509_CRL_get0_nextUpdate(crl_.get()));
}

bool RevocationList::IsSignedBy(const Certificate& issuer) const {
  // A name has few keys: its own, renewed ones, and whoever calls himself so.
  constexpr size_t kRemembered = 16;
  std::string key_hash = Sha256(issuer.Spki());
  {
    absl::MutexLock lock(&verdicts_->mutex);
    for (const Verdicts::Verdict& verdict : verdicts_->last) {
      if (verdict.key == key_hash) return verdict.good;
    }
  }
  EVP_PKEY* key = issuer.key();
  const bool good = key != nullptr && X509_CRL_verify(crl_.get(), key) == 1;
  ERR_clear_error();
  absl::MutexLock lock(&verdicts_->mutex);
  ++verdicts_->checked;
  verdicts_->last.push_back({std::move(key_hash), good});
  if (verdicts_->last.size() > kRemembered) verdicts_->last.pop_front();
  return good;
}

int RevocationList::signatures_checked() const {
  absl::MutexLock lock(&verdicts_->mutex);
  return verdicts_->checked;
}

bool RevocationList::IsByAnotherKeyThan(const Certificate& issuer) const {
  const AuthorityKeyIdPtr named(static_cast<AUTHORITY_KEYID*>(
      X509_CRL_get_ext_d2i(crl_.get(), NID_authority_key_identifier, nullptr, nullptr)));
  const std::optional<std::string> own = issuer.SubjectKeyId();
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const bool hashed = X509_pubkey_digest(issuer.x509(), EVP_sha1(), digest, &size) == 1;
  ERR_clear_error();
  if (!IsOfNameOf(issuer) || named == nullptr || named->keyid == nullptr || !hashed) return false;
  const absl::string_view id =
      View(ASN1_STRING_get0_data(named->keyid), ASN1_STRING_length(named->keyid));
  if (own == id) return false;
  // RFC 5280 §4.2.1.2, method 1: what the key's identifier mostly is, also where it is not written.
  return id != View(digest, size) && !IsSignedBy(issuer);
}

bool RevocationList::Names(const Certificate& certificate) const {
  X509_REVOKED* entry = nullptr;
  const int found =
      X509_CRL_get0_by_serial(crl_.get(), &entry, X509_get0_serialNumber(certificate.x509()));
  ERR_clear_error();
  return found != 0;
}

absl::Status RevocationList::CheckIssuer(const Certificate& issuer) const {
  const std::string who = absl::StrCat("the list of \"", IssuerText(), "\"");
  if (!IsOfNameOf(issuer)) {
    return BadCrl(absl::StrCat(who, " is not of \"", issuer.SubjectText(), "\""));
  }
  const std::optional<uint32_t> usage = issuer.KeyUsage();
  if (usage && (*usage & KU_CRL_SIGN) == 0) {
    return BadCrl(absl::StrCat("the keyUsage of \"", issuer.SubjectText(), "\" lacks cRLSign"));
  }
  if (!HasStrongHash(crl_.get())) return BadCrl(absl::StrCat(who, " is signed with a weak hash"));
  if (!IsSignedBy(issuer)) {
    return BadCrl(absl::StrCat("the signature of ", who, " does not verify"));
  }
  if (!this_update() || !next_update()) {
    return BadCrl(absl::StrCat(who, " does not say how long it holds"));
  }
  return absl::OkStatus();
}

absl::Status RevocationList::Check(const Certificate& certificate, const Certificate& issuer,
                                   absl::Time time) const {
  if (IsOfNameOf(issuer) && Names(certificate) && IsSignedBy(issuer)) {
    return Refuse(
        Reason::kCertificateRevoked,
        absl::StrCat("\"", certificate.SubjectText(), "\" serial ", certificate.SerialHex(),
                     " is on the list of \"", issuer.SubjectText(), "\" of ",
                     this_update() ? absl::FormatTime(*this_update(), absl::UTCTimeZone())
                                   : "an unknown time"));
  }
  FOREKEY_RETURN_IF_ERROR(CheckIssuer(issuer));
  if (time < *this_update() || time > *next_update()) {
    return Refuse(Reason::kCrlExpired,
                  absl::StrCat("the list of \"", IssuerText(), "\" is of ",
                               absl::FormatTime(*this_update(), absl::UTCTimeZone()), " to ",
                               absl::FormatTime(*next_update(), absl::UTCTimeZone())));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CheckRevocation(const VerifiedPath& path,
                                     const std::vector<RevocationList>& lists,
                                     RevocationScope scope, absl::Time time) {
  if (lists.empty()) return false;
  bool any_applied = false;
  const std::vector<Certificate>& certificates = path.certificates();
  for (size_t i = 0; i + 1 < certificates.size(); ++i) {
    std::optional<absl::Status> unusable;
    bool usable = false;
    bool of_another_key = false;
    for (const RevocationList& list : lists) {
      if (!list.IsOfNameOf(certificates[i + 1])) continue;
      const absl::Status status = list.Check(certificates[i], certificates[i + 1], time);
      if (ReasonOf(status) == Reason::kCertificateRevoked) return status;
      if (!status.ok() && list.IsByAnotherKeyThan(certificates[i + 1])) {
        // It may be complete for the name all the same: serial numbers are one issuer's, whatever
        // its key (RFC 5280 §5.2.1). Who is named by it is not passed over.
        if (list.Names(certificates[i])) {
          return BadCrl(absl::StrCat("a list by another key of \"",
                                     certificates[i + 1].SubjectText(), "\" names \"",
                                     certificates[i].SubjectText(), "\""));
        }
        of_another_key = true;
        continue;
      }
      usable = usable || status.ok();
      if (!status.ok() && !unusable) unusable = status;
    }
    if (!usable && unusable) return *unusable;
    any_applied = any_applied || usable;
    if (i == 0 && !usable && scope == RevocationScope::kLeafToo) {
      return BadCrl(absl::StrCat("no list of \"", certificates[1].SubjectText(), "\"",
                                 of_another_key ? ": what is there is by another key of that name, "
                                                  "get the one by the key that signed this"
                                                : ""));
    }
  }
  return any_applied;
}

}  // namespace forekey
