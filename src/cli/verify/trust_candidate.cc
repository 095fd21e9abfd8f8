// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_candidate.h"

#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "src/crypto/revocation_list.h"

namespace forekey {
namespace {

// No certificate is shorter.
constexpr size_t kShortest = 64;

// tcg-kp-EKCertificate (TCG EK Credential Profile, section 3.2.16).
constexpr char kEndorsementPurpose[] = "2.23.133.8.1";
constexpr int kLeastRsaBits = 2048;
constexpr int kLeastCurveBits = 256;

constexpr struct {
  absl::string_view name;
  TrustKind kind;
} kKindNames[] = {{"tpm", TrustKind::kTpm}, {"fido2", TrustKind::kFido2}, {"piv", TrustKind::kPiv}};

// What stands in the names of TPM vendors' CAs, lower case: those of Microsoft's and Keylime's
// collections.
constexpr struct {
  absl::string_view word, vendor;
} kVendors[] = {{"infineon", "infineon"},
                {"optiga", "infineon"},
                {"ifx", "infineon"},
                {"stmicroelectronics", "stmicroelectronics"},
                {"stm tpm", "stmicroelectronics"},
                {"stsafe", "stmicroelectronics"},
                {"globalsign trusted platform", "stmicroelectronics"},
                {"globalsign trusted computing", "stmicroelectronics"},
                {"nuvoton", "nuvoton"},
                {"npct", "nuvoton"},
                {"ntc tpm", "nuvoton"},
                {"nationz", "nationz"},
                {"nsing", "nationz"},
                {"intel", "intel"},
                {"amd", "amd"},
                {"advanced micro devices", "amd"},
                {"qualcomm", "qualcomm"},
                {"atmel", "atmel"},
                {"microsoft", "microsoft"},
                {"google", "google"},
                {"vmware", "vmware"},
                {"yubico", "yubico"},
                {"feitian", "feitian"},
                {"solokeys", "solokeys"},
                {"nitrokey", "nitrokey"},
                {"token2", "token2"},
                {"swissbit", "swissbit"},
                {"thales", "thales"},
                {"hid global", "hid"}};

// Words of EK CAs' names; the vendors above make other things, too.
constexpr absl::string_view kTpmWords[] = {"tpm",
                                           "endorsement",
                                           "trusted platform",
                                           "ek root",
                                           "ekrootca",
                                           " ek ",
                                           "trusted computing",
                                           "optiga",
                                           "pluton",
                                           "ptt",
                                           "odca",
                                           "on die"};
constexpr absl::string_view kPivWords[] = {"piv"};
constexpr absl::string_view kFidoWords[] = {"u2f", "fido", "webauthn", "ctap"};
// Of Yubico's CAs: SD is the security domain, whose keys a management system's channel is for.
constexpr absl::string_view kOtherWords[] = {"opgp", "openpgp", " sd attestation", "yubihsm"};
// Yubico's CAs that vouch for keys of all kinds. As an anchor of FIDO2 one would let a PIV key
// attest a security key in software: there the CAs below have to do, whose own names tell.
constexpr absl::string_view kYubicoCommonWords[] = {"yubico attestation root",
                                                    "yubico attestation intermediate"};

std::string Names(const Certificate& certificate) {
  return absl::AsciiStrToLower(
      absl::StrCat(" ", certificate.SubjectText(), " ", certificate.IssuerText(), " "));
}

template <size_t kCount>
bool HasOne(absl::string_view text, const absl::string_view (&words)[kCount]) {
  for (absl::string_view word : words) {
    if (absl::StrContains(text, word)) return true;
  }
  return false;
}

absl::Status CheckKey(const EVP_PKEY* key) {
  if (key == nullptr) return absl::InvalidArgumentError("its key is of no known kind");
  int least = 0;
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      least = kLeastRsaBits;
      break;
    case EVP_PKEY_EC:
      least = kLeastCurveBits;
      break;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError("its key is of no kind that is taken (RSA, EC, Ed25519)");
  }
  const int bits = EVP_PKEY_get_bits(key);
  if (bits >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("its key is weak (", bits, " bits)"));
}

// Of the issuer's signature.
absl::Status CheckHash(const Certificate& certificate) {
  int hash = NID_undef, key = NID_undef;
  if (X509_get_signature_info(certificate.x509(), &hash, &key, nullptr, nullptr) != 1) {
    return absl::InvalidArgumentError("it is signed in no way that is known");
  }
  if (key == NID_ED25519 || key == NID_ED448) return absl::OkStatus();
  for (int good : {NID_sha256, NID_sha384, NID_sha512, NID_sha3_256, NID_sha3_384, NID_sha3_512}) {
    if (hash == good) return absl::OkStatus();
  }
  const char* name = hash == NID_undef ? nullptr : OBJ_nid2sn(hash);
  return absl::InvalidArgumentError(
      absl::StrCat("it is signed by a weak hash (", name == nullptr ? "unknown" : name, ")"));
}

std::string Day(absl::Time time) { return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone()); }

}  // namespace

absl::string_view TrustKindName(TrustKind kind) {
  for (const auto& entry : kKindNames) {
    if (entry.kind == kind) return entry.name;
  }
  return "?";
}

std::optional<TrustKind> TrustKindFromName(absl::string_view name) {
  for (const auto& entry : kKindNames) {
    if (entry.name == name) return entry.kind;
  }
  return std::nullopt;
}

std::optional<TrustKind> GuessTrustKind(const Certificate& certificate, absl::string_view file) {
  if (certificate.HasExtendedKeyUsage(kEndorsementPurpose).value_or(false)) return TrustKind::kTpm;
  if (IsForOtherUse(certificate)) return std::nullopt;
  const std::string names = Names(certificate);
  if (HasOne(names, kPivWords)) return TrustKind::kPiv;
  if (HasOne(names, kFidoWords)) return TrustKind::kFido2;
  if (HasOne(names, kTpmWords)) return TrustKind::kTpm;
  if (HasOne(absl::AsciiStrToLower(certificate.SubjectText()), kYubicoCommonWords)) {
    return TrustKind::kPiv;
  }
  // Microsoft's cabinet has VENDOR/RootCA/FILE and VENDOR/IntermediateCA/FILE, all of them TPMs'.
  const std::string place = absl::AsciiStrToLower(file);
  if (absl::StrContains(place, "/rootca/") || absl::StrContains(place, "/intermediateca/") ||
      absl::StrContains(place, "/intermediatesca/")) {
    return TrustKind::kTpm;
  }
  if (HasOne(place, kPivWords)) return TrustKind::kPiv;
  if (HasOne(place, kFidoWords)) return TrustKind::kFido2;
  if (HasOne(place, kTpmWords)) return TrustKind::kTpm;
  return std::nullopt;
}

bool IsForOtherUse(const Certificate& certificate) {
  return HasOne(Names(certificate), kOtherWords);
}

std::string TrustVendor(const Certificate& certificate, absl::string_view file) {
  const std::string names = Names(certificate), place = absl::AsciiStrToLower(file);
  for (const std::string& text : {names, place}) {
    for (const auto& entry : kVendors) {
      if (absl::StrContains(text, entry.word)) return std::string(entry.vendor);
    }
  }
  return "other";
}

bool IsRoot(const Certificate& certificate) {
  if (!certificate.IsSelfIssued()) return false;
  // With SHA-1 an old root's own signature is not verified here; its name and key have to do.
  const auto subject = certificate.SubjectKeyId(), authority = certificate.AuthorityKeyId();
  return !subject || !authority || *subject == *authority;
}

bool LooksLikeCertificate(absl::string_view bytes, absl::string_view file) {
  if (absl::StrContains(bytes, "-----BEGIN CERTIFICATE-----") ||
      absl::StrContains(bytes, "-----BEGIN X509 CERTIFICATE-----")) {
    return true;
  }
  if (absl::StartsWith(bytes, "\x30")) return !RevocationList::Parse(bytes).ok();
  const std::string name = absl::AsciiStrToLower(file);
  const bool named = absl::EndsWith(name, ".pem") || absl::EndsWith(name, ".der") ||
                     absl::EndsWith(name, ".cer") || absl::EndsWith(name, ".crt");
  return named && (bytes.size() < kShortest || !absl::StrContains(bytes, "-----BEGIN "));
}

absl::Status CheckTrustCandidate(const Certificate& certificate, absl::Time now,
                                 bool allow_expired) {
  // Version 1 certificates can't say that they are CAs: some old roots are such.
  const bool old_root = X509_get_version(certificate.x509()) == 0 && IsRoot(certificate);
  if (!certificate.IsCa() && !old_root) {
    return absl::InvalidArgumentError("it is no CA's (basicConstraints)");
  }
  if (certificate.not_after() < now && !allow_expired) {
    return absl::InvalidArgumentError(
        absl::StrCat("it ended on ", Day(certificate.not_after()), " (--allow-expired takes it)"));
  }
  if (certificate.not_before() > now) {
    return absl::InvalidArgumentError(absl::StrCat("it begins on ", Day(certificate.not_before())));
  }
  if (absl::Status strong = CheckKey(certificate.key()); !strong.ok()) return strong;
  // A root's signature on itself says nothing: its name and key are what is trusted.
  return IsRoot(certificate) ? absl::OkStatus() : CheckHash(certificate);
}

}  // namespace forekey
