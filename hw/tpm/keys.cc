// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/keys.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "hw/device_key.h"
#include "hw/tpm/capabilities.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Wrong authorisation of a hierarchy or parent is not the user's wrong key password.
absl::Status NeedsEmptyPassword(absl::Status status, absl::string_view what) {
  if (DeviceErrorOf(status) != DeviceError::kWrongPin) return status;
  return DeviceFailure(
      DeviceError::kNotSetUp,
      absl::StrCat(
          status.message(), ": the TPM's ", what,
          " has a password; Forekey needs a storage key "
          "without one at 0x81000001, which the owner can make with `tpm2_createprimary -C o -g "
          "sha256 -G ecc -P OWNERPASSWORD -c srk` and `tpm2_evictcontrol -C o -P OWNERPASSWORD "
          "-c srk 0x81000001`"));
}

bool IsStorageKey(const TPMT_PUBLIC& area) {
  const TPMT_PUBLIC wanted = StorageRootTemplate().publicArea;
  const TPMS_ECC_PARMS& ecc = area.parameters.eccDetail;
  // noDA may differ from maker to maker; without password it changes nothing.
  return area.type == TPM2_ALG_ECC && area.nameAlg == TPM2_ALG_SHA256 &&
         (area.objectAttributes | TPMA_OBJECT_NODA) == wanted.objectAttributes &&
         area.authPolicy.size == 0 && ecc.curveID == TPM2_ECC_NIST_P256 &&
         ecc.symmetric.algorithm == TPM2_ALG_AES && ecc.symmetric.keyBits.aes >= 128 &&
         ecc.symmetric.mode.aes == TPM2_ALG_CFB;
}

absl::StatusOr<EsysHandle> OpenPersistent(Esys& esys, TPM2_HANDLE handle) {
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_TR_FromTPMPublic(esys.get(), handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &raw),
      absl::StrCat("Esys_TR_FromTPMPublic(0x", absl::Hex(handle), ")")));
  return EsysHandle::Kept(esys, raw);
}

absl::StatusOr<EsysHandle> CreateStorageRoot(Esys& esys) {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_PUBLIC wanted = StorageRootTemplate();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR raw = ESYS_TR_NONE;
  absl::Status status =
      FromTss(Esys_CreatePrimary(esys.get(), ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &sensitive, &wanted, &outside, &no_pcrs, &raw,
                                 nullptr, nullptr, nullptr, nullptr),
              "Esys_CreatePrimary(owner)");
  if (!status.ok()) return NeedsEmptyPassword(status, "owner hierarchy");
  return EsysHandle::Flushed(esys, raw);
}

}  // namespace

absl::StatusOr<TPM2_HANDLE> ChooseParent(Esys& esys) {
  FOREKEY_ASSIGN_OR_RETURN(auto found, Handles(esys, kPersistentStorageKey, kPersistentStorageKey));
  if (found.empty()) return kOwnerParent;
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle handle, OpenPersistent(esys, kPersistentStorageKey));
  EsysPtr<TPM2B_PUBLIC> area;
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_ReadPublic(esys.get(), handle.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              Out(area), nullptr, nullptr),
              "Esys_ReadPublic(storage key)"));
  return IsStorageKey(area->publicArea) ? kPersistentStorageKey : kOwnerParent;
}

absl::StatusOr<EsysHandle> LoadParent(Esys& esys, TPM2_HANDLE parent,
                                      absl::string_view expected_name) {
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle handle, parent == kOwnerParent
                                                  ? CreateStorageRoot(esys)
                                                  : OpenPersistent(esys, parent));
  FOREKEY_ASSIGN_OR_RETURN(std::string name, NameOf(esys, handle.get()));
  if (!expected_name.empty() && name != expected_name) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        "the TPM's storage key is not the one that the key was made under: the TPM was "
        "cleared or exchanged, or something poses as it; enrol again");
  }
  return handle;
}

absl::StatusOr<EsysHandle> StartSaltedSession(Esys& esys, const EsysHandle& parent,
                                              TPMA_SESSION attributes) {
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 128;
  symmetric.mode.aes = TPM2_ALG_CFB;
  ESYS_TR raw = ESYS_TR_NONE;
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_StartAuthSession(esys.get(), parent.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                            ESYS_TR_NONE, nullptr, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &raw),
      "Esys_StartAuthSession(salted)"));
  EsysHandle session = EsysHandle::Flushed(esys, raw);
  FOREKEY_RETURN_IF_ERROR(FromTss(
      Esys_TRSess_SetAttributes(esys.get(), raw, attributes | TPMA_SESSION_CONTINUESESSION, 0xff),
      "Esys_TRSess_SetAttributes"));
  return session;
}

absl::StatusOr<Blobs> CreateKeyUnder(Esys& esys, const EsysHandle& parent,
                                     const TPM2B_PUBLIC& wanted, const Secret& password) {
  TPM2B_SENSITIVE_CREATE sensitive{};
  absl::Cleanup wipe = [&sensitive] { OPENSSL_cleanse(&sensitive, sizeof sensitive); };
  if (password.size() > kMaxKeyPassword) {
    return absl::InvalidArgumentError("a TPM key's password has at most 32 bytes");
  }
  sensitive.sensitive.userAuth.size = static_cast<UINT16>(password.size());
  std::copy(password.view().begin(), password.view().end(), sensitive.sensitive.userAuth.buffer);
  EsysHandle session;
  if (!password.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(session, StartSaltedSession(esys, parent, TPMA_SESSION_DECRYPT));
  }
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION no_pcrs{};
  EsysPtr<TPM2B_PRIVATE> private_area;
  EsysPtr<TPM2B_PUBLIC> public_area;
  absl::Status status =
      FromTss(Esys_Create(esys.get(), parent.get(), session ? session.get() : ESYS_TR_PASSWORD,
                          ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted, &outside, &no_pcrs,
                          Out(private_area), Out(public_area), nullptr, nullptr, nullptr),
              "Esys_Create");
  if (!status.ok()) return NeedsEmptyPassword(status, "storage key");
  return Blobs{*public_area, *private_area};
}

absl::StatusOr<EsysHandle> LoadKeyUnder(Esys& esys, const EsysHandle& parent, const Blobs& blobs) {
  ESYS_TR raw = ESYS_TR_NONE;
  absl::Status status =
      FromTss(Esys_Load(esys.get(), parent.get(), ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                        &blobs.private_area, &blobs.public_area, &raw),
              "Esys_Load");
  if (!status.ok()) return NeedsEmptyPassword(status, "storage key");
  return EsysHandle::Flushed(esys, raw);
}

absl::Status SetPassword(Esys& esys, const EsysHandle& key, const Secret& password) {
  if (password.size() > kMaxKeyPassword) {
    return absl::InvalidArgumentError("a TPM key's password has at most 32 bytes");
  }
  TPM2B_AUTH auth{};
  absl::Cleanup wipe = [&auth] { OPENSSL_cleanse(&auth, sizeof auth); };
  auth.size = static_cast<UINT16>(password.size());
  std::copy(password.view().begin(), password.view().end(), auth.buffer);
  return FromTss(Esys_TR_SetAuth(esys.get(), key.get(), &auth), "Esys_TR_SetAuth");
}

absl::StatusOr<std::string> SignDigest(Esys& esys, const EsysHandle& key, ESYS_TR session,
                                       absl::string_view digest) {
  TPM2B_DIGEST hashed{};
  hashed.size = static_cast<UINT16>(std::min<size_t>(digest.size(), sizeof hashed.buffer));
  std::copy_n(digest.begin(), hashed.size, hashed.buffer);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_ECDSA;
  scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  // An unrestricted key signs any digest: no proof that the TPM hashed it.
  TPMT_TK_HASHCHECK no_ticket{};
  no_ticket.tag = TPM2_ST_HASHCHECK;
  no_ticket.hierarchy = TPM2_RH_NULL;
  EsysPtr<TPMT_SIGNATURE> signature;
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_Sign(esys.get(), key.get(), session, ESYS_TR_NONE, ESYS_TR_NONE, &hashed,
                        &scheme, &no_ticket, Out(signature)),
              "Esys_Sign"));
  return EcdsaDer(*signature);
}

}  // namespace forekey
