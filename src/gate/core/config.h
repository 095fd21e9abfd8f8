// The gate's configuration: one TOML file (docs/CONFIG.md lists every key). Everything is validated
// before anything starts; every error is reported at once, each with its line. A key that is not known
// is an error: a misspelt limit must not become a default.
#ifndef FOREKEY_SRC_GATE_CORE_CONFIG_H_
#define FOREKEY_SRC_GATE_CORE_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/gate/core/audit.h"
#include "src/gate/core/session_opener.h"
#include "src/policy/call_policy.h"

namespace forekey {

struct GateConfig {
  std::string audience;

  struct Listen {
    std::string address = "[::]:7443";  // host:port, for gRPC
    std::string advertise;              // what invites name; empty: `address`
  } listen;

  struct Tls {
    std::string certificate;   // PEM chain, leaf first
    std::string private_key;   // PEM
    std::string accepted_certificates;  // a folder, or empty
    std::string ca;            // PEM that goes into invites; empty: clients use the system's
    absl::Duration replaced_lifetime = absl::Hours(24);
  } tls;

  struct State {
    std::string directory;      // registry, identity, admin socket, audit log lie in it
    std::string RegistryPath() const { return directory + "/registry.sqlite"; }
    std::string IdentityDirectory() const { return directory + "/identity"; }
    std::string AdminSocketPath() const { return directory + "/admin.sock"; }
  } state;

  struct TpmAttestation {
    std::string trust;                       // folder of vendor roots; empty: none
    std::vector<std::string> ek_allow_list;  // SHA-256 of the EK's SPKI, hex
    std::string simulator_trust;             // folder; loaded only with insecure_simulators
    bool insecure_simulators = false;
    bool one_subject_a_device = true;
  } tpm;

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
    double stranger_proofs_per_second = 500;  // signature checks for peers that showed nothing yet
    double stranger_proof_burst = 1000;
  } limits;

  MethodPolicyOptions rules;

  struct Tuning {
    bool executor_threads = false;  // gRPC's default executor; see docs/CONFIG.md
    bool mutex_deadlock_detection = false;  // Abseil's
  } tuning;

  std::string AuditPath() const;
  std::string AdvertisedAddress() const;

  // `name`: for messages. Relative paths are taken from `base_directory` where it is not empty.
  // InvalidArgument with a line an error: "gate.toml:12: [sessions] idle: ...". Never touches files.
  static absl::StatusOr<GateConfig> Parse(absl::string_view toml, absl::string_view name,
                                          absl::string_view base_directory = "");
  // Reads the file; relative paths are taken from its folder.
  static absl::StatusOr<GateConfig> Load(const std::string& path);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_CONFIG_H_
