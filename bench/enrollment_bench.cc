// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// What the evidence of an enrolment costs, beside the signatures in it that nobody can do without:
//   a TPM's: endorsement certificate, its path to a vendor's root, the AK, and a key that the AK
//   certifies
//   a PIV card's: an attestation, by the card's own CA and its vendor's root
// at most 1.6 times the bare verifications. (FIDO2: forekey_fido2_bench.)
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/crypto/certificate.h"
#include "src/crypto/openssl.h"
#include "src/crypto/spki.h"
#include "src/verify/piv_attestation.h"
#include "src/verify/tpm_attestation.h"
#include "src/verify/tpm_endorsement.h"
#include "src/wire/tpm_signature.h"

namespace forekey {
namespace {

constexpr char kEvidence[] = FOREKEY_SOURCE "/tests/attacks/";
const absl::Time kTime = absl::FromUnixSeconds(1'767'225'600);  // 2026-01-01

std::string Read(const std::string& name) {
  absl::StatusOr<std::string> content = ReadFile(kEvidence + name);
  if (!content.ok()) abort();
  return *std::move(content);
}

struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

// One signature of a certificate, ready to be verified over and over.
class BareSignature {
 public:
  BareSignature(const Certificate& certificate, const Certificate& issuer) {
    const std::unique_ptr<X509, X509Deleter> child(Open(certificate)), above(Open(issuer));
    uint8_t* tbs = nullptr;
    const int size = i2d_re_X509_tbs(child.get(), &tbs);
    if (size <= 0) abort();
    tbs_.assign(reinterpret_cast<const char*>(tbs), size);
    OPENSSL_free(tbs);
    const ASN1_BIT_STRING* signature = nullptr;
    X509_get0_signature(&signature, nullptr, child.get());
    signature_.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(signature)),
                      ASN1_STRING_length(signature));
    key_.reset(X509_get_pubkey(above.get()));
    spki_ = issuer.Spki();
    if (!Verify()) abort();
  }
  // Where `fresh`, by a key that is made anew, as each card's own is: what OpenSSL computes once
  // for an RSA key is computed again.
  bool Verify(bool fresh = false) const {
    const EvpPkeyPtr anew = fresh ? KeyOfSpki(spki_) : nullptr;
    EVP_PKEY* const key = fresh ? anew.get() : key_.get();
    EvpMdCtxPtr context(EVP_MD_CTX_new());
    return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), U8(signature_), signature_.size(), U8(tbs_),
                            tbs_.size()) == 1;
  }

 private:
  static X509* Open(const Certificate& certificate) {
    const uint8_t* at = U8(certificate.der());
    return d2i_X509(nullptr, &at, static_cast<long>(certificate.der().size()));
  }
  std::string tbs_, signature_, spki_;
  EvpPkeyPtr key_;
};

Certificate Parse(const std::string& bytes) { return *Certificate::Parse(bytes); }

struct Tpm {
  const std::string ek = Read("tpm/valid-ek-p256/ek.cert");
  const std::string ek_public = Read("tpm/valid-ek-p256/ek.pub");
  const std::string intermediate = Read("tpm/valid-ek-p256/intermediate0.der");
  const TrustAnchors trust =
      *TrustAnchors::FromDirectory(std::string(kEvidence) + "tpm/valid-ek-p256/trust", nullptr);
  const std::string folder = "tpm/valid-key-p256-by-p256/";
  const std::string ak = Read(folder + "ak.pub"), key = Read(folder + "key.pub");
  const std::string info = Read(folder + "info"), signature = Read(folder + "sig");
  const std::string qualifying =
      absl::HexStringToBytes("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
};

void BM_TpmBareSignatures(benchmark::State& state) {
  const Tpm tpm;
  const Certificate intermediate = Parse(tpm.intermediate);
  const BareSignature by_intermediate(Parse(tpm.ek), intermediate);
  const BareSignature by_root(intermediate, tpm.trust.anchors().front());
  const auto ak = VerifyAkPublic(tpm.ak);
  const auto attested = TpmSignature::Parse(tpm.signature);
  if (!ak.ok() || !attested.ok()) return state.SkipWithError("no evidence");
  for (auto _ : state) {
    if (!by_intermediate.Verify() || !by_root.Verify() ||
        !ak->key().Verify(tpm.info, attested->openssl).ok()) {
      state.SkipWithError("a signature does not verify");
    }
  }
}
BENCHMARK(BM_TpmBareSignatures);

void BM_TpmEvidence(benchmark::State& state) {
  const Tpm tpm;
  for (auto _ : state) {
    EndorsementEvidence evidence;
    evidence.ek_certificate = tpm.ek;
    evidence.intermediates.push_back(Parse(tpm.intermediate));
    evidence.ek_public = tpm.ek_public;
    EndorsementPolicy policy;
    policy.trust = &tpm.trust;
    policy.time = kTime;
    const auto endorsement = VerifyEndorsement(evidence, policy);
    if (!endorsement.ok()) state.SkipWithError(endorsement.status().ToString().c_str());
    const auto ak = VerifyAkPublic(tpm.ak);
    if (!ak.ok()) return state.SkipWithError(ak.status().ToString().c_str());
    const auto proved = VerifyTpmKey(*ak, {tpm.key, tpm.info, tpm.signature}, tpm.qualifying,
                                     {endorsement->device_id(), endorsement->proved()});
    if (!proved.ok()) state.SkipWithError(proved.status().ToString().c_str());
  }
}
BENCHMARK(BM_TpmEvidence);

struct Piv {
  const std::string slot = Read("piv/valid-5-4-3/slot.crt");
  const std::string intermediate = Read("piv/valid-5-4-3/intermediate0.crt");
  const TrustAnchors trust =
      *TrustAnchors::FromDirectory(std::string(kEvidence) + "piv/valid-5-4-3/trust", nullptr);
};

void BM_PivBareSignatures(benchmark::State& state) {
  const Piv piv;
  const Certificate intermediate = Parse(piv.intermediate);
  const BareSignature by_card(Parse(piv.slot), intermediate);
  const BareSignature by_root(intermediate, piv.trust.anchors().front());
  for (auto _ : state) {
    if (!by_card.Verify() || !by_root.Verify()) state.SkipWithError("does not verify");
  }
}
BENCHMARK(BM_PivBareSignatures);

// The same, but for the card's key: the vendor's is kept, each card's is seen once.
void BM_PivFreshSignatures(benchmark::State& state) {
  const Piv piv;
  const Certificate intermediate = Parse(piv.intermediate);
  const BareSignature by_card(Parse(piv.slot), intermediate);
  const BareSignature by_root(intermediate, piv.trust.anchors().front());
  for (auto _ : state) {
    if (!by_card.Verify(/*fresh=*/true) || !by_root.Verify())
      state.SkipWithError("does not verify");
  }
}
BENCHMARK(BM_PivFreshSignatures);

void BM_PivEvidence(benchmark::State& state) {
  const Piv piv;
  PivPolicy policy;
  policy.trust = &piv.trust;
  policy.time = kTime;
  policy.allow_shared = true;  // slot 9a
  // As they come over the wire.
  const std::string slot = Parse(piv.slot).der(), intermediate = Parse(piv.intermediate).der();
  for (auto _ : state) {
    const auto parsed = Certificate::ParseDer(slot), above = Certificate::ParseDer(intermediate);
    if (!parsed.ok() || !above.ok()) return state.SkipWithError("no evidence");
    const auto proved = VerifyPivAttestation(*parsed, {*above}, policy);
    if (!proved.ok()) state.SkipWithError(proved.status().ToString().c_str());
  }
}
BENCHMARK(BM_PivEvidence);

}  // namespace
}  // namespace forekey

BENCHMARK_MAIN();
