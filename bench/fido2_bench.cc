// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service PkgConfig::FIDO2
// A FIDO2 assertion as the gate verifies it on the path of a call, against the bare P-256
// verification that nobody can do without, and against libfido2's fido_assert_verify over the same
// bytes.
//   at most 1.15 times the bare verification, and not slower than libfido2
// and a registration, beside two bare verifications.
// libfido2 checks rpId hash, flags and signature; ours also reads clientDataJSON and checks its
// type, challenge and origin, which with libfido2 is left to the caller.
// Machines that are shared drift: compare medians of the CPU time of
//   forekey_fido2_bench --benchmark_enable_random_interleaving --benchmark_repetitions=15
//                       --benchmark_report_aggregates_only
#include <fido.h>
#include <fido/es256.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"
#include "src/gate/token/fido2_verifier.h"
#include "src/verify/webauthn_registration.h"
#include "src/wire/client_data.h"

namespace forekey {
namespace {

constexpr char kRpId[] = "bench.example";
constexpr char kOrigin[] = "forekey://bench.example";
constexpr unsigned char kUpUv[] = {0x05};

// One assertion, as a token and our agent make it.
struct Sample {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  const std::string statement = std::string(300, 's');
  const std::string client_data = ClientData::Serialize(kClientDataGet, Sha256(statement), kOrigin);
  const std::string authenticator_data =
      absl::StrCat(Sha256(kRpId), View(kUpUv, sizeof kUpUv), std::string("\0\0\0\x2a", 4));
  const std::string signed_bytes = absl::StrCat(authenticator_data, Sha256(client_data));
  const std::string signature = key.Sign(signed_bytes);
};

const Sample& TheSample() {
  static const Sample* sample = new Sample;
  return *sample;
}

void BM_BareP256Verify(benchmark::State& state) {
  const Sample& sample = TheSample();
  EvpPkeyPtr key(sample.key.evp());
  EVP_PKEY_up_ref(key.get());
  for (auto _ : state) {
    EvpMdCtxPtr context(EVP_MD_CTX_new());
    const bool good =
        EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
        EVP_DigestVerify(context.get(), U8(sample.signature), sample.signature.size(),
                         U8(sample.signed_bytes), sample.signed_bytes.size()) == 1;
    if (!good) state.SkipWithError("the signature does not verify");
  }
}
BENCHMARK(BM_BareP256Verify);

void BM_GateAssertion(benchmark::State& state) {
  const Sample& sample = TheSample();
  const auto verifier = NewFido2Verifier({.policy = {.require_user_verification = true}});
  CredentialRecord credential;
  credential.kind = v1::TOKEN_KIND_FIDO2;
  credential.rp_id = kRpId;
  credential.origin = kOrigin;
  credential.factors = {"fido2"};
  credential.proved_json = R"({"flags":{"be":false},"format":"packed"})";
  AssertionView assertion;
  assertion.signature = sample.signature;
  assertion.authenticator_data = sample.authenticator_data;
  assertion.client_data_json = sample.client_data;
  for (auto _ : state) {
    const auto facts =
        verifier->VerifyAssertion(assertion, sample.statement, credential, sample.key.public_key());
    if (!facts.ok()) state.SkipWithError(facts.status().ToString().c_str());
  }
}
BENCHMARK(BM_GateAssertion);

// A registration, packed with a certificate: what it costs beside its two signatures (the
// statement's, and the certificate's by its root).
void BM_GateRegistration(benchmark::State& state) {
  const std::string folder = FOREKEY_SOURCE "/tests/attacks/webauthn/valid-packed-es256/";
  const auto object = ReadFile(folder + "object.cbor"), client = ReadFile(folder + "client.json");
  const auto anchors = TrustAnchors::FromDirectory(folder + "trust", nullptr);
  if (!object.ok() || !client.ok() || !anchors.ok()) return state.SkipWithError("no evidence");
  std::string challenge(32, '\0');
  for (size_t i = 0; i < challenge.size(); ++i) challenge[i] = static_cast<char>(i);
  const RelyingParty party = RelyingParty::Of("gate.example", "https://gate.example");
  RegistrationOptions options;
  options.attestation_object = *object;
  options.client_data_json = *client;
  options.challenge = challenge;
  options.relying_party = &party;
  options.anchors = &*anchors;
  options.time = absl::FromUnixSeconds(1'767'225'600);  // 2026-01-01
  for (auto _ : state) {
    const auto proved = VerifyRegistration(options);
    if (!proved.ok()) state.SkipWithError(proved.status().ToString().c_str());
  }
}
BENCHMARK(BM_GateRegistration);

bool SetAll(fido_assert_t* assertion, const Sample& sample) {
  return fido_assert_set_count(assertion, 1) == FIDO_OK &&
         fido_assert_set_rp(assertion, kRpId) == FIDO_OK &&
         fido_assert_set_clientdata(assertion, U8(sample.client_data), sample.client_data.size()) ==
             FIDO_OK &&
         fido_assert_set_authdata_raw(assertion, 0, U8(sample.authenticator_data),
                                      sample.authenticator_data.size()) == FIDO_OK &&
         fido_assert_set_up(assertion, FIDO_OPT_TRUE) == FIDO_OK &&
         fido_assert_set_uv(assertion, FIDO_OPT_TRUE) == FIDO_OK &&
         fido_assert_set_sig(assertion, 0, U8(sample.signature), sample.signature.size()) ==
             FIDO_OK;
}

struct Libfido2Key {
  explicit Libfido2Key(EVP_PKEY* key) : pk(es256_pk_new()) {
    if (es256_pk_from_EVP_PKEY(pk, key) != FIDO_OK) abort();
  }
  ~Libfido2Key() { es256_pk_free(&pk); }
  es256_pk_t* pk;
};

// As a server does it: each assertion is another object.
void BM_Libfido2Assertion(benchmark::State& state) {
  const Sample& sample = TheSample();
  const Libfido2Key key(sample.key.evp());
  for (auto _ : state) {
    fido_assert_t* assertion = fido_assert_new();
    if (!SetAll(assertion, sample) ||
        fido_assert_verify(assertion, 0, COSE_ES256, key.pk) != FIDO_OK) {
      state.SkipWithError("fido_assert_verify");
    }
    fido_assert_free(&assertion);
  }
}
BENCHMARK(BM_Libfido2Assertion);

// The verification alone, of an object made beforehand.
void BM_Libfido2AssertVerify(benchmark::State& state) {
  const Sample& sample = TheSample();
  const Libfido2Key key(sample.key.evp());
  fido_assert_t* assertion = fido_assert_new();
  if (!SetAll(assertion, sample)) state.SkipWithError("fido_assert_set");
  for (auto _ : state) {
    if (fido_assert_verify(assertion, 0, COSE_ES256, key.pk) != FIDO_OK) {
      state.SkipWithError("fido_assert_verify");
    }
  }
  fido_assert_free(&assertion);
}
BENCHMARK(BM_Libfido2AssertVerify);

}  // namespace
}  // namespace forekey

int main(int argc, char** argv) {
  fido_init(0);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
