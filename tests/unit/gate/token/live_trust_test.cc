// SPDX-License-Identifier: Apache-2.0
// Trust of kinds of tokens, read again: what is taken, what is kept, what is said.
#include "src/gate/token/live_trust.h"

#include <filesystem>

#include "src/gate/token/tpm_verifier.h"
#include "tests/support/certificate_maker.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class LiveTrustTest : public ::testing::Test {
 protected:
  LiveTrustTest() {
    std::filesystem::create_directories(roots_);
    WriteText(roots_ + "/a.der", MakeDer(vendor_.CaSpec(vendor_)));
  }
  TempFolder folder_;
  const std::string roots_ = folder_.File("roots");
  TestCa vendor_ = TestCa::New("Vendor Root");
};

TEST_F(LiveTrustTest, ATpmsTrustSaysWhatItIs) {
  auto trust = LiveTrust::New(TpmTrustSource(roots_, "", {std::string(32, 'k')}));
  ASSERT_TRUE(trust.ok()) << trust.status();
  EXPECT_EQ((*trust)->kind(), v1::TOKEN_KIND_TPM);
  EXPECT_EQ((*trust)->detail(),
            "1 certificates, 0 of simulators, 1 endorsement keys, no list of firmware");
  WriteText(roots_ + "/b.der", MakeDer(TestCa::New("Another").CaSpec(vendor_)));
  auto again = (*trust)->Read();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->detail, HasSubstr("2 certificates"));
}

TEST_F(LiveTrustTest, AFirstReadingThatFailsNamesTheKey) {
  const std::string none = folder_.File("none");
  EXPECT_THAT(std::string(LiveTrust::New(TpmTrustSource(none, "", {})).status().message()),
              HasSubstr("attestation.tpm.trust"));
  std::filesystem::create_directories(none);
  EXPECT_THAT(std::string(LiveTrust::New(TpmTrustSource(roots_, none, {})).status().message()),
              HasSubstr("attestation.tpm.simulator_trust"));
}

TEST_F(LiveTrustTest, AListOfFirmwareThatIsNamedMustBeThere) {
  const std::string list = folder_.File("named.list");
  const auto reading = [&] { return LiveTrust::New(TpmTrustSource(roots_, "", {}, list)); };
  EXPECT_THAT(std::string(reading().status().message()), HasSubstr("attestation.tpm.firmware"));
  WriteText(list, "forekey-firmware-list 2\n");
  EXPECT_THAT(std::string(reading().status().message()), HasSubstr("line 1"));
  WriteText(list, "forekey-firmware-list 1\ntpm IFX least 7.85\n");
  auto trust = reading();
  ASSERT_TRUE(trust.ok()) << trust.status();
  EXPECT_THAT((*trust)->detail(), HasSubstr("1 lines on firmware"));
  EXPECT_FALSE((*trust)->Changed());
  WriteText(list, "forekey-firmware-list 1\n");
  EXPECT_FALSE((*trust)->Changed());
  EXPECT_TRUE((*trust)->Changed()) << "the list is read again, too";
}

TEST_F(LiveTrustTest, ChangedOnceTheFilesHaveSettled) {
  auto trust = LiveTrust::New(TpmTrustSource(roots_, "", {}));
  ASSERT_TRUE(trust.ok()) << trust.status();
  const auto says = [&] { return (*trust)->Changed(); };
  EXPECT_FALSE(says());
  EXPECT_FALSE(says());
  const std::vector<std::function<void()>> changes = {
      [&] { WriteText(roots_ + "/b.der", MakeDer(TestCa::New("B").CaSpec(vendor_))); },
      [&] { WriteText(roots_ + "/b.der", MakeDer(TestCa::New("Longer").CaSpec(vendor_))); },
      [&] { std::filesystem::rename(roots_ + "/b.der", roots_ + "/c.der"); },
      [&] { std::filesystem::remove(roots_ + "/c.der"); },
      [&] { WriteText(roots_ + "/.emptied", ""); },
      [&] { WriteText(roots_ + "/.emptied", "anew"); },
      [&] { std::filesystem::rename(roots_, folder_.File("away")); },
  };
  for (const auto& change : changes) {
    change();
    EXPECT_FALSE(says()) << "it may be half written";
    EXPECT_TRUE(says());
    auto read = (*trust)->Read();
    if (!read.ok()) continue;
    (*trust)->Use(*std::move(read));
    EXPECT_FALSE(says()) << "once a change";
  }
}

TEST_F(LiveTrustTest, ChangedUntilWhatWasReadIsInUse) {
  auto trust = LiveTrust::New(TpmTrustSource(roots_, "", {}));
  ASSERT_TRUE(trust.ok()) << trust.status();
  WriteText(roots_ + "/b.der", MakeDer(TestCa::New("B").CaSpec(vendor_)));
  EXPECT_FALSE((*trust)->Changed());
  EXPECT_TRUE((*trust)->Changed());
  ASSERT_TRUE((*trust)->Read().ok());
  EXPECT_TRUE((*trust)->Failed("the audit log can't be written"));
  EXPECT_TRUE((*trust)->Changed()) << "it was read, and not taken";
  auto read = (*trust)->Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE((*trust)->Failed("the audit log can't be written")) << "it was told before";
  (*trust)->Use(*std::move(read));
  for (int looks = 0; looks < 100; ++looks) EXPECT_FALSE((*trust)->Changed());
}

TEST_F(LiveTrustTest, AFileThatMayBeReadNowIsAChange) {
  auto trust = LiveTrust::New(TpmTrustSource(roots_, "", {}));
  ASSERT_TRUE(trust.ok()) << trust.status();
  std::filesystem::permissions(roots_ + "/a.der", std::filesystem::perms::owner_read);
  EXPECT_FALSE((*trust)->Changed());
  EXPECT_TRUE((*trust)->Changed());
}

}  // namespace
}  // namespace forekey::testing
