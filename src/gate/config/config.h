// SPDX-License-Identifier: Apache-2.0
// The gate's configuration: one TOML file (docs/CONFIG.md lists every key). Everything is validated
// before anything starts; every error is reported at once, each with its line. A key that is not
// known is an error: a misspelt limit must not become a default.
#ifndef FOREKEY_SRC_GATE_CONFIG_CONFIG_H_
#define FOREKEY_SRC_GATE_CONFIG_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/gate/audit/audit_options.h"
#include "src/gate/config/config_upstreams.h"
#include "src/gate/factor/factor_settings.h"
#include "src/gate/limits/stranger_limit_options.h"
#include "src/gate/session/session_policy.h"
#include "src/gate/token/token_settings.h"
#include "src/policy/method_rules.h"

namespace forekey {

struct GateConfig {
  std::string file;  // that it was loaded from: its rules are read again while the gate runs
  std::string file_signature;                   // of the state of the file that was read
  std::map<std::string, std::string> settings;  // all but the rules, as written, by full name
  std::string audience;

  struct Listen {
    std::string address = "[::]:7443";         // host:port, for gRPC
    std::string advertise;                     // what invites name; empty: `address`
    absl::Duration drain = absl::Seconds(10);  // how long calls have to end at SIGTERM
  } listen;

  struct Tls {
    std::string certificate;            // PEM chain, leaf first
    std::string private_key;            // PEM
    std::string accepted_certificates;  // a folder, or empty
    std::string ca;  // PEM that goes into invites; empty: clients use the system's
    absl::Duration replaced_lifetime = absl::Hours(24);
  } tls;

  struct State {
    std::string directory;  // registry, identity, admin socket, audit log lie in it
    std::string registry;   // postgresql://..., which replicas share; empty: SQLite in directory
    std::string LockPath() const { return directory + "/state.lock"; }
    std::string RegistryPath() const { return directory + "/registry.sqlite"; }
    std::string IdentityDirectory() const { return directory + "/identity"; }
    std::string CallerKeysDirectory() const { return directory + "/caller-keys"; }
    std::string AdminSocketPath() const { return directory + "/admin.sock"; }
  } state;

  // Of a gate whose registry is shared.
  struct Cluster {
    std::string name;  // of this replica, for people; empty: the machine's
    absl::Duration lease = absl::Seconds(3);
  } cluster;

  TokenSettings tokens;  // [attestation.NAME] of each kind of token

  // What becomes of enrolled credentials that trust which was read again would not take any more.
  enum class Recheck { kOff, kReport, kRevoke };
  Recheck recheck = Recheck::kReport;

  SessionPolicy sessions;

  struct Challenges {
    absl::Duration lifetime = absl::Seconds(120);
    size_t remembered = 1'000'000;  // used challenges
  } challenges;

  struct Audit {
    std::string file;  // empty: <state.directory>/audit.jsonl; "stderr"
    AuditOptions options;
  } audit;

  struct Identity {
    absl::Duration overlap = absl::Hours(24 * 30);
  } identity;

  struct Limits {
    StrangerLimitOptions proofs;       // signature checks for peers that showed nothing yet
    StrangerLimitOptions enrollments;  // enrolment's, apart: one can't use up the other
  } limits;

  struct Connections {
    size_t total = 10'000;
    size_t per_address = 1'000;
    double per_address_per_second = 100;
    double per_address_burst = 1'000;
    // Strangers: connections on which nothing was admitted yet.
    size_t arriving = 256;   // between being accepted and their first call
    size_t strangers = 512;  // after it
    size_t watches = 64;     // of those, older than `proof`, with calls the operator exempts
    absl::Duration watch_age = absl::Hours(24);
    uint32_t address_share = 25;         // percent of these three that one address may have
    size_t stranger_bytes = 256 * 1024;  // that one may send
    uint32_t stranger_calls = 16;        // exempt ones at once, on one
    double exempt_per_second = 20;       // calls of exempt methods, on one connection of anybody's
    double exempt_burst = 100;
    double address_exempt_per_second = 200;
    double address_exempt_burst = 2'000;
    size_t memory = size_t{1} << 30;  // gRPC's, for all connections; then it gives up streams
    absl::Duration handshake = absl::Seconds(10);
    absl::Duration proof = absl::Minutes(2);  // a stranger's life
    absl::Duration idle = absl::Minutes(15);
    absl::Duration keepalive = absl::Minutes(2);
    uint32_t streams = 1'000;      // calls at once on one connection
    uint32_t forged_refusals = 1;  // forged prefixes that end a connection; 0: never
    uint32_t refusals = 100;       // others, one after the other with nothing admitted between
    // What a connection that ended so (or for its bytes or exempt calls: forged_cost) costs its
    // address, in new ones that it may not open.
    double forged_cost = 100;
    double refused_cost = 10;
  } connections;

  struct Metrics {
    std::string listen;  // a loopback address; empty: none
  } metrics;

  struct Health {
    bool service = false;   // grpc.health.v1.Health, whose methods are then exempt
    absl::Duration notice;  // at an orderly end: how long NOT_SERVING is told before anything ends
  } health;

  struct Streams {
    absl::Duration check_interval = absl::Seconds(1);
  } streams;

  MethodPolicyOptions rules;
  FactorSettings factors;  // [factors.NAME] of each further factor

  std::vector<UpstreamOptions> upstreams;  // [[upstream]]
  struct Proxy {
    size_t max_message = 16 << 20;  // of one message, in each direction
  } proxy;
  struct Caller {
    absl::Duration lifetime = absl::Seconds(60);  // of a token that tells services who calls
    absl::Duration key_rotation = absl::Hours(24 * 30);
  } caller;
  // Programs in front of services that ask the gate about each call.
  struct Fronts {
    std::string http;    // "127.0.0.1:port", "[::1]:port" or "unix:/path"; empty: none
    std::string envoy;   // the same, for Envoy's ext_authz
    std::string secret;  // a file: what fronts show themselves by
    size_t connections = 256;
  } fronts;

  struct Tuning {
    bool executor_threads = false;          // gRPC's default executor; see docs/CONFIG.md
    bool mutex_deadlock_detection = false;  // Abseil's
  } tuning;

  std::string AuditPath() const;
  std::string AdvertisedAddress() const;

  // `name`: for messages. Relative paths are taken from `base_directory` where it is not empty.
  // InvalidArgument with a line an error: "gate.toml:12: [sessions] idle: ...". Never touches
  // files. `kinds`: the kinds of tokens that may have a section; what they hold is not taken over.
  static absl::StatusOr<GateConfig> Parse(absl::string_view toml, absl::string_view name,
                                          absl::string_view base_directory = "",
                                          const TokenSettings& kinds = TokenSettings());
  // Reads the file; relative paths are taken from its folder.
  static absl::StatusOr<GateConfig> Load(const std::string& path,
                                         const TokenSettings& kinds = TokenSettings());
  // The same for a reader that will use these top-level tables and keys alone: errors elsewhere in
  // the file go into `elsewhere`, and what stands there must not be used. A gate that can't start
  // for an error in its rules must still be administrated.
  static absl::StatusOr<GateConfig> LoadOnly(const std::string& path,
                                             absl::Span<const absl::string_view> used,
                                             absl::Status* elsewhere);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CONFIG_CONFIG_H_
