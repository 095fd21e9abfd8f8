// SPDX-License-Identifier: Apache-2.0
// An agent on a socket of its own, over a token and a gate in software.
#ifndef FOREKEY_TESTS_UNIT_AGENT_AGENT_FIXTURE_H_
#define FOREKEY_TESTS_UNIT_AGENT_AGENT_FIXTURE_H_

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/agent/agent_server.h"
#include "src/base/file.h"
#include "src/client/agent_socket.h"
#include "tests/support/fake_clock.h"
#include "tests/support/person.h"
#include "tests/unit/client/fakes/fake_gate.h"
#include "tests/unit/client/fakes/fake_token.h"

namespace forekey::testing {

class AgentFixture : public ::testing::Test {
 protected:
  AgentFixture() : gate_("gate.test") {
    std::string name = ::testing::TempDir() + "forekey-agent-XXXXXX";
    root_ = mkdtemp(name.data());
    state_ = root_ + "/state";
    socket_ = root_ + "/run/agent.sock";
  }
  ~AgentFixture() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }

  Agent::Options AgentOptions() {
    Agent::Options options;
    options.state_directory = state_;
    options.drivers.push_back(token_.MakeDriver());
    options.clock = &clock_;
    options.affinity = affinity_;
    options.prompter = Person::Of(person_);
    return options;
  }

  absl::Status Start() {
    AgentServer::Options options;
    options.socket = socket_;
    options.agent = AgentOptions();
    auto server = AgentServer::Start(std::move(options));
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }
  void Stop() { server_.reset(); }
  void Restart() {
    Stop();
    absl::Status started = Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  Agent& agent() { return server_->agent(); }

  absl::StatusOr<v1::EnrollResponse> Enroll(FakeGate& gate, const std::string& subject = "alice",
                                            const std::string& password = "") {
    v1::EnrollRequest request;
    request.set_invite(gate.MakeInvite(subject).Serialize());
    request.set_key_password(password);
    return agent().Enroll(request, CallControl());
  }
  void StartEnrolled() {
    absl::Status started = Start();
    ASSERT_TRUE(started.ok()) << started;
    auto enrolled = Enroll(gate_);
    ASSERT_TRUE(enrolled.ok()) << enrolled.status();
    token_.signatures = 0;
  }
  absl::StatusOr<v1::LoginResponse> Login(bool fresh = false, const std::string& password = "") {
    v1::LoginRequest request;
    request.set_fresh(fresh);
    request.set_key_password(password);
    return agent().Login(request, CallControl());
  }
  absl::StatusOr<v1::OpenLocalSessionResponse> OpenSession(const CallControl& call = {}) {
    return agent().OpenSession(v1::OpenLocalSessionRequest(), call);
  }
  absl::StatusOr<v1::GetPrefixResponse> GetPrefix(const std::string& method,
                                                  const std::string& gate = "",
                                                  bool device = false) {
    v1::GetPrefixRequest request;
    request.set_method(method);
    request.set_gate(gate);
    request.set_device(device);
    return agent().GetPrefix(request, CallControl());
  }
  // Of the gate's folder.
  std::vector<std::string> Files() {
    auto files = ListFiles(state_ + "/gates/gate.test");
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? *files : std::vector<std::string>();
  }
  std::string RecordPath(const std::string& audience = "gate.test") {
    return state_ + "/gates/" + audience + "/record.json";
  }

  FakeGate gate_;
  FakeToken token_;
  FakeClock clock_;
  bool affinity_ = false;
  std::shared_ptr<Prompt> person_;  // null: nobody can be asked
  std::string root_, state_, socket_;
  std::unique_ptr<AgentServer> server_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_AGENT_AGENT_FIXTURE_H_
