// SPDX-License-Identifier: Apache-2.0
// Bad input from the disk: a clear error, nothing lost, nothing written over.
#include <sys/stat.h>

#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using ::testing::HasSubstr;

using AgentStateTest = AgentFixture;

TEST_F(AgentStateTest, ABrokenRecordIsReportedAndLeftAlone) {
  StartEnrolled();
  std::string good = *ReadFile(RecordPath());
  for (const std::string& broken :
       {std::string("{"), std::string(""), std::string("[]"), good.substr(0, good.size() / 2),
        std::string("{\"version\": 2}")}) {
    Stop();
    ASSERT_TRUE(WriteFileAtomically(RecordPath(), broken, 0600).ok());
    ASSERT_TRUE(Start().ok()) << "one broken record must not stop the others";
    v1::GetStatusResponse status = agent().GetStatus();
    ASSERT_EQ(status.problems_size(), 1);
    EXPECT_THAT(status.problems(0), HasSubstr("gate.test"));
    absl::Status login = GetPrefix("/test.Echo/Say", "gate.test").status();
    EXPECT_TRUE(absl::IsFailedPrecondition(login)) << login;
    EXPECT_THAT(std::string(login.message()), HasSubstr("record is malformed"));
    // Nor is it overwritten by another enrolment.
    EXPECT_FALSE(Enroll(gate_).ok());
    EXPECT_EQ(*ReadFile(RecordPath()), broken);
  }
  Stop();
  ASSERT_TRUE(WriteFileAtomically(RecordPath(), good, 0600).ok());
  ASSERT_TRUE(Start().ok());
  EXPECT_TRUE(Login().ok());
}

TEST_F(AgentStateTest, FilesOpenToOthersAreRefused) {
  StartEnrolled();
  Stop();
  ASSERT_EQ(chmod(RecordPath().c_str(), 0644), 0);
  ASSERT_TRUE(Start().ok());
  absl::Status login = GetPrefix("/test.Echo/Say", "gate.test").status();
  EXPECT_THAT(std::string(login.message()), HasSubstr("chmod 600"));
  ASSERT_EQ(chmod(RecordPath().c_str(), 0600), 0);
  Restart();
  std::string folder = state_ + "/gates/gate.test";
  for (const std::string& file : Files()) {
    if (file != "record.json") {
      ASSERT_EQ(chmod((folder + "/" + file).c_str(), 0640), 0);
    }
  }
  login = Login().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(login)) << login;
  EXPECT_THAT(std::string(login.message()), HasSubstr("chmod 600"));
  Stop();
  ASSERT_EQ(chmod(state_.c_str(), 0755), 0);
  absl::Status started = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("chmod 700"));
}

TEST_F(AgentStateTest, ARecordInAnotherGatesFolderIsRefused) {
  StartEnrolled();
  Stop();
  std::filesystem::rename(state_ + "/gates/gate.test", state_ + "/gates/other.test");
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
  EXPECT_EQ(agent().GetStatus().problems_size(), 1);
}

GateRecord SomeRecord() {
  GateRecord record;
  record.target = {"gate.test", "127.0.0.1:1", "pem", "name"};
  record.subject = "alice";
  record.identities = {std::string(32, 'i')};
  HeldCredential credential;
  credential.id = std::string(32, 'c');
  credential.kind = v1::TOKEN_KIND_TPM;
  credential.key_file = "abc.key";
  credential.driver = "tpm";
  credential.label = "laptop";
  credential.pending = true;
  record.credentials = {credential};
  return record;
}

TEST(GateRecordTest, ReadsWhatItWrites) {
  std::string json = SomeRecord().Serialize();
  auto read = GateRecord::Parse(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Serialize(), json);
  EXPECT_TRUE(read->credentials[0].pending);
}

TEST(GateRecordTest, RefusesOtherTypesAndSizes) {
  using nlohmann::json;
  const json good = json::parse(SomeRecord().Serialize());
  auto refused = [&](const char* pointer, json value) {
    json changed = good;
    changed[json::json_pointer(pointer)] = std::move(value);
    auto read = GateRecord::Parse(changed.dump());
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << pointer << " " << changed.dump();
  };
  refused("/version", 2);
  refused("/version", "1");
  refused("/audience", 1);
  refused("/audience", "a b");
  refused("/address", "");
  refused("/ca_pem", json::array());
  refused("/subject", "-x");
  refused("/gate_identities", json::array());
  refused("/gate_identities", "x");
  refused("/gate_identities/0", "00");
  refused("/gate_identities/0", 5);
  refused("/gate_identities", json::array({good["gate_identities"][0], good["gate_identities"][0],
                                           good["gate_identities"][0]}));
  refused("/credentials", json::object());
  refused("/credentials/0", "x");
  refused("/credentials/0/id", "zz");
  refused("/credentials/0/kind", "toaster");
  refused("/credentials/0/pending", "yes");
  refused("/credentials/0/enrolled_unix_s", "x");
  for (const char* name : {"../../x", "/etc/passwd", "", ".hidden", "a/b"}) {
    refused("/credentials/0/key_file", name);
  }
  EXPECT_FALSE(GateRecord::Parse(good.dump() + "x").ok()) << "something left over";
}

TEST(GateRecordTest, ALabelThatIsNoTextDoesNotEndTheProgram) {
  GateRecord record = SomeRecord();
  record.credentials[0].label = "\xff\xfe";
  EXPECT_TRUE(GateRecord::Parse(record.Serialize()).ok());
}

TEST_F(AgentStateTest, FolderNamesAreHarmless) {
  auto state = StateDirectory::Open(root_ + "/names");
  ASSERT_TRUE(state.ok()) << state.status();
  std::string gates = root_ + "/names/gates/";
  EXPECT_EQ((*state)->FolderOf(".."), gates + "%2e.");
  EXPECT_EQ((*state)->FolderOf("."), gates + "%2e");
  EXPECT_EQ((*state)->FolderOf("a:b%c"), gates + "a%3ab%25c");
  EXPECT_LE((*state)->FolderOf(std::string(255, ':')).size(), gates.size() + 200);
}

}  // namespace
}  // namespace forekey
