// SPDX-License-Identifier: Apache-2.0
#include "src/gate/config/config.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/gate/config/config_rules.h"
#include "src/gate/settings/config_reader.h"
#include "src/store/postgres/postgres_connection.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr int64_t kKibi = 1024, kMebi = 1024 * kKibi;
// Look-ups of all strangers for one proof of all strangers.
constexpr double kLookUpsForAProof = 10;

void Resolve(absl::string_view base, std::string* path) {
  if (!path->empty() && (*path)[0] != '/' && !base.empty()) *path = absl::StrCat(base, "/", *path);
}

// "host:port", "[::]:port"; port 0 lets the system choose, which nobody can be told beforehand.
bool IsAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || colon == 0 || text.size() > 255) return false;
  const absl::string_view host = text.substr(0, colon);
  const absl::string_view digits = text.substr(colon + 1);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != absl::string_view::npos) return false;
  for (char c : host) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '/') return false;
  }
  return !digits.empty() && digits.size() <= 5 && absl::ascii_isdigit(digits[0]) &&
         absl::SimpleAtoi(digits, &port) && port <= 65535;
}

void Required(ConfigTable& table, absl::string_view key, std::string* out) {
  table.String(key, out);
  if (out->empty()) table.Error(key, "must be set");
}

void ReadBasics(ConfigTable& root, absl::string_view base, GateConfig& config) {
  Required(root, "audience", &config.audience);
  if (!config.audience.empty() && !IsWellFormedAudience(config.audience)) {
    root.Error(
        "audience",
        "must be 1 to 255 printable ASCII characters without spaces, quotes, slashes and '#'");
  }

  ConfigTable listen = root.Table("listen");
  listen.String("address", &config.listen.address);
  listen.String("advertise", &config.listen.advertise);
  listen.Duration("drain", absl::ZeroDuration(), absl::Hours(1), &config.listen.drain);
  if (!IsAddress(config.listen.address)) listen.Error("address", "must be host:port or [v6]:port");
  if (!config.listen.advertise.empty() && !IsAddress(config.listen.advertise)) {
    listen.Error("advertise", "must be host:port or [v6]:port");
  }

  ConfigTable tls = root.Table("tls");
  Required(tls, "certificate", &config.tls.certificate);
  Required(tls, "private_key", &config.tls.private_key);
  tls.String("accepted_certificates", &config.tls.accepted_certificates);
  tls.String("ca", &config.tls.ca);
  tls.Duration("replaced_lifetime", absl::ZeroDuration(), 7 * kDay, &config.tls.replaced_lifetime);
  for (std::string* path : {&config.tls.certificate, &config.tls.private_key,
                            &config.tls.accepted_certificates, &config.tls.ca}) {
    Resolve(base, path);
  }

  ConfigTable state = root.Table("state");
  Required(state, "directory", &config.state.directory);
  state.String("registry", &config.state.registry);
  if (!config.state.registry.empty()) {
    const absl::Status good = CheckPostgresUrl(config.state.registry);
    if (!good.ok()) state.Error("registry", good.message());
  }
  Resolve(base, &config.state.directory);
}

void ReadCluster(ConfigTable& root, GateConfig& config) {
  ConfigTable cluster = root.Table("cluster");
  cluster.String("name", &config.cluster.name);
  // Renewals take a few milliseconds each, three in a lease; an administrator waits for one lease.
  cluster.Duration("lease", absl::Seconds(1), absl::Seconds(20), &config.cluster.lease);
  if (config.state.registry.empty()) {
    for (const char* key : {"name", "lease"}) {
      if (cluster.Has(key)) cluster.Error(key, "needs [state] registry");
    }
  }
  if (config.cluster.name.size() > 255) cluster.Error("name", "is longer than 255 bytes");
}

void ReadRecheck(ConfigTable attestation, GateConfig::Recheck* recheck) {
  std::string text = "report";
  attestation.String("recheck", &text);
  if (text == "off")
    *recheck = GateConfig::Recheck::kOff;
  else if (text == "revoke")
    *recheck = GateConfig::Recheck::kRevoke;
  else if (text != "report")
    attestation.Error("recheck", "must be \"off\", \"report\" or \"revoke\"");
}

void ReadSessions(ConfigTable& root, GateConfig& config) {
  ConfigTable table = root.Table("sessions");
  SessionPolicy& sessions = config.sessions;
  table.Duration("idle", absl::Seconds(10), 30 * kDay, &sessions.idle);
  table.Duration("absolute", absl::Seconds(10), 30 * kDay, &sessions.absolute);
  table.Number("window", 64, 65536, &sessions.window);
  table.Number("total", 1, 100'000'000, &sessions.limits.total);
  table.Number("per_subject", 1, 1'000'000, &sessions.limits.per_subject);
  table.Number("children_per_parent", 0, 1'000'000, &sessions.limits.children_per_parent);
  table.Number("children_per_subject", 0, 1'000'000, &sessions.limits.children_per_subject);
  table.Bool("resumption", &sessions.resumption);
  if (sessions.window % 64 != 0) table.Error("window", "must be a multiple of 64");
  if (sessions.idle > sessions.absolute) table.Error("idle", "is longer than sessions.absolute");

  ConfigTable challenges = root.Table("challenges");
  challenges.Duration("lifetime", absl::Seconds(5), absl::Minutes(10), &config.challenges.lifetime);
  challenges.Number("remembered", 1000, 1'000'000'000, &config.challenges.remembered);

  ConfigTable identity = root.Table("identity");
  identity.Duration("overlap", absl::ZeroDuration(), 3650 * kDay, &config.identity.overlap);

  ConfigTable streams = root.Table("streams");
  streams.Duration("check_interval", absl::Seconds(1), absl::Hours(1),
                   &config.streams.check_interval);
}

void ReadLimits(ConfigTable& root, GateConfig& config) {
  ConfigTable limits = root.Table("limits");
  StrangerLimitOptions& proofs = config.limits.proofs;
  limits.Number("stranger_proofs_per_second", 1, 1'000'000, &proofs.per_second);
  limits.Number("stranger_proof_burst", 1, 1'000'000, &proofs.burst);
  limits.Number("address_proofs_per_second", 1, 1'000'000, &proofs.per_address_per_second);
  limits.Number("address_proof_burst", 1, 1'000'000, &proofs.per_address_burst);
  config.limits.enrollments = proofs;
  // An invite is looked up on disk, and whoever makes one up is refused only then: far more than
  // honest enrolments need, and what a core does beside its other work.
  config.limits.enrollments.look_ups = kLookUpsForAProof * proofs.per_second;

  ConfigTable table = root.Table("connections");
  GateConfig::Connections& connections = config.connections;
  table.Number("total", 1, 1'000'000, &connections.total);
  table.Number("per_address", 1, 1'000'000, &connections.per_address);
  table.Number("per_address_per_second", 1, 1'000'000, &connections.per_address_per_second);
  table.Number("per_address_burst", 1, 1'000'000, &connections.per_address_burst);
  table.Number("arriving", 1, 100'000, &connections.arriving);
  table.Number("strangers", 1, 1'000'000, &connections.strangers);
  table.Number("watches", 0, 1'000'000, &connections.watches);
  table.Duration("watch_age", absl::Seconds(1), 30 * kDay, &connections.watch_age);
  table.Number("address_share", 1, 100, &connections.address_share);
  // What one enrolment sends fits into the least.
  table.Bytes("stranger_bytes", 256 * kKibi, 1024 * kMebi, &connections.stranger_bytes);
  table.Number("stranger_calls", 1, 1'000'000, &connections.stranger_calls);
  table.Number("exempt_per_second", 1, 1'000'000, &connections.exempt_per_second);
  table.Number("exempt_burst", 1, 1'000'000, &connections.exempt_burst);
  table.Number("address_exempt_per_second", 1, 1'000'000, &connections.address_exempt_per_second);
  table.Number("address_exempt_burst", 1, 1'000'000, &connections.address_exempt_burst);
  table.Bytes("memory", 64 * kMebi, 1024 * 1024 * kMebi, &connections.memory);
  table.Duration("handshake", absl::Seconds(1), absl::Minutes(10), &connections.handshake);
  table.Duration("proof", absl::Seconds(1), kDay, &connections.proof);
  table.Duration("idle", absl::Seconds(10), 30 * kDay, &connections.idle);
  table.Duration("keepalive", absl::Seconds(10), kDay, &connections.keepalive);
  table.Number("streams", 1, 1'000'000, &connections.streams);
  table.Number("forged_refusals", 0, 1'000'000, &connections.forged_refusals);
  table.Number("refusals", 0, 1'000'000, &connections.refusals);
  table.Number("forged_cost", 0, 1'000'000, &connections.forged_cost);
  table.Number("refused_cost", 0, 1'000'000, &connections.refused_cost);
}

// What monitors see: never more than this machine's users, and never in the way of calls.
void ReadOperations(ConfigTable& root, GateConfig& config) {
  ConfigTable metrics = root.Table("metrics");
  std::string& listen = config.metrics.listen;
  metrics.String("listen", &listen);
  if (!listen.empty() && (!IsAddress(listen) || !(absl::StartsWith(listen, "127.") ||
                                                  absl::StartsWith(listen, "[::1]:")))) {
    metrics.Error("listen", "must be 127.x.y.z:port or [::1]:port: metrics are for this machine");
  }
  ConfigTable health = root.Table("health");
  health.Bool("service", &config.health.service);
  health.Duration("notice", absl::ZeroDuration(), absl::Hours(1), &config.health.notice);
  if (!config.health.service) {
    if (health.Has("notice")) health.Error("notice", "needs service = true: nobody would hear it");
    return;
  }
  for (const char* method : {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}) {
    std::vector<std::string>& exempt = config.rules.exempt;
    if (std::find(exempt.begin(), exempt.end(), method) == exempt.end()) exempt.push_back(method);
  }
}

bool IsFrontAddress(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "unix:")) return absl::StartsWith(text, "/") && text.size() <= 107;
  return IsAddress(text) && (absl::StartsWith(text, "127.") || absl::StartsWith(text, "[::1]:"));
}

// What stands between callers and services in other programs.
void ReadFronts(ConfigTable& root, absl::string_view base, GateConfig& config) {
  root.Table("proxy").Bytes("max_message", 4 * kKibi, 1024 * kMebi, &config.proxy.max_message);
  ConfigTable caller = root.Table("caller");
  caller.Duration("lifetime", absl::Seconds(5), absl::Minutes(10), &config.caller.lifetime);
  caller.Duration("key_rotation", kDay, 3650 * kDay, &config.caller.key_rotation);
  ConfigTable fronts = root.Table("fronts");
  fronts.String("http", &config.fronts.http);
  fronts.String("envoy", &config.fronts.envoy);
  fronts.Path("secret", base, &config.fronts.secret);
  fronts.Number("connections", 1, 100'000, &config.fronts.connections);
  const std::pair<const char*, std::string*> listeners[] = {{"http", &config.fronts.http},
                                                            {"envoy", &config.fronts.envoy}};
  for (const auto& [key, address] : listeners) {
    if (address->empty()) continue;
    if (!IsFrontAddress(*address)) {
      fronts.Error(key,
                   "must be 127.x.y.z:port, [::1]:port or unix:/path: fronts are on this machine");
    }
    if (config.fronts.secret.empty()) {
      fronts.Error("secret",
                   "must name a file with what fronts show themselves by: whoever may ask "
                   "whether a call is good can use up its proof");
    }
  }
}

void ReadAudit(ConfigTable& root, absl::string_view base, GateConfig::Audit& audit) {
  ConfigTable table = root.Table("audit");
  std::string admitted = "sessions";
  table.String("file", &audit.file);
  table.String("admitted", &admitted);
  table.Bool("fail_closed", &audit.options.fail_closed);
  table.Number("refusals_per_second", 1, 1'000'000, &audit.options.refusals_per_second);
  table.Number("refusal_burst", 1, 1'000'000, &audit.options.refusal_burst);
  table.Duration("slow", absl::Seconds(1), absl::Minutes(1), &audit.options.slow);
  table.String("heads_file", &audit.options.heads_file);
  table.Duration("heads_interval", absl::Seconds(1), kDay, &audit.options.heads_interval);
  Resolve(base, &audit.options.heads_file);
  if (admitted != "sessions" && admitted != "all") {
    table.Error("admitted", "must be \"sessions\" or \"all\"");
  }
  audit.options.all_calls = admitted == "all";
  if (audit.file != "stderr") Resolve(base, &audit.file);
}

}  // namespace

std::string GateConfig::AuditPath() const {
  return audit.file.empty() ? absl::StrCat(state.directory, "/audit.jsonl") : audit.file;
}

std::string GateConfig::AdvertisedAddress() const {
  return listen.advertise.empty() ? listen.address : listen.advertise;
}

namespace {

// `finish` says which of the reader's errors count.
absl::StatusOr<GateConfig> ParseConfig(absl::string_view toml, absl::string_view name,
                                       absl::string_view base_directory, const TokenSettings& kinds,
                                       absl::FunctionRef<absl::Status(ConfigReader&)> finish) {
  ConfigReader reader(toml, name);
  // A syntax error leaves an empty document, in which everything would be missing.
  if (!reader.parsed()) return reader.Finish();
  ConfigTable root = reader.Root();
  GateConfig config;
  ReadBasics(root, base_directory, config);
  ReadCluster(root, config);
  config.tokens = kinds.Fresh();
  config.tokens.Read(root.Table("attestation"), base_directory);
  ReadRecheck(root.Table("attestation"), &config.recheck);
  ReadSessions(root, config);
  ReadLimits(root, config);
  ReadAudit(root, base_directory, config.audit);
  ReadRules(root, config.rules);
  ReadUpstreams(root, base_directory, config.upstreams);
  ReadFronts(root, base_directory, config);
  ReadOperations(root, config);
  config.factors.Read(root.Table("factors"), base_directory);
  ConfigTable tuning = root.Table("tuning");
  tuning.Bool("executor_threads", &config.tuning.executor_threads);
  tuning.Bool("mutex_deadlock_detection", &config.tuning.mutex_deadlock_detection);
  FOREKEY_RETURN_IF_ERROR(finish(reader));
  config.settings = reader.Settings();
  return config;
}

absl::StatusOr<GateConfig> LoadConfig(const std::string& path, const TokenSettings& kinds,
                                      absl::FunctionRef<absl::Status(ConfigReader&)> finish) {
  const std::string signature = FileSignature(path);  // before: a later change is seen as one
  FOREKEY_ASSIGN_OR_RETURN(const std::string toml, ReadFile(path, 1 << 20));
  const size_t slash = path.rfind('/');
  FOREKEY_ASSIGN_OR_RETURN(
      GateConfig config,
      ParseConfig(toml, path,
                  slash == std::string::npos ? "" : path.substr(0, slash + (slash == 0)), kinds,
                  finish));
  config.file = path;
  config.file_signature = signature;
  return config;
}

absl::Status FinishAll(ConfigReader& reader) { return reader.Finish(); }

}  // namespace

absl::StatusOr<GateConfig> GateConfig::Parse(absl::string_view toml, absl::string_view name,
                                             absl::string_view base_directory,
                                             const TokenSettings& kinds) {
  return ParseConfig(toml, name, base_directory, kinds, FinishAll);
}

absl::StatusOr<GateConfig> GateConfig::Load(const std::string& path, const TokenSettings& kinds) {
  return LoadConfig(path, kinds, FinishAll);
}

absl::StatusOr<GateConfig> GateConfig::LoadOnly(const std::string& path,
                                                absl::Span<const absl::string_view> used,
                                                absl::Status* elsewhere) {
  return LoadConfig(path, TokenSettings(),
                    [&](ConfigReader& reader) { return reader.FinishOnly(used, elsewhere); });
}

}  // namespace forekey
