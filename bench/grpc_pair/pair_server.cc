// SPDX-License-Identifier: Apache-2.0
// forekey-bench-pair-server --directory D [--gated | --bare | --refusing] [--tuned] [--callback]
// [--asks] [--one-address] [--proxied]: one echo handler, which answers the same everywhere; with
// the gate, without, or (--bare) with the least that gRPC lets anybody judge calls by: a metadata
// processor that looks at nothing and admits all, or refuses all (--refusing). --asks: the handler
// asks for the caller, too, and reads its name and roles; without a gate it learns that there is
// none. Writes D/facts.json, prints "ready"; then answers each line on stdin with its resource
// usage so far, until stdin ends. --one-address: without the limits that hold for one address, as
// where a flood comes from many. --proxied: nor do refusals end a connection. --upstream ADDRESS
// (with --gated): passes calls on to a service there, as `forekey-gate serve` does, instead of
// serving them. --socket PATH: serves there, too, without TLS.
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
#include "echo.grpc.pb.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/gate/caller/caller_token.h"
#include "src/gate/grpc/gate_access.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/grpc/tuning.h"
#include "src/gate/proxy/upstream_proxy.h"
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

// ---- The handlers ----

class Handler {
 public:
  explicit Handler(bool asks) : asks_(asks) {}
  void Answer(const grpc::ServerContextBase* context, const example::EchoRequest& request,
              example::EchoResponse* response) const {
    response->set_text(request.text());
    if (!asks_) return;
    const auto caller = Caller(context);
    // Never so: what is asked for must not be optimised away, and the answer stays the same.
    if (caller.ok() && (caller->subject().empty() || caller->HasRole("nobody"))) std::abort();
  }

 private:
  const bool asks_;
};

class SyncHandler : public example::Echo::Service {
 public:
  explicit SyncHandler(bool asks) : handler_(asks) {}
  grpc::Status Say(grpc::ServerContext* context, const example::EchoRequest* request,
                   example::EchoResponse* response) override {
    handler_.Answer(context, *request, response);
    return grpc::Status::OK;
  }

 private:
  const Handler handler_;
};

class CallbackHandler : public example::Echo::CallbackService {
 public:
  explicit CallbackHandler(bool asks) : handler_(asks) {}
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context,
                                const example::EchoRequest* request,
                                example::EchoResponse* response) override {
    handler_.Answer(context, *request, response);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerBidiReactor<example::EchoRequest, example::EchoResponse>* Chat(
      grpc::CallbackServerContext*) override {
    return new Stream;
  }

 private:
  // Echoes each message, until its caller ends.
  class Stream : public grpc::ServerBidiReactor<example::EchoRequest, example::EchoResponse> {
   public:
    Stream() { StartRead(&request_); }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      response_.set_text(request_.text());
      StartWrite(&response_);
    }
    void OnWriteDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      StartRead(&request_);
    }
    void OnDone() override { delete this; }

   private:
    example::EchoRequest request_;
    example::EchoResponse response_;
  };

  const Handler handler_;
};

// `gate` may be null.
void PrintUsage(Gate* gate) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  auto micros = [](const timeval& time) { return int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  std::cout << nlohmann::json{{"cpu_us", micros(usage.ru_utime) + micros(usage.ru_stime)},
                              {"switches", usage.ru_nvcsw + usage.ru_nivcsw},
                              {"sessions", gate == nullptr ? 0 : CoreOf(*gate).sessions().size()},
                              {"live_calls", LiveCalls::OfProcess().size()},
                              {"refused",
                               gate == nullptr ? 0 : CoreOf(*gate).counters().refused.load()}}
                   .dump()
            << std::endl;
}

// What `forekey-gate serve` puts behind a gate; outlives the server.
struct Proxied {
  std::unique_ptr<CallerKeys> keys;
  std::unique_ptr<CallerTokens> tokens;
  std::unique_ptr<UpstreamProxy> proxy;
};

Proxied Proxy(Gate& gate, grpc::ServerBuilder& builder) {
  Proxied made;
  const GateConfig& config = CoreOf(gate).config();
  made.keys = Must(CallerKeys::Open(config.state.CallerKeysDirectory(), config.caller.key_rotation,
                                    CoreOf(gate).clock()));
  made.tokens = std::make_unique<CallerTokens>(*made.keys, CoreOf(gate).clock(), config.audience,
                                               config.caller.lifetime);
  made.proxy = Must(UpstreamProxy::New(&gate, made.tokens.get()));
  made.proxy->Register(builder);
  return made;
}

int Run(const std::string& directory, const std::set<std::string>& flags,
        const std::string& upstream, const std::string& socket) {
  const auto has = [&flags](const char* flag) { return flags.count(flag) != 0; };
  const bool gated = has("--gated"), tuned = has("--tuned");
  PairFacts facts;
  facts.key_seed = RandomBytes(32);
  const SelfSignedCertificate tls = Must(
      MakeSelfSignedCertificate({"localhost", "127.0.0.1", "::1"}, absl::Now(), absl::Hours(24)));
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

  if (!upstream.empty()) {
    UpstreamOptions options;
    options.name = "echo";
    options.methods = {"/*/*"};
    options.addresses = {upstream};
    config.upstreams.push_back(std::move(options));
  }
  SyncHandler sync(has("--asks"));
  CallbackHandler callbacks(has("--asks"));
  Proxied proxied;
  grpc::ServerBuilder builder;
  if (!socket.empty()) {
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  }
  if (!upstream.empty()) {
    // The gate's proxy serves, below.
  } else if (has("--callback"))
    builder.RegisterService(&callbacks);
  else
    builder.RegisterService(&sync);
  std::unique_ptr<Gate> gate;
  if (gated) {
    Must(EnsurePrivateDirectory(config.state.directory));
    GateCore::StandIns parts;
    parts.registry = Must(OpenSqliteRegistry(config.state.RegistryPath()));
    Enrol(*parts.registry, facts.key_seed);
    gate = Must(GateAccess::New(Must(GateCore::New(config, std::move(parts)))));
    if (!upstream.empty()) proxied = Proxy(*gate, builder);
    Must(gate->Install(builder,
                       {.server_api = upstream.empty() ? ServerApi::kAuto : ServerApi::kCallback}));
    facts.identity_public = CoreOf(*gate).identities().current()->public_key();
  } else {
    grpc_init();
    ApplyTuning({.executor_threads_off = tuned, .mutex_deadlock_detection_off = tuned});
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({tls.key_pem, tls.certificate_pem});
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::SslServerCredentials(options);
    if (has("--bare") || has("--refusing")) {
      credentials =
          std::make_shared<BareCredentials>(tls.key_pem, tls.certificate_pem, has("--refusing"));
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
           "[--callback] [--asks] [--one-address] [--proxied] [--upstream ADDRESS] "
           "[--socket PATH]\n";
    return 2;
  }
  const auto value_of = [&words](const char* flag) {
    const auto found = std::find(words.begin(), words.end(), flag);
    return words.end() - found < 2 ? std::string() : *(found + 1);
  };
  return forekey::bench::Run(*(directory + 1), {words.begin(), words.end()}, value_of("--upstream"),
                             value_of("--socket"));
}
