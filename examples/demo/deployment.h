// SPDX-License-Identifier: Apache-2.0
// A whole Forekey on this machine, out of the real programs: a TPM and a smartcard (forekey-sim), a
// gate with the echo service behind it (forekey-example-echo), and an agent for the owner of each
// (forekey-agent). Everything lives in one
// folder of its own, listens on loopback on ports that the system picks, and ends with this object.
#ifndef FOREKEY_EXAMPLES_DEMO_DEPLOYMENT_H_
#define FOREKEY_EXAMPLES_DEMO_DEPLOYMENT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/demo/process.h"
#include "nlohmann/json.hpp"

namespace forekey::demo {

class Deployment {
 public:
  struct Options {
    std::string binaries;                         // the folder with the programs
    std::string server = "forekey-example-echo";  // takes the config's path, and `server_api`
    std::string server_api = "sync";              // of the echo service: sync, callback
    std::string extra_config;                     // appended to the gate's config
    std::vector<std::string> environment;         // "NAME=value": more of it, for gate and agents
  };
  static absl::StatusOr<std::unique_ptr<Deployment>> Create(Options options);
  ~Deployment();

  // Each starts one part and waits until it says that it is ready.
  // The tokens come before the gate, which is told to trust their makers.
  absl::Status StartTpm();
  absl::Status StartPiv();    // a card behind a pcscd of its own
  absl::Status StartFido2();  // a security key that is touched whenever it asks
  // `piv_config`: more of [attestation.piv], when the files are made.
  absl::Status StartGate(const std::string& piv_config = "");
  absl::Status StartAgent();
  absl::Status StartCardAgent();
  void StopGate() { gate_.reset(); }
  void StopAgent() { agent_.reset(); }
  void StopTpm() { tpm_.reset(); }
  // A request to the simulated card (simulators/README.md): "remove", "insert", "restart-pcscd",
  // ...
  absl::Status TellCard(const std::string& request) {
    return Tell(directory_ + "/card.ctl", request);
  }
  // The same to the simulated security key: "misbehave counter-rollback", "behave", ...
  absl::Status TellSecurityKey(const std::string& request) {
    return Tell(directory_ + "/key.ctl", request);
  }
  Process* gate() { return gate_.get(); }
  Process* agent() { return agent_.get(); }

  // Runs a program of ours with the agent's socket in its environment; its standard output as JSON.
  // The error holds what the program wrote.
  absl::StatusOr<nlohmann::json> Forekey(std::vector<std::string> arguments);
  // The same at the card owner's agent.
  absl::StatusOr<nlohmann::json> ForekeyCard(std::vector<std::string> arguments);
  absl::StatusOr<nlohmann::json> ForekeyGate(std::vector<std::string> arguments);
  // `role`: empty for a subject that is there and keeps its own.
  absl::StatusOr<std::string> Invite(const std::string& subject, const std::string& role);

  // The reason that the audit log has under a reference number. The line is there before the peer
  // has its answer.
  absl::StatusOr<std::string> ReasonOf(const std::string& reference) const;
  // Lines of the audit log.
  std::vector<nlohmann::json> AuditLog() const;

  const std::string& directory() const { return directory_; }
  const std::string& address() const { return address_; }
  const std::string& tpm_uri() const { return tpm_uri_; }
  const std::string& piv_uri() const { return piv_uri_; }
  const std::string& fido2_uri() const { return fido2_uri_; }
  std::string agent_socket() const { return directory_ + "/agent/agent.sock"; }
  std::string card_agent_socket() const { return directory_ + "/card-agent/agent.sock"; }
  const std::string& gate_config() const { return gate_config_; }

 private:
  explicit Deployment(Options options) : options_(std::move(options)) {}
  absl::Status WriteFiles(const std::string& piv_config);
  absl::StatusOr<nlohmann::json> RunJson(const std::string& program,
                                         std::vector<std::string> arguments,
                                         const std::string& agent_socket);
  // Sends a line to a simulator's socket for requests; it answers "ok ...".
  static absl::Status Tell(const std::string& socket, const std::string& request);
  // The status, with what the program wrote to its log.
  absl::Status Explained(const absl::Status& status, const std::string& log) const;
  std::string Program(const std::string& name) const { return options_.binaries + "/" + name; }

  Options options_;
  std::string directory_;
  std::string gate_config_;
  std::string address_ = "127.0.0.1:0";
  std::string tpm_uri_;
  std::string piv_uri_;
  std::string fido2_uri_;
  std::unique_ptr<Process> tpm_;
  std::unique_ptr<Process> piv_;
  std::unique_ptr<Process> fido2_;
  std::unique_ptr<Process> gate_;
  std::unique_ptr<Process> agent_;
  std::unique_ptr<Process> card_agent_;
};

}  // namespace forekey::demo

#endif  // FOREKEY_EXAMPLES_DEMO_DEPLOYMENT_H_
