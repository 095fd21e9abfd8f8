// SPDX-License-Identifier: Apache-2.0
// A private temporary folder, and invites, credentials and sessions made of made-up bytes.
#ifndef FOREKEY_TESTS_UNIT_STORE_STORE_FIXTURES_H_
#define FOREKEY_TESTS_UNIT_STORE_STORE_FIXTURES_H_

#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/store/live_credentials.h"
#include "src/store/registry.h"
#include "src/store/session_table.h"
#include "src/store/sqlite_registry.h"

namespace forekey::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "forekey-store-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) abort();  // mode 0700
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline absl::Time TestNow() { return absl::FromUnixSeconds(1'800'000'000); }
inline std::string Bytes32(const std::string& name) { return Sha256(name); }

inline InviteRecord MakeInvite(const std::string& name, const std::string& subject) {
  InviteRecord invite;
  invite.public_key = Bytes32("invite key " + name);
  invite.id = Sha256(invite.public_key);
  invite.subject = subject;
  invite.created_at = TestNow();
  invite.expires_at = TestNow() + absl::Hours(1);
  return invite;
}

// A credential whose key is only bytes: the registry does not look into keys.
inline CredentialRecord MakeCredential(const std::string& name, const std::string& subject) {
  CredentialRecord credential;
  credential.id = Bytes32("credential " + name);
  credential.subject = subject;
  credential.kind = v1::TOKEN_KIND_TPM;
  credential.algorithm = static_cast<int>(Algorithm::kEdDsa);
  credential.spki = "spki of " + name;
  credential.label = name;
  credential.factors = {"tpm"};
  credential.proved_json = "{}";
  credential.enrolled_at = TestNow();
  return credential;
}

// The same with a real key, for LiveCredentials.
inline CredentialRecord MakeKeyedCredential(const std::string& name, const std::string& subject) {
  CredentialRecord credential = MakeCredential(name, subject);
  credential.spki = SoftwareKey::Ed25519FromSeed(Bytes32("seed " + name))->public_key().spki();
  return credential;
}

inline Registry::Enrollment MakeEnrollment(const InviteRecord& invite,
                                           CredentialRecord credential) {
  Registry::Enrollment enrollment;
  enrollment.invite_id = invite.id;
  enrollment.credential = std::move(credential);
  enrollment.now = TestNow() + absl::Minutes(1);
  return enrollment;
}

// Invites and enrols in one go.
inline absl::Status EnrollNew(Registry& registry, CredentialRecord credential,
                              std::vector<std::string> roles = {}) {
  InviteRecord invite = MakeInvite("of " + credential.id, credential.subject);
  invite.roles = std::move(roles);
  if (absl::Status status = registry.AddInvite(invite); !status.ok()) return status;
  return registry.Enroll(MakeEnrollment(invite, std::move(credential)));
}

// SQL behind the registry's back.
inline void RawSql(const std::string& path, const std::string& sql) {
  sqlite3* connection = nullptr;
  char* message = nullptr;
  if (sqlite3_open(path.c_str(), &connection) != SQLITE_OK ||
      sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
    fprintf(stderr, "%s: %s\n", sql.c_str(), message == nullptr ? "open" : message);
    abort();
  }
  sqlite3_close(connection);
}

// Live credentials for session tests come from a registry, as they do in a gate: nothing else can
// revoke them.
class LiveWorld {
 public:
  LiveWorld()
      : live_(std::shared_ptr<Registry>(*OpenSqliteRegistry(folder_.File("registry.db")))) {}

  std::shared_ptr<const LiveCredential> Credential(const std::string& name,
                                                   const std::string& subject) {
    CredentialRecord record = MakeKeyedCredential(name, subject);
    if (!EnrollNew(live_.registry(), record).ok()) abort();
    return *live_.Find(record.id);
  }
  LiveCredentials& live() { return live_; }

 private:
  TempFolder folder_;
  LiveCredentials live_;
};

inline constexpr absl::Duration kSecond = absl::Seconds(1);
inline constexpr absl::Duration kNano = absl::Nanoseconds(1);
inline constexpr BootTime kBoot = BootTime::FromNanos(1'000'000'000'000);
inline const std::string& SessionKey() {
  static const std::string* const key = new std::string(Bytes32("session key"));
  return *key;
}

// A session opened at kBoot: 5 minutes idle, 1 hour in all.
inline Session::Parts MakeParts(const std::string& name,
                                std::vector<std::shared_ptr<const LiveCredential>> credentials) {
  Session::Parts parts;
  parts.id = Bytes32("session " + name).substr(0, 16);
  parts.key = SessionKey();
  parts.channel_binding = Bytes32("certificate");
  parts.credentials.assign(credentials.begin(), credentials.end());
  parts.factors = {{"tpm", TestNow()}};
  parts.opened_at = kBoot;
  parts.idle = 300 * kSecond;
  parts.absolute = 3600 * kSecond;
  return parts;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_STORE_STORE_FIXTURES_H_
