// The configuration: defaults that work, and every mistake named with its line, all at once.
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/gate/core/config.h"
#include "src/gate/core/config_reader.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kMinimal[] = R"(audience = "gate.example"
[tls]
certificate = "tls.pem"
private_key = "/etc/forekey/tls.key"
[state]
directory = "state"
)";

std::string ErrorsOf(const std::string& toml) {
  auto config = GateConfig::Parse(toml, "gate.toml");
  EXPECT_TRUE(absl::IsInvalidArgument(config.status())) << toml;
  return std::string(config.status().message());
}

TEST(GateConfigTest, DefaultsWorkWithAudienceTlsAndState) {
  auto config = GateConfig::Parse(kMinimal, "gate.toml", "/etc/forekey");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tls.certificate, "/etc/forekey/tls.pem");
  EXPECT_EQ(config->tls.private_key, "/etc/forekey/tls.key");
  EXPECT_EQ(config->state.directory, "/etc/forekey/state");
  EXPECT_EQ(config->AuditPath(), "/etc/forekey/state/audit.jsonl");
  EXPECT_EQ(config->challenges.lifetime, absl::Seconds(120));
  EXPECT_EQ(config->sessions.window, 1024u);
  EXPECT_TRUE(config->audit.options.fail_closed);
  EXPECT_FALSE(config->audit.options.all_calls);
  EXPECT_FALSE(config->tpm.insecure_simulators);
  EXPECT_TRUE(config->rules.permit_unlisted);
}

TEST(GateConfigTest, NamesWhatIsMissing) {
  const std::string errors = ErrorsOf("");
  EXPECT_THAT(errors, HasSubstr("audience: must be set"));
  EXPECT_THAT(errors, HasSubstr("tls.certificate: must be set"));
  EXPECT_THAT(errors, HasSubstr("tls.private_key: must be set"));
  EXPECT_THAT(errors, HasSubstr("state.directory: must be set"));
}

TEST(GateConfigTest, ListsEveryErrorWithItsLine) {
  const std::string errors = ErrorsOf(std::string(kMinimal) + R"([sessions]
idle = "soon"
window = 100
idel = "3h"
[audit]
admitted = "some"
fail_closed = "yes"
[[rule]]
methods = ["/a.B/*"]
)");
  EXPECT_THAT(errors, HasSubstr("gate.toml:8: sessions.idle: must be a duration"));
  EXPECT_THAT(errors, HasSubstr("gate.toml:9: sessions.window: must be a multiple of 64"));
  EXPECT_THAT(errors, HasSubstr("gate.toml:10: unknown key sessions.idel"));
  EXPECT_THAT(errors, HasSubstr("gate.toml:12: audit.admitted"));
  EXPECT_THAT(errors, HasSubstr("gate.toml:13: audit.fail_closed: must be true or false"));
  EXPECT_THAT(errors, HasSubstr("gate.toml:15: rule.methods"));
}

TEST(GateConfigTest, UnknownKeysAreErrorsAtEveryDepth) {
  EXPECT_THAT(ErrorsOf(std::string("audiance = \"x\"\n") + kMinimal),
              HasSubstr("gate.toml:1: unknown key audiance"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tpm]\ntrsut = \"x\"\n"),
              HasSubstr("gate.toml:8: unknown key attestation.tpm.trsut"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tmp]\n"),
              HasSubstr("unknown key attestation.tmp"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[[rule]]\nmethods=[\"/a.B/C\"]\nrole=\"x\"\n"),
              HasSubstr("gate.toml:9: unknown key rule.role"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[tunning]\n"), HasSubstr("unknown key tunning"));
}

TEST(GateConfigTest, ASyntaxErrorIsTheOnlyError) {
  const std::string errors = ErrorsOf("audience = \"x\n");
  EXPECT_THAT(errors, HasSubstr("gate.toml:1: "));
  EXPECT_THAT(errors, Not(HasSubstr("must be set")));
}

TEST(GateConfigTest, WrongTypesAreErrors) {
  EXPECT_THAT(ErrorsOf("audience = 3\n"), HasSubstr("audience: must be a string"));
  EXPECT_THAT(ErrorsOf("tls = 3\n"), HasSubstr("tls: must be a table"));
  EXPECT_THAT(ErrorsOf("rule = 3\n"), HasSubstr("rule: must be written as [[rule]]"));
  EXPECT_THAT(ErrorsOf("[rules]\nexempt = [1]\n"), HasSubstr("must be an array of strings"));
  EXPECT_THAT(ErrorsOf("[sessions]\nidle = 30\n"), HasSubstr("sessions.idle: must be a string"));
  EXPECT_THAT(ErrorsOf("[sessions]\ntotal = -1\n"), HasSubstr("must be a whole number from 1"));
}

TEST(GateConfigTest, RefusesWhatWouldWeaken) {
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tpm]\nsimulator_trust = \"sim\"\n"),
              HasSubstr("needs insecure_simulators = true"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tpm]\ninsecure_simulators = true\n"),
              HasSubstr("names no folder"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[rules]\nexempt = [\"/forekey.v1.Gate/OpenSession\"]\n"),
              HasSubstr("the gate's own"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tpm]\nek_allow_list = [\"abc\"]\n"),
              HasSubstr("64 hex digits"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[[rule]]\nmethods=[\"/a.B/C\"]\nany_role=[]\n"),
              HasSubstr("rule.any_role: is empty"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[sessions]\nidle=\"2h\"\nabsolute=\"1h\"\n"),
              HasSubstr("longer than sessions.absolute"));
}

TEST(GateConfigTest, ChecksAddresses) {
  for (const char* bad : {"localhost", ":1", "host:", "host:65536", "host:12x", "::1:80", "a b:80",
                          "unix:/x:1", "host:-1", "host:+1"}) {
    EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[listen]\naddress = \"" + bad + "\"\n"),
                HasSubstr("listen.address: must be host:port"))
        << bad;
  }
  for (const char* good : {"localhost:0", "[::]:7443", "127.0.0.1:65535", "gate.example:443"}) {
    EXPECT_TRUE(GateConfig::Parse(std::string(kMinimal) + "[listen]\naddress = \"" + good + "\"\n",
                                  "gate.toml")
                    .ok())
        << good;
  }
}

TEST(GateConfigTest, Durations) {
  EXPECT_EQ(ParseConfigDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(ParseConfigDuration("15m"), absl::Minutes(15));
  EXPECT_EQ(ParseConfigDuration("12h"), absl::Hours(12));
  EXPECT_EQ(ParseConfigDuration("30d"), absl::Hours(720));
  for (const char* bad : {"", "s", "12", "-1s", "+1s", "1.5h", "1h30m", " 1s", "1 s", "1w",
                          "99999999999s", "0x1s"}) {
    EXPECT_EQ(ParseConfigDuration(bad), std::nullopt) << bad;
  }
}

TEST(GateConfigTest, ReadsRules) {
  auto config = GateConfig::Parse(std::string(kMinimal) + R"([rules]
exempt = ["/grpc.health.v1.Health/Check"]
unlisted = "refuse"
[[rule]]
methods = ["/a.B/C", "/a.B/D"]
any_role = ["admin"]
fresh = "call"
)", "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->rules.rules.size(), 1u);
  EXPECT_THAT(config->rules.rules[0].methods, ElementsAre("/a.B/C", "/a.B/D"));
  EXPECT_TRUE(config->rules.rules[0].fresh_call);
  EXPECT_FALSE(config->rules.permit_unlisted);
}

TEST(GateConfigTest, TheDocumentsExampleParses) {
  std::ifstream file(std::string(FOREKEY_SOURCE) + "/docs/CONFIG.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string document = text.str();
  const size_t begin = document.find("```toml\n");
  ASSERT_NE(begin, std::string::npos);
  const size_t end = document.find("```", begin + 8);
  const std::string example = document.substr(begin + 8, end - begin - 8);
  auto config = GateConfig::Parse(example, "docs/CONFIG.md");
  EXPECT_TRUE(config.ok()) << config.status();
}

}  // namespace
}  // namespace forekey
