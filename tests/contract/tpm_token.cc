// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/tpm_token.h"

#include <stdlib.h>

#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "simulators/process.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

// TPM2B_PUBLIC of a P-256 signing key with an ECDSA scheme, as bytes: part 2, 12.2.4.
struct EccKey {
  uint32_t attributes = 0;
  PublicKey key;
  std::string name;  // of the object: nameAlg || SHA-256(TPMT_PUBLIC)
};

absl::StatusOr<EccKey> ReadEccPublic(absl::string_view tpm2b) {
  ByteReader outer(tpm2b);
  const absl::string_view area = outer.Len2();
  ByteReader reader(area);
  reader.U32();
  const uint32_t attributes = reader.U32();
  reader.Len2();   // policy
  reader.Raw(10);  // symmetric NULL, scheme ECDSA SHA-256, curve, kdf NULL
  const absl::string_view x = reader.Len2();
  const absl::string_view y = reader.Len2();
  if (!reader.Finished() || !outer.Finished()) return absl::InvalidArgumentError("public area");
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromEcPoint(NID_X9_62_prime256v1, x, y));
  return EccKey{attributes, std::move(key),
                absl::StrCat(absl::string_view("\x00\x0b", 2), Sha256(area))};
}

absl::StatusOr<std::string> DerOf(absl::string_view tpmt_signature) {
  ByteReader reader(tpmt_signature);
  if (reader.U16() != 0x0018 || reader.U16() != 0x000B)
    return absl::InvalidArgumentError("not ECDSA");
  const absl::string_view r = reader.Len2();
  const absl::string_view s = reader.Len2();
  if (!reader.Finished()) return absl::InvalidArgumentError("TPMT_SIGNATURE");
  EcdsaSigPtr pair(ECDSA_SIG_new());
  ECDSA_SIG_set0(pair.get(), BN_bin2bn(U8(r), r.size(), nullptr),
                 BN_bin2bn(U8(s), s.size(), nullptr));
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(pair.get(), &der);
  std::string result(View(der, size));
  OPENSSL_free(der);
  return result;
}

}  // namespace

absl::StatusOr<forekey::v1::TpmDemand> MakeCredentialWithTool(absl::string_view ek_public,
                                                              absl::string_view ak_public,
                                                              absl::string_view secret) {
  std::string folder = "/tmp/forekey-test-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return absl::InternalError("mkdtemp");
  absl::Cleanup remove = [&folder] { std::filesystem::remove_all(folder); };
  ByteReader ak(ak_public);
  const std::string name = absl::StrCat("000b", absl::BytesToHexString(Sha256(ak.Len2())));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(folder + "/ek", ek_public));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(folder + "/secret", secret));
  FOREKEY_RETURN_IF_ERROR(
      RunTool({.argv = {"tpm2_makecredential", "-Q", "-T", "none", "-u", folder + "/ek", "-s",
                        folder + "/secret", "-n", name, "-o", folder + "/credential"}})
          .status());
  FOREKEY_ASSIGN_OR_RETURN(std::string credential, ReadFile(folder + "/credential"));
  ByteReader reader(credential);
  if (reader.U32() != 0xBADCC0DE || reader.U32() != 1)
    return absl::InternalError("credential file");
  forekey::v1::TpmDemand demand;
  demand.set_credential_blob(ByteWriter().Len2(reader.Len2()).bytes());
  demand.set_encrypted_secret(ByteWriter().Len2(reader.Len2()).bytes());
  return demand;
}

absl::StatusOr<std::unique_ptr<TpmToken>> TpmToken::New(const TpmSimulatorConfig& config) {
  auto token = std::make_unique<TpmToken>();
  FOREKEY_ASSIGN_OR_RETURN(token->simulator_, TpmSimulator::Start(config));
  token->driver_ = std::make_unique<TpmDriver>(std::vector<std::string>{token->simulator_->uri()});
  return token;
}

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakeTpmToken() {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<TokenUnderTest> token, TpmToken::New());
  return token;
}

absl::StatusOr<forekey::v1::EnrollmentDemand> TpmToken::Demand(
    const forekey::v1::EnrollmentOpening& opening) {
  secret_ = RandomBytes(32);
  ak_public_ = opening.tpm().ak_public();
  forekey::v1::EnrollmentDemand demand;
  FOREKEY_ASSIGN_OR_RETURN(*demand.mutable_tpm(),
                           MakeCredentialWithTool(opening.tpm().ek_public(), ak_public_, secret_));
  return demand;
}

absl::Status TpmToken::CheckEvidence(absl::string_view spki, absl::string_view statement,
                                     const forekey::v1::EnrollmentProof& proof) {
  const forekey::v1::TpmEvidence& evidence = proof.tpm();
  if (evidence.activated_secret() != secret_) return absl::InternalError("activated secret");
  FOREKEY_ASSIGN_OR_RETURN(EccKey ak, ReadEccPublic(ak_public_));
  FOREKEY_ASSIGN_OR_RETURN(EccKey key, ReadEccPublic(evidence.key_public()));
  if (key.key.spki() != spki) return absl::InternalError("the evidence is of another key");
  // sign, restricted, noDA, userWithAuth, sensitiveDataOrigin, fixedParent, fixedTPM
  if (ak.attributes != 0x00050472)
    return absl::InternalError(absl::StrCat("AK ", absl::Hex(ak.attributes)));
  if ((key.attributes & ~0x400u) != 0x00040072) {
    return absl::InternalError(absl::StrCat("key ", absl::Hex(key.attributes)));
  }
  FOREKEY_ASSIGN_OR_RETURN(std::string signature, DerOf(evidence.certify_signature()));
  FOREKEY_RETURN_IF_ERROR(ak.key.Verify(evidence.certify_info(), signature));
  // TPMS_ATTEST, part 2, 10.12.12.
  ByteReader attest(evidence.certify_info());
  if (attest.U32() != 0xff544347 || attest.U16() != 0x8017)
    return absl::InternalError("TPMS_ATTEST");
  // A primary key of the endorsement hierarchy: of others the TPM hides the firmware's version.
  const std::string qualified = ByteWriter()
                                    .U16(0x000b)
                                    .Raw(Sha256(ByteWriter().U32(0x4000000b).Raw(ak.name).bytes()))
                                    .bytes();
  if (attest.Len2() != qualified) return absl::InternalError("the AK's qualified name");
  if (attest.Len2() != Sha256(statement)) return absl::InternalError("extraData");
  attest.Raw(17 + 8);
  if (attest.Len2() != key.name) return absl::InternalError("the AK certified another key");
  return key.key.Verify(statement, proof.possession().signature());
}

absl::Status TpmToken::CheckSignature(absl::string_view spki, absl::string_view statement,
                                      const DeviceSignature& signature) {
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromSpki(spki));
  return key.Verify(statement, signature.signature);
}

void TpmToken::UnplugAfter(int commands) {
  TpmMisbehaviour misbehaviour;
  misbehaviour.vanish_after = commands;
  simulator_->proxy().Misbehave(misbehaviour);
}

void TpmToken::PlugIn() {
  simulator_->proxy().Misbehave({});
  simulator_->proxy().Return().IgnoreError();
}

void TpmToken::BeBusy(int commands) {
  TpmMisbehaviour misbehaviour;
  misbehaviour.fail_code = 0x922;  // TPM_RC_RETRY
  misbehaviour.fail_count = commands;
  simulator_->proxy().Misbehave(misbehaviour);
}

absl::Status TpmToken::LockOut(bool locked_out) {
  return simulator_->proxy().SetLockedOut(locked_out);
}

uint64_t TpmToken::Commands() {
  auto status = simulator_->proxy().GetStatus();
  return status.ok() ? status->commands : 0;
}

int TpmToken::Leftovers() {
  auto status = simulator_->proxy().GetStatus();
  return status.ok() ? static_cast<int>(status->transient_objects.size() + status->sessions.size())
                     : -1;
}

absl::StatusOr<std::string> EnrollKey(TokenUnderTest& token, EnrollOptions options,
                                      std::string* spki) {
  if (options.sign.prompt == nullptr) options.sign = token.Sign();
  FOREKEY_ASSIGN_OR_RETURN(auto enroller, token.driver().Enroll(token.uri(), std::move(options)));
  FOREKEY_ASSIGN_OR_RETURN(auto opening, enroller->Opening());
  FOREKEY_ASSIGN_OR_RETURN(auto demand, token.Demand(opening));
  FOREKEY_ASSIGN_OR_RETURN(std::string key, enroller->CreateKey(demand, kUnkeyedStatement));
  forekey::v1::EnrollmentProof proof;
  const std::string statement = absl::StrCat("enrolment of ", key);
  FOREKEY_RETURN_IF_ERROR(enroller->Prove(statement, &proof));
  FOREKEY_RETURN_IF_ERROR(token.CheckEvidence(key, statement, proof));
  if (spki != nullptr) *spki = key;
  return enroller->KeyReference();
}

}  // namespace forekey
