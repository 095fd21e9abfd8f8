// Rules in front of a real server, met by the client library within one call of the application: through
// a real agent, over a token in software.
#include "forekey/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/agent/agent_server.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/unit/client/fakes/fake_token.h"

namespace forekey::testing {
namespace {

constexpr char kSay[] = "/forekey.example.Echo/Say";
constexpr char kCollect[] = "/forekey.example.Echo/Collect";
constexpr char kRepeat[] = "/forekey.example.Echo/Repeat";
constexpr char kChat[] = "/forekey.example.Echo/Chat";

// Who sits at the keyboard; gives the same answer to everybody.
class Person final : public Prompt {
 public:
  Person(absl::StatusOr<std::string> answer, std::vector<std::string>* asked)
      : answer_(std::move(answer)), asked_(asked) {}
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override {
    return absl::InternalError("a token without a PIN");
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    asked_->emplace_back(whose);
    if (!answer_.ok()) return answer_.status();
    return Secret::CopyOf(*answer_);
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}

 private:
  const absl::StatusOr<std::string> answer_;
  std::vector<std::string>* const asked_;
};

class StepUpWorld {
 public:
  explicit StepUpWorld(std::vector<MethodRule> rules, std::vector<std::string> roles = {},
                       std::unique_ptr<Prompt> person = nullptr)
      : world_({.change = [&](GateConfig& config) {
          config.rules.rules = std::move(rules);
          config.passwords = {.enabled = true, .memory_mib = 8, .passes = 1};
        }}),
        echo_(EchoApi::New(Api::kCallback)) {
    world_.Start([this](grpc::ServerBuilder& builder) { echo_->Register(builder); });
    echo_->Start();
    Enrol(std::move(roles));
    AgentServer::Options options;
    options.socket = world_.directory() + "/a.sock";
    options.agent.state_directory = world_.directory() + "/agent";
    options.agent.drivers.push_back(token_.MakeDriver());
    options.agent.prompt = std::move(person);
    agent_ = Must(AgentServer::Start(std::move(options)), "agent");
    channel_ = Must(forekey::Channel({.gate = "gate.test", .agent_socket = agent_->socket()}), "channel");
  }
  ~StepUpWorld() {
    channel_.reset();
    agent_.reset();
    world_.StopServer();
    echo_->Stop();
  }

  EchoResult Call(Kind kind) { return testing::Call(channel_, {.kind = kind}); }
  int signatures() const { return token_.signatures; }
  GatedWorld& world() { return world_; }
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
    row.kind = static_cast<int>(TokenKind::kTpm);
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

MethodRule RuleOf(std::vector<std::string> methods) {
  MethodRule rule;
  rule.methods = std::move(methods);
  return rule;
}

TEST(StepUpTest, ACallThatHardwareMustSignIsSignedWithinTheApplicationsCallUnaryAndStreaming) {
  MethodRule open = RuleOf({kSay});
  MethodRule fresh = RuleOf({kCollect, kRepeat, kChat});
  fresh.fresh_call = true;
  StepUpWorld world({open, fresh});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.signatures(), 1) << "the session's";
  int signatures = 1;
  for (Kind kind : {Kind::kClientStream, Kind::kServerStream, Kind::kBidi}) {
    EchoResult result = world.Call(kind);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(world.signatures(), ++signatures);
    EXPECT_TRUE(world.LastWasSigned(MethodOf(kind)));
    // Known by now: hardware signs at once, without a refusal before.
    EXPECT_TRUE(world.Call(kind).status.ok());
    EXPECT_EQ(world.signatures(), ++signatures);
  }
  EXPECT_EQ(world.Refusals(), (std::vector<Reason>(3, Reason::kFactorRequired)));
  // The session is as good as it was for what takes one.
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.signatures(), signatures);
}

TEST(StepUpTest, AMissingRoleIsRefusedAtOnceAndNothingIsSigned) {
  MethodRule rule = RuleOf({kSay});
  rule.any_role = {"admin"};
  rule.fresh_call = true;
  StepUpWorld world({rule}, {"clerk"});
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(world.world().AuditOf(result.status).reason, Reason::kMethodNotPermitted);
  EXPECT_EQ(world.signatures(), 1);
  // As for what no rule is for.
  result = world.Call(Kind::kBidi);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(StepUpTest, ARuleWithoutChildSessionsHasTheCallSigned) {
  MethodRule rule = RuleOf({kSay});
  rule.child_sessions = false;
  StepUpWorld world({rule});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_TRUE(world.LastWasSigned(kSay));
  EXPECT_EQ(world.Refusals(), (std::vector<Reason>{Reason::kChildNotAllowed}));
}

// ---- A password that a rule wants ----

MethodRule PasswordRule() {
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"tpm"}, {"password", absl::Minutes(15)}}};
  return rule;
}

void SetPassword(StepUpWorld& world, const std::string& password) {
  v1::SetPasswordRequest request;
  request.set_subject("ada");
  request.set_password(password);
  auto done = world.world().gate().core().SetPassword(request, "test");
  ASSERT_TRUE(done.ok()) << done.status();
}

TEST(StepUpTest, APasswordIsAskedForOnceWithinTheApplicationsCallAndAgainAfterItsChange) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("correct horse", &asked));
  SetPassword(world, "correct horse");
  EchoResult result = world.Call(Kind::kUnary);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_THAT(asked, ::testing::ElementsAre("the password of ada at gate.test"));
  EXPECT_FALSE(world.LastWasSigned(kSay)) << "a session has it, not the call";
  SetPassword(world, "correct horse");
  result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(asked.size(), 2u) << "the session that had proved the old one is gone";
}

TEST(StepUpTest, AWrongPasswordIsTriedOnceAndTheErrorNamesIt) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("wrong horse", &asked));
  SetPassword(world, "correct horse");
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("password"));
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_THAT(world.Refusals(), ::testing::Contains(Reason::kPasswordWrong).Times(1));
}

TEST(StepUpTest, WhoGivesNoPasswordCallsNothingAndWhereNobodyIsTheErrorSaysWhatToRun) {
  std::vector<std::string> asked;
  {
    StepUpWorld world({PasswordRule()}, {},
                      std::make_unique<Person>(absl::CancelledError("none was given"), &asked));
    EXPECT_FALSE(world.Call(Kind::kUnary).status.ok());
    EXPECT_EQ(asked.size(), 1u);
  }
  StepUpWorld alone({PasswordRule()});
  EchoResult result = alone.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("forekey login --gate gate.test --password"));
}

TEST(StepUpTest, AFactorThatNoTokenHereProvesEndsTheCallAndSaysWhich) {
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"fido2+uv"}}};
  StepUpWorld world({rule});
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("fido2+uv"));
  EXPECT_EQ(world.signatures(), 1);
}

TEST(StepUpTest, AfterARestartOfTheSessionsACallStillSucceeds) {
  StepUpWorld world({RuleOf({kSay})});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(world.world().gate().core().SetSubject(request, "test").ok());
  request.set_disabled(false);
  ASSERT_TRUE(world.world().gate().core().SetSubject(request, "test").ok());
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(world.signatures(), 2);
}

}  // namespace
}  // namespace forekey::testing
