// SPDX-License-Identifier: Apache-2.0
// Statements of the format `tpm` for tests: what an operating system makes with its TPM, or whoever
// may use that TPM.
#ifndef FOREKEY_TESTS_SUPPORT_WEBAUTHN_TPM_MAKER_H_
#define FOREKEY_TESTS_SUPPORT_WEBAUTHN_TPM_MAKER_H_

#include <memory>
#include <string>
#include <utility>

#include "tests/support/tpm_evidence.h"
#include "tests/support/webauthn_maker.h"

namespace forekey::testing {

inline std::string DerOf(char tag, absl::string_view content) {  // below 128 bytes
  return absl::StrCat(std::string({tag, static_cast<char>(content.size())}), content);
}

// A critical subjectAltName with the TPM's manufacturer, model and version.
inline ExtensionSpec TpmNames() {
  std::string names;
  for (const auto& [last, text] :
       {std::pair('\x01', "id:494E5443"), std::pair('\x02', "Model"), std::pair('\x03', "id:13")}) {
    const std::string oid = absl::StrCat("\x67\x81\x05\x02", std::string(1, last));  // 2.23.133.2.
    names += DerOf('\x31', DerOf('\x30', DerOf('\x06', oid) + DerOf('\x0c', text)));
  }
  return {"2.5.29.17", true, DerOf('\x30', DerOf('\xa4', DerOf('\x30', names)))};
}

// An AIK's certificate by `ca`, as section 8.3.1 wants it.
inline CertificateSpec AikLeafSpec(const TestCa& ca, std::shared_ptr<EVP_PKEY> key) {
  CertificateSpec spec = ca.Spec("", std::move(key));
  spec.basic_constraints = "critical,CA:FALSE";
  spec.extended_key_usage = "2.23.133.8.3";
  spec.extensions = {TpmNames()};
  return spec;
}

// `aik` is ECDSA with SHA-256. `signed_bytes`: authenticator data and hash of the client data,
// which the TPM never sees.
inline CborEntries TpmStatement(const CertificateSpec& leaf, EVP_PKEY* credential,
                                const std::string& signed_bytes) {
  EVP_PKEY_up_ref(credential);
  const std::string area = MakePublic(KeySpec(std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(credential))));
  AttestSpec attest;
  attest.extra_data = Sha256(signed_bytes);
  attest.name = NameOf(absl::string_view(area));  // soft_tpm.cc has one of its own for strings
  const std::string info = MakeAttest(attest);
  return {{CborText("alg"), CborInt(-7)},
          {CborText("sig"), CborBytes(SignWith(leaf.key.get(), EVP_sha256(), info))},
          {CborText("ver"), CborText("2.0")},
          {CborText("x5c"), CborArray({CborBytes(MakeDer(leaf))})},
          {CborText("pubArea"), CborBytes(area)},
          {CborText("certInfo"), CborBytes(info)}};
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_WEBAUTHN_TPM_MAKER_H_
