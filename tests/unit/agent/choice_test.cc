// SPDX-License-Identifier: Apache-2.0
// Which token signs: the default, what a name means, and the next one where a token is not there.
// And what an invite of a gate that changed its identity does.
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/crypto/digest.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using ::testing::ElementsAre;
using testing::FakeGate;
using ::testing::HasSubstr;

HeldCredential Held(char id, v1::TokenKind kind, std::string label, bool pending = false) {
  HeldCredential credential;
  credential.id = std::string(32, id);
  credential.kind = kind;
  credential.label = std::move(label);
  credential.pending = pending;
  return credential;
}

class ChoiceTest : public ::testing::Test {
 protected:
  ChoiceTest() {
    record_.credentials = {Held('\x11', v1::TOKEN_KIND_TPM, "laptop"),
                           Held('\x12', v1::TOKEN_KIND_FIDO2, "blue key"),
                           Held('\x23', v1::TOKEN_KIND_FIDO2, "black key"),
                           Held('\x24', v1::TOKEN_KIND_FIDO2, "lost", /*pending=*/true)};
  }
  // The labels of each place, in order.
  std::vector<std::vector<std::string>> Labels(std::vector<std::string> with) {
    const auto places = ChooseCandidates(record_, std::move(with));
    std::vector<std::vector<std::string>> labels;
    if (!places.ok()) return {{std::string(places.status().message())}};
    for (const Candidates& place : *places) {
      labels.emplace_back();
      for (const HeldCredential& known : place) labels.back().push_back(known.label);
    }
    return labels;
  }
  GateRecord record_;
};

TEST_F(ChoiceTest, AKindMeansAllOfItTheDefaultFirst) {
  EXPECT_THAT(Labels({"fido2"}), ElementsAre(ElementsAre("black key", "blue key", "lost")));
  record_.default_credential = std::string(32, '\x12');
  EXPECT_THAT(Labels({"fido2"}), ElementsAre(ElementsAre("blue key", "black key", "lost")));
  EXPECT_THAT(Labels({}), ElementsAre(ElementsAre("blue key", "black key", "laptop", "lost")));
  EXPECT_THAT(Labels({"tpm", "fido2"}),
              ElementsAre(ElementsAre("laptop"), ElementsAre("blue key", "black key", "lost")));
}

TEST_F(ChoiceTest, ALabelOrAnUnambiguousBeginningMeansOne) {
  EXPECT_THAT(Labels({"laptop"}), ElementsAre(ElementsAre("laptop")));
  EXPECT_THAT(Labels({"bla"}), ElementsAre(ElementsAre("black key")));
  EXPECT_THAT(Labels({"11"}), ElementsAre(ElementsAre("laptop")));
  EXPECT_THAT(Labels({"23"}), ElementsAre(ElementsAre("black key")));
  EXPECT_THAT(Labels({"bl"})[0][0], HasSubstr("several"));
  EXPECT_THAT(Labels({"2"})[0][0], HasSubstr("several"));
  EXPECT_THAT(Labels({"none"})[0][0], HasSubstr("forekey status"));
  EXPECT_THAT(Labels({"laptop", "tpm"})[0][0], HasSubstr("named already"));
  record_.credentials.push_back(Held('\x31', v1::TOKEN_KIND_TPM, "laptop"));
  EXPECT_THAT(Labels({"laptop"})[0][0], HasSubstr("several"));
}

TEST_F(ChoiceTest, OnlyATokenThatIsNotThereGivesItsPlaceAway) {
  auto places = ChooseCandidates(record_, {"fido2"}).value();
  absl::Status wrong_pin = DeviceFailure(DeviceError::kWrongPin, "wrong");
  NameCredential(places[0][0], &wrong_pin);
  EXPECT_EQ(FallBack(wrong_pin, &places), std::nullopt);
  absl::Status gone = DeviceFailure(DeviceError::kGone, "not plugged in");
  EXPECT_EQ(FallBack(gone, &places), std::nullopt) << "whose?";
  NameCredential(places[0][0], &gone);
  EXPECT_THAT(FallBack(gone, &places).value_or(""), HasSubstr("blue key"));
  EXPECT_EQ(FirstChoice(places)[0].label, "blue key");
}

class AgentChoiceTest : public AgentFixture {
 protected:
  // Two keys, of which the newer one is not there.
  void StartWithABackup() {
    StartEnrolled();
    auto second = Enroll(gate_);
    ASSERT_TRUE(second.ok()) << second.status();
    token_.Lose("fake key 1");
    token_.signatures = 0;
  }
};

TEST_F(AgentChoiceTest, ABackupKeySignsWhereTheFirstIsNotThereAndItIsSaid) {
  StartWithABackup();
  auto login = Login();
  ASSERT_TRUE(login.ok()) << login.status();
  ASSERT_EQ(login->notes_size(), 1);
  EXPECT_THAT(login->notes(0), HasSubstr("in the place of"));
  EXPECT_TRUE(GetPrefix("/test.Echo/Say", "", /*device=*/true).ok());
}

TEST_F(AgentChoiceTest, ACredentialThatWasNamedIsNotReplaced) {
  StartWithABackup();
  v1::LoginRequest request;
  request.add_with(agent().GetStatus().gates(0).credentials(1).id());
  EXPECT_EQ(DeviceErrorOf(agent().Login(request, CallControl()).status()), DeviceError::kGone);
  EXPECT_EQ(token_.signatures, 0);
}

TEST_F(AgentChoiceTest, TheDefaultSignsFirstAndIsKnownAfterARestart) {
  StartEnrolled();
  ASSERT_TRUE(Enroll(gate_).ok());
  const std::string first = agent().GetStatus().gates(0).credentials(0).id();
  v1::SetDefaultRequest request;
  request.set_credential(first.substr(0, 12));
  ASSERT_TRUE(agent().SetDefault(request).ok());
  Restart();
  EXPECT_EQ(agent().GetStatus().gates(0).default_credential(), first);
  token_.Lose("fake key 1");
  auto login = Login();
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->notes_size(), 0) << "the newer one was not even tried";
  request.set_credential("nothing");
  EXPECT_FALSE(agent().SetDefault(request).ok());
}

TEST_F(AgentChoiceTest, ForgettingOneCredentialLeavesTheOthers) {
  StartEnrolled();
  ASSERT_TRUE(Enroll(gate_).ok());
  ASSERT_TRUE(Login().ok());
  const size_t files = Files().size();
  v1::ForgetGateRequest request;
  request.set_gate("gate.test");
  request.set_credential(agent().GetStatus().gates(0).credentials(1).id());
  ASSERT_TRUE(agent().ForgetGate(request).ok());
  EXPECT_EQ(Files().size(), files - 1) << "its key is gone, too";
  EXPECT_FALSE(agent().GetStatus().gates(0).session_open());
  Restart();
  ASSERT_EQ(agent().GetStatus().gates(0).credentials_size(), 1);
  EXPECT_TRUE(Login().ok());
  request.set_credential(agent().GetStatus().gates(0).credentials(0).id());
  EXPECT_TRUE(absl::IsFailedPrecondition(agent().ForgetGate(request).status())) << "the last one";
}

TEST_F(AgentChoiceTest, AKeyFileThatStaysKeepsNoSession) {
  StartEnrolled();
  ASSERT_TRUE(Enroll(gate_).ok());
  ASSERT_TRUE(Login().ok());
  v1::ForgetGateRequest request;
  request.set_gate("gate.test");
  request.set_credential(agent().GetStatus().gates(0).credentials(1).id());
  const std::string file =
      absl::StrCat(state_, "/gates/gate.test/", request.credential().substr(0, 16), ".key");
  ASSERT_TRUE(std::filesystem::remove(file));
  std::filesystem::create_directory(file);  // which unlink() does not remove
  const absl::Status forgotten = agent().ForgetGate(request).status();
  EXPECT_THAT(std::string(forgotten.message()), HasSubstr("its key file is still there"));
  EXPECT_FALSE(agent().GetStatus().gates(0).session_open());
  EXPECT_EQ(gate_.counts().ended, 1);
  EXPECT_EQ(agent().GetStatus().gates(0).credentials_size(), 1);
}

TEST_F(AgentChoiceTest, AnInviteAfterARotationIsTakenByWhoOpenedNoSessionSince) {
  StartEnrolled();
  X25519PrivateKey next = X25519PrivateKey::Generate();
  FakeGate::Faults faults;
  faults.announce_identity = next.public_key();
  gate_.Misbehave(faults);
  Invite invite = gate_.MakeInvite("alice");
  invite.identity_fingerprint = Sha256(next.public_key());  // as the gate makes them from now on
  v1::EnrollRequest request;
  request.set_invite(invite.Serialize());
  // The fake gate answers with its old identity: what matters is that the invite was not refused
  // for naming another one.
  (void)agent().Enroll(request, CallControl());
  auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_THAT(record->identities, ElementsAre(next.public_key(), gate_.identity()));
  EXPECT_GE(gate_.counts().challenges, 3) << "of two enrolments and a session";
}

// Over the socket: the agent asks the kernel who is there.
TEST_F(AgentChoiceTest, APromptNamesTheProgramThatAsks) {
  struct Listening : public Prompter {
    struct Silent : public Prompt {
      absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Secret(); }
      void ShowTouch(absl::string_view) override {}
      void HideTouch() override {}
    };
    std::unique_ptr<Prompt> For(PromptContext context) override {
      absl::MutexLock lock(&mutex);
      heard = context.program + " wants, " + context.purpose + " at " + context.gate;
      return std::make_unique<Silent>();
    }
    absl::Mutex mutex;
    std::string heard;
  };
  AgentServer::Options options;
  options.socket = socket_;
  options.agent = AgentOptions();
  auto prompter = std::make_unique<Listening>();
  Listening* listening = prompter.get();
  options.agent.prompter = std::move(prompter);
  auto server = AgentServer::Start(std::move(options));
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  ASSERT_TRUE(Enroll(gate_).ok());
  auto channel = AgentChannel(socket_);
  ASSERT_TRUE(channel.ok()) << channel.status();
  grpc::ClientContext context;
  v1::OpenLocalSessionResponse response;
  const grpc::Status status =
      v1::Agent::NewStub(*channel)->OpenSession(&context, v1::OpenLocalSessionRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  absl::MutexLock lock(&listening->mutex);
  EXPECT_THAT(listening->heard, HasSubstr("agent_test (process " + std::to_string(getpid()) + ")"));
  EXPECT_THAT(listening->heard, HasSubstr("to open a session at gate.test"));
}

// The agent's own errors can be told from those of a socket on which nobody answers.
TEST_F(AgentChoiceTest, ErrorsCarryWhatTheyAreAbout) {
  StartEnrolled();
  token_.Lose("fake key 0");
  auto channel = AgentChannel(socket_);
  ASSERT_TRUE(channel.ok()) << channel.status();
  const auto stub = v1::Agent::NewStub(*channel);
  const auto details = [&](const std::string& gate) {
    grpc::ClientContext context;
    v1::OpenLocalSessionRequest request;
    request.set_gate(gate);
    v1::OpenLocalSessionResponse response;
    return AgentErrorDetailsOf(AgentError(stub->OpenSession(&context, request, &response), socket_))
        .value_or(v1::AgentErrorDetails());
  };
  EXPECT_EQ(details("gate.test").device_trouble(), v1::DEVICE_TROUBLE_GONE);
  EXPECT_EQ(details("other.test").reason(), ReasonName(Reason::kGateNotEnrolled));
}

}  // namespace
}  // namespace forekey
