// SPDX-License-Identifier: Apache-2.0
// Several simulators share one folder of trust, and none takes another's root away.
#include "simulators/trust_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "src/base/file.h"

namespace forekey {
namespace {

using ::testing::StartsWith;

class TrustOutTest : public ::testing::Test {
 protected:
  TrustOutTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~TrustOutTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = "/tmp/forekey-trust-out-XXXXXX";
};

TEST_F(TrustOutTest, AnotherCaIsAnotherFileAndTheSameOneIsNone) {
  const std::string trust = folder_ + "/a/trust";
  ASSERT_TRUE(AddToTrust(trust, "root", "one").ok());
  ASSERT_TRUE(AddToTrust(trust, "root", "two").ok());
  ASSERT_TRUE(AddToTrust(trust, "root", "one").ok());
  const auto names = ListFiles(trust);
  ASSERT_TRUE(names.ok());
  ASSERT_EQ(names->size(), 2u);
  for (const std::string& name : *names) EXPECT_THAT(name, StartsWith("root-"));
}

TEST_F(TrustOutTest, IntermediatesLieBesideTheirRoot) {
  const std::string from = folder_ + "/own", trust = folder_ + "/trust";
  std::filesystem::create_directories(from + "/intermediates");
  ASSERT_TRUE(WriteFileAtomically(from + "/piv-root.pem", "root").ok());
  ASSERT_TRUE(WriteFileAtomically(from + "/intermediates/1.pem", "between").ok());
  ASSERT_TRUE(CopyTrust(from, trust).ok());
  const auto names = ListFiles(trust);
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(*names,
              ::testing::ElementsAre(StartsWith("intermediate-1-"), StartsWith("piv-root-")));
}

}  // namespace
}  // namespace forekey
