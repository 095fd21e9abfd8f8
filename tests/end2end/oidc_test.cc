// SPDX-License-Identifier: Apache-2.0
// An ID token that a rule wants: got by the user's command, through a real agent, sealed to a real
// gate that has its provider's keys over HTTPS, all within one call of the application.
#include <csignal>
#include <fstream>
#include <thread>

#include "examples/demo/process.h"
#include "src/gate/audit/audit.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"
#include "tests/end2end/step_up_world.h"
#include "tests/support/https_server.h"
#include "tests/support/id_provider.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kIssuer[] = "https://idp.test";
constexpr char kClient[] = "gate-client";

MethodRule TokenRule() {
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"tpm"}, {"oidc"}}};
  return rule;
}

// The provider: a key, and a server that publishes it.
class Provider {
 public:
  Provider()
      : key_(IdpKey::New("test-key", "ES256")),
        server_([this](const std::string&, const HttpsServer::Send& send) {
          send(HttpAnswer("200 OK", JwksOf({key_})));
        }) {
    signal(SIGPIPE, SIG_IGN);
  }
  const HttpsServer& server() const { return server_; }
  void WriteKey(const std::string& path) const {
    BioPtr bio(BIO_new_file(path.c_str(), "w"));
    PEM_write_bio_PrivateKey(bio.get(), key_.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }

 private:
  const IdpKey key_;
  HttpsServer server_;
};

class OidcWorld {
 public:
  explicit OidcWorld(std::function<void(GateConfig&)> change = nullptr)
      : world_({TokenRule()}, {}, nullptr, [&](GateConfig& config) {
          Must(WriteFileAtomically(directory_.path() + "/ca.pem", provider_.server().ca_pem()),
               "ca");
          OidcProviderConfig& provider =
              config.factors.Get<OidcSection>().config.providers.emplace_back();
          provider.token.issuer = kIssuer;
          provider.token.client_id = kClient;
          provider.jwks_url = provider_.server().Url();
          provider.ca = directory_.path() + "/ca.pem";
          if (change) change(config);
        }) {
    provider_.WriteKey(KeyPath());
    v1::SetOidcIdentityRequest request;
    request.set_subject("ada");
    request.set_identity("ada-at-idp");
    Must(world_.world().core().admin().SetOidcIdentity(request, "test").status(), "identity");
  }
  std::string KeyPath() const { return directory_.path() + "/idp.pem"; }
  // What the user would write into the gate's folder.
  void Configure(const std::vector<std::string>& command, const std::string& client = kClient) {
    const std::string text = nlohmann::json{
        {"command", command},
        {"issuer", kIssuer},
        {"client_id", client},
        {"timeout_s", 30}}.dump();
    Must(WriteFileAtomically(world_.world().directory() + "/agent/gates/gate.test/id-token.json",
                             text, 0600),
         "command");
  }
  void ConfigureHonest(const std::string& subject = "ada-at-idp",
                       const std::string& claims = "{}") {
    Configure({std::string(FOREKEY_BIN) + "/forekey-test-id-token", KeyPath(), subject, claims});
  }
  // Nonces that the command was run with.
  std::vector<std::string> Runs() const {
    std::ifstream file(KeyPath() + ".runs");
    std::vector<std::string> runs;
    for (std::string line; std::getline(file, line);) runs.push_back(line);
    return runs;
  }
  const HttpsServer& server() const { return provider_.server(); }
  StepUpWorld& operator*() { return world_; }
  StepUpWorld* operator->() { return &world_; }

 private:
  TempDirectory directory_;
  Provider provider_;
  StepUpWorld world_;
};

TEST(OidcEndToEndTest, ACallThatWantsATokenGetsOneWithinItAndTheSessionKeepsIt) {
  OidcWorld world;
  world.ConfigureHonest();
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_THAT(world->Refusals(), ElementsAre(Reason::kFactorRequired));
  EXPECT_EQ(world->signatures(), 2);
  EXPECT_TRUE(world->Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.Runs().size(), 1u);
  bool opened = false;
  for (const Decision& decision : world->world().audit().decisions()) {
    opened =
        opened || (decision.event == AuditEvent::kSessionOpened && decision.admitted &&
                   decision.detail == "ID token of https://idp.test, sub ada-at-idp, key test-key");
    // A JWT begins with {" in base64url.
    EXPECT_THAT(DecisionToJson(decision), Not(HasSubstr("eyJ")));
  }
  EXPECT_TRUE(opened);
}

TEST(OidcEndToEndTest, LoginWithATokenProvesItAtOnceAndForTheSessionsThatFollow) {
  OidcWorld world;
  world.ConfigureHonest();
  v1::LoginRequest request;
  request.add_with("tpm");
  request.add_with("oidc");
  auto login = world->agent().Login(request, CallControl());
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_TRUE(world->Call(Kind::kUnary).status.ok());
  EXPECT_TRUE(world->Refusals().empty());
  EXPECT_EQ(world.Runs().size(), 1u);
  // The gate forgets its sessions; the next has the factor without being told.
  v1::SetSubjectRequest off;
  off.set_subject("ada");
  off.set_set_disabled(true);
  off.set_disabled(true);
  ASSERT_TRUE(world->world().core().admin().SetSubject(off, "test").ok());
  off.set_disabled(false);
  ASSERT_TRUE(world->world().core().admin().SetSubject(off, "test").ok());
  EXPECT_TRUE(world->Call(Kind::kUnary).status.ok());
  ASSERT_EQ(world.Runs().size(), 2u);
  EXPECT_NE(world.Runs()[0], world.Runs()[1]) << "a nonce an opening";
}

TEST(OidcEndToEndTest, WithoutACommandThePersonIsToldWhatIsMissing) {
  OidcWorld world;
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), HasSubstr("id-token.json"));
  EXPECT_EQ(world->signatures(), 1) << "the token was not asked for nothing";
}

TEST(OidcEndToEndTest, ACommandThatFailsShowsWhatItSaid) {
  OidcWorld world;
  world.Configure({"/bin/sh", "-c", "echo your login has run out >&2; exit 3"});
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_THAT(result.status.error_message(),
              HasSubstr("failed with status 3: your login has run out"));
}

TEST(OidcEndToEndTest, AnotherPersonsTokenIsRefusedAndNotTriedAgain) {
  OidcWorld world;
  world.ConfigureHonest("eve-at-idp");
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), HasSubstr("may not take the ID token"));
  EXPECT_THAT(world->Refusals(), ElementsAre(Reason::kFactorRequired, Reason::kIdTokenSubject));
  EXPECT_EQ(world.Runs().size(), 1u);
}

TEST(OidcEndToEndTest, ATokenForAnotherServiceNeverReachesTheGate) {
  OidcWorld world;
  world.ConfigureHonest("ada-at-idp", R"({"aud":"payroll"})");
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_THAT(result.status.error_message(),
              HasSubstr("the command's token is for payroll, not for gate-client"));
  EXPECT_THAT(world->Refusals(), ElementsAre(Reason::kFactorRequired));
  world.ConfigureHonest("ada-at-idp", R"({"nonce":"stolen"})");
  result = world->Call(Kind::kUnary);
  EXPECT_THAT(result.status.error_message(), HasSubstr("another nonce"));
  world.ConfigureHonest("ada-at-idp", R"({"iss":"https://other.test"})");
  result = world->Call(Kind::kUnary);
  EXPECT_THAT(result.status.error_message(), HasSubstr("https://other.test"));
  EXPECT_THAT(world->Refusals(), Not(::testing::Contains(Reason::kIdTokenIssuer)));
}

TEST(OidcEndToEndTest, ACommandCannotTurnAnotherClientsTokenIntoThisGates) {
  // The user configured another client: the gate refuses what the agent lets through.
  OidcWorld world;
  world.Configure(
      {std::string(FOREKEY_BIN) + "/forekey-test-id-token", world.KeyPath(), "ada-at-idp"},
      "payroll");
  EXPECT_FALSE(world->Call(Kind::kUnary).status.ok());
  EXPECT_THAT(world->Refusals(), ElementsAre(Reason::kFactorRequired, Reason::kIdTokenAudience));
}

TEST(OidcEndToEndTest, AProviderThatCannotBeReachedFailsClosed) {
  OidcWorld world([](GateConfig& config) {
    config.factors.Get<OidcSection>().config.providers[0].jwks_url = "https://127.0.0.1:1/jwks";
  });
  world.ConfigureHonest();
  EXPECT_FALSE(world->Call(Kind::kUnary).status.ok());
  EXPECT_THAT(world->Refusals(),
              ElementsAre(Reason::kFactorRequired, Reason::kIdentityProviderUnavailable));
}

TEST(OidcEndToEndTest, WhoWaitsAtTheTerminalHearsWhatTheCommandSaysWhileItWaits) {
  OidcWorld world;
  const std::string seen = world.KeyPath() + ".seen";
  const std::string honest = absl::StrCat(FOREKEY_BIN, "/forekey-test-id-token");
  world.Configure(
      {"/bin/sh", "-c",
       "echo 'open https://idp.test/device and type ABCD' >&2; until [ -e \"$1\" ]; do :; done; "
       "exec \"$2\" \"$3\" ada-at-idp",
       "sh", seen, honest, world.KeyPath()});
  const auto login =
      Must(demo::Process::Start(
               {.arguments = {std::string(FOREKEY_BIN) + "/forekey", "login", "--with", "tpm,oidc",
                              "--socket", world->world().directory() + "/a.sock"},
                .environment = {},
                .error_file = world.KeyPath() + ".terminal"}),
           "forekey login");
  const std::string line = "gate.test: open https://idp.test/device and type ABCD\n";
  const absl::Time patience = absl::Now() + absl::Minutes(1);
  std::string terminal;
  while (terminal.find(line) == std::string::npos && absl::Now() < patience) {
    if (auto text = ReadFile(world.KeyPath() + ".terminal"); text.ok()) terminal = *text;
  }
  EXPECT_THAT(terminal, HasSubstr(line));
  Must(WriteFileAtomically(seen, ""), "seen");
  const auto ended = login->Wait();
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->exit_status, 0);
  EXPECT_THAT(ended->output, HasSubstr("logged in at gate.test as ada"));
  EXPECT_THAT(Must(ReadFile(world.KeyPath() + ".terminal"), "terminal"), Not(HasSubstr("eyJ")));
}

TEST(OidcEndToEndTest, AReloadHasTheKeysFetchedAgain) {
  OidcWorld world;
  world.ConfigureHonest();
  ASSERT_TRUE(world->Call(Kind::kUnary).status.ok());
  const int before = world.server().requests();
  ASSERT_TRUE(world->world().gate().Reload().ok());
  const absl::Time patience = absl::Now() + absl::Minutes(1);
  while (world.server().requests() == before && absl::Now() < patience) std::this_thread::yield();
  EXPECT_GT(world.server().requests(), before);
}

TEST(OidcEndToEndTest, ACommandsFileThatOthersCanReadIsNotUsed) {
  OidcWorld world;
  world.ConfigureHonest();
  ASSERT_EQ(
      chmod((world->world().directory() + "/agent/gates/gate.test/id-token.json").c_str(), 0644),
      0);
  EchoResult result = world->Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_EQ(world.Runs().size(), 0u);
}

}  // namespace
}  // namespace forekey::testing
