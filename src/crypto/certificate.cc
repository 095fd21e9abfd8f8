// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <time.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/base/unseen_files.h"
#include "src/crypto/certificate_quirks.h"
#include "src/crypto/digest.h"
#include "src/crypto/spki.h"

namespace forekey {
namespace {

using Asn1ObjectPtr = std::unique_ptr<ASN1_OBJECT, OpenSslFree<ASN1_OBJECT_free>>;
using BasicConstraintsPtr = std::unique_ptr<BASIC_CONSTRAINTS, OpenSslFree<BASIC_CONSTRAINTS_free>>;
using ExtendedKeyUsagePtr =
    std::unique_ptr<EXTENDED_KEY_USAGE, OpenSslFree<EXTENDED_KEY_USAGE_free>>;
using CertificatePoliciesPtr =
    std::unique_ptr<CERTIFICATEPOLICIES, OpenSslFree<CERTIFICATEPOLICIES_free>>;
using BitStringPtr = std::unique_ptr<ASN1_BIT_STRING, OpenSslFree<ASN1_BIT_STRING_free>>;

absl::Status Malformed(absl::string_view detail) {
  ERR_clear_error();
  return Refuse(Reason::kCertificateMalformed, detail);
}

// A name of whatever length comes before its signature is looked at, and stands in refusals.
constexpr size_t kMaxNameText = 512;

std::string NameText(const X509_NAME* name) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "(unprintable)";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  const absl::string_view text(data, size);
  if (text.size() <= kMaxNameText) return std::string(text);
  return absl::StrCat(text.substr(0, kMaxNameText), "...");
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* asn1) {
  struct tm tm = {};
  if (ASN1_TIME_check(asn1) != 1 || ASN1_TIME_to_tm(asn1, &tm) != 1) {
    return Malformed("a validity date can't be read");
  }
  // RFC 5280 §4.1.2.5: 99991231235959Z means that there is no end.
  if (tm.tm_year + 1900 == 9999 && tm.tm_mon == 11 && tm.tm_mday == 31)
    return absl::InfiniteFuture();
  return absl::FromTimeT(timegm(&tm));
}

// A library context whose one provider can do nothing. X509 objects of it are parsed like others,
// but for their keys, for which OpenSSL finds no decoder: finding one takes ten times as long as
// all the rest.
OSSL_LIB_CTX* KeylessContext() {
  static OSSL_LIB_CTX* const context = [] {
    OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
    OrDie(made != nullptr && OSSL_PROVIDER_load(made, "null") != nullptr,
          "OSSL_PROVIDER_load(null)");
    return made;
  }();
  return context;
}

X509Ptr ParseX509(absl::string_view der) {
  X509* into = X509_new_ex(KeylessContext(), nullptr);
  OrDie(into != nullptr, "X509_new_ex");
  const uint8_t* at = U8(der);
  const bool parsed = d2i_X509(&into, &at, static_cast<long>(der.size())) != nullptr;
  X509Ptr x509(into);  // null where d2i_X509 failed: it has freed the object then
  return parsed && at == U8(der) + der.size() ? std::move(x509) : nullptr;
}

// OpenSSL takes BER. The TBSCertificate is under the signature as it stands, but nothing vouches
// for the encoding around it, so that is compared with the canonical one.
bool IsCanonical(X509* x509, absl::string_view der) {
  uint8_t* encoded = nullptr;
  const int size = i2d_X509(x509, &encoded);
  absl::Cleanup free_encoded = [&encoded] { OPENSSL_free(encoded); };
  return size >= 0 && View(encoded, size) == der;
}

bool HasRepeatedExtension(const X509* x509) {
  std::set<std::string> seen;
  for (int i = 0; i < X509_get_ext_count(x509); ++i) {
    const ASN1_OBJECT* object = X509_EXTENSION_get_object(X509_get_ext(x509, i));
    if (!seen.emplace(View(OBJ_get0_data(object), OBJ_length(object))).second) return true;
  }
  return false;
}

X509_EXTENSION* FindExtension(const X509* x509, absl::string_view oid) {
  Asn1ObjectPtr object(OBJ_txt2obj(std::string(oid).c_str(), 1));
  if (object == nullptr) return nullptr;
  const int index = X509_get_ext_by_OBJ(x509, object.get(), -1);
  return index < 0 ? nullptr : X509_get_ext(x509, index);
}

// An identifier too long to be written is nobody's.
void AppendDotted(const ASN1_OBJECT* object, std::vector<std::string>* all) {
  char text[128];
  const int size = OBJ_obj2txt(text, sizeof(text), object, 1);
  if (size > 0 && size < static_cast<int>(sizeof(text))) all->emplace_back(text, size);
}

// The DER of one PEM block, text from its "-----BEGIN" on.
absl::StatusOr<Certificate> ParsePemBlock(absl::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
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
  if (!ok) return Malformed("a PEM block is damaged");
  return Certificate::ParseDer(View(data, size));
}

// Files that are joined without a newline: the line so far is "-----END NAME-----", and no more.
bool EndsWithPemEnd(absl::string_view before) {
  constexpr absl::string_view kDashes = "-----";
  constexpr size_t kLongest = 100;  // of such a line: one without end is not read again and again
  absl::string_view line = before.substr(before.size() - std::min(before.size(), kLongest));
  const size_t newline = line.find_last_of("\r\n");
  if (newline == absl::string_view::npos) return false;
  line.remove_prefix(newline + 1);
  return absl::ConsumePrefix(&line, "-----END ") && absl::ConsumeSuffix(&line, kDashes) &&
         !absl::StrContains(line, kDashes);
}

// Where the next PEM block begins: at the beginning of a line (RFC 7468 §2), since text between
// blocks may hold a name that somebody else chose, or right behind another block's end. A byte
// order mark is none of a line's.
size_t FindPemBegin(absl::string_view bytes, size_t from) {
  constexpr absl::string_view kBegin = "-----BEGIN ", kByteOrderMark = "\xEF\xBB\xBF";
  for (size_t at = bytes.find(kBegin, from); at != absl::string_view::npos;
       at = bytes.find(kBegin, at + 1)) {
    if (at == 0 || bytes[at - 1] == '\n' || bytes[at - 1] == '\r') return at;
    if (bytes.substr(0, at) == kByteOrderMark) return at;
    if (EndsWithPemEnd(bytes.substr(0, at))) return at;
  }
  return absl::string_view::npos;
}

bool LooksLikeDer(absl::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == 0x30 && (static_cast<uint8_t>(bytes[1]) & 0x80) != 0;
}

}  // namespace

Certificate::Certificate(std::shared_ptr<X509> x509, std::string der, bool repaired)
    : x509_(std::move(x509)), der_(std::move(der)), repaired_(repaired) {}

absl::StatusOr<Certificate> Certificate::ParseDer(absl::string_view der) {
  if (der.size() > (1 << 16)) return Malformed("larger than 64 KiB");
  bool repaired = false;
  std::string parsed(der);
  if (auto fixed = RepairUnusedBits(der)) parsed = *std::move(fixed);
  X509Ptr x509 = ParseX509(parsed);
  if (x509 == nullptr) {
    if (auto fixed = RepairSerial(der)) {
      parsed = *std::move(fixed);
      x509 = ParseX509(parsed);
      repaired = true;
    }
  }
  if (x509 == nullptr) return Malformed("not one X.509 certificate in DER");
  if (!IsCanonical(x509.get(), parsed)) return Malformed("the outer encoding is not DER");
  if (HasRepeatedExtension(x509.get())) return Malformed("an extension is there twice");
  FOREKEY_ASSIGN_OR_RETURN(absl::Time not_before, ToTime(X509_get0_notBefore(x509.get())));
  FOREKEY_ASSIGN_OR_RETURN(absl::Time not_after, ToTime(X509_get0_notAfter(x509.get())));
  // What OpenSSL's parser left in the queue for a key that it does not know is not an error here.
  ERR_clear_error();
  Certificate certificate(std::shared_ptr<X509>(std::move(x509)), std::string(der), repaired);
  certificate.key_ = std::shared_ptr<EVP_PKEY>(KeyOfSpki(certificate.Spki()));
  certificate.not_before_ = not_before;
  certificate.not_after_ = not_after;
  return certificate;
}

std::vector<absl::StatusOr<Certificate>> Certificate::ParseEach(absl::string_view bytes) {
  std::vector<absl::StatusOr<Certificate>> result;
  size_t begin = FindPemBegin(bytes, 0);
  if (LooksLikeDer(bytes) || begin == absl::string_view::npos) {
    result.push_back(ParseDer(bytes));
    return result;
  }
  while (begin != absl::string_view::npos) {
    const size_t next = FindPemBegin(bytes, begin + 1);
    const absl::string_view block = bytes.substr(begin, next - begin);
    begin = next;
    if (absl::StartsWith(block, "-----BEGIN CERTIFICATE-----") ||
        absl::StartsWith(block, "-----BEGIN X509 CERTIFICATE-----")) {
      result.push_back(ParsePemBlock(block));
    }
  }
  if (result.empty()) result.push_back(Malformed("no certificate in the PEM text"));
  return result;
}

absl::StatusOr<std::vector<Certificate>> Certificate::ParseAll(absl::string_view bytes) {
  std::vector<Certificate> result;
  for (absl::StatusOr<Certificate>& certificate : ParseEach(bytes)) {
    if (!certificate.ok()) return certificate.status();
    result.push_back(*std::move(certificate));
  }
  return result;
}

absl::StatusOr<Certificate> Certificate::Parse(absl::string_view bytes) {
  return std::move(ParseEach(bytes).front());
}

std::string Certificate::Fingerprint() const { return Sha256(der_); }

std::string Certificate::Spki() const {
  uint8_t* encoded = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509_.get()), &encoded);
  if (size < 0) return "";
  absl::Cleanup free_encoded = [encoded] { OPENSSL_free(encoded); };
  return std::string(View(encoded, size));
}

std::string Certificate::SubjectText() const {
  return NameText(X509_get_subject_name(x509_.get()));
}

std::string Certificate::IssuerText() const { return NameText(X509_get_issuer_name(x509_.get())); }

std::string Certificate::SerialHex() const {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509_.get());
  std::string hex =
      absl::BytesToHexString(View(ASN1_STRING_get0_data(serial), ASN1_STRING_length(serial)));
  return absl::StrCat(ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" : "", hex);
}

absl::Time Certificate::not_before() const { return not_before_; }
absl::Time Certificate::not_after() const { return not_after_; }

std::optional<std::string> Certificate::Extension(absl::string_view oid) const {
  X509_EXTENSION* extension = FindExtension(x509_.get(), oid);
  if (extension == nullptr) return std::nullopt;
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
  return std::string(View(ASN1_STRING_get0_data(value), ASN1_STRING_length(value)));
}

bool Certificate::ExtensionIsCritical(absl::string_view oid) const {
  X509_EXTENSION* extension = FindExtension(x509_.get(), oid);
  return extension != nullptr && X509_EXTENSION_get_critical(extension) == 1;
}

std::optional<bool> Certificate::HasExtendedKeyUsage(absl::string_view oid) const {
  if (FindExtension(x509_.get(), "2.5.29.37") == nullptr) return std::nullopt;
  ExtendedKeyUsagePtr usages(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(x509_.get(), NID_ext_key_usage, nullptr, nullptr)));
  Asn1ObjectPtr wanted(OBJ_txt2obj(std::string(oid).c_str(), 1));
  ERR_clear_error();
  if (usages == nullptr || wanted == nullptr) return false;
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    if (OBJ_cmp(sk_ASN1_OBJECT_value(usages.get(), i), wanted.get()) == 0) return true;
  }
  return false;
}

bool Certificate::MayBeFor(absl::string_view purpose) const {
  constexpr absl::string_view kAnyPurpose = "2.5.29.37.0";
  const std::optional<bool> listed = HasExtendedKeyUsage(purpose);
  return !listed || *listed || HasExtendedKeyUsage(kAnyPurpose) == true;
}

bool Certificate::IsCa() const {
  BasicConstraintsPtr constraints(static_cast<BASIC_CONSTRAINTS*>(
      X509_get_ext_d2i(x509_.get(), NID_basic_constraints, nullptr, nullptr)));
  ERR_clear_error();
  return constraints != nullptr && constraints->ca != 0;
}

std::vector<std::string> Certificate::ExtendedKeyUsages() const {
  std::vector<std::string> result;
  ExtendedKeyUsagePtr usages(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(x509_.get(), NID_ext_key_usage, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; usages != nullptr && i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    AppendDotted(sk_ASN1_OBJECT_value(usages.get(), i), &result);
  }
  return result;
}

std::vector<std::string> Certificate::Policies() const {
  std::vector<std::string> result;
  CertificatePoliciesPtr policies(static_cast<CERTIFICATEPOLICIES*>(
      X509_get_ext_d2i(x509_.get(), NID_certificate_policies, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; policies != nullptr && i < sk_POLICYINFO_num(policies.get()); ++i) {
    AppendDotted(sk_POLICYINFO_value(policies.get(), i)->policyid, &result);
  }
  return result;
}

std::vector<std::string> Certificate::CommonNames() const {
  std::vector<std::string> result;
  const X509_NAME* name = X509_get_subject_name(x509_.get());
  int at = -1;
  while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0) {
    uint8_t* utf8 = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (size < 0) continue;
    result.emplace_back(View(utf8, size));
    OPENSSL_free(utf8);
  }
  ERR_clear_error();
  return result;
}

std::optional<uint32_t> Certificate::KeyUsage() const {
  if (FindExtension(x509_.get(), "2.5.29.15") == nullptr) return std::nullopt;
  BitStringPtr bits(static_cast<ASN1_BIT_STRING*>(
      X509_get_ext_d2i(x509_.get(), NID_key_usage, nullptr, nullptr)));
  ERR_clear_error();
  uint32_t usage = 0;
  if (bits == nullptr) return usage;
  if (bits->length > 0) usage = bits->data[0];
  if (bits->length > 1) usage |= static_cast<uint32_t>(bits->data[1]) << 8;
  return usage;
}

bool Certificate::IsIssuedByNameOf(const Certificate& issuer) const {
  return X509_NAME_cmp(X509_get_issuer_name(x509_.get()),
                       X509_get_subject_name(issuer.x509_.get())) == 0;
}

bool Certificate::IsSelfIssued() const { return IsIssuedByNameOf(*this); }

void TrustAnchors::Add(Certificate anchor) { anchors_.push_back(std::move(anchor)); }

absl::StatusOr<TrustAnchors> TrustAnchors::FromDirectory(const std::string& path,
                                                         std::vector<std::string>* skipped) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> names, ListFilesAndUnseen(path));
  TrustAnchors result;
  for (const std::string& name : names) {
    absl::StatusOr<std::string> content = ReadFile(absl::StrCat(path, "/", name));
    if (!content.ok()) {
      skipped->push_back(absl::StrCat(name, ": ", content.status().message()));
      continue;
    }
    for (absl::StatusOr<Certificate>& anchor : Certificate::ParseEach(*content)) {
      if (anchor.ok()) {
        result.Add(*std::move(anchor));
      } else {
        skipped->push_back(absl::StrCat(name, ": ", anchor.status().message()));
      }
    }
  }
  return result;
}

}  // namespace forekey
