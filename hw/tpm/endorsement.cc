// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/endorsement.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "hw/device_key.h"
#include "hw/tpm/capabilities.h"
#include "hw/tpm/certificate_bytes.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

struct Place {
  TPM2_HANDLE certificate;
  TPM2_HANDLE nonce;  // 0: the profile has none
  TPM2_HANDLE template_index;
  EkShape shape;
};
constexpr Place kPlaces[] = {
    {0x01c0000a, 0x01c0000b, 0x01c0000c, EkShape::kP256},
    {0x01c00002, 0x01c00003, 0x01c00004, EkShape::kRsa2048},
    {0x01c00014, 0, 0x01c00015, EkShape::kP256High},
    {0x01c00012, 0, 0x01c00013, EkShape::kRsa2048High},
    {0x01c00016, 0, 0x01c00017, EkShape::kP384High},
};
constexpr TPM2_HANDLE kFirstChainIndex = 0x01c00100;
constexpr TPM2_HANDLE kLastChainIndex = 0x01c001ff;
constexpr TPM2_HANDLE kFirstPersistentEk = 0x81010000;
constexpr TPM2_HANDLE kLastPersistentEk = 0x8101ffff;
constexpr size_t kMaxIntermediates = 8;
constexpr size_t kMaxNvSize = 16384;

bool Has(const std::vector<TPM2_HANDLE>& handles, TPM2_HANDLE handle) {
  return handle != 0 && std::find(handles.begin(), handles.end(), handle) != handles.end();
}

absl::StatusOr<std::string> ReadNv(Esys& esys, TPM2_HANDLE index) {
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_TR_FromTPMPublic(esys.get(), index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &raw),
      absl::StrCat("Esys_TR_FromTPMPublic(0x", absl::Hex(index), ")")));
  EsysHandle handle = EsysHandle::Kept(esys, raw);
  EsysPtr<TPM2B_NV_PUBLIC> area;
  EsysPtr<TPM2B_NAME> name;
  FOREKEY_RETURN_IF_ERROR(FromTss(Esys_NV_ReadPublic(esys.get(), raw, ESYS_TR_NONE, ESYS_TR_NONE,
                                                     ESYS_TR_NONE, Out(area), Out(name)),
                                  "Esys_NV_ReadPublic"));
  const size_t size = std::min<size_t>(area->nvPublic.dataSize, kMaxNvSize);
  const ESYS_TR authority = (area->nvPublic.attributes & TPMA_NV_AUTHREAD) != 0
                                ? raw
                                : static_cast<ESYS_TR>(ESYS_TR_RH_OWNER);
  FOREKEY_ASSIGN_OR_RETURN(const uint32_t chunk, NvChunkSize(esys));
  std::string content;
  while (content.size() < size) {
    EsysPtr<TPM2B_MAX_NV_BUFFER> part;
    const auto wanted = static_cast<UINT16>(std::min<size_t>(chunk, size - content.size()));
    FOREKEY_RETURN_IF_ERROR(
        FromTss(Esys_NV_Read(esys.get(), authority, raw, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                             ESYS_TR_NONE, wanted, static_cast<UINT16>(content.size()), Out(part)),
                absl::StrCat("Esys_NV_Read(0x", absl::Hex(index), ")")));
    if (part->size == 0) break;
    content.append(reinterpret_cast<const char*>(part->buffer), part->size);
  }
  return content;
}

// An index that can't be read (not written yet, locked) is as good as none; a TPM that is busy or
// gone is another matter.
absl::StatusOr<std::string> ReadNvIfReadable(Esys& esys, TPM2_HANDLE index) {
  auto content = ReadNv(esys, index);
  const auto error = DeviceErrorOf(content.status());
  if (content.ok() || error == DeviceError::kBusy || error == DeviceError::kGone) return content;
  return std::string();
}

X509Ptr ParseCertificate(const std::string& der) {
  const unsigned char* cursor = U8(der);
  X509Ptr certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  if (certificate == nullptr) OpenSslError("d2i_X509").IgnoreError();
  return certificate;
}

bool IsKeyOf(X509* certificate, const TPMT_PUBLIC& area) {
  EVP_PKEY* certified = X509_get0_pubkey(certificate);
  auto key = PublicKeyOf(area);
  const bool same = certified != nullptr && key.ok() && EVP_PKEY_eq(certified, key->evp()) == 1;
  OpenSslError("X509_get0_pubkey").IgnoreError();
  return same;
}

absl::StatusOr<TPM2B_PUBLIC> ReadPersistent(Esys& esys, TPM2_HANDLE persistent) {
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_TR_FromTPMPublic(esys.get(), persistent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &raw),
      absl::StrCat("Esys_TR_FromTPMPublic(0x", absl::Hex(persistent), ")")));
  EsysHandle handle = EsysHandle::Kept(esys, raw);
  EsysPtr<TPM2B_PUBLIC> area;
  EsysPtr<TPM2B_NAME> name, qualified_name;
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_ReadPublic(esys.get(), raw, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, Out(area),
                              Out(name), Out(qualified_name)),
              "Esys_ReadPublic"));
  return *area;
}

// Wrong authorisation of the hierarchy is not the user's wrong key password.
absl::Status NeedsEmptyPassword(absl::Status status) {
  if (DeviceErrorOf(status) != DeviceError::kWrongPin) return status;
  return DeviceFailure(DeviceError::kNotSetUp,
                       absl::StrCat(status.message(),
                                    ": the TPM's endorsement hierarchy has a password; "
                                    "take it off for the enrolment with `tpm2_changeauth -c e -p "
                                    "PASSWORD` and set it again afterwards"));
}

// The template that the manufacturer put into NV, or the profile's, with the manufacturer's nonce.
absl::StatusOr<TPM2B_PUBLIC> CreationTemplate(Esys& esys, const Place& place,
                                              const std::vector<TPM2_HANDLE>& indices) {
  TPM2B_PUBLIC creation = EndorsementKeyTemplate(place.shape);
  if (Has(indices, place.template_index)) {
    FOREKEY_ASSIGN_OR_RETURN(std::string bytes, ReadNvIfReadable(esys, place.template_index));
    if (auto stored = UnmarshalTemplate(bytes); stored.ok()) creation.publicArea = *stored;
  }
  if (Has(indices, place.nonce)) {
    FOREKEY_ASSIGN_OR_RETURN(std::string nonce, ReadNvIfReadable(esys, place.nonce));
    TPMT_PUBLIC& area = creation.publicArea;
    const bool rsa = area.type == TPM2_ALG_RSA;
    BYTE* unique = rsa ? area.unique.rsa.buffer : area.unique.ecc.x.buffer;
    const size_t room = rsa ? area.unique.rsa.size : area.unique.ecc.x.size;
    std::copy_n(nonce.begin(), std::min(nonce.size(), room), unique);
  }
  return creation;
}

// Gives `ek` the key of `certificate`; false when this TPM does not have it.
absl::StatusOr<bool> FindKeyOf(Esys& esys, X509* certificate, const Place& place,
                               const std::vector<TPM2_HANDLE>& indices, EndorsementKey* ek) {
  FOREKEY_ASSIGN_OR_RETURN(auto persistent, Handles(esys, kFirstPersistentEk, kLastPersistentEk));
  for (TPM2_HANDLE handle : persistent) {
    FOREKEY_ASSIGN_OR_RETURN(TPM2B_PUBLIC area, ReadPersistent(esys, handle));
    if (!IsKeyOf(certificate, area.publicArea)) continue;
    ek->persistent = handle;
    FOREKEY_ASSIGN_OR_RETURN(ek->public_area, Marshal(area));
    return true;
  }
  FOREKEY_ASSIGN_OR_RETURN(ek->creation, CreationTemplate(esys, place, indices));
  TPM2B_PUBLIC made{};
  auto handle = CreateEndorsementPrimary(esys, ek->creation, &made);
  if (!handle.ok()) {
    // A TPM that can't make this kind of EK may have another; anything that passes ends the search.
    if (DeviceErrorOf(handle.status()) == DeviceError::kOther) return false;
    return handle.status();
  }
  if (!IsKeyOf(certificate, made.publicArea)) return false;
  FOREKEY_ASSIGN_OR_RETURN(ek->public_area, Marshal(made));
  return true;
}

absl::StatusOr<std::vector<std::string>> ReadChain(Esys& esys,
                                                   const std::vector<TPM2_HANDLE>& indices) {
  std::string all;
  for (TPM2_HANDLE index : indices) {
    if (index < kFirstChainIndex || index > kLastChainIndex || all.size() > kMaxNvSize) continue;
    FOREKEY_ASSIGN_OR_RETURN(std::string part, ReadNvIfReadable(esys, index));
    all += part;
  }
  return SplitCertificates(all, kMaxIntermediates);
}

}  // namespace

absl::StatusOr<EsysHandle> CreateEndorsementPrimary(Esys& esys, const TPM2B_PUBLIC& creation,
                                                    TPM2B_PUBLIC* made) {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR raw = ESYS_TR_NONE;
  EsysPtr<TPM2B_PUBLIC> area;
  FOREKEY_RETURN_IF_ERROR(NeedsEmptyPassword(
      FromTss(Esys_CreatePrimary(esys.get(), ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &sensitive, &creation, &outside, &no_pcrs, &raw,
                                 Out(area), nullptr, nullptr, nullptr),
              "Esys_CreatePrimary(endorsement)")));
  EsysHandle handle = EsysHandle::Flushed(esys, raw);
  *made = *area;
  return handle;
}

absl::StatusOr<EndorsementKey> FindEndorsementKey(Esys& esys) {
  FOREKEY_ASSIGN_OR_RETURN(const auto indices, Handles(esys, 0x01c00000, kLastChainIndex));
  std::string passed_over;
  for (const Place& place : kPlaces) {
    if (!Has(indices, place.certificate)) continue;
    EndorsementKey ek;
    FOREKEY_ASSIGN_OR_RETURN(std::string nv, ReadNvIfReadable(esys, place.certificate));
    ek.certificate = FirstCertificate(nv);
    X509Ptr certificate = ParseCertificate(ek.certificate);
    bool found = false;
    if (certificate != nullptr) {
      FOREKEY_ASSIGN_OR_RETURN(found, FindKeyOf(esys, certificate.get(), place, indices, &ek));
    }
    if (found) {
      FOREKEY_ASSIGN_OR_RETURN(ek.intermediates, ReadChain(esys, indices));
      return ek;
    }
    absl::StrAppend(&passed_over, " 0x", absl::Hex(place.certificate, absl::kZeroPad8));
  }
  if (!passed_over.empty()) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat("the TPM does not have the key of any of its EK certificates (NV", passed_over,
                     "): its endorsement seed was changed since it was made"));
  }
  EndorsementKey ek;
  ek.creation = EndorsementKeyTemplate(EkShape::kP256);
  TPM2B_PUBLIC made{};
  FOREKEY_RETURN_IF_ERROR(CreateEndorsementPrimary(esys, ek.creation, &made).status());
  FOREKEY_ASSIGN_OR_RETURN(ek.public_area, Marshal(made));
  return ek;
}

absl::StatusOr<EsysHandle> LoadEndorsementKey(Esys& esys, const EndorsementKey& ek) {
  if (ek.persistent == 0) {
    TPM2B_PUBLIC made{};
    FOREKEY_ASSIGN_OR_RETURN(EsysHandle handle, CreateEndorsementPrimary(esys, ek.creation, &made));
    FOREKEY_ASSIGN_OR_RETURN(std::string area, Marshal(made));
    if (area != ek.public_area) {
      return DeviceFailure(DeviceError::kNotSetUp,
                           "the TPM's endorsement key changed: start again");
    }
    return handle;
  }
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(Esys_TR_FromTPMPublic(esys.get(), ek.persistent, ESYS_TR_NONE,
                                                        ESYS_TR_NONE, ESYS_TR_NONE, &raw),
                                  "Esys_TR_FromTPMPublic(EK)"));
  return EsysHandle::Kept(esys, raw);
}

absl::StatusOr<EsysHandle> AuthorizeEndorsementKey(Esys& esys, const TPMT_PUBLIC& ek) {
  const EkPolicy policy = EkPolicyOf(ek);
  if (policy == EkPolicy::kUnknown) {
    if ((ek.objectAttributes & TPMA_OBJECT_USERWITHAUTH) != 0) return EsysHandle();
    return DeviceFailure(DeviceError::kNotSetUp,
                         "the endorsement key has a policy of its maker's own");
  }
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_NULL;
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_StartAuthSession(esys.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                            ESYS_TR_NONE, nullptr, TPM2_SE_POLICY, &symmetric, ek.nameAlg, &raw),
      "Esys_StartAuthSession(policy)"));
  EsysHandle session = EsysHandle::Flushed(esys, raw);
  FOREKEY_RETURN_IF_ERROR(NeedsEmptyPassword(FromTss(
      Esys_PolicySecret(esys.get(), ESYS_TR_RH_ENDORSEMENT, raw, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                        ESYS_TR_NONE, nullptr, nullptr, nullptr, 0, nullptr, nullptr),
      "Esys_PolicySecret(endorsement)")));
  if (policy == EkPolicy::kPolicyB) {
    const TPML_DIGEST branches = EkPolicyBranches(ek.nameAlg);
    FOREKEY_RETURN_IF_ERROR(
        FromTss(Esys_PolicyOR(esys.get(), raw, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &branches),
                "Esys_PolicyOR"));
  }
  return session;
}

}  // namespace forekey
