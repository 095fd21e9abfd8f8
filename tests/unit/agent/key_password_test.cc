// SPDX-License-Identifier: Apache-2.0
// A PIN that a person gave goes to the token that it was given for, as long as it is held, and
// nowhere else: each wrong try brings a token nearer to locking itself.
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "src/base/file.h"
#include "tests/unit/agent/agent_fixture.h"
#include "tests/unit/agent/pending.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using testing::FakeGate;
using ::testing::HasSubstr;
using testing::PendingLogin;

class AgentKeyPasswordTest : public AgentFixture {
 protected:
  // An older and a newer key, which signs where nothing else is said.
  void StartWithTwoKeys() {
    ASSERT_TRUE(Start().ok());
    ASSERT_TRUE(Enroll(gate_, "alice", "older PIN").ok());
    ASSERT_TRUE(Enroll(gate_, "alice", "newer PIN").ok());
    token_.signatures = 0;
  }
  std::string NameOfOlder() {
    return agent().GetStatus().gates(0).credentials(0).id().substr(0, 8);
  }
  absl::StatusOr<v1::OpenLocalSessionResponse> OpenFor(const std::string& method) {
    v1::OpenLocalSessionRequest request;
    request.set_method(method);
    return agent().OpenSession(request, CallControl());
  }
};

TEST_F(AgentKeyPasswordTest, IsNotSentToTheTokenInThePlaceOfOneThatIsGone) {
  StartWithTwoKeys();
  token_.Lose("fake key 1");
  const absl::Status login = Login(false, "newer PIN").status();
  EXPECT_EQ(DeviceErrorOf(login), DeviceError::kPinRequired) << login;
  EXPECT_EQ(token_.signatures, 0) << "a try of the older key";
  EXPECT_THAT(std::string(login.message()), HasSubstr("--with " + NameOfOlder()));
}

TEST_F(AgentKeyPasswordTest, IsNotSentWhereItsTokenIsPulledOutLater) {
  StartWithTwoKeys();
  ASSERT_TRUE(Login(false, "newer PIN").ok());
  token_.signatures = 0;
  token_.Lose("fake key 1");
  gate_.DropSessions();
  clock_.Advance(absl::Hours(2));
  const absl::Status opened = OpenSession().status();
  EXPECT_EQ(DeviceErrorOf(opened), DeviceError::kPinRequired) << opened;
  EXPECT_EQ(token_.signatures, 0);
}

TEST_F(AgentKeyPasswordTest, IsNotSentToAnotherKindThatAStepUpWants) {
  StartWithTwoKeys();
  Stop();
  auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok()) << record.status();
  record->credentials[0].kind = v1::TOKEN_KIND_FIDO2;
  ASSERT_TRUE(WriteFileAtomically(RecordPath(), record->Serialize(), 0600).ok());
  ASSERT_TRUE(Start().ok());
  ASSERT_TRUE(Login(false, "newer PIN").ok());
  token_.signatures = 0;
  FakeGate::Faults faults;
  faults.step_up = "fido2+uv";
  gate_.Misbehave(faults);
  const absl::Status opened = OpenFor("/test.Echo/Say").status();
  EXPECT_EQ(DeviceErrorOf(opened), DeviceError::kPinRequired) << opened;
  EXPECT_EQ(token_.signatures, 0);
  EXPECT_THAT(std::string(opened.message()), HasSubstr("--with " + NameOfOlder()));
}

TEST_F(AgentKeyPasswordTest, GoesToTheOneThatIsNamed) {
  StartWithTwoKeys();
  v1::LoginRequest request;
  request.add_with(NameOfOlder());
  request.set_key_password("older PIN");
  const absl::Status login = agent().Login(request, CallControl()).status();
  EXPECT_TRUE(login.ok()) << login;
}

TEST_F(AgentKeyPasswordTest, IsNotPutBackByALoadThatOutlastsALogout) {
  StartWithTwoKeys();
  token_.loading.Hold();
  PendingLogin login;
  v1::LoginRequest request;
  request.set_key_password("newer PIN");
  agent().Login(login.call, request, login.Done());
  token_.loading.AwaitWaiters(1);
  ASSERT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  token_.loading.Release();
  EXPECT_TRUE(absl::IsCancelled(login.Wait())) << login.Wait();
  EXPECT_EQ(DeviceErrorOf(Login().status()), DeviceError::kPinRequired);
}

// The drivers drop a wrong PIN for all calls that wait for the token: so these share one key.
TEST_F(AgentKeyPasswordTest, IsHeldByOneKeyForAllCallsAtOnce) {
  StartWithTwoKeys();
  ASSERT_TRUE(Login(false, "newer PIN").ok());
  ASSERT_TRUE(Login(false, "newer PIN").ok());  // loaded anew, by the next call
  token_.ForgetSigners();
  token_.loading.Hold();
  std::vector<std::thread> calls;
  for (int i = 0; i < 3; ++i) {
    calls.emplace_back([this] {
      const auto prefix = GetPrefix("/test.Echo/Say", "", /*device=*/true);
      EXPECT_TRUE(prefix.ok()) << prefix.status();
    });
  }
  token_.loading.AwaitWaiters(3);
  token_.loading.Release();
  for (std::thread& call : calls) call.join();
  EXPECT_EQ(token_.ForgetSigners(), 1u);
}

TEST_F(AgentKeyPasswordTest, StaysWithItsKeyThoughACallFails) {
  StartWithTwoKeys();
  ASSERT_TRUE(Login(false, "newer PIN").ok());
  const int loads = token_.loads;
  token_.Lose("fake key 1");
  EXPECT_FALSE(GetPrefix("/test.Echo/Say", "", /*device=*/true).ok());
  token_.Lose("");
  const auto prefix = GetPrefix("/test.Echo/Say", "", /*device=*/true);
  EXPECT_TRUE(prefix.ok()) << prefix.status();
  EXPECT_EQ(token_.loads, loads + 1);  // of the older key, which was tried in its place
}

TEST_F(AgentKeyPasswordTest, ANewOneIsNotWipedForAnOldOnesFault) {
  StartWithTwoKeys();
  token_.Hold();
  PendingLogin wrong;
  v1::LoginRequest request;
  request.set_key_password("a wrong PIN");
  agent().Login(wrong.call, request, wrong.Done());
  token_.AwaitSigners(1);
  PendingLogin right;
  request.set_key_password("newer PIN");
  request.set_fresh(true);
  request.add_with("tpm");  // wishes of its own: not the other's opening
  agent().Login(right.call, request, right.Done());
  token_.Release();
  EXPECT_EQ(DeviceErrorOf(wrong.Wait()), DeviceError::kWrongPin) << wrong.Wait();
  EXPECT_TRUE(right.Wait().ok()) << right.Wait();
}

}  // namespace
}  // namespace forekey
