// SPDX-License-Identifier: Apache-2.0
#include "examples/demo/software_key_attack.h"

#include <memory>
#include <vector>

#include "absl/strings/str_replace.h"
#include "hw/drivers.h"
#include "src/base/status.h"
#include "src/client/enrollment.h"
#include "src/client/gate_client.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/wire/invite.h"

namespace forekey::demo {
namespace {

// A TPM2B_PUBLIC of a P-256 key ends with its point: two bytes of size and 32 bytes, twice.
constexpr size_t kPointSize = 2 * (2 + 32);

std::string WithPointOf(const PublicKey& key, std::string tpm2b_public) {
  // The SPKI of a P-256 key ends with X and Y.
  const std::string& spki = key.spki();
  const std::string x = spki.substr(spki.size() - 64, 32), y = spki.substr(spki.size() - 32);
  const std::string size(1, '\0');
  return tpm2b_public.substr(0, tpm2b_public.size() - kPointSize) + size + " " + x + size + " " + y;
}

// SHA-256 of the TPMT_PUBLIC, which a Name is made of.
std::string NameDigest(const std::string& tpm2b_public) { return Sha256(tpm2b_public.substr(2)); }

}  // namespace

absl::Status EnrollSoftwareKey(const std::string& tpm_uri, const std::string& invite_text) {
  FOREKEY_ASSIGN_OR_RETURN(Invite invite, Invite::Parse(invite_text));
  GateConnection::Options options;
  options.target = {.audience = invite.audience,
                    .address = invite.address,
                    .ca_pem = PemBundle(invite.ca_certificates),
                    .tls_server_name = ""};
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<GateConnection> gate, GateConnection::New(options));
  std::vector<std::unique_ptr<Driver>> drivers = AllDrivers();
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<KeyEnroller> token,
                           drivers.front()->Enroll(tpm_uri, EnrollOptions()));
  FOREKEY_ASSIGN_OR_RETURN(v1::EnrollmentOpening opening, token->Opening());
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Enrollment> enrollment,
                           Enrollment::Begin(gate.get(), invite, opening));
  FOREKEY_RETURN_IF_ERROR(
      token->CreateKey(enrollment->demand(), enrollment->Statement("")).status());

  const SoftwareKey software = SoftwareKey::Generate(Algorithm::kEs256);
  const std::string statement = enrollment->Statement(software.public_key().spki());
  v1::EnrollmentProof proof;
  FOREKEY_RETURN_IF_ERROR(token->Prove(statement, &proof));
  v1::TpmEvidence& evidence = *proof.mutable_tpm();
  const std::string forged = WithPointOf(software.public_key(), evidence.key_public());
  evidence.set_certify_info(absl::StrReplaceAll(
      evidence.certify_info(), {{NameDigest(evidence.key_public()), NameDigest(forged)}}));
  evidence.set_key_public(forged);
  proof.mutable_possession()->set_signature(software.Sign(statement));
  return enrollment->Finish(software.public_key().spki(), "not hardware", proof);
}

}  // namespace forekey::demo
