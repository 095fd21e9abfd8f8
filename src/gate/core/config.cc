#include "src/gate/core/config.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/gate/core/config_reader.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);

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
    root.Error("audience",
               "must be 1 to 255 printable ASCII characters without spaces, quotes, slashes and '#'");
  }

  ConfigTable listen = root.Table("listen");
  listen.String("address", &config.listen.address);
  listen.String("advertise", &config.listen.advertise);
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
  Resolve(base, &config.state.directory);
}

void ReadTpm(ConfigTable& root, absl::string_view base, GateConfig::TpmAttestation& tpm) {
  ConfigTable table = root.Table("attestation").Table("tpm");
  table.String("trust", &tpm.trust);
  table.Strings("ek_allow_list", &tpm.ek_allow_list);
  table.String("simulator_trust", &tpm.simulator_trust);
  table.Bool("insecure_simulators", &tpm.insecure_simulators);
  table.Bool("one_subject_a_device", &tpm.one_subject_a_device);
  Resolve(base, &tpm.trust);
  Resolve(base, &tpm.simulator_trust);
  for (std::string& hash : tpm.ek_allow_list) {
    absl::AsciiStrToLower(&hash);
    bool hex = hash.size() == 2 * kSha256Size;
    for (char c : hash) hex = hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
    if (!hex) {
      table.Error("ek_allow_list",
                  absl::StrCat("\"", absl::CHexEscape(hash), "\" is not a SHA-256 in 64 hex digits"));
    }
  }
  if (!tpm.simulator_trust.empty() && !tpm.insecure_simulators) {
    table.Error("simulator_trust", "needs insecure_simulators = true: whoever has a simulator's "
                                   "root could enrol software as hardware");
  }
  if (tpm.insecure_simulators && tpm.simulator_trust.empty()) {
    table.Error("insecure_simulators", "is true, but simulator_trust names no folder");
  }
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
  if (sessions.window % 64 != 0) table.Error("window", "must be a multiple of 64");
  if (sessions.idle > sessions.absolute) table.Error("idle", "is longer than sessions.absolute");

  ConfigTable challenges = root.Table("challenges");
  challenges.Duration("lifetime", absl::Seconds(5), absl::Minutes(10), &config.challenges.lifetime);
  challenges.Number("remembered", 1000, 1'000'000'000, &config.challenges.remembered);

  ConfigTable identity = root.Table("identity");
  identity.Duration("overlap", absl::ZeroDuration(), 3650 * kDay, &config.identity.overlap);

  ConfigTable limits = root.Table("limits");
  limits.Number("stranger_proofs_per_second", 1, 1'000'000,
                &config.limits.stranger_proofs_per_second);
  limits.Number("stranger_proof_burst", 1, 1'000'000, &config.limits.stranger_proof_burst);
}

void ReadAudit(ConfigTable& root, absl::string_view base, GateConfig::Audit& audit) {
  ConfigTable table = root.Table("audit");
  std::string admitted = "sessions";
  table.String("file", &audit.file);
  table.String("admitted", &admitted);
  table.Bool("fail_closed", &audit.options.fail_closed);
  table.Number("refusals_per_second", 1, 1'000'000, &audit.options.refusals_per_second);
  table.Number("refusal_burst", 1, 1'000'000, &audit.options.refusal_burst);
  if (admitted != "sessions" && admitted != "all") {
    table.Error("admitted", "must be \"sessions\" or \"all\"");
  }
  audit.options.all_calls = admitted == "all";
  if (audit.file != "stderr") Resolve(base, &audit.file);
}

void ReadRules(ConfigTable& root, MethodPolicyOptions& options) {
  ConfigTable table = root.Table("rules");
  std::string unlisted = "permit";
  table.Strings("exempt", &options.exempt);
  table.String("unlisted", &unlisted);
  if (unlisted != "permit" && unlisted != "refuse") {
    table.Error("unlisted", "must be \"permit\" or \"refuse\"");
  }
  options.permit_unlisted = unlisted == "permit";
  if (absl::Status status = NewMethodPolicy(MethodPolicyOptions{options.exempt, {}, true}).status();
      !status.ok()) {
    table.Error("exempt", status.message());
  }
  for (ConfigTable& rule : root.Tables("rule")) {
    MethodRule read;
    std::string fresh;
    rule.Strings("methods", &read.methods);
    rule.Strings("any_role", &read.any_role);
    rule.String("fresh", &fresh);
    if (read.methods.empty()) rule.Error("methods", "must name at least one method");
    if (rule.Has("any_role") && read.any_role.empty()) {
      rule.Error("any_role", "is empty: leave it out to permit any verified subject");
    }
    if (rule.Has("fresh") && fresh != "call") rule.Error("fresh", "must be \"call\"");
    read.fresh_call = fresh == "call";
    MethodPolicyOptions so_far{options.exempt, options.rules, true};
    so_far.rules.push_back(read);
    if (absl::Status status = NewMethodPolicy(std::move(so_far)).status(); !status.ok()) {
      rule.Error("methods", status.message());
    } else {
      options.rules.push_back(std::move(read));
    }
  }
}

}  // namespace

std::string GateConfig::AuditPath() const {
  return audit.file.empty() ? absl::StrCat(state.directory, "/audit.jsonl") : audit.file;
}

std::string GateConfig::AdvertisedAddress() const {
  return listen.advertise.empty() ? listen.address : listen.advertise;
}

absl::StatusOr<GateConfig> GateConfig::Parse(absl::string_view toml, absl::string_view name,
                                             absl::string_view base_directory) {
  ConfigReader reader(toml, name);
  // A syntax error leaves an empty document, in which everything would be missing.
  if (!reader.parsed()) return reader.Finish();
  ConfigTable root = reader.Root();
  GateConfig config;
  ReadBasics(root, base_directory, config);
  ReadTpm(root, base_directory, config.tpm);
  ReadSessions(root, config);
  ReadAudit(root, base_directory, config.audit);
  ReadRules(root, config.rules);
  ConfigTable tuning = root.Table("tuning");
  tuning.Bool("executor_threads", &config.tuning.executor_threads);
  tuning.Bool("mutex_deadlock_detection", &config.tuning.mutex_deadlock_detection);
  FOREKEY_RETURN_IF_ERROR(reader.Finish());
  return config;
}

absl::StatusOr<GateConfig> GateConfig::Load(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string toml, ReadFile(path, 1 << 20));
  const size_t slash = path.rfind('/');
  return Parse(toml, path, slash == std::string::npos ? "" : path.substr(0, slash + (slash == 0)));
}

}  // namespace forekey
