// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/endorsement.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hw/device_key.h"
#include "hw/tpm/capabilities.h"
#include "hw/tpm/certificate_bytes.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

struct Place {
  TPM2_HANDLE certificate;
  TPM2_HANDLE nonce;  // 0: the profile has none
  TPM2_HANDLE template_index;
  EkShape shape;
  absl::string_view type;  // EkChoice's
};
constexpr Place kPlaces[] = {
    {0x01c0000a, 0x01c0000b, 0x01c0000c, EkShape::kP256, "p256"},
    {0x01c00002, 0x01c00003, 0x01c00004, EkShape::kRsa2048, "rsa2048"},
    {0x01c00014, 0, 0x01c00015, EkShape::kP256High, "p256"},
    {0x01c00012, 0, 0x01c00013, EkShape::kRsa2048High, "rsa2048"},
    {0x01c00016, 0, 0x01c00017, EkShape::kP384High, "p384"},
    {0x01c0001c, 0, 0x01c0001d, EkShape::kRsa3072High, "rsa3072"},
    {0x01c0001e, 0, 0x01c0001f, EkShape::kRsa4096High, "rsa4096"},
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

// Nullopt for filler alone, and for what no gate could read either: it is as good as none.
absl::StatusOr<std::optional<Certificate>> ReadCertificate(Esys& esys, TPM2_HANDLE index) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string nv, ReadNvIfReadable(esys, index));
  absl::StatusOr<Certificate> certificate = Certificate::ParseDer(FirstCertificate(nv));
  if (!certificate.ok()) return std::nullopt;
  return *std::move(certificate);
}

bool IsKeyOf(const Certificate& certificate, const TPMT_PUBLIC& area) {
  EVP_PKEY* certified = certificate.key();
  auto key = PublicKeyOf(area);
  const bool same = certified != nullptr && key.ok() && EVP_PKEY_eq(certified, key->evp()) == 1;
  OpenSslError("EVP_PKEY_eq").IgnoreError();
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
absl::StatusOr<bool> FindKeyOf(Esys& esys, const Certificate& certificate, const Place& place,
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

bool Takes(const EkChoice& choice, const Place& place) {
  return choice.type.empty() || choice.type == place.type ||
         (choice.type == "rsa" && absl::StartsWith(place.type, "rsa"));
}

// NV indices with certificates that were of no use.
struct PassedOver {
  std::vector<TPM2_HANDLE> unreadable, of_other_keys;
};

std::string Names(const std::vector<TPM2_HANDLE>& handles) {
  return absl::StrJoin(handles, ", ", [](std::string* out, TPM2_HANDLE handle) {
    absl::StrAppend(out, "0x", absl::Hex(handle, absl::kZeroPad8));
  });
}

absl::StatusOr<std::string> NoteFor(const TPMT_PUBLIC& area, const PassedOver& passed_over) {
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKeyOf(area));
  std::string why;
  if (!passed_over.unreadable.empty()) {
    absl::StrAppend(&why, "; NV ", Names(passed_over.unreadable), " can't be read as one");
  }
  if (!passed_over.of_other_keys.empty()) {
    absl::StrAppend(&why, "; NV ", Names(passed_over.of_other_keys),
                    " holds one of a key that the TPM does not have, as after a change of its "
                    "endorsement seed");
  }
  return absl::StrCat("the TPM shows no certificate of its endorsement key", why,
                      "; a gate takes it where its ek_allow_list has ",
                      absl::BytesToHexString(Sha256(key.spki())));
}

absl::StatusOr<EndorsementKey> PersistentKey(Esys& esys, TPM2_HANDLE persistent,
                                             const std::vector<TPM2_HANDLE>& indices) {
  EndorsementKey ek;
  ek.persistent = persistent;
  FOREKEY_ASSIGN_OR_RETURN(const TPM2B_PUBLIC area, ReadPersistent(esys, persistent));
  FOREKEY_ASSIGN_OR_RETURN(ek.public_area, Marshal(area));
  for (const Place& place : kPlaces) {
    if (!Has(indices, place.certificate)) continue;
    FOREKEY_ASSIGN_OR_RETURN(const auto certificate, ReadCertificate(esys, place.certificate));
    if (!certificate.has_value() || !IsKeyOf(*certificate, area.publicArea)) continue;
    ek.certificate = certificate->der();
    FOREKEY_ASSIGN_OR_RETURN(ek.intermediates, ReadChain(esys, indices));
    return ek;
  }
  FOREKEY_ASSIGN_OR_RETURN(ek.note, NoteFor(area.publicArea, {}));
  return ek;
}

absl::StatusOr<EndorsementKey> KeyWithoutCertificate(Esys& esys, const EkChoice& choice,
                                                     const std::vector<TPM2_HANDLE>& indices,
                                                     const PassedOver& passed_over) {
  absl::Status failed;
  for (const Place& place : kPlaces) {
    if (!Takes(choice, place)) continue;
    EndorsementKey ek;
    FOREKEY_ASSIGN_OR_RETURN(ek.creation, CreationTemplate(esys, place, indices));
    TPM2B_PUBLIC made{};
    failed = CreateEndorsementPrimary(esys, ek.creation, &made).status();
    if (DeviceErrorOf(failed) == DeviceError::kOther) continue;  // a kind that it can't make
    FOREKEY_RETURN_IF_ERROR(failed);
    FOREKEY_ASSIGN_OR_RETURN(ek.public_area, Marshal(made));
    FOREKEY_ASSIGN_OR_RETURN(ek.note, NoteFor(made.publicArea, passed_over));
    return ek;
  }
  return failed;
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

absl::StatusOr<EkChoice> ParseEkChoice(absl::string_view text) {
  EkChoice choice;
  const bool is_type = std::any_of(std::begin(kPlaces), std::end(kPlaces),
                                   [text](const Place& place) { return place.type == text; });
  uint32_t handle = 0;
  if (text.empty() || text == "rsa" || is_type) {
    choice.type = std::string(text);
  } else if (absl::StartsWith(text, "0x") && absl::SimpleHexAtoi(text, &handle) &&
             (handle >> TPM2_HR_SHIFT) == TPM2_HT_PERSISTENT) {
    choice.persistent = handle;
  } else {
    return absl::InvalidArgumentError(
        "the option ek is p256, rsa2048, p384, rsa3072, rsa4096, rsa (any of these), or the "
        "handle of a persistent key, as 0x81010001");
  }
  return choice;
}

absl::StatusOr<EndorsementKey> FindEndorsementKey(Esys& esys, const EkChoice& choice) {
  FOREKEY_ASSIGN_OR_RETURN(const auto indices, Handles(esys, 0x01c00000, kLastChainIndex));
  if (choice.persistent != 0) return PersistentKey(esys, choice.persistent, indices);
  PassedOver passed_over;
  for (const Place& place : kPlaces) {
    if (!Takes(choice, place) || !Has(indices, place.certificate)) continue;
    FOREKEY_ASSIGN_OR_RETURN(const auto certificate, ReadCertificate(esys, place.certificate));
    if (!certificate.has_value()) {
      passed_over.unreadable.push_back(place.certificate);
      continue;
    }
    EndorsementKey ek;
    ek.certificate = certificate->der();
    FOREKEY_ASSIGN_OR_RETURN(const bool found, FindKeyOf(esys, *certificate, place, indices, &ek));
    if (found) {
      FOREKEY_ASSIGN_OR_RETURN(ek.intermediates, ReadChain(esys, indices));
      return ek;
    }
    passed_over.of_other_keys.push_back(place.certificate);
  }
  return KeyWithoutCertificate(esys, choice, indices, passed_over);
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
