// forekey-bench-pair-server --directory D [--gated] [--tuned] [--callback] [--one-address]: the example's
// echo service, with or without the gate. Writes D/facts.json, prints "ready"; then answers each line on
// stdin with its resource usage so far, until stdin ends. --one-address: without the limits that hold for
// one address, as all the load comes from this one.
#include <forekey/gate.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/grpc_pair/pair_facts.h"
#include "examples/echo_services.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/gate/core/gate_core.h"
#include "src/gate/live_calls.h"
#include "src/gate/self_signed.h"
#include "src/gate/tls_keys.h"
#include "src/gate/tuning.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << value.status() << "\n";
  std::exit(2);
}
void Must(const absl::Status& status) { Must(status.ok() ? absl::StatusOr<int>(0) : status); }

// Puts an Ed25519 key of the load into the registry.
void Enrol(Registry& registry, const std::string& seed) {
  const SoftwareKey key = Must(SoftwareKey::Ed25519FromSeed(seed));
  InviteRecord invite;
  invite.public_key = RandomBytes(32);
  invite.id = Sha256(invite.public_key);
  invite.subject = kSubject;
  invite.created_at = absl::Now();
  invite.expires_at = absl::Now() + absl::Hours(1);
  Must(registry.AddInvite(invite));
  Registry::Enrollment enrollment;
  enrollment.invite_id = invite.id;
  enrollment.now = absl::Now();
  CredentialRecord& credential = enrollment.credential;
  credential.subject = kSubject;
  credential.kind = static_cast<int>(TokenKind::kTpm);
  credential.algorithm = static_cast<int>(Algorithm::kEdDsa);
  credential.spki = key.public_key().spki();
  credential.id = CredentialId(kAudience, kSubject, credential.spki);
  credential.factors = {"tpm"};
  credential.proved_json = "{}";
  credential.enrolled_at = absl::Now();
  Must(registry.Enroll(enrollment));
}

// `gate` may be null.
void PrintUsage(Gate* gate) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  auto micros = [](const timeval& time) { return int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  std::cout << nlohmann::json{{"cpu_us", micros(usage.ru_utime) + micros(usage.ru_stime)},
                              {"switches", usage.ru_nvcsw + usage.ru_nivcsw},
                              {"sessions", gate == nullptr ? 0 : gate->core().sessions().size()},
                              {"live_calls", LiveCalls::OfProcess().size()}}
                   .dump()
            << std::endl;
}

int Run(const std::string& directory, bool gated, bool tuned, bool callback, bool one_address) {
  PairFacts facts;
  facts.key_seed = RandomBytes(32);
  const SelfSignedCertificate tls = Must(MakeSelfSignedCertificate({"127.0.0.1"}, absl::Now(), absl::Hours(24)));
  facts.certificate_pem = tls.certificate_pem;
  GateConfig config;
  config.audience = kAudience;
  config.listen.address = "127.0.0.1:0";
  config.tls.certificate = directory + "/cert.pem";
  config.tls.private_key = directory + "/key.pem";
  config.state.directory = directory + "/state";
  if (one_address) {
    config.connections.per_address = config.connections.total;
    config.connections.per_address_per_second = config.connections.per_address_burst = 1e6;
  }
  config.tuning.executor_threads = !tuned;
  config.tuning.mutex_deadlock_detection = !tuned;
  Must(WriteFileAtomically(config.tls.certificate, tls.certificate_pem));
  Must(WriteFileAtomically(config.tls.private_key, tls.key_pem, 0600));
  facts.channel_binding = Must(ReadTlsKeyPair(config.tls.certificate, config.tls.private_key)).binding;

  example::SyncEcho sync;
  example::CallbackEcho callbacks;
  grpc::ServerBuilder builder;
  if (callback) builder.RegisterService(&callbacks);
  else builder.RegisterService(&sync);
  std::unique_ptr<Gate> gate;
  if (gated) {
    Must(EnsurePrivateDirectory(config.state.directory));
    GateCore::Parts parts;
    parts.registry = Must(OpenSqliteRegistry(config.state.RegistryPath()));
    Enrol(*parts.registry, facts.key_seed);
    gate = Must(Gate::New(Must(GateCore::New(config, std::move(parts)))));
    Must(gate->Install(builder));
    facts.identity_public = gate->core().identities().current()->public_key();
  } else {
    grpc_init();
    ApplyTuning({.executor_threads_off = tuned, .mutex_deadlock_detection_off = tuned});
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({tls.key_pem, tls.certificate_pem});
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &facts.port);
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 2;
  if (gated) facts.port = gate->port();
  Must(WriteFileAtomically(directory + "/facts.json", facts.ToJson(), 0600));
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) PrintUsage(gate.get());
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace
}  // namespace forekey::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::set<std::string> flags(words.begin(), words.end());
  std::string directory;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--directory") directory = words[i + 1];
  }
  if (directory.empty()) {
    std::cerr << "forekey-bench-pair-server --directory D [--gated] [--tuned] [--callback] [--one-address]\n";
    return 2;
  }
  return forekey::bench::Run(directory, flags.count("--gated") != 0, flags.count("--tuned") != 0,
                             flags.count("--callback") != 0, flags.count("--one-address") != 0);
}
