// SPDX-License-Identifier: Apache-2.0
// A TPM's enrolment in software, out of plain OpenSSL and the specification's byte layouts: what
// the gate sees of a real one, and every lie that a software key can tell. Shares no encoder with
// the verifiers.
#ifndef FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_TPM_H_
#define FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_TPM_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"

namespace forekey::testing {

class SoftTpm {
 public:
  SoftTpm();

  std::string EkPublic() const;  // TPM2B_PUBLIC of the RSA-2048 template
  std::string EkHash() const;    // SHA-256 of its SubjectPublicKeyInfo
  std::string AkPublic() const { return EccPublic(*ak_, kAkAttributes); }
  std::string KeyPublic() const { return EccPublic(*key_, key_attributes_); }
  const std::shared_ptr<const SoftwareKey>& key() const { return key_; }
  void NewKey() { key_ = MakeKey(); }

  // TPM2_ActivateCredential for the AK.
  std::string Activate(absl::string_view credential_blob, absl::string_view encrypted_secret) const;

  struct Certified {
    std::string info;
    std::string signature;
  };
  // TPM2_Certify of the key by the AK.
  Certified Certify(absl::string_view qualifying_data) const;

  void set_key_attributes(uint32_t attributes) { key_attributes_ = attributes; }
  // The AK is a primary key of that one from now on; 0: it is under some other key.
  void set_ak_hierarchy(uint32_t hierarchy) { ak_hierarchy_ = hierarchy; }

  std::shared_ptr<EVP_PKEY> ek() const;              // for its vendor's certificate
  static constexpr uint64_t kFirmware = 0x20170619;  // 0.0.8215.1561

 private:
  static constexpr uint32_t kAkAttributes = 0x00050072;
  static std::shared_ptr<const SoftwareKey> MakeKey() {
    return std::make_shared<const SoftwareKey>(SoftwareKey::Generate(Algorithm::kEs256));
  }
  static std::string EccPublic(const SoftwareKey& key, uint32_t attributes);

  EvpPkeyPtr ek_;
  std::shared_ptr<const SoftwareKey> ak_ = MakeKey();
  std::shared_ptr<const SoftwareKey> key_ = MakeKey();
  uint32_t key_attributes_ = 0x00040472;
  uint32_t ak_hierarchy_ = 0;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_TPM_H_
