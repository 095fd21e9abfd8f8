// SPDX-License-Identifier: Apache-2.0
#include "tests/toy/toy_driver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "tests/toy/toy_kind.h"

namespace forekey::testing {

class ToyKey final : public DeviceKey {
 public:
  explicit ToyKey(std::shared_ptr<const SoftwareKey> key) : key_(std::move(key)) {}
  v1::TokenKind kind() const override { return v1::TOKEN_KIND_CUSTOM; }
  const std::string& spki() const override { return key_->public_key().spki(); }
  std::string Describe() const override { return "a toy"; }
  absl::StatusOr<DeviceSignature> Sign(absl::string_view statement, const SignOptions&) override {
    DeviceSignature made;
    made.signature = key_->Sign(statement);
    return made;
  }

 private:
  const std::shared_ptr<const SoftwareKey> key_;
};

class ToyEnroller final : public KeyEnroller {
 public:
  ToyEnroller(Toy* toy, std::string serial) : toy_(toy), serial_(std::move(serial)) {}
  absl::StatusOr<v1::EnrollmentOpening> Opening() override {
    v1::EnrollmentOpening opening;
    opening.set_kind(v1::TOKEN_KIND_CUSTOM);
    opening.set_custom(absl::StrCat("toy ", serial_));
    return opening;
  }
  absl::StatusOr<std::string> CreateKey(const v1::EnrollmentDemand& demand,
                                        absl::string_view) override {
    nonce_ = demand.custom();
    key_ = std::make_shared<const SoftwareKey>(SoftwareKey::Generate(Algorithm::kEs256));
    return key_->public_key().spki();
  }
  absl::Status Prove(absl::string_view statement, v1::EnrollmentProof* proof) override {
    proof->set_custom(toy_->vendor_->Sign(ToyAttestation(nonce_, statement)));
    proof->mutable_possession()->set_signature(key_->Sign(statement));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> KeyReference() override {
    absl::MutexLock lock(&toy_->mutex_);
    std::string reference = absl::StrCat("toy key ", toy_->keys_.size());
    toy_->keys_[reference] = key_;
    return reference;
  }

 private:
  Toy* const toy_;
  const std::string serial_;
  std::string nonce_;
  std::shared_ptr<const SoftwareKey> key_;
};

class ToyDriver final : public Driver {
 public:
  explicit ToyDriver(Toy* toy) : toy_(toy) {}
  v1::TokenKind kind() const override { return v1::TOKEN_KIND_CUSTOM; }
  absl::string_view scheme() const override { return "toy"; }
  std::vector<DeviceInfo> List(std::vector<std::string>*) override {
    return {{"toy:", kind(), "a toy"}};
  }
  absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string&,
                                                      EnrollOptions options) override {
    FOREKEY_RETURN_IF_ERROR(options.named.CheckNames("toy", {"serial"}));
    return std::make_unique<ToyEnroller>(toy_, std::string(options.named.Text("serial")));
  }
  absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference, Secret) override {
    absl::MutexLock lock(&toy_->mutex_);
    const auto found = toy_->keys_.find(reference);
    if (found == toy_->keys_.end()) return DeviceFailure(DeviceError::kGone, "no such key");
    return std::make_unique<ToyKey>(found->second);
  }

 private:
  Toy* const toy_;
};

std::unique_ptr<Driver> Toy::MakeDriver() { return std::make_unique<ToyDriver>(this); }

}  // namespace forekey::testing
