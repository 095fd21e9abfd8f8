// SPDX-License-Identifier: Apache-2.0
// forekey-demo: the main job, for real, on this machine; then what is refused, and why. Ends with a
// table, and with status 1 when anything was not as expected.
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "examples/demo/demo_calls.h"
#include "examples/demo/deployment.h"
#include "examples/demo/software_key_attack.h"
#include "forekey/client.h"
#include "src/base/file.h"
#include "src/client/tls_channel.h"
#include "src/wire/invite.h"

namespace forekey::demo {
namespace {

struct Row {
  std::string step;
  std::string expected;
  std::string happened;
};

class Demo {
 public:
  explicit Demo(std::unique_ptr<Deployment> deployment) : world_(std::move(deployment)) {}
  int Run();

 private:
  // Runs a step and notes what happened; false when it is not what was expected.
  bool Step(const std::string& what, const std::string& expected,
            const std::function<std::string()>& run);
  bool Works(const std::string& what, const std::function<absl::Status()>& run) {
    return Step(what, "works", [&run] {
      absl::Status status = run();
      return status.ok() ? std::string("works") : std::string(status.message());
    });
  }
  // A raw call that must be refused for `reason`, and tell its peer nothing but a reference.
  void Refused(const std::string& what, const std::string& reason, const std::string& method,
               const std::vector<std::string>& prefixes);
  std::string ReasonIn(const std::string& message) const;
  std::string Prefix(const std::string& method, const std::string& binding = "") const;

  bool SetUp();
  bool Enroll();
  void UseIt();
  void RefuseCalls();
  void RefuseEnrollment();
  void RestartGate();
  void Revoke();
  void UseASecurityKey();
  void UseACard();
  // The factors of the agent's session, sorted.
  static std::string Factors(const absl::StatusOr<nlohmann::json>& who);
  // With --key-password-file and that PIN.
  std::vector<std::string> WithPin(std::vector<std::string> arguments,
                                   const std::string& pin) const;
  int PrintTable() const;

  std::unique_ptr<Deployment> world_;
  std::vector<Row> rows_;
  std::string credential_;
  std::string invite_;
  std::shared_ptr<grpc::Channel> application_;  // through the client library
  std::shared_ptr<grpc::Channel> raw_;          // TLS alone, as anybody can have it
};

bool Demo::Step(const std::string& what, const std::string& expected,
                const std::function<std::string()>& run) {
  std::cout << "  " << what << " ..." << std::flush;
  rows_.push_back({what, expected, run()});
  std::cout << " " << rows_.back().happened << std::endl;
  return rows_.back().happened == expected;
}

std::string Demo::ReasonIn(const std::string& message) const {
  const std::string marker = "reference ";
  size_t at = message.find(marker);
  if (at == std::string::npos) return message;
  absl::StatusOr<std::string> reason = world_->ReasonOf(message.substr(at + marker.size(), 16));
  return reason.ok() ? "refused: " + *reason : std::string(reason.status().message());
}

void Demo::Refused(const std::string& what, const std::string& reason, const std::string& method,
                   const std::vector<std::string>& prefixes) {
  Step(what, "refused: " + reason, [&]() -> std::string {
    Answer answer = CallRaw(raw_, method, prefixes);
    if (answer.status.error_code() != grpc::StatusCode::UNAUTHENTICATED) {
      return absl::StrCat("status ", answer.status.error_code(), ": ",
                          answer.status.error_message());
    }
    return ReasonIn(answer.status.error_message());
  });
}

std::string Demo::Prefix(const std::string& method, const std::string& binding) const {
  absl::StatusOr<std::string> prefix = PrefixFromAgent(world_->agent_socket(), method, binding);
  if (!prefix.ok()) std::cerr << prefix.status().message() << std::endl;
  return prefix.ok() ? *prefix : "";
}

bool Demo::SetUp() {
  std::cout << "A TPM, a security key, a smartcard, a gate with an echo service behind it, and an "
               "agent\n";
  return Works("make and start a TPM (swtpm, EK certificates of its own CA)",
               [&] { return world_->StartTpm(); }) &&
         Works("make and start a smartcard (PIV, attestation by its own vendor CA, behind pcscd)",
               [&] { return world_->StartPiv(); }) &&
         Works("make and start a security key (FIDO2, attestation by its own vendor CA)",
               [&] { return world_->StartFido2(); }) &&
         Works("start the gate: TLS, registry, echo service",
               [&] { return world_->StartGate(); }) &&
         Works("start the agent", [&] { return world_->StartAgent(); });
}

bool Demo::Enroll() {
  std::cout << "Enrolment\n";
  return Works("an administrator makes an invite for alice",
               [&] {
                 absl::StatusOr<std::string> invite = world_->Invite("alice", "reader");
                 if (invite.ok()) invite_ = *invite;
                 return invite.status();
               }) &&
         Works("alice's TPM enrols a key: EK chain, activation, certify", [&] {
           absl::StatusOr<nlohmann::json> enrolled = world_->Forekey(
               {"enroll", invite_, "--device", world_->tpm_uri(), "--label", "demo laptop"});
           if (enrolled.ok())
             credential_ = enrolled->value("credential_id", enrolled->value("credential", ""));
           return enrolled.status();
         });
}

void Demo::UseIt() {
  std::cout << "Calls\n";
  Works("open a session: the TPM signs once", [&] { return world_->Forekey({"login"}).status(); });
  Step("whoami", "alice", [&]() -> std::string {
    absl::StatusOr<nlohmann::json> who = world_->Forekey({"whoami"});
    return who.ok() ? who->value("subject", "") : std::string(who.status().message());
  });
  Works("a channel for an application", [&] {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
        forekey::Channel({.agent_socket = world_->agent_socket()});
    if (channel.ok()) application_ = *channel;
    return channel.status();
  });
  Step("a unary call: the handler sees", "alice", [&]() -> std::string {
    absl::StatusOr<std::string> subject = SayThrough(application_);
    return subject.ok() ? *subject : std::string(subject.status().message());
  });
  Works("streaming calls: client, server, both ways", [&] { return StreamThrough(application_); });
}

void Demo::RefuseCalls() {
  std::cout << "Refusals\n";
  Refused("a call without a prefix", "prefix-missing", kSayMethod, {});
  Refused("an unknown method, without a prefix", "prefix-missing", "/no.such.Service/Method", {});
  const std::string prefix = Prefix(kSayMethod);
  Step("a prefix out of the agent, used once", "admitted", [&] {
    Answer answer = CallRaw(raw_, kSayMethod, {prefix});
    return answer.status.ok() ? std::string("admitted") : ReasonIn(answer.status.error_message());
  });
  Refused("the same prefix again", "sequence-replayed", kSayMethod, {prefix});
  Refused("a prefix of another method", "mac-invalid", kSayMethod,
          {Prefix("/forekey.example.Echo/Repeat")});
  Refused("a prefix of another method, for an unknown method", "mac-invalid",
          "/no.such.Service/Method", {Prefix(kSayMethod)});
  std::string forged = Prefix(kSayMethod);
  if (!forged.empty()) forged.back() = static_cast<char>(forged.back() ^ 1);
  Refused("a forged MAC", "mac-invalid", kSayMethod, {forged});
  Refused("two prefixes, both good", "prefix-repeated", kSayMethod,
          {Prefix(kSayMethod), Prefix(kSayMethod)});
  Step("a session over another server certificate", "refused: channel-binding-unknown", [&] {
    absl::StatusOr<std::string> other =
        PrefixFromAgent(world_->agent_socket(), kSayMethod, std::string(32, '\x42'));
    return other.ok() ? ReasonIn(CallRaw(raw_, kSayMethod, {*other}).status.error_message())
                      : ReasonIn(std::string(other.status().message()));
  });
}

void Demo::RefuseEnrollment() {
  std::cout << "Enrolments that are refused\n";
  Step("a software key that pretends to be the TPM's", "refused: attest-signature",
       [&]() -> std::string {
         absl::StatusOr<std::string> invite = world_->Invite("mallory", "reader");
         if (!invite.ok()) return std::string(invite.status().message());
         absl::Status answer = EnrollSoftwareKey(world_->tpm_uri(), *invite);
         return answer.ok() ? "enrolled" : ReasonIn(std::string(answer.message()));
       });
  Step("the same invite again", "refused: invite-used", [&]() -> std::string {
    absl::StatusOr<nlohmann::json> enrolled =
        world_->Forekey({"enroll", invite_, "--device", world_->tpm_uri()});
    return enrolled.ok() ? "enrolled" : ReasonIn(std::string(enrolled.status().message()));
  });
}

void Demo::RestartGate() {
  std::cout << "A restart\n";
  const std::string before = Prefix(kSayMethod);
  world_->StopGate();
  if (!Works("the gate is restarted", [&] { return world_->StartGate(); })) return;
  Refused("a prefix from before the restart", "session-unknown", kSayMethod, {before});
  Step("the application's next call, on the same channel", "alice", [&]() -> std::string {
    absl::StatusOr<std::string> subject = SayThrough(application_);
    return subject.ok() ? *subject : std::string(subject.status().message());
  });
}

void Demo::Revoke() {
  std::cout << "Revocation\n";
  const std::string before = Prefix(kSayMethod);
  Works("an administrator revokes alice's credential", [&] {
    return world_->ForekeyGate({"revoke", credential_, "--note", "laptop lost"}).status();
  });
  Refused("her session's next call", "credential-revoked", kSayMethod, {before});
  Step("a new session with the revoked credential", "refused: credential-revoked",
       [&]() -> std::string {
         absl::StatusOr<nlohmann::json> login =
             world_->Forekey({"login", "--fresh", "--with", "tpm"});
         return login.ok() ? "opened" : ReasonIn(std::string(login.status().message()));
       });
}

std::string Demo::Factors(const absl::StatusOr<nlohmann::json>& who) {
  if (!who.ok()) return std::string(who.status().message());
  std::vector<std::string> names;
  for (const nlohmann::json& factor : (*who)["factors"]) names.push_back(factor.value("name", ""));
  std::sort(names.begin(), names.end());
  return absl::StrJoin(names, ", ");
}

void Demo::UseASecurityKey() {
  std::cout << "Alice has a security key, too\n";
  const auto login = [this](const std::string& with) {
    return world_->Forekey({"login", "--fresh", "--with", with}).status();
  };
  if (!Works("it enrols a credential: registration attested, a touch each", [&] {
        absl::StatusOr<std::string> invite = world_->Invite("alice", "");
        if (!invite.ok()) return invite.status();
        return world_
            ->Forekey({"enroll", *invite, "--device", world_->fido2_uri(), "--label", "demo key"})
            .status();
      })) {
    return;
  }
  Works("open one session: TPM and security key sign the same statement",
        [&] { return login("tpm,fido2"); });
  Step("what the session has proved", "fido2, tpm",
       [&] { return Factors(world_->Forekey({"whoami"})); });
  Step("nobody touches the key", "no touch in time", [&]() -> std::string {
    absl::Status told = world_->TellSecurityKey("misbehave never-touched");
    if (!told.ok()) return std::string(told.message());
    const absl::Status status = login("fido2");
    return absl::StrContains(status.message(), "touch") && !status.ok()
               ? "no touch in time"
               : std::string(status.message());
  });
  Step("a cloned key, whose counter lags behind", "refused: counter-rollback",
       [&]() -> std::string {
         for (const char* request : {"behave", "misbehave counter-rollback"}) {
           absl::Status told = world_->TellSecurityKey(request);
           if (!told.ok()) return std::string(told.message());
         }
         const absl::Status status = login("fido2");
         return status.ok() ? "opened" : ReasonIn(std::string(status.message()));
       });
  Works("the true one again", [&] {
    absl::Status told = world_->TellSecurityKey("behave");
    return told.ok() ? login("tpm,fido2") : told;
  });
}

std::vector<std::string> Demo::WithPin(std::vector<std::string> arguments,
                                       const std::string& pin) const {
  const std::string file = world_->directory() + "/pin";
  absl::Status written = WriteFileAtomically(file, pin, 0600);
  if (!written.ok()) std::cerr << written.message() << std::endl;
  arguments.insert(arguments.end(), {"--key-password-file", file});
  return arguments;
}

void Demo::UseACard() {
  std::cout << "Bob has a smartcard\n";
  const std::string pin = "123456";
  if (!Works("start bob's agent, which finds the card through pcscd",
             [&] { return world_->StartCardAgent(); })) {
    return;
  }
  auto enroll = [&](std::vector<std::string> options) -> absl::StatusOr<nlohmann::json> {
    absl::StatusOr<std::string> invite = world_->Invite("bob", "reader");
    if (!invite.ok()) return invite.status();
    std::vector<std::string> arguments = {"enroll", *invite, "--device", world_->piv_uri()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return world_->ForekeyCard(WithPin(std::move(arguments), pin));
  };
  Step("a key in slot 9a, which other programs use", "refused: piv-shared-key",
       [&]() -> std::string {
         absl::StatusOr<nlohmann::json> enrolled = enroll({"--slot", "9a"});
         return enrolled.ok() ? "enrolled" : ReasonIn(std::string(enrolled.status().message()));
       });
  if (!Works("the card makes a key, PIN and touch always: attested, enrolled",
             [&] { return enroll({}).status(); })) {
    return;
  }
  Works("open a session: the PIN once, a touch, one signature",
        [&] { return world_->ForekeyCard(WithPin({"login"}, pin)).status(); });
  Step("what the session has proved", "piv, piv+pin, piv+touch",
       [&] { return Factors(world_->ForekeyCard({"whoami"})); });
  Step("a wrong PIN is sent once", "2 tries left", [&]() -> std::string {
    absl::Status status = world_->ForekeyCard(WithPin({"login", "--fresh"}, "999999")).status();
    return absl::StrContains(status.message(), "tries left: 2") ? "2 tries left"
                                                                : std::string(status.message());
  });
  Step("the card is pulled out", "the card is gone", [&]() -> std::string {
    absl::Status told = world_->TellCard("remove");
    if (!told.ok()) return std::string(told.message());
    absl::Status status = world_->ForekeyCard(WithPin({"login", "--fresh"}, pin)).status();
    const bool gone = absl::StrContains(status.message(), "plug it in") ||
                      absl::StrContains(status.message(), "SCARD_E_NO_SMARTCARD") ||
                      absl::StrContains(status.message(), "SCARD_W_REMOVED_CARD");
    return gone ? "the card is gone" : std::string(status.message());
  });
  Works("it is put back, and pcscd is restarted: the session opens", [&] {
    for (const char* request : {"insert", "restart-pcscd"}) {
      absl::Status told = world_->TellCard(request);
      if (!told.ok()) return told;
    }
    return world_->ForekeyCard(WithPin({"login", "--fresh"}, pin)).status();
  });
}

int Demo::PrintTable() const {
  size_t step = 4, expected = 8;
  for (const Row& row : rows_) {
    step = std::max(step, row.step.size());
    expected = std::max(expected, row.expected.size());
  }
  int different = 0;
  std::cout << absl::StrFormat("\n     %-*s  %-*s  %s\n", step, "step", expected, "expected",
                               "happened");
  for (const Row& row : rows_) {
    const bool same = row.expected == row.happened;
    different += same ? 0 : 1;
    std::cout << absl::StrFormat("%s  %-*s  %-*s  %s\n", same ? " ok" : "BAD", step, row.step,
                                 expected, row.expected, row.happened);
  }
  std::cout << absl::StrFormat("\n%d steps, %d as expected, %d not\n", rows_.size(),
                               rows_.size() - different, different);
  return different == 0 ? 0 : 1;
}

int Demo::Run() {
  if (SetUp() && Enroll()) {
    absl::StatusOr<Invite> invite = Invite::Parse(invite_);
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = PemBundle(invite->ca_certificates);
    raw_ = grpc::CreateChannel(world_->address(), grpc::SslCredentials(tls));
    UseIt();
    if (application_ != nullptr) {
      RefuseCalls();
      RefuseEnrollment();
      RestartGate();
      UseASecurityKey();
      Revoke();
      UseACard();
    }
  }
  return PrintTable();
}

std::string OwnFolder() {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  std::string whole(path, size > 0 ? size : 0);
  return whole.substr(0, whole.rfind('/'));
}

}  // namespace
}  // namespace forekey::demo

int main() {
  using forekey::demo::Deployment;
  absl::StatusOr<std::unique_ptr<Deployment>> deployment =
      Deployment::Create({.binaries = forekey::demo::OwnFolder(), .extra_config = ""});
  if (!deployment.ok()) {
    std::cerr << deployment.status().message() << std::endl;
    return 2;
  }
  forekey::demo::Demo demo(*std::move(deployment));
  return demo.Run();
}
