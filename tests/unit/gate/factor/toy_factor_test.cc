// SPDX-License-Identifier: Apache-2.0
// A factor that no file of the product knows: it is added to the configuration's sections, and a
// session is opened with it. What this file does is all that another factor needs in the gate.
#include <atomic>

#include "src/gate/factor/factor.h"
#include "src/gate/factor/factor_settings.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/step_up.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

constexpr absl::string_view kBadge = "corp.badge";

// What a badge reader would know.
struct Badges {
  std::string number = "4711";
  std::atomic<int> checked{0}, used{0};
  absl::Status use;  // what using one up fails with
};

class BadgeFactor final : public Factor {
 public:
  BadgeFactor(Badges* badges, const Clock& clock) : badges_(*badges), clock_(clock) {}
  absl::string_view name() const override { return kBadge; }
  size_t MostThreads() const override { return 3; }
  absl::StatusOr<CheckedFactor> Check(const FactorAttempt& attempt,
                                      const Secret& evidence) override {
    ++badges_.checked;
    if (!ConstantTimeEqual(evidence.view(), badges_.number)) return Refuse(Reason::kPasswordWrong);
    return CheckedFactor{{std::string(kBadge), clock_.WallNow(), clock_.BootNow()},
                         absl::StrCat("badge of ", attempt.subject),
                         [this] {
                           if (badges_.use.ok()) ++badges_.used;
                           return badges_.use;
                         }};
  }

 private:
  Badges& badges_;
  const Clock& clock_;
};

struct BadgeSection final : FactorSection {
  explicit BadgeSection(Badges* badges) : badges(badges) {}
  std::unique_ptr<FactorSection> Clone() const override {
    return std::make_unique<BadgeSection>(*this);
  }
  void Read(ConfigTable factors, absl::string_view base) override {
    in_use = factors.Has("badge");
    factors.Table("badge").String("site", &site);
  }
  bool enabled() const override { return in_use; }
  std::unique_ptr<Factor> Make(const FactorEnvironment& environment) const override {
    return std::make_unique<BadgeFactor>(badges, *environment.clock);
  }
  Badges* badges;
  bool in_use = false;
  std::string site;
};

class ToyFactorTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    auto section = std::make_unique<BadgeSection>(&badges_);
    section->in_use = in_use_;
    config.factors.Add(std::move(section));
    PasswordPolicy& passwords = config.factors.Get<PasswordSection>().policy;
    passwords.enabled = true;
    passwords.memory_mib = 8;
    passwords.passes = 1;
    MethodRule rule;
    rule.methods = {std::string(kMethod)};
    rule.factors = {{{"tpm"}, {std::string(kBadge), absl::Minutes(15)}}};
    if (ruled_) config.rules.rules = {rule};
    return config;
  }
  absl::StatusOr<ClientSession> OpenWith(const Token& token, const std::string& badge,
                                         const std::string& password = "",
                                         absl::string_view name = kBadge) {
    return OpenSealed({&token}, [&](absl::string_view challenge) {
      FurtherFactors factors;
      factors.password = Secret::CopyOf(password);
      factors.others.push_back({std::string(name), Secret::CopyOf(badge)});
      const std::vector<absl::string_view> ids = {token.id};
      return SealFactors(factors, FactorContext{kAudience, challenge, ids},
                         gate().identities().current()->public_key())
          .value();
    });
  }
  Badges badges_;
  bool in_use_ = true;
  bool ruled_ = true;  // a rule wants it
};

TEST_F(ToyFactorTest, ASessionThatProvedItMeetsARuleThatDemandsIt) {
  StartGate();
  const Token token = Enroll("ada");
  ClientSession without = Open(token);
  EXPECT_EQ(WhyRefused(without.NextProof(kMethod)), Reason::kFactorRequired);
  auto session = OpenWith(token, "4711");
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(badges_.used, 1);
  const Decision opened = audit_->decisions().back();
  EXPECT_THAT(opened.factors, ::testing::ElementsAre("tpm", kBadge));
  EXPECT_EQ(opened.detail, "badge of ada");
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt);
  clock_.Advance(absl::Minutes(16));
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod, 16 * 60)), Reason::kFactorStale);
}

TEST_F(ToyFactorTest, AWrongOneOpensNothingAndIsNotUsedUp) {
  StartGate();
  const Token token = Enroll("ada");
  EXPECT_EQ(AuditedReason(OpenWith(token, "4712").status()), Reason::kPasswordWrong);
  // The other factor is wrong: what was right stays good for another opening.
  EXPECT_EQ(AuditedReason(OpenWith(token, "4711", "no such password").status()),
            Reason::kPasswordWrong);
  EXPECT_EQ(badges_.used, 0);
  badges_.use = Refuse(Reason::kIdTokenReplayed);
  EXPECT_EQ(AuditedReason(OpenWith(token, "4711").status()), Reason::kIdTokenReplayed);
  EXPECT_EQ(gate().sessions().size(), 0u);
}

TEST_F(ToyFactorTest, IsRefusedWhereTheGateDoesNotTakeIt) {
  in_use_ = ruled_ = false;
  StartGate();
  const Token token = Enroll("ada");
  EXPECT_EQ(AuditedReason(OpenWith(token, "4711").status()), Reason::kRequestMalformed);
  in_use_ = true;
  StartGate();
  EXPECT_EQ(AuditedReason(OpenWith(token, "4711", "", "corp.other").status()),
            Reason::kRequestMalformed);
  EXPECT_EQ(badges_.checked, 0) << "nothing is checked where something is not known";
}

// Nobody could ever call those methods: most likely the name is misspelt.
TEST_F(ToyFactorTest, ARuleThatWantsItWhereTheGateDoesNotTakeItIsAnErrorAtTheStart) {
  in_use_ = false;
  const absl::Status refused = TryToStartGate();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              ::testing::HasSubstr("corp.badge is no factor that this gate takes"));
}

TEST_F(ToyFactorTest, ItsThreadsAreCounted) {
  in_use_ = ruled_ = false;
  StartGate();
  const size_t without = gate().MostOpeningThreads();
  in_use_ = true;
  StartGate();
  EXPECT_EQ(gate().MostOpeningThreads(), without + 3);
}

TEST(OtherFactorsTest, NamesHaveADotAndNothingElseThatIsOdd) {
  EXPECT_TRUE(IsFactorName("corp.badge"));
  EXPECT_TRUE(IsFactorName("a.b-2.c"));
  for (const char* name :
       {"badge", "pasword", ".badge", "corp.", "corp..badge", "corp.Badge", "corp.ba dge",
        "corp.badge|tpm", "corp.badge&tpm", "", "corp.a-name-that-is-longer-than-it-may-be"}) {
    EXPECT_FALSE(IsFactorName(name)) << name;
  }
}

}  // namespace
}  // namespace forekey::testing
