// SPDX-License-Identifier: Apache-2.0
// The configuration: defaults that work, and every mistake named with its line, all at once.
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/gate/config/config.h"
#include "src/gate/factor/password_config.h"
#include "src/gate/settings/config_reader.h"
#include "src/gate/token/fido2_config.h"
#include "src/gate/token/piv_config.h"
#include "src/gate/token/tpm_config.h"

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
  EXPECT_FALSE(config->tokens.Get<TpmConfig>().insecure_simulators);
  EXPECT_EQ(config->rules.permit_unlisted, std::nullopt);
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
methods = ["/a*.B/C"]
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
  EXPECT_THAT(
      ErrorsOf(std::string(kMinimal) + "[rules]\nexempt = [\"/forekey.v1.Gate/OpenSession\"]\n"),
      HasSubstr("the gate's own"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.tpm]\nek_allow_list = [\"abc\"]\n"),
              HasSubstr("64 hex digits"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[[rule]]\nmethods=[\"/a.B/C\"]\nany_role=[]\n"),
              HasSubstr("rule.any_role: is empty"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[sessions]\nidle=\"2h\"\nabsolute=\"1h\"\n"),
              HasSubstr("longer than sessions.absolute"));
}

TEST(GateConfigTest, ReadsWhichEndorsementKeysAreTaken) {
  const auto text = [](const std::string& value) {
    return absl::StrCat(kMinimal, "[attestation.tpm]\nek_algorithms = ", value, "\n");
  };
  const auto config = GateConfig::Parse(text(R"(["P-256", "RSA-2048"])"), "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->tokens.Get<TpmConfig>().ek_algorithms, ElementsAre("P-256", "RSA-2048"));
  EXPECT_THAT(ErrorsOf(text(R"(["ES256"])")),
              HasSubstr("attestation.tpm.ek_algorithms: \"ES256\" is none of RSA-2048, "));
  EXPECT_THAT(ErrorsOf(text("[]")), HasSubstr("ek_algorithms: is empty"));
}

TEST(GateConfigTest, ReadsWhatFido2KeysMustBe) {
  auto config = GateConfig::Parse(std::string(kMinimal) + R"([attestation.fido2]
rp_id = "login.example"
trust = "roots"
mds = "/blob.jwt"
mds_root = "mds.pem"
mds_crls = "mds-crls"
user_verification = "required"
platform_user_verification = true
clone_policy = "report"
min_certification_level = 2
aaguid_allow = ["41424344-4546-4748-494A-4B4C4D4E4F50"]
)",
                                  "gate.toml", "/etc/forekey");
  ASSERT_TRUE(config.ok()) << config.status();
  const Fido2Config& fido2 = config->tokens.Get<Fido2Config>();
  EXPECT_EQ(fido2.rp_id, "login.example");
  EXPECT_EQ(fido2.trust, "/etc/forekey/roots");
  EXPECT_EQ(fido2.mds, "/blob.jwt");
  EXPECT_EQ(fido2.mds_root, "/etc/forekey/mds.pem");
  EXPECT_EQ(fido2.mds_crls, "/etc/forekey/mds-crls");
  EXPECT_TRUE(fido2.policy.require_user_verification);
  EXPECT_TRUE(fido2.policy.platform_user_verification);
  EXPECT_FALSE(fido2.refuse_clones);
  EXPECT_EQ(fido2.policy.min_certification_level, 2);
  EXPECT_THAT(fido2.policy.aaguid_allow, ElementsAre("ABCDEFGHIJKLMNOP"));
  EXPECT_TRUE(fido2.Enrols());
}

TEST(GateConfigTest, Fido2DefaultsAreStrict) {
  auto config = GateConfig::Parse(kMinimal, "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->tokens.Get<Fido2Config>().Enrols());
  EXPECT_TRUE(config->tokens.Get<Fido2Config>().refuse_clones);
  EXPECT_FALSE(config->tokens.Get<Fido2Config>().policy.platform_user_verification);
  EXPECT_FALSE(config->tokens.Get<Fido2Config>().policy.allow_self);
  EXPECT_FALSE(config->tokens.Get<Fido2Config>().policy.allow_none);
  EXPECT_FALSE(config->tokens.Get<Fido2Config>().policy.allow_backup_eligible);
  EXPECT_TRUE(config->tokens.Get<Fido2Config>().policy.refuse_bad_status);
}

TEST(GateConfigTest, NamesWhatIsWrongAboutFido2) {
  const auto errors = [](const std::string& lines) {
    return ErrorsOf(std::string(kMinimal) + "[attestation.fido2]\n" + lines);
  };
  EXPECT_THAT(errors("rp_id = \"a b\"\n"), HasSubstr("attestation.fido2.rp_id: must be"));
  EXPECT_THAT(errors("user_verification = \"maybe\"\n"),
              HasSubstr("\"required\" or \"preferred\""));
  EXPECT_THAT(errors("clone_policy = \"ignore\"\n"), HasSubstr("\"refuse\" or \"report\""));
  EXPECT_THAT(errors("aaguid_deny = [\"xyz\"]\n"), HasSubstr("is not an AAGUID"));
  EXPECT_THAT(errors("aaguid_allow = []\n"), HasSubstr("aaguid_allow: is empty"));
  EXPECT_THAT(errors("mds = \"x\"\n"), HasSubstr("go together"));
  EXPECT_THAT(errors("mds_root = \"x\"\n"), HasSubstr("go together"));
  EXPECT_THAT(errors("mds_crls = \"x\"\n"), HasSubstr("mds_crls: needs mds"));
  EXPECT_THAT(errors("min_certification_level = 1\n"), HasSubstr("needs mds"));
  EXPECT_THAT(errors("min_certification_level = 4\n"), HasSubstr("from 0 to 3"));
  EXPECT_THAT(errors("simulator_trust = \"x\"\n"), HasSubstr("needs insecure_simulators"));
  EXPECT_THAT(errors("insecure_simulators = true\n"), HasSubstr("names no folder"));
  EXPECT_THAT(errors("allow_self = true\n"
                     "aaguid_allow = [\"41424344-4546-4748-494a-4b4c4d4e4f50\"]\n"),
              HasSubstr("allow_self: has no effect"));
  EXPECT_THAT(errors("aaguid_deny = [\"41424344-4546-4748-494a-4b4c4d4e4f50\"]\n"
                     "aaguid_allow = [\"41424344-4546-4748-494a-4b4c4d4e4f50\"]\n"),
              HasSubstr("is in aaguid_allow, too"));
}

TEST(GateConfigTest, ReadsPiv) {
  auto config = GateConfig::Parse(std::string(kMinimal) + R"([attestation.piv]
trust = "piv-roots"
issuers = "/agency"
crls = "crls"
slots = ["9a", "9C", "82"]
allow_shared = true
require_pin = "always"
require_touch = "cached"
min_firmware = "5.7"
fips_only = true
form_factors = ["usb-c-nano"]
serial_allow = ["12345678"]
refuse_weak = "all"
hardware_policies = ["2.16.840.1.101.3.2.1.3.13"]
hardware_only = true
dedicated_usages = ["1.2.3.4.99"]
)",
                                  "gate.toml", "/etc/forekey");
  ASSERT_TRUE(config.ok()) << config.status();
  const PivConfig& piv = config->tokens.Get<PivConfig>();
  EXPECT_EQ(piv.trust, "/etc/forekey/piv-roots");
  EXPECT_EQ(piv.issuers, "/agency");
  EXPECT_EQ(piv.crls, "/etc/forekey/crls");
  EXPECT_THAT(piv.policy.slots, ElementsAre(0x82, 0x9a, 0x9c));
  EXPECT_TRUE(piv.policy.allow_shared);
  EXPECT_EQ(piv.policy.pin, PivPolicy::Pin::kAlways);
  EXPECT_EQ(piv.policy.touch, PivPolicy::Touch::kCached);
  EXPECT_EQ(piv.policy.min_firmware, (PivFirmware{5, 7, 0}));
  EXPECT_TRUE(piv.policy.fips_only);
  EXPECT_THAT(piv.policy.form_factors, ElementsAre(4));
  EXPECT_THAT(piv.policy.serial_allow, ElementsAre(12345678u));
  EXPECT_EQ(piv.policy.weakness, PivWeakness::kRefuseAll);
  EXPECT_TRUE(piv.policy.hardware_only);
  EXPECT_TRUE(piv.Enrols());
}

TEST(GateConfigTest, PivDefaultsAreStrict) {
  auto config = GateConfig::Parse(kMinimal, "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->tokens.Get<PivConfig>().Enrols());
  EXPECT_FALSE(config->tokens.Get<PivConfig>().policy.allow_shared);
  EXPECT_EQ(config->tokens.Get<PivConfig>().policy.weakness, PivWeakness::kRefuseRecoverable);
}

TEST(GateConfigTest, EveryPivChoiceMeansWhatItSays) {
  const auto read = [](const std::string& line) {
    auto config =
        GateConfig::Parse(std::string(kMinimal) + "[attestation.piv]\n" + line + "\n", "gate.toml");
    EXPECT_TRUE(config.ok()) << line << ": " << config.status();
    return config->tokens.Get<PivConfig>().policy;
  };
  EXPECT_EQ(read("").pin, PivPolicy::Pin::kAny);
  EXPECT_EQ(read("require_pin = \"any\"").pin, PivPolicy::Pin::kAny);
  EXPECT_EQ(read("require_pin = \"once\"").pin, PivPolicy::Pin::kOnce);
  EXPECT_EQ(read("require_pin = \"always\"").pin, PivPolicy::Pin::kAlways);
  EXPECT_EQ(read("").touch, PivPolicy::Touch::kAny);
  EXPECT_EQ(read("require_touch = \"any\"").touch, PivPolicy::Touch::kAny);
  EXPECT_EQ(read("require_touch = \"cached\"").touch, PivPolicy::Touch::kCached);
  EXPECT_EQ(read("require_touch = \"always\"").touch, PivPolicy::Touch::kAlways);
  EXPECT_EQ(read("refuse_weak = \"none\"").weakness, PivWeakness::kReport);
  EXPECT_EQ(read("refuse_weak = \"recoverable\"").weakness, PivWeakness::kRefuseRecoverable);
  EXPECT_EQ(read("refuse_weak = \"all\"").weakness, PivWeakness::kRefuseAll);
  EXPECT_EQ(read("").min_firmware, std::nullopt);
  EXPECT_THAT(read("serial_deny = [\"0\", \"18446744073709551615\"]").serial_deny,
              ElementsAre(0u, 18446744073709551615u));
  EXPECT_THAT(read("slots = [\"9C\", \"95\"]").slots, ElementsAre(0x95, 0x9c));
}

TEST(GateConfigTest, PivNumbersAreNumbersAndNothingElse) {
  for (const char* bad : {"", "+5", " 5", "5 ", "0x5", "1e3", "18446744073709551616"}) {
    EXPECT_THAT(
        ErrorsOf(std::string(kMinimal) + "[attestation.piv]\nserial_allow = [\"" + bad + "\"]\n"),
        HasSubstr("is not a serial number"))
        << bad;
  }
  for (const char* bad : {"", "9", "9ab", "+9", "0x", "81", "96", "9f"}) {
    EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation.piv]\nslots = [\"" + bad + "\"]\n"),
                HasSubstr("is not one of 9a"))
        << bad;
  }
}

TEST(GateConfigTest, RefusesPivThatContradictsItself) {
  const auto errors = [](const std::string& lines) {
    return ErrorsOf(std::string(kMinimal) + "[attestation.piv]\n" + lines);
  };
  EXPECT_THAT(errors("slots = [\"9b\"]\n"), HasSubstr("is not one of 9a, 9c"));
  EXPECT_THAT(errors("slots = [\"f9\"]\n"), HasSubstr("is not one of 9a, 9c"));
  EXPECT_THAT(errors("slots = [\"9a\"]\n"), HasSubstr("needs allow_shared"));
  EXPECT_THAT(errors("slots = []\n"), HasSubstr("slots: is empty"));
  EXPECT_THAT(errors("require_pin = \"yes\"\n"), HasSubstr("require_pin: must be"));
  EXPECT_THAT(errors("require_touch = \"once\"\n"), HasSubstr("require_touch: must be"));
  EXPECT_THAT(errors("refuse_weak = \"some\"\n"), HasSubstr("refuse_weak: must be"));
  EXPECT_THAT(errors("min_firmware = \"new\"\n"), HasSubstr("min_firmware: must be like"));
  EXPECT_THAT(errors("form_factors = [\"big\"]\n"), HasSubstr("is not a form factor"));
  EXPECT_THAT(errors("serial_deny = [\"-1\"]\n"), HasSubstr("is not a serial number"));
  EXPECT_THAT(errors("serial_deny = [\"1\"]\nserial_allow = [\"1\"]\n"),
              HasSubstr("is in serial_allow, too"));
  EXPECT_THAT(errors("issuers = \"x\"\nhardware_policies = [\"one\"]\n"),
              HasSubstr("is not a dotted OID"));
  EXPECT_THAT(errors("hardware_policies = [\"1.2.3\"]\n"), HasSubstr("needs issuers"));
  for (const char* key : {"dedicated_usages", "required_usages"}) {
    EXPECT_THAT(errors(absl::StrCat(key, " = [\"1.2.3\"]\n")), HasSubstr("needs issuers"));
    EXPECT_THAT(errors(absl::StrCat("issuers = \"x\"\n", key, " = [\"one\"]\n")),
                HasSubstr("is not a dotted OID"));
  }
  // Lists are about attestations, too.
  EXPECT_THAT(errors("crls = \"x\"\n"), HasSubstr("needs issuers"));
  EXPECT_TRUE(GateConfig::Parse(
                  std::string(kMinimal) + "[attestation.piv]\ntrust = \"roots\"\ncrls = \"x\"\n",
                  "gate.toml")
                  .ok());
  EXPECT_THAT(errors("hardware_only = true\n"), HasSubstr("needs hardware_policies"));
  EXPECT_THAT(errors("simulator_trust = \"x\"\n"), HasSubstr("needs insecure_simulators"));
  EXPECT_THAT(errors("insecure_simulators = true\n"), HasSubstr("names no folder"));
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
  for (const char* bad :
       {"", "s", "12", "-1s", "+1s", "1.5h", "1h30m", " 1s", "1 s", "1w", "99999999999s", "0x1s"}) {
    EXPECT_EQ(ParseConfigDuration(bad), std::nullopt) << bad;
  }
}

TEST(GateConfigTest, WhatBecomesOfEnrolledCredentialsIsOneOfThree) {
  using Recheck = GateConfig::Recheck;
  EXPECT_EQ(GateConfig::Parse(kMinimal, "gate.toml")->recheck, Recheck::kReport);
  for (const auto& [text, recheck] : std::map<std::string, Recheck>{
           {"off", Recheck::kOff}, {"report", Recheck::kReport}, {"revoke", Recheck::kRevoke}}) {
    const auto config = GateConfig::Parse(
        absl::StrCat(kMinimal, "[attestation]\nrecheck = \"", text, "\"\n"), "gate.toml");
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->recheck, recheck);
  }
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[attestation]\nrecheck = \"delete\"\n"),
              HasSubstr("gate.toml:8: attestation.recheck: must be"));
}

TEST(GateConfigTest, ANoticeNeedsSomebodyToHearIt) {
  auto config = GateConfig::Parse(
      std::string(kMinimal) + "[health]\nservice = true\nnotice = \"5s\"\n", "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->health.notice, absl::Seconds(5));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[health]\nnotice = \"5s\"\n"),
              HasSubstr("gate.toml:8: health.notice: needs service = true"));
  EXPECT_THAT(ErrorsOf(std::string(kMinimal) + "[health]\nservice = true\nnotice = \"2h\"\n"),
              HasSubstr("health.notice"));
}

TEST(GateConfigTest, ReadsRules) {
  auto config = GateConfig::Parse(std::string(kMinimal) + R"([rules]
exempt = ["/grpc.health.v1.Health/Check"]
unlisted = "refuse"
[[rule]]
methods = ["/a.B/C", "/a.B/D"]
any_role = ["admin"]
fresh = "call"
)",
                                  "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->rules.rules.size(), 1u);
  EXPECT_THAT(config->rules.rules[0].methods, ElementsAre("/a.B/C", "/a.B/D"));
  EXPECT_TRUE(config->rules.rules[0].fresh_call);
  EXPECT_FALSE(config->rules.permit_unlisted.value());
}

TEST(GateConfigTest, ReadsWhichFactorsARuleWants) {
  auto config = GateConfig::Parse(std::string(kMinimal) + R"([[rule]]
methods = ["/a.B/*"]
factors = [["tpm", "password:15m"], ["fido2+uv"]]
fresh = "12h"
child_sessions = false
reauthenticate = true
)",
                                  "gate.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rules.permit_unlisted, std::nullopt);
  const MethodRule& rule = config->rules.rules.at(0);
  ASSERT_EQ(rule.factors.size(), 2u);
  ASSERT_EQ(rule.factors[0].size(), 2u);
  EXPECT_EQ(rule.factors[0][0].name, "tpm");
  EXPECT_EQ(rule.factors[0][0].max_age, absl::Hours(12));
  EXPECT_EQ(rule.factors[0][1].name, "password");
  EXPECT_EQ(rule.factors[0][1].max_age, absl::Minutes(15));
  EXPECT_EQ(rule.factors[1][0].max_age, absl::Hours(12));
  EXPECT_FALSE(rule.child_sessions);
  EXPECT_TRUE(rule.reauthenticate);
  EXPECT_FALSE(rule.fresh_call);
  EXPECT_EQ(rule.line, 8);
}

TEST(GateConfigTest, BoundsOfThePasswordFactorAndOfUnlisted) {
  const auto errors_of = [](const std::string& text) {
    return ErrorsOf(std::string(kMinimal) + text);
  };
  for (const char* bad :
       {"memory_mib=7", "memory_mib=4097", "passes=0", "passes=101", "concurrent=0",
        "concurrent=65", "tries=0", "tries=1001", "per=\"9s\"", "per=\"25h\""}) {
    const std::string key = std::string(bad).substr(0, std::string(bad).find('='));
    EXPECT_THAT(errors_of(std::string("[factors.password]\n") + bad + "\n"),
                HasSubstr("factors.password." + key))
        << bad;
  }
  auto least = GateConfig::Parse(std::string(kMinimal) +
                                     "[factors.password]\nmemory_mib=8\npasses=1\n"
                                     "concurrent=1\ntries=1\nper=\"10s\"\n",
                                 "gate.toml");
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_TRUE(least->factors.Get<PasswordSection>().policy.enabled);
  EXPECT_EQ(least->factors.Get<PasswordSection>().policy.tries, 1u);
  EXPECT_FALSE(
      GateConfig::Parse(kMinimal, "gate.toml")->factors.Get<PasswordSection>().policy.enabled);
  EXPECT_THAT(errors_of("[rules]\nunlisted=\"maybe\"\n"), HasSubstr("rules.unlisted: must be"));
  EXPECT_THAT(errors_of("[[rule]]\nmethods=[]\n"),
              HasSubstr("rule.methods: must name at least one"));
  EXPECT_THAT(errors_of("[[rule]]\nmethods=[\"/a.B/C\"]\nany_role=[]\n"),
              HasSubstr("rule.any_role: is empty"));
}

TEST(GateConfigTest, MistakesInRulesHaveTheirLines) {
  const auto errors_of = [](const std::string& rules) {
    return ErrorsOf(std::string(kMinimal) + rules);
  };
  const std::string begin = "[[rule]]\nmethods=[\"/a.B/*\"]\n";
  EXPECT_THAT(errors_of(begin + "factors=[\"tpm\"]\n"),
              HasSubstr("gate.toml:9: rule.factors: must be an array of"));
  EXPECT_THAT(errors_of(begin + "factors=[[\"tpm\",1]]\n"),
              HasSubstr("gate.toml:9: rule.factors: must be an array of"));
  EXPECT_THAT(errors_of(begin + "factors=[]\n"), HasSubstr("gate.toml:9: rule.factors: is empty"));
  EXPECT_THAT(errors_of(begin + "factors=[[\"tpm:x\"]]\n"),
              HasSubstr("gate.toml:9: rule.factors: \"tpm:x\""));
  EXPECT_THAT(errors_of(begin + "factors=[[\"eye\"]]\n"), HasSubstr("\"eye\" is no factor"));
  EXPECT_THAT(errors_of(begin + "fresh=\"soon\"\n"),
              HasSubstr("gate.toml:9: rule.fresh: must be \"call\" or"));
  EXPECT_THAT(errors_of(begin + "fresh=\"0s\"\n"), HasSubstr("rule.fresh: must be \"call\" or"));
  EXPECT_THAT(errors_of(begin + "fresh=\"call\"\nreauthenticate=true\n"),
              HasSubstr("gate.toml:10: rule.reauthenticate: is for calls that a session"));
  EXPECT_THAT(errors_of(begin + begin),
              HasSubstr("gate.toml:10: rule.methods: /a.B/* stands in two rules"));
  EXPECT_THAT(errors_of(begin + "[[rule]]\nmethods=[\"/*/Get*\"]\n"),
              HasSubstr("gate.toml:10: rule.methods: /*/Get* and /a.B/* (line 8) cross"));
}

TEST(GateConfigTest, ReadsUpstreamsAndRefusesThoseThatLeaveTheMachineInTheClear) {
  const std::string basics =
      "audience=\"a\"\n[tls]\ncertificate=\"c\"\nprivate_key=\"k\"\n[state]\ndirectory=\"s\"\n";
  const auto read = [&](const std::string& upstreams) {
    return GateConfig::Parse(basics + upstreams, "gate.toml", "/etc/gate");
  };
  const std::string shop = "[[upstream]]\nname=\"shop\"\nmethods=[\"/shop.*/*\"]\n";
  const auto good = read(shop +
                         "addresses=[\"unix:/run/shop.sock\", \"shop.internal:443\"]\n"
                         "ca=\"ca.pem\"\nbalance=\"least_requests\"\nhealth=true\n");
  ASSERT_TRUE(good.ok()) << good.status();
  ASSERT_EQ(good->upstreams.size(), 1u);
  EXPECT_EQ(good->upstreams[0].ca, "/etc/gate/ca.pem");
  EXPECT_TRUE(good->upstreams[0].tls);
  EXPECT_TRUE(good->settings.find("upstream") == good->settings.end());

  const auto error = [&](const std::string& upstreams) {
    return std::string(read(upstreams).status().message());
  };
  EXPECT_THAT(error(shop + "addresses=[\"10.0.0.7:80\"]\n"), HasSubstr("without TLS"));
  EXPECT_TRUE(read(shop + "addresses=[\"10.0.0.7:80\"]\nplaintext=true\n").ok());
  EXPECT_THAT(error(shop + "addresses=[\"127.0.0.1:80\"]\ncertificate=\"c\"\n"),
              HasSubstr("private_key"));
  EXPECT_THAT(error(shop + "addresses=[\"127.0.0.1\"]\n"), HasSubstr("must be host:port"));
  const std::string local = "addresses=[\"127.0.0.1:80\"]\n";
  const auto other = [&](const std::string& methods) {
    return shop + local + "[[upstream]]\nname=\"other\"\nmethods=[" + methods + "]\n" + local;
  };
  EXPECT_TRUE(read(other("\"/shop.Orders/Get*\"")).ok());
  EXPECT_THAT(error(other("\"/shop.*/*\"")), HasSubstr("is upstream shop's already"));
  EXPECT_THAT(error(other("\"/*/Get*\"")), HasSubstr("share \"/shop.*/Get*\""));
  EXPECT_TRUE(read(other("\"/*/Get*\", \"/shop.*/Get*\"")).ok());
  EXPECT_THAT(error(shop + local + shop + local), HasSubstr("another upstream's"));
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
