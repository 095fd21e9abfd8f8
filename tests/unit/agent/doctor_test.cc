// SPDX-License-Identifier: Apache-2.0
// `forekey doctor` with an agent: it finds what is broken, and asks no token to sign.
#include "src/cli/client/doctor.h"

#include <map>

#include "src/base/file.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using Level = Finding::Level;
using testing::AgentFixture;
using ::testing::HasSubstr;

class DoctorTest : public AgentFixture {
 protected:
  std::map<std::string, Finding> Findings() {
    DoctorOptions options;
    options.socket = socket_;
    options.patience = absl::Seconds(10);
    std::map<std::string, Finding> found;
    for (const Finding& one : Diagnose(options)) found[one.id] = one;
    return found;
  }
};

TEST_F(DoctorTest, AnEnrolledAgentIsWellAndNothingWasSigned) {
  StartEnrolled();
  auto found = Findings();
  EXPECT_EQ(found["agent"].level, Level::kGood);
  EXPECT_EQ(found["gate"].level, Level::kGood) << found["gate"].id;
  EXPECT_EQ(found["device"].level, Level::kGood);
  EXPECT_EQ(found["no-session"].level, Level::kNote);
  EXPECT_THAT(found["no-session"].mend, HasSubstr("forekey login --gate gate.test"));
  EXPECT_EQ(token_.signatures, 0);
  ASSERT_TRUE(Login().ok());
  token_.signatures = 0;
  EXPECT_EQ(Findings()["session"].level, Level::kGood);
  EXPECT_EQ(token_.signatures, 0);
}

TEST_F(DoctorTest, AnAgentThatIsEnrolledNowhere) {
  ASSERT_TRUE(Start().ok());
  auto found = Findings();
  EXPECT_EQ(found["enrolled-nowhere"].level, Level::kNote);
  EXPECT_THAT(found["enrolled-nowhere"].mend, HasSubstr("forekey enroll"));
}

TEST_F(DoctorTest, ARecordThatCanNotBeRead) {
  StartEnrolled();
  Stop();
  ASSERT_TRUE(WriteFileAtomically(RecordPath(), "{", 0600).ok());
  ASSERT_TRUE(Start().ok());
  auto found = Findings();
  EXPECT_EQ(found["record-unreadable"].level, Level::kBad);
  EXPECT_THAT(found["record-unreadable"].seen, HasSubstr("gate.test"));
}

TEST_F(DoctorTest, AGateThatIsGone) {
  StartEnrolled();
  Stop();
  auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok());
  record->target.address = "127.0.0.1:1";
  ASSERT_TRUE(WriteFileAtomically(RecordPath(), record->Serialize(), 0600).ok());
  ASSERT_TRUE(Start().ok());
  auto found = Findings();
  EXPECT_EQ(found["gate-no-connection"].level, Level::kBad);
  EXPECT_THAT(found["gate-no-connection"].mend, HasSubstr("forekey-gate doctor"));
}

}  // namespace
}  // namespace forekey
