// SPDX-License-Identifier: Apache-2.0
// FIDO Metadata Service 3 (fido-metadata-service-v3.0, section 3.1): the BLOB, a JWS (RFC 7515,
// compact) that says of each authenticator model which roots its attestation chains to and how it
// fares.
//
// Threats, and what stands against each:
//  M1 a BLOB of somebody's own                   signature, the signer's path to the given root
//  M2 a signer that the CA sold for a web site, or for mail
//                                                what is for anything must be for FIDO's own host,
//                                                and every CA above it for web servers
//  M3 an old BLOB that knows of no compromise    `no` never goes back; nextUpdate is reported
//  M4 "alg": "none", a key named by a URL        RS256 and ES256 with x5c only; x5u is ignored
//  M5 a BLOB too large to hold                   bounds on size, entries and certificates
//  M6 one malformed entry that stops the load    it is skipped, and named
//  M7 a signer whose key was lost                revocation lists, where there are any
//  M8 a report in an entry that is of no other use
//                                                what is bad counts: of an entry without a
//                                                statement, of a second one for a model or a key
#ifndef FOREKEY_SRC_VERIFY_FIDO_METADATA_H_
#define FOREKEY_SRC_VERIFY_FIDO_METADATA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/crypto/revocation_list.h"

namespace forekey {

inline constexpr size_t kMaxMetadataBlobSize = 64 << 20;

struct MetadataStatus {
  std::string status;  // "FIDO_CERTIFIED_L1", "REVOKED", ...
  absl::Time effective = absl::InfinitePast();
  std::optional<uint64_t> version;  // authenticatorVersion: the firmware that it is about
  // SubjectPublicKeyInfo of the certificate that it names: the key was compromised, whichever
  // certificate is shown for it. Empty when the report concerns the whole model.
  std::string key;
};

// One model.
struct MetadataEntry {
  std::string aaguid;                // 16 bytes; empty for U2F models
  std::vector<std::string> key_ids;  // SHA-1 of attestation keys, 20 bytes each: U2F models
  std::string description;           // the AAGUID, where nothing else is told
  // Where there is none, only what is bad of the model is known, and it has no roots.
  bool has_statement = false;
  std::optional<uint64_t> version;  // authenticatorVersion: the earliest that can be trusted
  std::vector<std::string> attestation_types;
  std::vector<MetadataStatus> statuses;
  TrustAnchors roots;

  // The FIDO certification level (1 to 3) that the last report in force at `time` gives, the
  // highest of one day; 0 for none, and where the last one says that the model is not certified, or
  // retired (section 3.1.3: the latest report is the current status).
  int CertificationLevel(absl::Time time) const;
  // Refuses with kAuthenticatorStatus when a report in force at `time` says that the model is
  // revoked, that its user verification can be bypassed or that keys were compromised. A report
  // that names a certificate concerns only attestations with that certificate's key in `path`.
  // `proved`: the firmware that the attestation proves. One above that of a report of the
  // firmware's own fault is not concerned, where a later report says that there is an update.
  absl::Status CheckStatus(const std::vector<Certificate>& path, absl::Time time,
                           std::optional<uint64_t> proved = std::nullopt) const;
};

struct MetadataOptions {
  TrustAnchors roots;  // whom the signer's certificate must chain to
  absl::Time time;     // when that path must be valid
  // `no` of the BLOB that was in use before: a smaller one is refused.
  std::optional<uint64_t> previous_no;
  // Lists of the signer's CAs; with any here the signer's issuer must have one. Empty: whether the
  // signer was revoked is not asked.
  std::vector<RevocationList> revocation;
  // The only host whose TLS certificate may sign.
  std::string server_name = "mds.fidoalliance.org";
};

// Immutable once parsed; safe from any thread.
class FidoMetadata {
 public:
  // `blob`: at most kMaxMetadataBlobSize bytes, white space around it ignored. Refuses:
  // kMetadataInvalid (does not parse, is not signed as it must be, is not FIDO's),
  // kMetadataRollback, and the Certificate and Crl reasons when the signer has no path to the roots
  // or was revoked.
  static absl::StatusOr<FidoMetadata> Parse(absl::string_view blob, const MetadataOptions& options);

  uint64_t no() const { return no_; }
  const std::string& next_update() const { return next_update_; }  // "2026-12-01"
  // True when `time` is past the day of next_update: another BLOB is due.
  bool Stale(absl::Time time) const;
  const std::vector<MetadataEntry>& entries() const { return entries_; }
  size_t listed() const { return listed_; }    // entries in the BLOB, skipped ones included
  size_t anchors() const { return anchors_; }  // certificates kept
  // "<model>: <why>", for each entry and each root that was left out, or of which only what is bad
  // counts.
  const std::vector<std::string>& skipped() const { return skipped_; }
  bool revocation_checked() const { return revocation_checked_; }  // of the signer
  const std::string& signer() const { return signer_; }  // subject of the signing certificate
  const Certificate& anchor() const { return anchor_; }  // that the signer's path ended at

  // Null when there is none.
  const MetadataEntry* FindByAaguid(absl::string_view aaguid) const;
  const MetadataEntry* FindByKeyId(absl::string_view key_id) const;

 private:
  explicit FidoMetadata(Certificate anchor) : anchor_(std::move(anchor)) {}
  void AddEntry(const nlohmann::json& entry);
  void AddNames(const std::string& aaguid, const std::vector<std::string>& key_ids,
                MetadataEntry& entry);
  void AddStatement(const nlohmann::json& json, MetadataEntry& entry);
  void IndexKeys();
  void AddRoots(const nlohmann::json& statement, const std::string& name, MetadataEntry& entry);

  uint64_t no_ = 0;
  std::string next_update_;
  std::string signer_;
  bool revocation_checked_ = false;
  Certificate anchor_;
  size_t listed_ = 0;
  size_t anchors_ = 0;
  std::vector<MetadataEntry> entries_;
  std::vector<std::string> skipped_;
  std::map<std::string, size_t, std::less<>> by_aaguid_;
  std::map<std::string, size_t, std::less<>> by_key_id_;
  std::map<std::string, MetadataEntry, std::less<>> of_shared_key_;  // in several entries
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_FIDO_METADATA_H_
