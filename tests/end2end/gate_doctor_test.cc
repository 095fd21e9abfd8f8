// SPDX-License-Identifier: Apache-2.0
// Each finding of `forekey-gate doctor` in a world that is broken that way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_replace.h"
#include "src/base/file.h"
#include "src/cli/gate/gate_doctor.h"
#include "src/gate/config/config.h"
#include "src/gate/grpc/self_signed.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gate_command.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Not;

class GateDoctorTest : public ::testing::Test {
 protected:
  GateDoctorTest() : folder_(directory_.path() + "/gate"), config_(folder_ + "/gate.toml") {
    const CommandResult made =
        RunGate({"init", "--directory", folder_, "--audience", "doc.test", "--listen",
                 "127.0.0.1:0", "--advertise", "localhost:7443"});
    EXPECT_EQ(made.exit_status, 0) << made.err;
    options_.config_file = config_;
    options_.now = absl::Now();
    options_.free_bytes = [](const std::string&) { return int64_t{1} << 40; };
    options_.clock_is_synchronised = [] { return true; };
  }

  // The finding with that id; an empty one where there is none.
  Finding Find(const std::string& id) {
    for (const Finding& one : DiagnoseGateMachine(options_)) {
      if (one.id == id) return one;
    }
    return {};
  }
  void ExpectFound(const std::string& id, Finding::Level level, const std::string& seen) {
    const Finding found = Find(id);
    ASSERT_EQ(found.id, id);
    EXPECT_EQ(found.level, level);
    EXPECT_THAT(found.seen, HasSubstr(seen));
    EXPECT_NE(found.why, "");
    EXPECT_NE(found.mend, "");
  }
  void Edit(const std::string& from, const std::string& to) {
    const std::string text = Must(ReadFile(config_), "config");
    ASSERT_THAT(text, HasSubstr(from));
    Must(WriteFileAtomically(config_, absl::StrReplaceAll(text, {{from, to}})), "config");
  }

  TempDirectory directory_;
  const std::string folder_, config_;
  GateDoctorOptions options_;
};

constexpr auto kBad = Finding::Level::kBad;
constexpr auto kNote = Finding::Level::kNote;

TEST_F(GateDoctorTest, ANewGateHasNothingToMend) {
  const std::vector<Finding> findings = DiagnoseGateMachine(options_);
  EXPECT_EQ(ExitStatusOf(findings), 0);
  for (const Finding& one : findings) EXPECT_NE(one.level, kBad) << one.id << ": " << one.seen;
  EXPECT_EQ(Find("certificate").level, Finding::Level::kGood);
  ExpectFound("nobody-can-enrol", kNote, "nobody can enrol");
  ExpectFound("no-registry", kNote, "registry");
  ExpectFound("not-running", kNote, "no gate runs");
}

TEST_F(GateDoctorTest, AMistakeInTheConfiguration) {
  Edit("[listen]", "[lissen]");
  ExpectFound("config", kBad, "gate.toml:");
  EXPECT_EQ(ExitStatusOf(DiagnoseGateMachine(options_)), 1);
  std::filesystem::remove(config_);
  ExpectFound("config", kBad, "gate.toml");
}

TEST_F(GateDoctorTest, ACertificateThatEndsOrHasEnded) {
  options_.now += absl::Hours(24 * 350);
  ExpectFound("certificate-ends-soon", kNote, "ends on");
  options_.now += absl::Hours(24 * 30);
  ExpectFound("certificate-expired", kBad, "ended on");
}

TEST_F(GateDoctorTest, ACertificateForAnotherName) {
  Edit("localhost:7443", "gate.example:7443");
  ExpectFound("certificate-other-name", kBad, "gate.example");
  Edit("gate.example:7443", "[::]:7443");
  ExpectFound("advertises-no-host", kNote, "[::]:7443");
}

TEST_F(GateDoctorTest, ACaThatDidNotIssueTheCertificate) {
  const auto other = MakeSelfSignedCertificate({"localhost"}, absl::Now(), absl::Hours(24));
  Must(WriteFileAtomically(folder_ + "/tls/other.pem", other->certificate_pem), "other");
  Edit("ca = \"tls/ca.pem\"", "ca = \"tls/other.pem\"");
  ExpectFound("certificate-not-by-ca", kBad, "[tls] ca");
}

TEST_F(GateDoctorTest, ADiskThatIsFull) {
  options_.free_bytes = [](const std::string&) { return int64_t{10} << 20; };
  ExpectFound("disk-full", kBad, "10 MiB");
  options_.free_bytes = [](const std::string&) { return int64_t{200} << 20; };
  ExpectFound("disk-full", kNote, "200 MiB");
}

TEST_F(GateDoctorTest, AClockThatNobodyKeeps) {
  options_.clock_is_synchronised = [] { return false; };
  ExpectFound("clock-not-synchronised", kNote, "clock");
}

TEST_F(GateDoctorTest, ARegistryThatIsDamaged) {
  Must(WriteFileAtomically(folder_ + "/state/registry.sqlite", std::string(8192, 'x'), 0600),
       "file");
  ExpectFound("registry", kBad, "registry.sqlite");
}

TEST_F(GateDoctorTest, AnotherGateWithTheSameName) {
  std::filesystem::copy_file(config_, folder_ + "/second.toml");
  ExpectFound("audience-shared", kBad, "second.toml");
}

TEST_F(GateDoctorTest, AnAddressThatSomebodyElseHas) {
  GatedWorld other;
  other.Start([](grpc::ServerBuilder&) {});
  Edit("127.0.0.1:0", "127.0.0.1:" + std::to_string(other.gate().port()));
  ExpectFound("address-taken", kBad, "in use");
}

TEST_F(GateDoctorTest, AGateThatRunsWithFewDescriptors) {
  Edit("[state]", "[connections]\ntotal = 1000000\n[state]");
  auto gate = Must(Gate::New({.config_file = config_}), "gate");
  grpc::ServerBuilder builder;
  Must(gate->Install(builder), "Install");
  auto server = builder.BuildAndStart();
  EXPECT_EQ(Find("running").level, Finding::Level::kGood);
  ExpectFound("few-descriptors", kBad, "1000000");
  EXPECT_EQ(Find("not-running").id, "");
  server->Shutdown(std::chrono::system_clock::now());
}

TEST_F(GateDoctorTest, TheCommandSaysItForPeopleAndPrograms) {
  const CommandResult people = RunGate({"doctor", "--config", config_});
  EXPECT_EQ(people.exit_status, 0) << people.out;
  EXPECT_THAT(people.out,
              AllOf(HasSubstr("why:  "), HasSubstr("mend: "), HasSubstr("all is well")));
  EXPECT_THAT(people.out, Not(HasSubstr("\033")));
  Edit("[listen]", "[lissen]");
  const CommandResult program = RunGate({"doctor", "--config", config_, "--json"});
  EXPECT_EQ(program.exit_status, 1);
  EXPECT_EQ(program.json()["healthy"], false);
  EXPECT_EQ(program.json()["findings"][0].contains("mend"), true);
}

}  // namespace
}  // namespace forekey::testing
