// SPDX-License-Identifier: Apache-2.0
// Laws guarded: a list of firmware that was there is given up where a bundle that had it takes it
// away, and nowhere else.
#include "src/gate/token/firmware_source.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "src/base/file.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsError;
using testing::IsOk;

constexpr char kList[] = "forekey-firmware-list 1\npiv yubikey least 5.7\n";

class FirmwareSourceTest : public ::testing::Test {
 protected:
  FirmwareSourceTest() {
    folder_ = ::testing::TempDir() + "/firmware.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~FirmwareSourceTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_THAT(WriteFileAtomically(folder_ + "/" + name, text), IsOk());
  }
  void Apply(const std::string& files) {
    Write("bundle.json", "{\"number\": 1, \"sha256\": \"\", \"files\": [" + files + "]}");
  }
  void Remove() { std::filesystem::remove(folder_ + "/firmware.list"); }

  std::string folder_;
};

TEST_F(FirmwareSourceTest, ABundleThatNeverHadAListTakesNoneAway) {
  const FirmwareSource source("attestation.piv.firmware", "", folder_ + "/piv");
  Apply("\"piv/a.pem\"");
  Write("firmware.list", kList);
  ASSERT_THAT(source.Read(), IsOk());
  Remove();
  EXPECT_THAT(source.Read(), IsError(absl::StatusCode::kFailedPrecondition, "is gone"));
  Apply("\"piv/a.pem\", \"piv/b.pem\"");
  EXPECT_THAT(source.Read(), IsError(absl::StatusCode::kFailedPrecondition, "is gone"));
  Write("firmware.list", "forekey-firmware-list 1\n");
  EXPECT_THAT(source.Read(), IsOk()) << "where it is meant";
}

TEST_F(FirmwareSourceTest, ABundleThatHadItTakesItAway) {
  const FirmwareSource source("attestation.piv.firmware", "", folder_ + "/piv");
  Apply("\"firmware.list\"");
  Write("firmware.list", kList);
  ASSERT_THAT(source.Read(), IsOk());
  Remove();
  EXPECT_THAT(source.Read(), IsError(absl::StatusCode::kFailedPrecondition, "apply the bundle"));
  Apply("\"piv/a.pem\"");
  const auto list = source.Read();
  ASSERT_THAT(list, IsOk());
  EXPECT_TRUE(list->empty());
}

}  // namespace
}  // namespace forekey
