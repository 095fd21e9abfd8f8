// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_tls.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"
#include "src/base/owned_file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/session/announced_cas.h"
#include "src/wire/session_keys.h"

namespace forekey {
namespace {

std::string TextOfAddress(const ASN1_OCTET_STRING& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const unsigned char* bytes = ASN1_STRING_get0_data(&address);
  const int size = ASN1_STRING_length(&address);
  if (size == 4) inet_ntop(AF_INET, bytes, text, sizeof(text));
  if (size == 16) inet_ntop(AF_INET6, bytes, text, sizeof(text));
  return text;
}

// The DNS names and addresses that the certificate is for.
std::vector<std::string> HostsOf(const Certificate& certificate) {
  std::vector<std::string> hosts;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.x509(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    std::string host;
    if (name->type == GEN_DNS) {
      host.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                  ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      host = TextOfAddress(*name->d.iPAddress);
    }
    if (!host.empty()) hosts.push_back(std::move(host));
  }
  GENERAL_NAMES_free(names);
  return hosts;
}

// A file that belongs to whom `like` belongs: root may make what the gate's user has to read.
absl::Status ReplaceLike(const std::string& like, const std::string& path,
                         const std::string& content, mode_t mode) {
  struct stat before = {};
  FileOwner owner;
  if (stat(like.c_str(), &before) == 0 && before.st_uid != geteuid()) {
    owner = {before.st_uid, before.st_gid};
  }
  return WriteOwnedFileAtomically(path, content, mode, owner);
}

absl::Status Replace(const std::string& path, const std::string& content, mode_t mode) {
  return ReplaceLike(path, path, content, mode);
}

absl::Status NeedCa(const GateConfig& config) {
  if (!config.tls.ca.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the configuration has no [tls] ca: agents trust their system's CAs for this gate, which "
      "change without it");
}

// Issued by `ca`, and for names.
absl::StatusOr<SelfSignedCertificate> ReadPair(const SwitchCaOptions& options,
                                               const Certificate& ca) {
  SelfSignedCertificate pair;
  FOREKEY_ASSIGN_OR_RETURN(pair.certificate_pem, ReadFile(options.certificate));
  FOREKEY_ASSIGN_OR_RETURN(pair.key_pem, ReadPrivateFile(options.private_key));
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Certificate> chain,
                           Certificate::ParseAll(pair.certificate_pem));
  for (const Certificate& one : chain) {
    if (one.IsSignedBy(ca.key())) return pair;
  }
  return absl::InvalidArgumentError(absl::StrCat(options.certificate, " is not by the next CA (",
                                                 ca.SubjectText(), "): agents would refuse it"));
}

}  // namespace

std::string CaKeyPath(const std::string& ca) {
  absl::string_view stem = ca;
  absl::ConsumeSuffix(&stem, ".pem");
  return absl::StrCat(stem, "-key.pem");
}

absl::StatusOr<absl::Time> RenewCertificate(const GateConfig& config,
                                            std::vector<std::string> hosts, absl::Time now,
                                            absl::Duration lifetime) {
  const absl::StatusOr<std::string> key = config.tls.ca.empty()
                                              ? absl::NotFoundError("there is no [tls] ca")
                                              : ReadPrivateFile(CaKeyPath(config.tls.ca));
  if (!key.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key of the CA is not here (", key.status().message(),
        "): whoever issued the certificate has to renew it; put the new one in the place of ",
        config.tls.certificate));
  }
  SelfSignedCertificate ca;
  ca.key_pem = *key;
  FOREKEY_ASSIGN_OR_RETURN(ca.certificate_pem, ReadFile(config.tls.ca));
  if (hosts.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(const std::string old, ReadFile(config.tls.certificate));
    FOREKEY_ASSIGN_OR_RETURN(const Certificate leaf, Certificate::Parse(old));
    hosts = HostsOf(leaf);
  }
  FOREKEY_ASSIGN_OR_RETURN(const SelfSignedCertificate made,
                           IssueGateCertificate(ca, hosts, now, lifetime));
  FOREKEY_ASSIGN_OR_RETURN(const Certificate leaf, Certificate::Parse(made.certificate_pem));
  // A gate that reads between the two sees a pair that does not belong together, and waits.
  FOREKEY_RETURN_IF_ERROR(Replace(config.tls.private_key, made.key_pem, 0600));
  FOREKEY_RETURN_IF_ERROR(Replace(config.tls.certificate, made.certificate_pem, 0644));
  return leaf.not_after();
}

absl::StatusOr<NextCa> PrepareNextCa(const GateConfig& config, const std::string& from,
                                     absl::Time now) {
  constexpr absl::Duration kLifetime = absl::Hours(24 * 3650);
  FOREKEY_RETURN_IF_ERROR(NeedCa(config));
  NextCa next;
  next.path = NextCaPath(config.tls.ca);
  if (!FileSignature(next.path).empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(next.path,
                     " is there already: change to it with forekey-gate tls switch-ca, "
                     "or remove it to begin anew"));
  }
  SelfSignedCertificate made;
  if (from.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        made,
        MakeGateCa(absl::StrCat("CA of the gate ", config.audience,
                                absl::FormatTime(", %Y-%m-%d %H:%M:%S", now, absl::UTCTimeZone())),
                   now, kLifetime));
    next.made_here = true;
  } else {
    FOREKEY_ASSIGN_OR_RETURN(made.certificate_pem, ReadFile(from));
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Certificate> all,
                           Certificate::ParseAll(made.certificate_pem));
  next.until = absl::InfiniteFuture();
  for (const Certificate& one : all) {
    if (!one.IsCa()) {
      return absl::InvalidArgumentError(
          absl::StrCat(from, ": ", one.SubjectText(), " is not a CA"));
    }
    next.until = std::min(next.until, one.not_after());
  }
  if (next.until <= now) return absl::InvalidArgumentError(absl::StrCat(from, " has expired"));
  FOREKEY_ASSIGN_OR_RETURN(const std::string old, ReadFile(config.tls.ca));
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Certificate> before, Certificate::ParseAll(old));
  for (const Certificate& one : all) {
    // OpenSSL looks for an issuer by its name, and takes the first that has it.
    const auto same = [&one](const Certificate& other) {
      return one.SubjectText() == other.SubjectText() && one.Spki() != other.Spki();
    };
    if (std::any_of(before.begin(), before.end(), same)) {
      return absl::InvalidArgumentError(
          absl::StrCat(one.SubjectText(),
                       " is the name of the CA of now, too: agents could not tell them apart"));
    }
  }
  if (old.size() + made.certificate_pem.size() > kMaxTlsAnchors) {
    return absl::InvalidArgumentError(absl::StrCat(
        config.tls.ca, " and the next CA have more than ", kMaxTlsAnchors,
        " bytes together, which is too much to tell agents: name roots alone, without text"));
  }
  // The key first: a CA is announced only when it can be used.
  if (next.made_here) {
    FOREKEY_RETURN_IF_ERROR(
        ReplaceLike(config.tls.private_key, CaKeyPath(next.path), made.key_pem, 0600));
  }
  FOREKEY_RETURN_IF_ERROR(ReplaceLike(config.tls.ca, next.path, made.certificate_pem, 0644));
  return next;
}

absl::StatusOr<absl::Time> SwitchCa(const GateConfig& config, const SwitchCaOptions& options,
                                    absl::Time now) {
  FOREKEY_RETURN_IF_ERROR(NeedCa(config));
  const std::string next = NextCaPath(config.tls.ca);
  struct stat announced = {};
  if (stat(next.c_str(), &announced) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no next CA: make one with forekey-gate tls next-ca, and let ",
                     absl::ToInt64Hours(kCaNotice) / 24, " days pass for agents to learn it"));
  }
  const absl::Time ripe = absl::TimeFromTimespec(announced.st_mtim) + kCaNotice;
  if (now < ripe && !options.early) {
    return absl::FailedPreconditionError(absl::StrCat(
        "agents that opened no session since ",
        absl::FormatTime("%Y-%m-%d %H:%M", absl::TimeFromTimespec(announced.st_mtim),
                         absl::LocalTimeZone()),
        " don't know the next CA, and would have to be enrolled again: wait until ",
        absl::FormatTime("%Y-%m-%d", ripe, absl::LocalTimeZone()), ", or say --early"));
  }
  SelfSignedCertificate ca;
  FOREKEY_ASSIGN_OR_RETURN(ca.certificate_pem, ReadFile(next));
  FOREKEY_ASSIGN_OR_RETURN(const Certificate parsed, Certificate::Parse(ca.certificate_pem));
  SelfSignedCertificate made;
  const absl::StatusOr<std::string> key = ReadPrivateFile(CaKeyPath(next));
  if (!options.certificate.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(made, ReadPair(options, parsed));
  } else if (key.ok()) {
    ca.key_pem = *key;
    FOREKEY_ASSIGN_OR_RETURN(const std::string old, ReadFile(config.tls.certificate));
    FOREKEY_ASSIGN_OR_RETURN(const Certificate leaf, Certificate::Parse(old));
    FOREKEY_ASSIGN_OR_RETURN(made, IssueGateCertificate(ca, HostsOf(leaf), now, options.lifetime));
  } else {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key of the next CA is not here (", key.status().message(),
        "): have a certificate issued by it, and name that with --certificate and --private-key"));
  }
  FOREKEY_ASSIGN_OR_RETURN(const Certificate leaf, Certificate::Parse(made.certificate_pem));
  // Up to the last step the next CA is there, and all of it can be done again.
  FOREKEY_RETURN_IF_ERROR(Replace(config.tls.private_key, made.key_pem, 0600));
  FOREKEY_RETURN_IF_ERROR(Replace(config.tls.certificate, made.certificate_pem, 0644));
  if (!ca.key_pem.empty()) {
    FOREKEY_RETURN_IF_ERROR(
        ReplaceLike(config.tls.private_key, CaKeyPath(config.tls.ca), ca.key_pem, 0600));
  } else {
    unlink(CaKeyPath(config.tls.ca).c_str());
  }
  FOREKEY_RETURN_IF_ERROR(Replace(config.tls.ca, ca.certificate_pem, 0644));
  if (unlink(next.c_str()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("remove ", next));
  unlink(CaKeyPath(next).c_str());
  return leaf.not_after();
}

}  // namespace forekey
