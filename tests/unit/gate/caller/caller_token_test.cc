// SPDX-License-Identifier: Apache-2.0
// What a gate tells services of a caller, and the life of its keys. That other people's libraries
// take the token is tests/interop/fronts.
#include "src/gate/caller/caller_token.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/verify/jwk_set.h"
#include "src/wire/base64url.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;

class CallerTokenTest : public ::testing::Test {
 protected:
  CallerTokenTest() {
    std::string name = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~CallerTokenTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<CallerKeys> OpenKeys() {
    auto keys = CallerKeys::Open(directory_ + "/keys", absl::Hours(24 * 30), clock_);
    EXPECT_THAT(keys, IsOk());
    return *std::move(keys);
  }
  static CallerInfo Alice() {
    CallerInfo caller;
    caller.subject = "alice";
    caller.roles = {"admin", "clerk"};
    caller.credentials = {{"00", "tpm", "laptop"}, {"01", "tpm", "desk"}};
    caller.factors = {{"tpm", absl::FromUnixSeconds(1000)}};
    caller.session_id = "aabb";
    return caller;
  }
  static std::vector<std::string> Parts(const std::string& token) {
    return absl::StrSplit(token, '.');
  }
  static nlohmann::json Json(const std::string& part) {
    return nlohmann::json::parse(*Base64UrlDecode(part));
  }
  static absl::Status Check(const std::string& token, const std::string& jwks) {
    auto set = JwkSet::Parse(jwks);
    if (!set.ok()) return set.status();
    const auto parts = Parts(token);
    const nlohmann::json header = Json(parts[0]);
    return (*set)->Verify(token, header["alg"].get<std::string>(), header["kid"].get<std::string>(),
                          *Base64UrlDecode(parts[2]));
  }

  FakeClock clock_;
  std::string directory_;
};

TEST_F(CallerTokenTest, SaysWhoCallsWhatWhereAndUntilWhen) {
  auto keys = OpenKeys();
  CallerTokens tokens(*keys, clock_, "gate.test", absl::Seconds(60));
  const HeaderList headers = tokens.Describe(Alice(), "/a.B/C", "shop");
  ASSERT_EQ(headers.size(), 4u);
  EXPECT_EQ(headers[0], (std::pair<std::string, std::string>("forekey-subject", "alice")));
  EXPECT_EQ(headers[1].second, "admin,clerk");
  EXPECT_EQ(headers[2].second, "tpm");
  const std::string& token = headers[3].second;
  EXPECT_THAT(Check(token, keys->JwkSet()), IsOk());
  const nlohmann::json claims = Json(Parts(token)[1]);
  EXPECT_EQ(claims["iss"], "gate.test");
  EXPECT_EQ(claims["aud"], "shop");
  EXPECT_EQ(claims["sub"], "alice");
  EXPECT_EQ(claims["method"], "/a.B/C");
  EXPECT_EQ(claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>(), 60);
  EXPECT_EQ(claims["iat"].get<int64_t>(), absl::ToUnixSeconds(clock_.WallNow()));
  EXPECT_EQ(claims["credentials"], nlohmann::json({"tpm"}));
  EXPECT_EQ(claims["factors"][0]["at"], 1000);
  EXPECT_THAT(token, Not(HasSubstr("aabb")));
  EXPECT_NE(claims["session"], "aabb");
}

TEST_F(CallerTokenTest, IsUsedAgainForTheSameCallAloneAndWhileItIsYoung) {
  auto keys = OpenKeys();
  CallerTokens tokens(*keys, clock_, "gate.test", absl::Seconds(60));
  const std::string first = tokens.Token(Alice(), "/a.B/C", "shop");
  EXPECT_EQ(tokens.Token(Alice(), "/a.B/C", "shop"), first);
  EXPECT_NE(tokens.Token(Alice(), "/a.B/D", "shop"), first);
  EXPECT_NE(tokens.Token(Alice(), "/a.B/C", "other"), first);
  CallerInfo less = Alice();
  less.roles = {"clerk"};
  EXPECT_NE(tokens.Token(less, "/a.B/C", "shop"), first);
  clock_.Advance(absl::Seconds(31));
  EXPECT_NE(tokens.Token(Alice(), "/a.B/C", "shop"), first);
}

TEST_F(CallerTokenTest, AKeyIsPublishedBeforeItSignsAndAfterTheNextOneDoes) {
  auto keys = OpenKeys();
  const std::string first = keys->current()->id();
  clock_.Advance(absl::Hours(24 * 30));
  ASSERT_THAT(keys->Look(), IsOk());
  EXPECT_EQ(keys->current()->id(), first);  // the new one is not known everywhere yet
  const nlohmann::json set = nlohmann::json::parse(keys->JwkSet());
  ASSERT_EQ(set["keys"].size(), 2u);
  const std::string second = set["keys"][1]["kid"];
  clock_.Advance(absl::Hours(1));
  ASSERT_THAT(keys->Look(), IsOk());
  EXPECT_EQ(keys->current()->id(), second);
  EXPECT_THAT(keys->JwkSet(), HasSubstr(first));
  clock_.Advance(absl::Hours(1));
  ASSERT_THAT(keys->Look(), IsOk());
  EXPECT_THAT(keys->JwkSet(), Not(HasSubstr(first)));
  EXPECT_EQ(OpenKeys()->current()->id(), second);  // and after a restart
}

TEST_F(CallerTokenTest, AKeyWhoseFileWasRemovedSignsNoMoreAndADamagedOneIsAnError) {
  auto keys = OpenKeys();
  const std::string first = keys->current()->id();
  for (const auto& file : std::filesystem::directory_iterator(directory_ + "/keys")) {
    std::filesystem::remove(file.path());
  }
  ASSERT_THAT(keys->Look(), IsOk());
  EXPECT_NE(keys->current()->id(), first);
  EXPECT_THAT(keys->JwkSet(), Not(HasSubstr(first)));
  ASSERT_THAT(WriteFileAtomically(directory_ + "/keys/5.pem", "nonsense", 0600), IsOk());
  EXPECT_THAT(std::string(keys->Look().message()), HasSubstr("5.pem: no P-256"));
  ASSERT_THAT(WriteFileAtomically(directory_ + "/keys/5.pem", "nonsense", 0644), IsOk());
  EXPECT_FALSE(keys->Look().ok());
}

TEST_F(CallerTokenTest, ADamagedFileKeepsNoRemovedKeySigning) {
  auto keys = OpenKeys();
  const std::string first = keys->current()->id();
  for (const auto& file : std::filesystem::directory_iterator(directory_ + "/keys")) {
    std::filesystem::remove(file.path());
  }
  ASSERT_THAT(WriteFileAtomically(directory_ + "/keys/5.pem", "nonsense", 0600), IsOk());
  EXPECT_THAT(std::string(keys->Look().message()), HasSubstr("5.pem: no P-256"));
  const std::string second = keys->current()->id();
  EXPECT_NE(second, first);
  EXPECT_THAT(keys->JwkSet(), Not(HasSubstr(first)));
  // Not another one at each look.
  EXPECT_FALSE(keys->Look().ok());
  EXPECT_EQ(keys->current()->id(), second);
  std::filesystem::remove_all(directory_ + "/keys");
  EXPECT_FALSE(keys->Look().ok());
  EXPECT_NE(keys->current()->id(), second);
}

// A full disk, say: the gate can make no other key, and a suspected one must not sign all the same.
TEST_F(CallerTokenTest, WhereNothingCanBeWrittenARemovedKeySignsNoMore) {
  auto keys = OpenKeys();
  const std::string first = keys->current()->id();
  for (const auto& file : std::filesystem::directory_iterator(directory_ + "/keys")) {
    std::filesystem::remove(file.path());
  }
  std::string second;
  {
    rlimit before = {};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    auto* const handler = signal(SIGXFSZ, SIG_IGN);
    rlimit full = before;
    full.rlim_cur = 0;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    absl::Cleanup restore = [&] {
      setrlimit(RLIMIT_FSIZE, &before);
      signal(SIGXFSZ, handler);
    };
    const absl::Status looked = keys->Look();
    second = keys->current()->id();
    const std::string set = keys->JwkSet();
    const absl::Status again = keys->Look();
    const std::string then = keys->current()->id();
    std::move(restore).Invoke();  // what failed is printed, perhaps to a file
    EXPECT_FALSE(looked.ok());
    EXPECT_NE(second, first);
    EXPECT_THAT(set, Not(HasSubstr(first)));
    EXPECT_FALSE(again.ok());
    EXPECT_EQ(then, second) << "not another one at each look";
  }
  // It is saved when that goes again, and found by a gate that starts then.
  EXPECT_THAT(keys->Look(), IsOk());
  EXPECT_EQ(keys->current()->id(), second);
  EXPECT_EQ(OpenKeys()->current()->id(), second);
}

TEST_F(CallerTokenTest, AKeyFromTheFutureDoesNotSignForEver) {
  auto keys = OpenKeys();
  const std::string first = keys->current()->id();
  clock_.StepWall(-absl::Hours(24 * 400));
  ASSERT_THAT(keys->Look(), IsOk());
  EXPECT_FALSE(keys->current()->id().empty());
}

TEST(HeaderTextTest, HoldsNothingThatEndsAHeaderOrAList) {
  EXPECT_EQ(HeaderText("alice@example"), "alice@example");
  EXPECT_EQ(HeaderText("a,b\r\nc \"%\xc3\xa4"), "a%2Cb%0D%0Ac%20%22%25%C3%A4");
}

}  // namespace
}  // namespace forekey
