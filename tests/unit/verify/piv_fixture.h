// SPDX-License-Identifier: Apache-2.0
// A vendor and its card in software, for the tests of the PIV verifiers: root, F9, slot.
#ifndef FOREKEY_TESTS_UNIT_VERIFY_PIV_FIXTURE_H_
#define FOREKEY_TESTS_UNIT_VERIFY_PIV_FIXTURE_H_

#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "src/verify/piv_attestation.h"
#include "src/verify/piv_policy.h"
#include "src/wire/piv_attestation.h"
#include "tests/support/crl_maker.h"

namespace forekey::testing {

inline std::string PivOctets(std::initializer_list<uint8_t> octets) {
  return std::string(octets.begin(), octets.end());
}

// Yubico's extensions, as many as are given.
struct PivMarks {
  std::optional<PivFirmware> firmware;
  std::optional<uint8_t> serial;                        // below 128
  std::optional<std::pair<uint8_t, uint8_t>> policies;  // PIN, touch
  std::optional<uint8_t> form_factor;
  bool fips = false, cspn = false;

  std::vector<ExtensionSpec> Extensions() const {
    const std::string arc = "1.3.6.1.4.1.41482.3.";
    std::vector<ExtensionSpec> result;
    if (firmware) {
      result.push_back(
          {arc + "3", false, PivOctets({firmware->major, firmware->minor, firmware->patch})});
    }
    if (serial) result.push_back({arc + "7", false, PivOctets({2, 1, *serial})});
    if (policies)
      result.push_back({arc + "8", false, PivOctets({policies->first, policies->second})});
    if (form_factor) result.push_back({arc + "9", false, PivOctets({*form_factor})});
    if (fips) result.push_back({arc + "10", false, PivOctets({1})});
    if (cspn) result.push_back({arc + "11", false, PivOctets({1})});
    return result;
  }
};

inline Certificate PivCertificate(const CertificateSpec& spec) {
  absl::StatusOr<Certificate> parsed = Certificate::ParseDer(MakeDer(spec));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return *std::move(parsed);
}

class PivVerifierTest : public ::testing::Test {
 protected:
  PivVerifierTest() {
    anchors_.Add(PivCertificate(root_.CaSpec(root_)));
    policy_.trust = &anchors_;
    policy_.time = absl::FromUnixSeconds(1'800'000'000);
    slot_.firmware = PivFirmware{5, 7, 1};
    slot_.serial = 42;
    slot_.policies = {piv::kPinAlways, piv::kTouchAlways};
    slot_.form_factor = 1;
    f9_marks_.firmware = PivFirmware{5, 7, 1};
  }

  CertificateSpec SlotSpec() const {
    CertificateSpec spec = f9_.Spec(slot_name_, key_);
    spec.extensions = slot_.Extensions();
    return spec;
  }
  Certificate F9() const {
    CertificateSpec spec = f9_.CaSpec(root_);
    spec.extensions = f9_marks_.Extensions();
    return PivCertificate(spec);
  }
  absl::StatusOr<VerifiedAttestation> Attest() const {
    return VerifyPivAttestation(PivCertificate(SlotSpec()), {F9()}, policy_);
  }
  std::optional<Reason> WhyNot() const { return ReasonOf(Attest().status()); }

  const TestCa root_ = TestCa::New("Vendor PIV Root");
  const TestCa f9_ = TestCa::New("Vendor PIV Attestation");
  std::shared_ptr<EVP_PKEY> key_ = NewEcKey();
  std::string slot_name_ = "YubiKey PIV Attestation 9c";
  PivMarks slot_, f9_marks_;
  TrustAnchors anchors_;
  PivPolicy policy_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_VERIFY_PIV_FIXTURE_H_
