// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/doctor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/shell_word.h"
#include "src/base/version.h"
#include "src/cli/client/agent_client.h"
#include "src/cli/terminal/plural.h"
#include "src/client/agent_socket.h"
#include "src/client/gate_diagnosis.h"
#include "src/wire/weak_firmware.h"

namespace forekey {
namespace {

using Level = Finding::Level;

constexpr absl::Duration kAgentPatience = absl::Seconds(10);
constexpr char kStartAgent[] =
    "systemctl --user enable --now forekey-agent.socket    (or: forekey-agent &)";

// By what the token says itself: enough for advice.
void AddFirmwareFindings(const v1::Device& device, std::vector<Finding>& findings) {
  TokenFirmware token;
  token.kind = device.kind();
  token.maker = device.maker();
  token.model = device.model();
  token.version = FirmwareFromText(device.kind(), device.firmware());
  for (const WeakFirmware& known : WeaknessesOf(token)) {
    findings.push_back({Level::kNote, "weak-firmware",
                        absl::StrCat(device.uri(), " says that its firmware is ", device.firmware(),
                                     ": ", known.id),
                        known.why, FirmwareAdvice(device.kind())});
  }
}

void CheckEnvironment(const DoctorMachine& machine, std::vector<Finding>& findings) {
  const std::string socket = machine.environment("FOREKEY_AGENT_SOCKET");
  struct stat info;
  if (!socket.empty() && stat(socket.c_str(), &info) != 0) {
    findings.push_back({Level::kBad, "agent-socket-variable",
                        absl::StrCat("FOREKEY_AGENT_SOCKET names ", socket, ", which is not there"),
                        "no other place is looked at while it is set",
                        "unset FOREKEY_AGENT_SOCKET"});
  }
  if (socket.empty() && machine.environment("XDG_RUNTIME_DIR").empty()) {
    findings.push_back({Level::kNote, "no-runtime-dir", "XDG_RUNTIME_DIR is not set",
                        "this is no login session (cron, su): an agent started here uses another "
                        "socket than one started by systemd",
                        absl::StrCat("export XDG_RUNTIME_DIR=/run/user/", geteuid())});
  }
}

// Nullopt where no agent answers, which is then told.
std::optional<v1::GetStatusResponse> AskAgent(const DoctorOptions& options,
                                              std::optional<AgentClient>& agent,
                                              std::vector<Finding>& findings) {
  v1::GetStatusResponse status;
  absl::StatusOr<AgentClient> made = AgentClient::New(options.socket);
  absl::Status answered = made.status();
  if (made.ok()) {
    agent.emplace(*std::move(made));
    answered =
        agent->Call(&v1::Agent::Stub::GetStatus, v1::GetStatusRequest(), &status, kAgentPatience);
  }
  if (!answered.ok()) {
    findings.push_back({Level::kBad, "agent-not-running", std::string(answered.message()),
                        "it looks after the tokens and sessions of all this user's programs",
                        kStartAgent});
    return std::nullopt;
  }
  AddAgentFindings(status, agent->socket(), findings);
  return status;
}

void CheckDevices(AgentClient& agent, std::vector<Finding>& findings) {
  v1::ListDevicesResponse devices;
  const absl::Status listed = agent.Call(&v1::Agent::Stub::ListDevices, v1::ListDevicesRequest(),
                                         &devices, absl::Minutes(1));
  if (!listed.ok()) {
    findings.push_back({Level::kBad, "devices-not-listed", std::string(listed.message()),
                        "a token that hangs keeps the others from being found",
                        "pull the token out and plug it in again; systemctl --user restart "
                        "forekey-agent"});
    return;
  }
  AddDeviceFindings(devices, findings);
}

void CheckGate(const v1::EnrolledGate& gate, absl::Duration patience,
               std::vector<Finding>& findings) {
  GateTarget target;
  target.audience = gate.audience();
  target.address = gate.address();
  target.ca_pem = gate.ca_pem();
  target.tls_server_name = gate.tls_server_name();
  const GateDiagnosis diagnosis = DiagnoseGate(target, patience);
  findings.push_back(
      GateFinding(gate.audience(), gate.address(), diagnosis.trouble, diagnosis.advice));
  if (gate.credentials().empty()) {
    findings.push_back({Level::kBad, "no-credential",
                        absl::StrCat("no credential for ", gate.audience(), " is kept here"),
                        "no session can be opened there", "forekey enroll INVITE"});
    return;
  }
  findings.push_back(
      {gate.session_open() ? Level::kGood : Level::kNote,
       gate.session_open() ? "session" : "no-session",
       absl::StrCat(gate.session_open() ? "a session is open at " : "no session at ",
                    gate.audience(), ", with ", Plural(gate.credentials_size(), "credential"),
                    " as ", gate.subject()),
       gate.session_open() ? ""
                           : "the next call opens one; only the gate can say "
                             "whether the credential was revoked",
       gate.session_open() ? ""
                           : absl::StrCat("forekey login --gate ", ShellWord(gate.audience()))});
}

}  // namespace

void AddAgentFindings(const v1::GetStatusResponse& status, const std::string& socket,
                      std::vector<Finding>& findings) {
  if (status.version() != kForekeyVersion) {
    findings.push_back(
        {Level::kNote, "agent-version",
         absl::StrCat("the agent is version ", status.version(), ", this is ", kForekeyVersion),
         "it was not started again after an upgrade", "systemctl --user restart forekey-agent"});
  } else {
    findings.push_back({Level::kGood, "agent",
                        absl::StrCat("the agent ", status.version(), " answers on ", socket), "",
                        ""});
  }
  for (const std::string& problem : status.problems()) {
    findings.push_back({Level::kBad, "record-unreadable", problem,
                        "the agent can't use that gate until it can be read",
                        "restore the file from a backup, or forget the gate and enrol again"});
  }
}

void AddDeviceFindings(const v1::ListDevicesResponse& devices, std::vector<Finding>& findings) {
  for (const v1::Device& device : devices.devices()) {
    findings.push_back(
        {Level::kGood, "device",
         absl::StrCat("the agent sees ", device.uri(), " (", device.description(), ")"), "", ""});
    AddFirmwareFindings(device, findings);
  }
  for (const std::string& problem : devices.problems()) {
    const bool lockout = absl::StrContains(problem, "lockoutAuth");
    findings.push_back(
        {Level::kNote, lockout ? "tpm-lockout-open" : "device-problem", problem,
         lockout ? "who may open the TPM may reset its count of wrong passwords, and clear it"
                 : "this device can't be used as it is",
         lockout ? "sudo tpm2_changeauth -c lockout    (keep it where you keep recovery keys)"
                 : "do what it says, then: forekey devices"});
  }
  if (devices.devices().empty()) {
    findings.push_back({Level::kBad, "no-device", "the agent sees no token",
                        "nothing can be enrolled, and no session be opened",
                        "plug one in, or see above who may open what is there"});
  }
}

Finding GateFinding(const std::string& audience, const std::string& address,
                    v1::GateTrouble trouble, const std::string& advice) {
  const auto bad = [&](const char* id, const char* why, std::string mend) {
    return Finding{Level::kBad, id, absl::StrCat(audience, " at ", address, ": ", advice), why,
                   std::move(mend)};
  };
  const std::string host = address.substr(0, address.rfind(':'));
  switch (trouble) {
    case v1::GATE_TROUBLE_NO_ADDRESS:
      return bad("gate-no-address", "its name is not known here: DNS, a VPN, or a moved gate",
                 absl::StrCat("getent hosts ", host));
    case v1::GATE_TROUBLE_NO_CONNECTION:
      return bad("gate-no-connection", "nobody listens there, or the network lets nothing through",
                 "ask the gate's administrator to run forekey-gate doctor there");
    case v1::GATE_TROUBLE_NO_ANSWER:
      return bad("gate-no-answer",
                 "a connection, and then silence: a firewall, or a gate that hangs",
                 "ask the gate's administrator to run forekey-gate doctor there");
    case v1::GATE_TROUBLE_NOT_TLS:
      return bad("gate-not-tls", "another server is at that address, or a proxy between",
                 "ask the administrator for the gate's address, then: forekey enroll INVITE");
    case v1::GATE_TROUBLE_CERTIFICATE_UNTRUSTED:
      return bad("gate-certificate-untrusted",
                 "the gate got another CA, or somebody sits between here and it",
                 "ask the administrator; with a new invite: forekey enroll INVITE");
    case v1::GATE_TROUBLE_CERTIFICATE_EXPIRED:
      return bad("gate-certificate-expired",
                 "by this machine's clock the gate's certificate has ended",
                 "date    (is it right?); else the gate's administrator has to renew it");
    case v1::GATE_TROUBLE_CERTIFICATE_NOT_YET_VALID:
      return bad("gate-certificate-not-yet-valid",
                 "by this machine's clock the gate's certificate has not begun",
                 "sudo timedatectl set-ntp true");
    case v1::GATE_TROUBLE_CERTIFICATE_FOR_OTHER_NAME:
      return bad("gate-certificate-other-name", "the gate's certificate does not have this name",
                 "ask the administrator for the gate's name, then: forekey enroll INVITE");
    default:
      return {
          Level::kGood, "gate",
          absl::StrCat(audience, " at ", address, " answers, with a certificate that is trusted"),
          "", ""};
  }
}

std::vector<Finding> Diagnose(const DoctorOptions& options) {
  std::vector<Finding> findings;
  CheckClock(options.machine, findings);
  CheckTpm(options.machine, findings);
  CheckSecurityKeys(options.machine, findings);
  CheckSmartcards(options.machine, findings);
  CheckUnits(options.machine, findings);
  CheckEnvironment(options.machine, findings);
  std::optional<AgentClient> agent;
  const std::optional<v1::GetStatusResponse> status = AskAgent(options, agent, findings);
  if (!status) return findings;
  CheckDevices(*agent, findings);
  for (const v1::EnrolledGate& gate : status->gates()) CheckGate(gate, options.patience, findings);
  if (status->gates().empty()) {
    findings.push_back({Level::kNote, "enrolled-nowhere", "this agent is enrolled at no gate",
                        "no call can be made",
                        "ask an administrator for an invite, then: forekey "
                        "enroll INVITE"});
  }
  return findings;
}

}  // namespace forekey
