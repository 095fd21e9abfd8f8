// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/client/fakes/fake_token.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace forekey::testing {
namespace {

class FakeDeviceKey : public DeviceKey {
 public:
  FakeDeviceKey(FakeToken* token, std::shared_ptr<FakeToken::Key> key, Secret password)
      : token_(token), key_(std::move(key)), password_(std::move(password)) {}
  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_TPM; }
  const std::string& spki() const override { return key_->key.public_key().spki(); }
  std::string Describe() const override { return "fake"; }
  absl::StatusOr<DeviceSignature> Sign(absl::string_view statement,
                                       const SignOptions& options) override {
    token_->NoteSigner(this);
    return token_->Sign(*key_, password_.view(), statement, options);
  }

 private:
  FakeToken* const token_;
  const std::shared_ptr<FakeToken::Key> key_;
  const Secret password_;
};

class FakeEnroller : public KeyEnroller {
 public:
  FakeEnroller(FakeToken* token, EnrollOptions options)
      : token_(token), options_(std::move(options)) {}
  absl::StatusOr<forekey::v1::EnrollmentOpening> Opening() override {
    forekey::v1::EnrollmentOpening opening;
    opening.set_kind(forekey::v1::TOKEN_KIND_TPM);
    opening.mutable_tpm()->set_ek_public("fake");
    return opening;
  }
  absl::StatusOr<std::string> CreateKey(const forekey::v1::EnrollmentDemand&,
                                        absl::string_view) override {
    if (token_->keeps_keys && key_ != nullptr) return key_->key.public_key().spki();
    if (token_->keeps_keys) {
      absl::Status noted = options_.before_key(token_->NextReference());
      if (!noted.ok()) return noted;
    }
    key_ = token_->NewKey(std::string(options_.key_password.view()), &reference_);
    return key_->key.public_key().spki();
  }
  absl::Status Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) override {
    auto signature = token_->Sign(*key_, key_->password, statement, options_.sign);
    if (!signature.ok()) return signature.status();
    proof->mutable_possession()->set_signature(signature->signature);
    proof->mutable_tpm()->set_activated_secret("fake");
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> KeyReference() override { return reference_; }
  absl::Status BeginAnew() override {
    return token_->begins_anew ? absl::OkStatus() : KeyEnroller::BeginAnew();
  }
  std::string Note() const override { return "a fake shows no certificate"; }

 private:
  FakeToken* const token_;
  const EnrollOptions options_;
  std::shared_ptr<FakeToken::Key> key_;
  std::string reference_;
};

class FakeDriver : public Driver {
 public:
  explicit FakeDriver(FakeToken* token) : token_(token) {}
  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_TPM; }
  absl::string_view scheme() const override { return "fake"; }
  std::vector<DeviceInfo> List(std::vector<std::string>* problems) override {
    token_->listing.Pass();
    std::vector<DeviceInfo> devices;
    for (int i = 0; i < token_->devices; ++i) {
      devices.push_back({absl::StrCat("fake:", i), kind(), "a token in software"});
    }
    if (devices.empty()) problems->push_back("fake: nothing there");
    return devices;
  }
  absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string&,
                                                      EnrollOptions options) override {
    return std::make_unique<FakeEnroller>(token_, std::move(options));
  }
  absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference,
                                                  Secret key_password) override {
    ++token_->loads;
    token_->loading.Pass();
    auto key = token_->Find(reference);
    if (key == nullptr) return DeviceFailure(DeviceError::kGone, "no such key");
    return std::make_unique<FakeDeviceKey>(token_, std::move(key), std::move(key_password));
  }
  absl::StatusOr<std::optional<FoundKey>> KeyAt(const std::string& place) override {
    return token_->KeyAt(place);
  }

 private:
  FakeToken* const token_;
};

}  // namespace

std::unique_ptr<Driver> FakeToken::MakeDriver() { return std::make_unique<FakeDriver>(this); }

void FakeToken::Hold(const std::string& reference) {
  absl::MutexLock lock(&mutex_);
  held_ = true;
  held_reference_ = reference;
}

void FakeToken::Lose(const std::string& reference) {
  absl::MutexLock lock(&mutex_);
  lost_reference_ = reference;
}

void FakeToken::Release() {
  absl::MutexLock lock(&mutex_);
  held_ = false;
}

void FakeToken::AwaitSigners(int count) {
  absl::MutexLock lock(&mutex_);
  auto there = [&] { return waiting_ >= count; };
  mutex_.Await(absl::Condition(&there));
}

void FakeToken::NoteSigner(const DeviceKey* key) {
  absl::MutexLock lock(&mutex_);
  signers_.insert(key);
}

size_t FakeToken::ForgetSigners() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(signers_, {}).size();
}

std::string FakeToken::NextReference() {
  absl::MutexLock lock(&mutex_);
  return absl::StrCat("fake key ", keys_.size());
}

void FakeToken::Delete(const std::string& place) {
  absl::MutexLock lock(&mutex_);
  deleted_.insert(place);
}

std::optional<FoundKey> FakeToken::KeyAt(const std::string& place) {
  absl::MutexLock lock(&mutex_);
  const auto found = keys_.find(place);
  if (found == keys_.end() || deleted_.count(place) > 0) return std::nullopt;
  return FoundKey{found->second->key.public_key().spki(), "delete it"};
}

std::shared_ptr<FakeToken::Key> FakeToken::NewKey(std::string password, std::string* reference) {
  auto key =
      std::make_shared<Key>(Key{SoftwareKey::Generate(Algorithm::kEs256), std::move(password), ""});
  *reference = NextReference();
  absl::MutexLock lock(&mutex_);
  key->reference = *reference;
  keys_[*reference] = key;
  return key;
}

std::shared_ptr<FakeToken::Key> FakeToken::Find(const std::string& reference) {
  absl::MutexLock lock(&mutex_);
  auto found = keys_.find(reference);
  return found == keys_.end() ? nullptr : found->second;
}

absl::StatusOr<DeviceSignature> FakeToken::Sign(const Key& key, absl::string_view given,
                                                absl::string_view statement,
                                                const SignOptions& options) {
  std::string password(given);
  if (wants_touch && options.prompt != nullptr) {
    options.prompt->ShowTouch("the token");
    options.prompt->HideTouch();
  }
  if (asks_pin && password.empty() && options.prompt != nullptr) {
    const absl::StatusOr<Secret> pin = options.prompt->AskPin("the token", 3);
    if (!pin.ok()) return pin.status();
    password = std::string(pin->view());
  }
  if (denies) return DeviceFailure(DeviceError::kDenied, "no");
  {
    absl::MutexLock lock(&mutex_);
    ++waiting_;
    auto free = [&] {
      return !held_ || (!held_reference_.empty() && held_reference_ != key.reference);
    };
    bool cancelled = false;
    // As the seam has it, `cancelled` is polled.
    while (!cancelled && !mutex_.AwaitWithTimeout(absl::Condition(&free), absl::Milliseconds(10))) {
      cancelled = options.cancelled && options.cancelled();
    }
    --waiting_;
    if (cancelled) return DeviceFailure(DeviceError::kCancelled, "cancelled");
  }
  {
    absl::MutexLock lock(&mutex_);
    if (key.reference == lost_reference_) {
      return DeviceFailure(DeviceError::kGone, "the token is not there");
    }
  }
  if (password.empty() && !key.password.empty()) {
    return DeviceFailure(DeviceError::kPinRequired, "the key has a password");
  }
  ++signatures;
  if (password != key.password) return DeviceFailure(DeviceError::kWrongPin, "wrong password");
  DeviceSignature signature;
  signature.signature = key.key.Sign(statement);
  return signature;
}

}  // namespace forekey::testing
