// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// What the gate decides per call, against the bare cryptography that nobody can do without:
//   a session's proof      at most 1.9 times the bare HMAC
//   a device proof         at most 1.06 times the bare P-256 verification
//   refusals               of a call without prefix and with a forged one
// CallJudge::Judge is measured whole: exempt list, clock, look-ups, counters and audit included.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "benchmark/benchmark.h"
#include "openssl/pem.h"
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/openssl.h"
#include "src/crypto/random.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/service/gate_core.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

// Counts allocations, to show that the session path makes none.
static thread_local uint64_t allocation_count = 0;
// Not inlined: gcc takes the two halves of a pair for mismatched where it sees into one alone.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocation_count;
  if (void* memory = malloc(size)) return memory;
  abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { free(memory); }

namespace forekey {
namespace {

constexpr absl::string_view kAudience = "bench.example";
constexpr absl::string_view kMethod = "/bench.Echo/Say";
constexpr absl::string_view kPeer = "ipv4:127.0.0.1:4711";
constexpr int64_t kNanosPerSecond = 1'000'000'000;

std::string MakeCertificate(const std::string& path) {
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 86400);
  X509_set_pubkey(x509.get(), key.get());
  X509_sign(x509.get(), key.get(), EVP_sha256());
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  const std::string pem(data, size);
  std::ofstream(path) << pem;
  return Certificate::Parse(pem)->Fingerprint();
}

// The decision alone: what a line of the audit log costs is measured beside it (BM_AuditLine).
class NullSink : public AuditSink {
 public:
  absl::Status Write(const Decision& decision) override {
    benchmark::DoNotOptimize(&decision);
    return absl::OkStatus();
  }
};

// A gate with one enrolled key and one open session.
class World {
 public:
  World() {
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as a gate does
    std::string folder = (std::filesystem::temp_directory_path() / "forekey-bench-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) abort();
    binding_ = MakeCertificate(folder + "/tls.pem");
    registry_ = *OpenSqliteRegistry(folder + "/state/registry.sqlite");
    Enroll();
    GateConfig config;
    config.audience = std::string(kAudience);
    config.tls.certificate = folder + "/tls.pem";
    config.state.directory = folder + "/state";
    config.challenges.remembered = 50'000'000;
    GateCore::StandIns parts;
    parts.registry = registry_;
    parts.audit = std::make_unique<NullSink>();
    parts.maintenance_thread = false;
    gate_ = *GateCore::New(std::move(config), std::move(parts));
    OpenSession();
    registry_folder_ = folder;
  }
  ~World() { std::filesystem::remove_all(registry_folder_); }

  GateCore& gate() { return *gate_; }
  const SoftwareKey& key() const { return key_; }
  const HmacSha256& mac_key() const { return *mac_key_; }

  CallMacInput MacInput(uint64_t sequence) const {
    return CallMacInput{session_id_, sequence, Age(), kMethod, binding_, ""};
  }
  std::string SessionProof() {
    const CallMacInput input = MacInput(next_sequence_++);
    const std::string mac = ComputeCallMac(*mac_key_, input);
    SessionProofView view;
    view.session_id = session_id_;
    view.sequence = input.sequence;
    view.age_s = input.age_s;
    view.mac = mac;
    return SerializePrefix(view);
  }
  std::string DeviceProof(absl::string_view method = kMethod, absl::string_view key_share = "",
                          absl::string_view digest = "", std::string* statement_out = nullptr) {
    v1::GetChallengeRequest request;
    request.set_purpose(v1::GetChallengeRequest::PURPOSE_CALL);
    challenge_ = gate_->peers().GetChallenge(request)->challenge();
    const absl::string_view id = credential_id_;
    const std::string statement = BuildStatement(CallStatement{
        kAudience, method, challenge_, binding_, absl::MakeConstSpan(&id, 1), key_share, digest});
    const std::string signature = key_.Sign(statement);
    DeviceProofView view;
    view.challenge = challenge_;
    view.channel_binding = binding_;
    view.key_share = key_share;
    view.request_digest = digest;
    view.assertions.push_back(AssertionView{credential_id_, signature, "", ""});
    if (statement_out != nullptr) *statement_out = statement;
    return SerializePrefix(view);
  }
  bool Admits(absl::string_view prefix, absl::string_view method = kMethod) {
    return gate_->calls()
        .Judge(CallInput{absl::MakeConstSpan(&prefix, 1), method, kPeer})
        .status.ok();
  }

 private:
  uint32_t Age() const {
    return static_cast<uint32_t>(Clock::System().BootNow().NanosSince(opened_) / kNanosPerSecond);
  }
  void Enroll() {
    const std::string& spki = key_.public_key().spki();
    credential_id_ = CredentialId(kAudience, "bench", spki);
    InviteRecord invite;
    invite.public_key = RandomBytes(32);
    invite.id = Sha256(invite.public_key);
    invite.subject = "bench";
    invite.created_at = absl::Now();
    invite.expires_at = absl::Now() + absl::Hours(1);
    Registry::Enrollment enrollment;
    enrollment.invite_id = invite.id;
    enrollment.now = absl::Now();
    enrollment.credential.id = credential_id_;
    enrollment.credential.subject = "bench";
    enrollment.credential.kind = v1::TOKEN_KIND_TPM;
    enrollment.credential.algorithm = static_cast<int>(Algorithm::kEs256);
    enrollment.credential.spki = spki;
    enrollment.credential.factors = {"tpm"};
    enrollment.credential.proved_json = "{}";
    enrollment.credential.enrolled_at = absl::Now();
    if (!registry_->AddInvite(invite).ok() || !registry_->Enroll(enrollment).ok()) abort();
  }
  void OpenSession() {
    const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
    const auto identity = gate_->identities().current();
    v1::OpenSessionPayload payload;
    payload.set_gate_identity(identity->fingerprint());
    v1::OpenSessionRequest request;
    request.set_payload(payload.SerializeAsString());
    std::string statement;
    const std::string prefix = DeviceProof(kOpenSessionMethod, ephemeral.public_key(),
                                           Sha256(request.payload()), &statement);
    const absl::string_view value = prefix;
    const Judgement judgement =
        gate_->calls().Judge(CallInput{absl::MakeConstSpan(&value, 1), kOpenSessionMethod, kPeer});
    const auto response = gate_->peers().OpenSession(*judgement.call, request, kPeer);
    opened_ = Clock::System().BootNow();
    session_id_ = response->session_id();
    const auto shared = ephemeral.Agree(response->gate_share());
    const auto with_identity = ephemeral.Agree(identity->public_key());
    const Secret key = DeriveSessionKey(SessionKeyInput{
        &*shared, &*with_identity, "", challenge_, statement, response->gate_share(), session_id_});
    mac_key_ = std::make_unique<HmacSha256>(key.view());
  }

  SoftwareKey key_ = SoftwareKey::Generate(Algorithm::kEs256);
  std::string binding_, credential_id_, challenge_, session_id_, registry_folder_;
  std::shared_ptr<Registry> registry_;
  std::unique_ptr<GateCore> gate_;
  std::unique_ptr<HmacSha256> mac_key_;
  BootTime opened_;
  uint64_t next_sequence_ = 1;
};

World& TheWorld() {
  static World world;
  return world;
}

void BM_BareHmac(benchmark::State& state) {
  World& world = TheWorld();
  uint64_t sequence = 1;
  const std::string mac = ComputeCallMac(world.mac_key(), world.MacInput(1));
  const CallMacInput input = world.MacInput(1);
  for (auto _ : state) {
    CallMacInput next = input;
    next.sequence = sequence++;
    benchmark::DoNotOptimize(CallMacMatches(world.mac_key(), next, mac));
  }
}
BENCHMARK(BM_BareHmac);

void BM_SessionProof(benchmark::State& state) {
  World& world = TheWorld();
  // No more than the processor's caches hold: in life gRPC has just read the one that is judged.
  std::vector<std::string> proofs(1024);
  size_t next = proofs.size();
  uint64_t allocations = 0;
  for (auto _ : state) {
    if (next == proofs.size()) {
      state.PauseTiming();
      for (std::string& proof : proofs) proof = world.SessionProof();
      next = 0;
      state.ResumeTiming();
    }
    const uint64_t before = allocation_count;
    if (!world.Admits(proofs[next++])) state.SkipWithError("refused");
    allocations += allocation_count - before;
  }
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(allocations), benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_SessionProof);

void BM_BareP256Verify(benchmark::State& state) {
  // As many different signatures as BM_DeviceProof goes through: one alone, over and over, teaches
  // the branch predictor its digits and measures 5 to 10 % too fast.
  World& world = TheWorld();
  std::vector<std::pair<std::string, std::string>> signed_statements(1024);
  for (size_t i = 0; i < signed_statements.size(); ++i) {
    const std::string statement =
        absl::StrCat(std::string(262, 's'), absl::Dec(i, absl::kZeroPad8));
    signed_statements[i] = {statement, world.key().Sign(statement)};
  }
  size_t next = 0;
  for (auto _ : state) {
    const auto& [statement, signature] = signed_statements[next++ % signed_statements.size()];
    if (!world.key().public_key().Verify(statement, signature).ok()) state.SkipWithError("refused");
  }
}
BENCHMARK(BM_BareP256Verify);

void BM_DeviceProof(benchmark::State& state) {
  World& world = TheWorld();
  std::vector<std::string> proofs(1024);
  size_t next = proofs.size();
  for (auto _ : state) {
    if (next == proofs.size()) {
      state.PauseTiming();
      for (std::string& proof : proofs) proof = world.DeviceProof();
      next = 0;
      state.ResumeTiming();
    }
    if (!world.Admits(proofs[next++])) state.SkipWithError("refused");
  }
}
BENCHMARK(BM_DeviceProof);

void BM_AuditLine(benchmark::State& state) {
  Decision decision;
  decision.reference = NewReference();
  decision.time = absl::Now();
  decision.admitted = true;
  decision.peer = std::string(kPeer);
  decision.method = std::string(kMethod);
  decision.subject = "bench";
  decision.credential_ids = {std::string(32, 'c')};
  decision.factors = {"tpm"};
  for (auto _ : state) benchmark::DoNotOptimize(DecisionToJson(decision));
}
BENCHMARK(BM_AuditLine);

// The whole way of a line: JSON, its place in the chain, one write, and the head beside the file.
void BM_AuditLineToFile(benchmark::State& state) {
  std::string folder = (std::filesystem::temp_directory_path() / "forekey-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) abort();
  {
    auto sink = OpenAuditFile(folder + "/audit.jsonl");
    Decision decision;
    decision.reference = NewReference();
    decision.time = absl::Now();
    decision.admitted = true;
    decision.peer = std::string(kPeer);
    decision.method = std::string(kMethod);
    decision.subject = "bench";
    decision.credential_ids = {std::string(32, 'c')};
    decision.factors = {"tpm"};
    for (auto _ : state) {
      if (!sink.ok() || !(*sink)->Write(decision).ok())
        state.SkipWithError("the line was not written");
    }
  }
  std::filesystem::remove_all(folder);
}
BENCHMARK(BM_AuditLineToFile);

void BM_RefuseWithoutPrefix(benchmark::State& state) {
  World& world = TheWorld();
  for (auto _ : state) {
    benchmark::DoNotOptimize(world.gate().calls().Judge(CallInput{{}, kMethod, kPeer}).status.ok());
  }
}
BENCHMARK(BM_RefuseWithoutPrefix);

void BM_RefuseForgedMac(benchmark::State& state) {
  World& world = TheWorld();
  std::string proof = world.SessionProof();
  proof[proof.size() - 1] = static_cast<char>(proof[proof.size() - 1] ^ 1);
  for (auto _ : state) {
    if (world.Admits(proof)) state.SkipWithError("admitted");
  }
}
BENCHMARK(BM_RefuseForgedMac);

void BM_RefuseForgedChallenge(benchmark::State& state) {
  World& world = TheWorld();
  std::string proof = world.DeviceProof();
  const size_t at = proof.find(std::string("\x0a\x40", 2));
  proof[at + 20] = static_cast<char>(proof[at + 20] ^ 1);
  for (auto _ : state) {
    if (world.Admits(proof)) state.SkipWithError("admitted");
  }
}
BENCHMARK(BM_RefuseForgedChallenge);

void BM_RecallSession(benchmark::State& state) {
  World& world = TheWorld();
  const std::string proof = world.SessionProof();
  if (!world.Admits(proof)) state.SkipWithError("refused");
  const absl::string_view value = proof;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        world.gate().calls().Recall(absl::MakeConstSpan(&value, 1), kMethod).ok());
  }
}
BENCHMARK(BM_RecallSession);

}  // namespace
}  // namespace forekey

BENCHMARK_MAIN();
