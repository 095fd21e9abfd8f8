// SPDX-License-Identifier: Apache-2.0
// What a refusal tells a caller that only has to show more.
#include "src/wire/step_up.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace forekey {
namespace {

TEST(StepUpTest, ReadsWhatItWrites) {
  const std::string text = "fido2+uv&call|tpm&password|hardware";
  auto parsed = StepUp::Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->alternatives().size(), 3u);
  EXPECT_EQ(parsed->alternatives()[1], (StepUp::Words{"tpm", "password"}));
  EXPECT_EQ(parsed->Serialize(), text);
  EXPECT_EQ(StepUp::FromMessage(RefusalMessage("0123456789abcdef", text)).Serialize(), text);
}

TEST(StepUpTest, FurtherFactorsAreFactorsButNoHardware) {
  for (absl::string_view name : {kPasswordFactor, kOidcFactor}) {
    EXPECT_TRUE(IsFactorName(name));
    EXPECT_FALSE(IsHardwareFactor(name));
    EXPECT_TRUE(StepUp::Parse(name).ok());
  }
}

TEST(StepUpTest, RefusesAllElse) {
  for (const char* text :
       {"", "|", "tpm|", "&", "tpm&", "tpm&tpm", "TPM", "tpm ", "retina", "tpm,call",
        "tpm&fido2&piv&cert&password&oidc&call", "tpm|tpm|tpm|tpm|tpm|tpm|tpm|tpm|tpm"}) {
    EXPECT_FALSE(StepUp::Parse(text).ok()) << text;
  }
  for (const char* message :
       {"", "forekey: refused, reference 0123456789abcdef", "forekey: step-up tpm",
        "step-up tpm, reference 1", "forekey: step-up x, reference 1",
        "a handler's: forekey: step-up tpm, reference 1"}) {
    EXPECT_TRUE(StepUp::FromMessage(message).empty()) << message;
  }
}

}  // namespace
}  // namespace forekey
