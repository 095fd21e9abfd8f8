// SPDX-License-Identifier: Apache-2.0
// Factors that travel sealed to the gate's identity: LAW 2 (one opening alone) and LAW 6.
#include "src/wire/sealed_factors.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

class SealedFactorsTest : public ::testing::Test {
 protected:
  SealedFactorsTest() : identity_(X25519PrivateKey::Generate()) {
    factors_.password = Secret::CopyOf("open sesame");
    factors_.id_token = Secret::CopyOf("a.b.c");
  }
  FactorContext Context() const { return {"gate.test", challenge_, ids_}; }
  std::string Seal() { return SealFactors(factors_, Context(), identity_.public_key()).value(); }
  std::optional<Reason> WhyNot(absl::string_view sealed, const FactorContext& context) {
    return ReasonOf(OpenFactors(sealed, context, identity_).status());
  }

  X25519PrivateKey identity_;
  FurtherFactors factors_;
  std::string challenge_ = std::string(64, 'c');
  std::string id_a_ = std::string(32, 'a'), id_b_ = std::string(32, 'b');
  std::vector<absl::string_view> ids_ = {id_a_, id_b_};
};

TEST_F(SealedFactorsTest, OpensWhatWasSealedAndTellsNeitherContentNorLength) {
  const std::string sealed = Seal();
  auto opened = OpenFactors(sealed, Context(), identity_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->password.view(), "open sesame");
  EXPECT_EQ(opened->id_token.view(), "a.b.c");
  EXPECT_EQ(sealed.find("sesame"), std::string::npos);
  EXPECT_NE(Seal(), sealed);
  factors_.password = Secret::CopyOf("x");
  EXPECT_EQ(Seal().size(), sealed.size());
}

TEST_F(SealedFactorsTest, IsGoodForOneOpeningByTheseSignersAtThisGateAlone) {
  const std::string sealed = Seal();
  const std::string other_challenge(64, 'd');
  const std::vector<absl::string_view> one = {id_a_};
  EXPECT_EQ(WhyNot(sealed, {"gate.test", other_challenge, ids_}), Reason::kFactorsMalformed);
  EXPECT_EQ(WhyNot(sealed, {"other.test", challenge_, ids_}), Reason::kFactorsMalformed);
  EXPECT_EQ(WhyNot(sealed, {"gate.test", challenge_, one}), Reason::kFactorsMalformed);
  EXPECT_EQ(ReasonOf(OpenFactors(sealed, Context(), X25519PrivateKey::Generate()).status()),
            Reason::kFactorsMalformed);
}

TEST_F(SealedFactorsTest, RefusesEveryChangedByteAndWhatIsLeftOver) {
  const std::string sealed = Seal();
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 1;
    EXPECT_EQ(WhyNot(changed, Context()), Reason::kFactorsMalformed) << i;
    EXPECT_EQ(WhyNot(sealed.substr(0, i), Context()), Reason::kFactorsMalformed) << i;
  }
  EXPECT_EQ(WhyNot(sealed + "x", Context()), Reason::kFactorsMalformed);
  EXPECT_EQ(WhyNot(std::string(1, 1) + std::string(32, 0) + std::string(300, 0), Context()),
            Reason::kFactorsMalformed);
}

TEST_F(SealedFactorsTest, ThePlainLayoutHasOneFormAlone) {
  const std::string blinder(32, 'r');
  const Secret secret = SerializeFactors(factors_, blinder).value();
  const std::string plain(secret.view());
  EXPECT_EQ(plain.size(), 256u);
  EXPECT_TRUE(ParseFactors(plain).ok());
  std::string filled = plain;
  filled.back() = 1;
  EXPECT_EQ(ReasonOf(ParseFactors(filled).status()), Reason::kFactorsMalformed);
  for (const std::string& bad : {plain + std::string(256, 0), plain.substr(0, 255),
                                 std::string(256, 0), std::string(), std::string(256, '\xff')}) {
    EXPECT_EQ(ReasonOf(ParseFactors(bad).status()), Reason::kFactorsMalformed);
  }
  factors_.password = Secret::CopyOf(std::string(kMaxPasswordSize + 1, 'p'));
  EXPECT_TRUE(absl::IsInvalidArgument(SerializeFactors(factors_, blinder).status()));
}

TEST_F(SealedFactorsTest, OtherFactorsComeBehindAndChangeNothingOfTheOldLayout) {
  const std::string blinder(32, 'r');
  const std::string before(SerializeFactors(factors_, blinder).value().view());
  factors_.others.push_back({"corp.badge", Secret::CopyOf("4711")});
  factors_.others.push_back({"corp.voice", Secret::CopyOf("hello")});
  const std::string plain(SerializeFactors(factors_, blinder).value().view());
  const size_t used = before.find_last_not_of('\0') + 1;
  EXPECT_EQ(plain.substr(0, used), before.substr(0, used));
  const auto read = ParseFactors(plain);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_NE(read->Find("corp.voice"), nullptr);
  EXPECT_EQ(read->Find("corp.voice")->view(), "hello");
  EXPECT_EQ(read->Find("password")->view(), "open sesame");
  EXPECT_EQ(read->Find("corp.other"), nullptr);
  EXPECT_EQ(read->Names().size(), 4u);
  const auto opened = OpenFactors(Seal(), Context(), identity_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->others.size(), 2u);
}

TEST_F(SealedFactorsTest, RefusesOtherFactorsThatAreNone) {
  const std::string blinder(32, 'r');
  const auto why_not = [&](std::vector<std::pair<std::string, std::string>> entries) {
    std::string plain = blinder + std::string(4, '\0');
    for (const auto& [name, evidence] : entries) {
      plain.append(1, static_cast<char>(name.size())).append(name).append(1, '\0');
      plain.append(1, static_cast<char>(evidence.size())).append(evidence);
    }
    plain.resize((plain.size() + 255) / 256 * 256);
    return ReasonOf(ParseFactors(plain).status());
  };
  EXPECT_EQ(why_not({{"corp.badge", "1"}}), std::nullopt);
  EXPECT_EQ(why_not({{"password", "1"}}), Reason::kFactorsMalformed) << "has a place of its own";
  EXPECT_EQ(why_not({{"tpm", "1"}}), Reason::kFactorsMalformed) << "is not proved by a request";
  EXPECT_EQ(why_not({{"corp.badge", ""}}), Reason::kFactorsMalformed);
  EXPECT_EQ(why_not({{"corp.badge", "1"}, {"corp.badge", "2"}}), Reason::kFactorsMalformed);
  EXPECT_EQ(why_not({{"a.a", "1"}, {"a.b", "1"}, {"a.c", "1"}, {"a.d", "1"}, {"a.e", "1"}}),
            Reason::kFactorsMalformed);
  std::string cut = blinder + std::string(4, '\0') + "\x0a" + "corp.badge" + "\xff\xff";
  cut.resize(256, 'x');
  EXPECT_EQ(ReasonOf(ParseFactors(cut).status()), Reason::kFactorsMalformed);
}

}  // namespace
}  // namespace forekey
