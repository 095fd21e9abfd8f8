// SPDX-License-Identifier: Apache-2.0
#include "hw/driver_options.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/drivers.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

TEST(DriverOptionsTest, AnEmptyValueIsNone) {
  DriverOptions options;
  options.Set("slot", "9c");
  options.SetFlag("existing", true);
  EXPECT_EQ(options.Text("slot"), "9c");
  EXPECT_TRUE(options.Flag("existing").value());
  options.Set("slot", "");
  options.SetFlag("existing", false);
  EXPECT_EQ(options.Text("slot"), "");
  EXPECT_FALSE(options.Flag("existing").value());
  EXPECT_TRUE(options.CheckNames("tpm", {}).ok());
}

TEST(DriverOptionsTest, AFlagIsTrueOrFalse) {
  DriverOptions options;
  options.Set("existing", "false");
  EXPECT_FALSE(options.Flag("existing").value());
  for (const char* text : {"yes", "1", "TRUE", " true"}) {
    options.Set("existing", text);
    EXPECT_EQ(options.Flag("existing").status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// An option that does nothing must not be believed in: "--slot 9c" with a TPM, a misspelt policy.
TEST(DriverOptionsTest, EveryDriverRefusesWhatItDoesNotKnowByName) {
  for (const auto& driver : AllDrivers()) {
    EnrollOptions options;
    options.named.Set("sl\not", "secret value");
    const absl::Status status =
        driver->Enroll(std::string(driver->scheme()) + ":", std::move(options)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << driver->scheme();
    EXPECT_THAT(std::string(status.message()), HasSubstr("no option \"sl\\not\""));
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("secret value")));
  }
}

}  // namespace
}  // namespace forekey
