// SPDX-License-Identifier: Apache-2.0
// `forekey enroll` at a terminal: what it shows and asks before anything is made.
#include <algorithm>
#include <sstream>

#include "CLI/CLI.hpp"
#include "src/cli/client/client_commands.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class EnrollDialogueTest : public AgentFixture {
 protected:
  void SetUp() override {
    const absl::Status started = Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  // Runs `forekey` with those words, and a person who answers so (null: nobody sits there).
  int Run(std::vector<std::string> words, const char* answers) {
    std::istringstream in(answers == nullptr ? "" : answers);
    out_.str("");
    err_.str("");
    int exit_status = -1;
    CLI::App app;
    AddClientCommands(app, out_, err_, &exit_status, Dialogue{in, err_, answers != nullptr});
    words.push_back("--socket");
    words.push_back(socket_);
    std::reverse(words.begin(), words.end());
    app.parse(std::move(words));
    return exit_status;
  }
  std::string Invited() { return gate_.MakeInvite("alice").Serialize(); }

  std::ostringstream out_, err_;
};

TEST_F(EnrollDialogueTest, ShowsGateSubjectAndDeviceBeforeAnythingIsMade) {
  EXPECT_NE(Run({"enroll", Invited()}, "n\n"), 0);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("enrolled at gate.test ("), HasSubstr(") as alice."),
                                HasSubstr("Go on? [Y/n]"), HasSubstr("nothing was made")));
  EXPECT_EQ(token_.signatures, 0);
  EXPECT_EQ(gate_.counts().enrolled, 0);
  EXPECT_TRUE(agent().GetStatus().gates().empty());
  EXPECT_EQ(Run({"enroll", Invited()}, "y\n"), 0) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("enrolled at gate.test as alice"));
  EXPECT_EQ(gate_.counts().enrolled, 1);
}

TEST_F(EnrollDialogueTest, OfSeveralDevicesThePersonChoosesOne) {
  token_.devices = 3;
  EXPECT_NE(Run({"enroll", Invited()}, "\n"), 0);
  EXPECT_THAT(err_.str(), HasSubstr("none was chosen"));
  EXPECT_EQ(Run({"enroll", Invited()}, "2\ny\n"), 0) << err_.str();
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("1) "), HasSubstr("3) "),
                                HasSubstr("In which device is the key to be? [1-3]")));
}

TEST_F(EnrollDialogueTest, NothingIsAskedWhereNobodySitsOrYesWasSaid) {
  EXPECT_EQ(Run({"enroll", Invited()}, nullptr), 0) << err_.str();
  EXPECT_THAT(err_.str(), Not(HasSubstr("Go on?")));
  EXPECT_EQ(Run({"enroll", Invited(), "--yes"}, ""), 0) << err_.str();
  EXPECT_THAT(err_.str(), Not(HasSubstr("Go on?")));
  token_.devices = 2;
  EXPECT_NE(Run({"enroll", Invited()}, nullptr), 0);
  EXPECT_THAT(err_.str(), HasSubstr("say which one with --device"));
}

TEST_F(EnrollDialogueTest, ALinksGateIsToldNothingBeforeThePersonSaysYes) {
  for (const char* no : {"\n\n", "n\n\n", ""}) {
    EXPECT_NE(Run({"enroll", "--link", Invited()}, no), 0);
    EXPECT_THAT(err_.str(), AllOf(HasSubstr("This link is an invite to the gate gate.test at "),
                                  HasSubstr("[y/N]"), HasSubstr("the gate was not asked"),
                                  HasSubstr("Press Enter to close.")));
  }
  EXPECT_EQ(gate_.counts().challenges, 0);
  EXPECT_EQ(Run({"enroll", "--link", Invited()}, "y\ny\n\n"), 0) << err_.str();
  EXPECT_EQ(gate_.counts().enrolled, 1);
}

TEST_F(EnrollDialogueTest, WhatALinksGateSaysDoesNotCommandTheTerminal) {
  FakeGate::Faults faults;
  faults.finish_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no\x1b[2Jwelcome");
  gate_.Misbehave(faults);
  EXPECT_NE(Run({"enroll", "--link", Invited()}, "y\ny\n\n"), 0);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("\\x1b[2Jwelcome"), Not(HasSubstr("\x1b"))));
}

TEST_F(EnrollDialogueTest, ALinkIsAnInviteAndNeedsAPerson) {
  EXPECT_NE(Run({"enroll", "--link", Invited()}, nullptr), 0);
  EXPECT_THAT(err_.str(), HasSubstr("at a terminal"));
  EXPECT_NE(Run({"enroll", "--link", "@/etc/passwd"}, "y\ny\n"), 0);
  EXPECT_THAT(err_.str(), HasSubstr("it does not begin with"));
  EXPECT_EQ(gate_.counts().challenges, 0);
}

}  // namespace
}  // namespace forekey
