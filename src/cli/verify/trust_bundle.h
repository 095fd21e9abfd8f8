// SPDX-License-Identifier: Apache-2.0
// One signed file with an organisation's trust, for all of its gates: CAs of TPMs, security keys
// and smartcards, the FIDO metadata, and the list of weak firmware and least versions. What it is,
// byte by byte, is in docs/TRUST.md.
//
//   {"forekey_trust_bundle": 1, "payload": base64(P), "key": base64(SPKI), "signature": base64(S)}
//
// P is a JSON object: "number" (the next one is greater), "name" (whose), "made" (RFC 3339),
// "files": {"tpm/....pem": "...", "fido-mds.jwt": "..."}. S is an Ed25519 signature over the label
// "forekey-trust-bundle-v1", a zero byte and P. The key in the file only helps people: it is
// compared with the one that the organisation has given out, never believed.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"

namespace forekey {

inline constexpr size_t kMaxTrustBundle = 64 << 20;

struct TrustBundle {
  uint64_t number = 0;
  std::string name, made;
  std::map<std::string, std::string> files;  // "tpm/infineon-root-....pem": its text

  // The payload, unsigned. Parse refuses (InvalidArgument) what is no such object, and names of
  // files that could leave their folder or that no folder of trust has: nothing but
  // tpm|fido2|piv/NAME.pem, fido-mds.jwt, fido-mds-root.pem and firmware.list, which must be one
  // that gates understand.
  std::string Serialize() const;
  static absl::StatusOr<TrustBundle> Parse(absl::string_view payload);
};

// The signed file.
std::string SignTrustBundle(absl::string_view payload, const SoftwareKey& key);

// A bundle whose signature by `key` was verified: only VerifyTrustBundle makes one.
class VerifiedTrustBundle {
 public:
  const TrustBundle& bundle() const { return bundle_; }
  const std::string& sha256() const { return sha256_; }  // of the payload, hex

 private:
  friend absl::StatusOr<VerifiedTrustBundle> VerifyTrustBundle(absl::string_view, const PublicKey&);
  VerifiedTrustBundle(TrustBundle bundle, std::string sha256)
      : bundle_(std::move(bundle)), sha256_(std::move(sha256)) {}
  TrustBundle bundle_;
  std::string sha256_;
};

// PermissionDenied where the signature is not by `key`; InvalidArgument for what is no bundle, with
// bounds on what is read of it: four members, and nothing inside them.
// Nothing of the payload is parsed before the signature is verified.
absl::StatusOr<VerifiedTrustBundle> VerifyTrustBundle(absl::string_view file, const PublicKey& key);

// True for what the two functions below decide: another key, a rollback, a second bundle of one
// number. False for what only could not be done (a file that can't be written).
bool IsTrustBundleRefusal(const absl::Status& status);

// What an apply does to a folder, or did.
struct TrustBundleChanges {
  uint64_t number_before = 0;  // of the bundle that was applied last; 0: none was
  std::vector<std::string> added, changed, removed;           // files
  std::vector<std::string> firmware_added, firmware_removed;  // lines of the list of firmware
  bool loses_firmware_list = false;  // there was one, and the bundle has none

  bool IsNothing() const { return added.empty() && changed.empty() && removed.empty(); }
};

// What ApplyTrustBundle() would do now, without doing it; refuses what it refuses.
absl::StatusOr<TrustBundleChanges> CompareTrustBundle(const VerifiedTrustBundle& bundle,
                                                      const std::string& directory);

struct AppliedTrustBundle {
  enum class What {
    kApplied,
    kAlready,   // that very bundle was applied, and its files are as it says
    kRepaired,  // it was applied, and files were missing, changed or left over
  };
  What what = What::kApplied;
  TrustBundleChanges changes;
  std::vector<std::string> emptied;  // kinds of which no certificate is left
};

// Writes the bundle's files into `directory`, and removes those of the bundle that was applied
// before and has them; bundle.json there says which. FailedPrecondition for a number below the one
// that was applied, and for another bundle of the same number (a rollback, or two of one number).
//
// Before anything is written, bundle.json lists the files of both bundles under the old number, and
// it says the new one when all is done: what an apply that was killed has left is removed by the
// next one, whichever bundle that is of.
absl::StatusOr<AppliedTrustBundle> ApplyTrustBundle(const VerifiedTrustBundle& bundle,
                                                    const std::string& directory);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_BUNDLE_H_
