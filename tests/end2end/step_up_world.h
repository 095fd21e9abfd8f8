// SPDX-License-Identifier: Apache-2.0
// Rules in front of a real server, a real agent over a token in software, and an application's
// channel: all in one process, with "ada" enrolled.
#ifndef FOREKEY_TESTS_END2END_STEP_UP_WORLD_H_
#define FOREKEY_TESTS_END2END_STEP_UP_WORLD_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "forekey/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/agent/agent_server.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/support/person.h"
#include "tests/unit/client/fakes/fake_token.h"

namespace forekey::testing {

inline constexpr char kSay[] = "/forekey.example.Echo/Say";

class StepUpWorld {
 public:
  explicit StepUpWorld(std::vector<MethodRule> rules, std::vector<std::string> roles = {},
                       std::unique_ptr<Prompt> person = nullptr,
                       std::function<void(GateConfig&)> change = nullptr)
      : world_({.change =
                    [&](GateConfig& config) {
                      config.rules.rules = std::move(rules);
                      config.factors.Get<PasswordSection>().policy = {
                          .enabled = true, .memory_mib = 8, .passes = 1};
                      if (change) change(config);
                    }}),
        echo_(EchoApi::New(Api::kCallback)) {
    world_.Start([this](grpc::ServerBuilder& builder) { echo_->Register(builder); });
    echo_->Start();
    Enrol(std::move(roles));
    AgentServer::Options options;
    options.socket = world_.directory() + "/a.sock";
    options.agent.state_directory = world_.directory() + "/agent";
    options.agent.drivers.push_back(token_.MakeDriver());
    options.agent.prompter = Person::Of(std::move(person));
    agent_ = Must(AgentServer::Start(std::move(options)), "agent");
    channel_ =
        Must(forekey::Channel({.gate = "gate.test", .agent_socket = agent_->socket()}), "channel");
  }
  ~StepUpWorld() {
    channel_.reset();
    agent_.reset();
    world_.StopServer();
    echo_->Stop();
  }

  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  // As if all was done again later, by another process: nobody has a session any more.
  void StartAnew() {
    channel_.reset();
    v1::LogoutRequest logout;
    Must(agent().Logout(logout), "logout");
    channel_ =
        Must(forekey::Channel({.gate = "gate.test", .agent_socket = agent_->socket()}), "channel");
  }
  EchoResult Call(Kind kind) { return testing::Call(channel_, {.kind = kind}); }
  int signatures() const { return token_.signatures; }
  GatedWorld& world() { return world_; }
  Agent& agent() { return agent_->agent(); }
  // Refusals in the audit log, by reason.
  std::vector<Reason> Refusals() {
    std::vector<Reason> reasons;
    for (const Decision& decision : world_.audit().decisions()) {
      if (!decision.admitted && decision.reason) reasons.push_back(*decision.reason);
    }
    return reasons;
  }
  // The call of `method` that was admitted last: whether hardware signed it.
  bool LastWasSigned(absl::string_view method) {
    bool by_device = false;
    for (const Decision& decision : world_.audit().decisions()) {
      if (decision.admitted && decision.method == method) by_device = decision.session.empty();
    }
    return by_device;
  }

 private:
  // As if the agent had enrolled: a registry row here, a record there.
  void Enrol(std::vector<std::string> roles) {
    std::string reference;
    auto key = token_.NewKey("", &reference);
    InviteRecord invite;
    invite.public_key = std::string(32, 'i');
    invite.id = Sha256(invite.public_key);
    invite.subject = "ada";
    invite.roles = std::move(roles);
    invite.created_at = absl::Now();
    invite.expires_at = absl::Now() + absl::Hours(1);
    Must(world_.registry().AddInvite(invite), "invite");
    Registry::Enrollment enrollment;
    enrollment.invite_id = invite.id;
    enrollment.now = absl::Now();
    auto& row = enrollment.credential;
    row.subject = "ada";
    row.kind = v1::TOKEN_KIND_TPM;
    row.algorithm = static_cast<int>(Algorithm::kEs256);
    row.spki = key->key.public_key().spki();
    row.id = CredentialId("gate.test", "ada", row.spki);
    row.factors = {"tpm"};
    row.proved_json = "{}";
    row.enrolled_at = absl::Now();
    Must(world_.registry().Enroll(enrollment), "enrol");

    auto state = Must(StateDirectory::Open(world_.directory() + "/agent"), "state");
    GateRecord record;
    record.target.audience = "gate.test";
    record.target.address = absl::StrCat("127.0.0.1:", world_.gate().port());
    record.target.ca_pem = Must(ReadFile(world_.directory() + "/cert.pem"), "certificate");
    record.subject = "ada";
    record.identities = {world_.Facts().identity_public};
    auto& credential = record.credentials.emplace_back();
    credential.id = row.id;
    credential.kind = v1::TOKEN_KIND_TPM;
    credential.label = "soft";
    credential.key_file = "key-1";
    credential.driver = std::string(token_.MakeDriver()->scheme());
    credential.enrolled_unix_s = absl::ToUnixSeconds(absl::Now());
    Must(state->SaveKey("gate.test", credential.key_file, reference), "key");
    Must(state->Save(record), "record");
  }

  GatedWorld world_;
  std::unique_ptr<EchoApi> echo_;
  FakeToken token_;
  std::unique_ptr<AgentServer> agent_;
  std::shared_ptr<grpc::Channel> channel_;
};

inline MethodRule RuleOf(std::vector<std::string> methods) {
  MethodRule rule;
  rule.methods = std::move(methods);
  return rule;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_STEP_UP_WORLD_H_
