// SPDX-License-Identifier: Apache-2.0
#include "src/gate/caller/caller_keys.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

constexpr int kCoordinate = 32;
constexpr char kSuffix[] = ".pem";
// A file of a clock that was ahead for a while must not sign for ever.
constexpr absl::Duration kClockSlack = absl::Minutes(5);

std::string Coordinate(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  OrDie(EVP_PKEY_get_bn_param(key, name, &raw) == 1, "EVP_PKEY_get_bn_param");
  const BignumPtr number(raw);
  std::string bytes(kCoordinate, '\0');
  OrDie(BN_bn2binpad(number.get(), U8(bytes), kCoordinate) == kCoordinate, "BN_bn2binpad");
  return Base64UrlEncode(bytes);
}

// ECDSA as JOSE has it (RFC 7518, section 3.4): two integers of 32 bytes.
std::string RawSignature(absl::string_view der) {
  const auto* bytes = U8(der);
  const EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(der.size())));
  OrDie(signature != nullptr, "d2i_ECDSA_SIG");
  std::string raw(2 * kCoordinate, '\0');
  OrDie(BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), U8(raw), kCoordinate) == kCoordinate &&
            BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), U8(raw) + kCoordinate, kCoordinate) ==
                kCoordinate,
        "BN_bn2binpad");
  return raw;
}

absl::StatusOr<EvpPkeyPtr> ReadKey(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string text, ReadPrivateFile(path));
  const Secret pem(std::move(text));
  const BioPtr bio(BIO_new_mem_buf(pem.view().data(), static_cast<int>(pem.view().size())));
  EvpPkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  char group[32] = "";
  if (key != nullptr) EVP_PKEY_get_group_name(key.get(), group, sizeof(group), nullptr);
  if (absl::string_view(group) == "prime256v1") return key;
  const std::string why(OpenSslError("PEM_read_bio_PrivateKey").message());
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": no P-256 private key in PEM (", why,
                   "). If it is damaged, remove it: the gate goes on with its other keys, or makes "
                   "one"));
}

}  // namespace

CallerKey::CallerKey(EvpPkeyPtr key, absl::Time made_at) : key_(std::move(key)), made_at_(made_at) {
  const std::string x = Coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X);
  const std::string y = Coordinate(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
  // RFC 7638: the members that are required, in this order, without spaces.
  id_ = Base64UrlEncode(
      Sha256(absl::StrCat(R"({"crv":"P-256","kty":"EC","x":")", x, R"(","y":")", y, R"("})")));
  jwk_ = absl::StrCat(R"({"kty":"EC","crv":"P-256","x":")", x, R"(","y":")", y,
                      R"(","alg":"ES256","use":"sig","kid":")", id_, R"("})");
  header_ = absl::StrCat(
      Base64UrlEncode(absl::StrCat(R"({"alg":"ES256","typ":"JWT","kid":")", id_, R"("})")), ".");
}

std::string CallerKey::Sign(absl::string_view claims_json) const {
  std::string jws = absl::StrCat(header_, Base64UrlEncode(claims_json));
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  std::string der(static_cast<size_t>(EVP_PKEY_get_size(key_.get())), '\0');
  size_t size = der.size();
  OrDie(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
            EVP_DigestSign(context.get(), U8(der), &size, U8(jws), jws.size()) == 1,
        "EVP_DigestSign");
  der.resize(size);
  absl::StrAppend(&jws, ".", Base64UrlEncode(RawSignature(der)));
  return jws;
}

absl::StatusOr<std::unique_ptr<CallerKeys>> CallerKeys::Open(const std::string& directory,
                                                             absl::Duration rotation,
                                                             const Clock& clock) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(directory));
  std::unique_ptr<CallerKeys> made(new CallerKeys(directory, rotation, clock));
  FOREKEY_RETURN_IF_ERROR(made->Look());
  return made;
}

std::string CallerKeys::PathOf(absl::Time made_at) const {
  return absl::StrCat(directory_, "/", absl::ToUnixSeconds(made_at), kSuffix);
}

absl::StatusOr<CallerKeys::Keys> CallerKeys::Read() const {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFiles(directory_));
  Keys keys;
  for (const std::string& name : names) {
    absl::string_view digits = name;
    int64_t seconds = 0;
    if (!absl::ConsumeSuffix(&digits, kSuffix) || !absl::SimpleAtoi(digits, &seconds)) continue;
    FOREKEY_ASSIGN_OR_RETURN(EvpPkeyPtr key, ReadKey(absl::StrCat(directory_, "/", name)));
    keys.push_back(
        std::make_shared<const CallerKey>(std::move(key), absl::FromUnixSeconds(seconds)));
  }
  std::sort(keys.begin(), keys.end(),
            [](const auto& a, const auto& b) { return a->made_at() < b->made_at(); });
  return keys;
}

void CallerKeys::DropRemoved(absl::Time now) {
  const auto removed = [this](const std::shared_ptr<const CallerKey>& key)
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(looking_) {
                             return key != unsaved_ &&
                                    access(PathOf(key->made_at()).c_str(), F_OK) != 0 &&
                                    errno == ENOENT;
                           };
  absl::MutexLock lock(&mutex_);
  Keys left;
  for (const auto& key : keys_) {
    if (!removed(key)) left.push_back(key);
  }
  if (left.empty() && !keys_.empty()) {
    // Tokens of a key that nobody knows are refused, which is better than tokens of a removed one.
    left.push_back(Make(now));
    if (!Save(*left.back()).ok()) unsaved_ = left.back();
  }
  keys_ = std::move(left);
}

std::shared_ptr<const CallerKey> CallerKeys::Make(absl::Time now) {
  EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  OrDie(key != nullptr, "EVP_PKEY_Q_keygen");
  return std::make_shared<const CallerKey>(std::move(key),
                                           absl::FromUnixSeconds(absl::ToUnixSeconds(now)));
}

absl::Status CallerKeys::Save(const CallerKey& key) const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  OrDie(bio != nullptr && PEM_write_bio_PrivateKey(bio.get(), key.key_.get(), nullptr, nullptr, 0,
                                                   nullptr, nullptr) == 1,
        "PEM_write_bio_PrivateKey");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return WriteFileAtomically(PathOf(key.made_at()),
                             absl::string_view(data, static_cast<size_t>(size)), 0600);
}

absl::Status CallerKeys::Look() {
  absl::MutexLock one_at_a_time(&looking_);
  const absl::Time now = clock_.WallNow();
  absl::Status looked = LookOnce(now);
  if (!looked.ok()) DropRemoved(now);
  return looked;
}

absl::Status CallerKeys::LookOnce(absl::Time now) {
  if (unsaved_ != nullptr) {
    FOREKEY_RETURN_IF_ERROR(Save(*unsaved_));
    unsaved_.reset();
  }
  FOREKEY_ASSIGN_OR_RETURN(Keys keys, Read());
  const bool due = keys.empty() || now - keys.back()->made_at() >= rotation_ ||
                   keys.back()->made_at() > now + kClockSlack;
  while (keys.size() > 1 && keys.back()->made_at() > now + kClockSlack) {
    unlink(PathOf(keys.back()->made_at()).c_str());
    keys.pop_back();
  }
  if (due) {
    keys.push_back(Make(now));
    FOREKEY_RETURN_IF_ERROR(Save(*keys.back()));
  }
  // Over: the next one has signed for so long that nothing of this one is good any more.
  while (keys.size() > 1 && now - keys[1]->made_at() >= 2 * kCallerKeyOverlap) {
    if (unlink(PathOf(keys[0]->made_at()).c_str()) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("remove ", PathOf(keys[0]->made_at())));
    }
    keys.erase(keys.begin());
  }
  absl::MutexLock lock(&mutex_);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

std::shared_ptr<const CallerKey> CallerKeys::current() const {
  const absl::Time now = clock_.WallNow();
  absl::MutexLock lock(&mutex_);
  for (auto key = keys_.rbegin(); key != keys_.rend(); ++key) {
    if (now - (*key)->made_at() >= kCallerKeyOverlap) return *key;
  }
  return keys_.front();  // the first of all has nobody to wait for
}

std::string CallerKeys::JwkSet() const {
  absl::MutexLock lock(&mutex_);
  std::string set = R"({"keys":[)";
  for (const auto& key : keys_) {
    absl::StrAppend(&set, key == keys_.front() ? "" : ",", key->jwk());
  }
  return absl::StrCat(set, "]}");
}

}  // namespace forekey
