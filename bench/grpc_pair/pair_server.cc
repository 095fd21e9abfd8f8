// SPDX-License-Identifier: Apache-2.0
// forekey-bench-pair-server --directory D [--gated | --bare | --refusing] [--tuned] [--callback]
// [--one-address] [--proxied]: the example's echo service, with the gate, without, or (--bare) with
// the least that any gate must have in gRPC: a metadata processor that looks at nothing and admits
// all, or refuses all
// (--refusing), an interceptor that does nothing, and the gate's settings of connections.
// Writes D/facts.json, prints "ready"; then answers each line on stdin with its resource usage so
// far, until stdin ends. --one-address: without the limits that hold for one address, as where a
// flood comes from many. --proxied: nor do refusals end a connection.
#include <forekey/gate.h>
#include <grpc/grpc_security.h>
#include <sys/resource.h>

#include <algorithm>
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
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/grpc/tuning.h"
#include "src/gate/service/gate_core.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << value.status() << "\n";
  std::_Exit(2);
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
  credential.kind = v1::TOKEN_KIND_TPM;
  credential.algorithm = static_cast<int>(Algorithm::kEdDsa);
  credential.spki = key.public_key().spki();
  credential.id = CredentialId(kAudience, kSubject, credential.spki);
  credential.factors = {"tpm"};
  credential.proved_json = "{}";
  credential.enrolled_at = absl::Now();
  Must(registry.Enroll(enrollment));
}

// ---- The bare server ----

class BareCredentials : public grpc::ServerCredentials {
 public:
  BareCredentials(const std::string& key_pem, const std::string& certificate_pem, bool refusing) {
    const grpc_ssl_pem_key_cert_pair pair = {key_pem.c_str(), certificate_pem.c_str()};
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config(
            GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            grpc_ssl_server_certificate_config_create(nullptr, &pair, 1)));
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_, {refusing ? &Refuse : &Admit, [](void*) {}, nullptr});
  }
  ~BareCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  static void Admit(void*, grpc_auth_context*, const grpc_metadata*, size_t,
                    grpc_process_auth_metadata_done_cb done, void* done_data) {
    done(done_data, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
  }
  static void Refuse(void*, grpc_auth_context*, const grpc_metadata*, size_t,
                     grpc_process_auth_metadata_done_cb done, void* done_data) {
    done(done_data, nullptr, 0, nullptr, 0, GRPC_STATUS_UNAUTHENTICATED, "refused");
  }
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  grpc_server_credentials* credentials_ = nullptr;
};

class BareInterceptor : public grpc::experimental::Interceptor {
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }
};

class BareInterceptors : public grpc::experimental::ServerInterceptorFactoryInterface {
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new BareInterceptor;
  }
};

void InstallBare(grpc::ServerBuilder& builder, const GateConfig::Connections& limits) {
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             static_cast<int>(absl::ToInt64Milliseconds(limits.idle)));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             static_cast<int>(absl::ToInt64Milliseconds(limits.keepalive)));
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<BareInterceptors>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
}

// `gate` may be null.
void PrintUsage(Gate* gate) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  auto micros = [](const timeval& time) { return int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  std::cout << nlohmann::json{{"cpu_us", micros(usage.ru_utime) + micros(usage.ru_stime)},
                              {"switches", usage.ru_nvcsw + usage.ru_nivcsw},
                              {"sessions", gate == nullptr ? 0 : gate->core().sessions().size()},
                              {"live_calls", LiveCalls::OfProcess().size()},
                              {"refused",
                               gate == nullptr ? 0 : gate->core().counters().refused.load()}}
                   .dump()
            << std::endl;
}

int Run(const std::string& directory, const std::set<std::string>& flags) {
  const auto has = [&flags](const char* flag) { return flags.count(flag) != 0; };
  const bool gated = has("--gated"), tuned = has("--tuned");
  PairFacts facts;
  facts.key_seed = RandomBytes(32);
  const SelfSignedCertificate tls =
      Must(MakeSelfSignedCertificate({"127.0.0.1", "::1"}, absl::Now(), absl::Hours(24)));
  facts.certificate_pem = tls.certificate_pem;
  GateConfig config;
  config.audience = kAudience;
  config.listen.address = "[::]:0";
  config.tls.certificate = directory + "/cert.pem";
  config.tls.private_key = directory + "/key.pem";
  config.state.directory = directory + "/state";
  if (has("--one-address") || has("--proxied")) {
    config.connections.per_address = config.connections.total;
    config.connections.per_address_burst = 1e12;
    config.connections.address_share = 100;
    config.connections.address_exempt_per_second = config.connections.address_exempt_burst = 1e12;
  }
  if (has("--proxied")) config.connections.refusals = config.connections.forged_refusals = 0;
  config.tuning.executor_threads = !tuned;
  config.tuning.mutex_deadlock_detection = !tuned;
  Must(WriteFileAtomically(config.tls.certificate, tls.certificate_pem));
  Must(WriteFileAtomically(config.tls.private_key, tls.key_pem, 0600));
  facts.channel_binding =
      Must(ReadTlsKeyPair(config.tls.certificate, config.tls.private_key)).binding;

  example::SyncEcho sync;
  example::CallbackEcho callbacks;
  grpc::ServerBuilder builder;
  if (has("--callback"))
    builder.RegisterService(&callbacks);
  else
    builder.RegisterService(&sync);
  std::unique_ptr<Gate> gate;
  if (gated) {
    Must(EnsurePrivateDirectory(config.state.directory));
    GateCore::StandIns parts;
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
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::SslServerCredentials(options);
    if (has("--bare") || has("--refusing")) {
      credentials =
          std::make_shared<BareCredentials>(tls.key_pem, tls.certificate_pem, has("--refusing"));
      InstallBare(builder, config.connections);
    }
    builder.AddListeningPort("[::]:0", credentials, &facts.port);
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
  const auto directory = std::find(words.begin(), words.end(), "--directory");
  if (words.end() - directory < 2) {
    std::cerr
        << "forekey-bench-pair-server --directory D [--gated | --bare | --refusing] [--tuned] "
           "[--callback] [--one-address] [--proxied]\n";
    return 2;
  }
  return forekey::bench::Run(*(directory + 1), {words.begin(), words.end()});
}
