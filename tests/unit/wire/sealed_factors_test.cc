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

}  // namespace
}  // namespace forekey
