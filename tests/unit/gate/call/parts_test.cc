// SPDX-License-Identifier: Apache-2.0
// Challenge, identity, accepted certificates, audit, limits: each part by itself.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/crypto/random.h"
#include "src/gate/audit/audit_chain.h"
#include "src/wire/statement.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_audit_sink.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// ---- Challenge ----

TEST(ChallengeTest, IsWhatTheProtocolSays) {
  FakeClock clock;
  ChallengeIssuer issuer(kAudience, clock);
  const std::string challenge = issuer.Issue(ChallengePurpose::kEnroll);
  ASSERT_EQ(challenge.size(), kChallengeSize);
  ByteReader reader(challenge);
  EXPECT_EQ(reader.U8(), 1);
  EXPECT_EQ(reader.U8(), 2);
  reader.U16();
  EXPECT_EQ(static_cast<int64_t>(reader.U64()), clock.BootNow().nanos());
  const auto checked = issuer.Check(challenge, ChallengePurpose::kEnroll);
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(checked->nonce, challenge.substr(12, 16));
  EXPECT_EQ(checked->expires_at, clock.BootNow() + absl::Seconds(120));
  EXPECT_NE(issuer.Issue(ChallengePurpose::kCall).substr(12, 20), checked->nonce);
}

TEST(ChallengeTest, BelongsToOneProcessOneAudienceOnePurpose) {
  FakeClock clock;
  ChallengeIssuer issuer(kAudience, clock);
  const std::string challenge = issuer.Issue(ChallengePurpose::kCall);
  EXPECT_EQ(ReasonOf(issuer.Check(challenge, ChallengePurpose::kEnroll).status()),
            Reason::kChallengeWrongPurpose);
  EXPECT_EQ(
      ReasonOf(
          ChallengeIssuer(kAudience, clock).Check(challenge, ChallengePurpose::kCall).status()),
      Reason::kChallengeForged);
  for (size_t size : {size_t{0}, size_t{63}, size_t{65}}) {
    std::string other = challenge;
    other.resize(size);
    EXPECT_EQ(ReasonOf(issuer.Check(other, ChallengePurpose::kCall).status()),
              Reason::kChallengeForged);
  }
}

TEST(ChallengeTest, AgesByBootTimeToTheNanosecond) {
  FakeClock clock;
  ChallengeIssuer issuer(kAudience, clock, absl::Seconds(10));
  const std::string challenge = issuer.Issue(ChallengePurpose::kCall);
  clock.Advance(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_TRUE(issuer.Check(challenge, ChallengePurpose::kCall).ok());
  clock.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(ReasonOf(issuer.Check(challenge, ChallengePurpose::kCall).status()),
            Reason::kChallengeExpired);
  EXPECT_TRUE(issuer.CheckAnyAge(challenge, ChallengePurpose::kCall).ok());
}

TEST(ChallengeTest, RefusesOneOfTheFuture) {
  FakeClock clock;
  ChallengeIssuer issuer(kAudience, clock);
  clock.Advance(absl::Seconds(5));
  const std::string challenge = issuer.Issue(ChallengePurpose::kCall);
  clock.Advance(absl::Seconds(-1));
  EXPECT_EQ(ReasonOf(issuer.Check(challenge, ChallengePurpose::kCall).status()),
            Reason::kChallengeForged);
}

// ---- Identity ----

class IdentityTest : public ::testing::Test {
 protected:
  std::unique_ptr<GateIdentities> Open() {
    auto identities = GateIdentities::Open(folder_.File("identity"), clock_, absl::Hours(720));
    EXPECT_TRUE(identities.ok()) << identities.status();
    return identities.ok() ? *std::move(identities) : nullptr;
  }
  std::string KeyFile() { return folder_.File("identity") + "/keys"; }
  TempFolder folder_;
  FakeClock clock_;
};

TEST_F(IdentityTest, IsMadeOnceAndKeptPrivate) {
  const std::string fingerprint = Open()->current()->fingerprint();
  EXPECT_EQ(Open()->current()->fingerprint(), fingerprint);
  struct stat info;
  ASSERT_EQ(stat(KeyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(folder_.File("identity").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(IdentityTest, RotationSurvivesARestartAndKeepsOnePrevious) {
  auto identities = Open();
  const std::string first = identities->current()->fingerprint();
  ASSERT_TRUE(identities->Rotate().ok());
  const std::string second = identities->current()->fingerprint();
  identities = Open();
  EXPECT_EQ(identities->current()->fingerprint(), second);
  auto previous = identities->Find(first);
  ASSERT_TRUE(previous.ok());
  EXPECT_EQ(identities->NextFor(**previous), identities->current()->public_key());
  EXPECT_EQ(identities->NextFor(*identities->current()), "");
  ASSERT_TRUE(identities->Rotate().ok());
  EXPECT_EQ(ReasonOf(identities->Find(first).status()), Reason::kGateIdentityUnknown);
  EXPECT_TRUE(identities->Find(second).ok());
}

TEST_F(IdentityTest, ThePreviousOneEndsWithItsOverlap) {
  auto identities = Open();
  const std::string first = identities->current()->fingerprint();
  ASSERT_TRUE(identities->Rotate().ok());
  clock_.Advance(absl::Hours(720));
  EXPECT_EQ(ReasonOf(identities->Find(first).status()), Reason::kGateIdentityUnknown);
}

TEST_F(IdentityTest, ADamagedOrOpenFileIsAnErrorAndNeverANewIdentity) {
  Open();
  const std::string good = ReadText(KeyFile());
  for (const std::string& bad :
       {std::string(), std::string("rubbish\n"), good + "x", good + "current 00 0\n",
        good.substr(0, good.size() - 1), "forekey-gate-identity 2" + good.substr(23)}) {
    WriteText(KeyFile(), bad);
    auto identities = GateIdentities::Open(folder_.File("identity"), clock_, absl::Hours(1));
    EXPECT_EQ(identities.status().code(), absl::StatusCode::kDataLoss) << bad;
    EXPECT_EQ(ReadText(KeyFile()), bad);
  }
  WriteText(KeyFile(), good);
  ASSERT_EQ(chmod(KeyFile().c_str(), 0640), 0);
  EXPECT_FALSE(GateIdentities::Open(folder_.File("identity"), clock_, absl::Hours(1)).ok());
}

// ---- Accepted certificates ----

class CertificatesTest : public ::testing::Test {
 protected:
  CertificatesTest() { std::filesystem::create_directory(folder_.File("accepted")); }
  std::unique_ptr<AcceptedCertificates> Make() {
    WriteText(folder_.File("own.pem"), own_.pem);
    auto certificates = AcceptedCertificates::New(
        {{folder_.File("own.pem")}, folder_.File("accepted"), absl::Hours(24)}, clock_);
    EXPECT_TRUE(certificates.ok()) << certificates.status();
    return certificates.ok() ? *std::move(certificates) : nullptr;
  }
  void Accept(const std::string& name, const TestCertificate& certificate) {
    WriteText(folder_.File("accepted") + "/" + name, certificate.pem);
  }
  bool Accepts(const AcceptedCertificates& certificates, const TestCertificate& certificate) {
    return certificates.Accepts(certificate.binding, clock_.BootNow());
  }
  TempFolder folder_;
  FakeClock clock_;
  TestCertificate own_ = MakeTlsCertificate("own");
  TestCertificate balancer_ = MakeTlsCertificate("balancer");
};

TEST_F(CertificatesTest, AcceptsItsOwnAndTheFolders) {
  Accept("balancer.pem", balancer_);
  auto certificates = Make();
  EXPECT_TRUE(Accepts(*certificates, own_));
  EXPECT_TRUE(Accepts(*certificates, balancer_));
  EXPECT_FALSE(Accepts(*certificates, MakeTlsCertificate("other")));
  EXPECT_FALSE(certificates->Accepts("", clock_.BootNow()));
  EXPECT_EQ(certificates->Bindings(clock_.BootNow()).front(), own_.binding);
}

TEST_F(CertificatesTest, OfAChainTheLeafAloneCounts) {
  const TestCertificate issuer = MakeTlsCertificate("issuer");
  own_.pem += issuer.pem;
  auto certificates = Make();
  EXPECT_TRUE(Accepts(*certificates, own_));
  EXPECT_FALSE(Accepts(*certificates, issuer));
}

TEST_F(CertificatesTest, AReplacedOneLastsADay) {
  auto certificates = Make();
  const TestCertificate next = MakeTlsCertificate("own");
  WriteText(folder_.File("own.pem"), next.pem);
  ASSERT_TRUE(certificates->Reload().ok());
  EXPECT_TRUE(Accepts(*certificates, own_));
  EXPECT_TRUE(Accepts(*certificates, next));
  clock_.Advance(absl::Hours(23));
  Accept("balancer.pem", balancer_);  // another change in between does not renew it
  ASSERT_TRUE(certificates->Reload().ok());
  EXPECT_TRUE(Accepts(*certificates, own_));
  clock_.Advance(absl::Hours(1));
  EXPECT_FALSE(Accepts(*certificates, own_));
  EXPECT_TRUE(Accepts(*certificates, next));
}

TEST_F(CertificatesTest, RemovingAFileRefusesItAndWhatItReplacedAtOnce) {
  Accept("balancer.pem", balancer_);
  auto certificates = Make();
  const TestCertificate next = MakeTlsCertificate("balancer");
  Accept("balancer.pem", next);
  ASSERT_TRUE(certificates->Reload().ok());
  EXPECT_TRUE(Accepts(*certificates, balancer_));
  std::filesystem::remove(folder_.File("accepted") + "/balancer.pem");
  ASSERT_TRUE(certificates->Reload().ok());
  EXPECT_FALSE(Accepts(*certificates, balancer_));
  EXPECT_FALSE(Accepts(*certificates, next));
  EXPECT_TRUE(Accepts(*certificates, own_));
}

TEST_F(CertificatesTest, AFailedReloadKeepsTheLastGoodSet) {
  auto certificates = Make();
  WriteText(folder_.File("own.pem"), "rubbish");
  const absl::Status reloaded = certificates->Reload();
  EXPECT_FALSE(reloaded.ok());
  EXPECT_THAT(std::string(reloaded.message()), HasSubstr("own.pem"));
  EXPECT_TRUE(Accepts(*certificates, own_));
}

TEST_F(CertificatesTest, DoesNotStartWithoutACertificate) {
  EXPECT_FALSE(AcceptedCertificates::New({{}, folder_.File("accepted"), {}}, clock_).ok());
  EXPECT_FALSE(AcceptedCertificates::New({{folder_.File("missing")}, "", {}}, clock_).ok());
}

// ---- Audit ----

Decision MakeDecision() {
  Decision decision;
  decision.reference = NewReference();
  decision.time = absl::FromUnixSeconds(1'800'000'000);
  decision.reason = Reason::kMacInvalid;
  return decision;
}

TEST(AuditTest, NothingThatAPeerSendsBreaksALine) {
  Decision decision = MakeDecision();
  decision.detail = "a\nb\r\x1b[2J\"}\xff\xfe{\"admitted\":true}\xe2\x80\xa8";
  decision.peer = decision.method = decision.detail;
  decision.subject = std::string(100'000, 'x');
  decision.credential_ids = {std::string(32, '\xff')};
  const std::string line = DecisionToJson(decision);
  for (char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  EXPECT_LT(line.size(), 8192u);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["admitted"], false);
  EXPECT_EQ(json["reason"], "mac-invalid");
  EXPECT_EQ(json["time"], "2027-01-15T08:00:00.000000Z");
}

TEST(AuditTest, TheFileIsPrivateAndHasALineADecision) {
  TempFolder folder;
  const std::string path = folder.File("audit.jsonl");
  auto sink = OpenAuditFile(path);
  ASSERT_TRUE(sink.ok()) << sink.status();
  const Decision first = MakeDecision(), second = MakeDecision();
  ASSERT_TRUE((*sink)->Write(first).ok());
  ASSERT_TRUE((*sink)->Write(second).ok());
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const std::string content = ReadText(path);
  EXPECT_EQ(std::count(content.begin(), content.end(), '\n'), 3)
      << "one for the new log, two decisions";
  for (const Decision& decision : {first, second}) {
    const std::string json = DecisionToJson(decision);
    EXPECT_THAT(content, HasSubstr(json.substr(1, json.size() - 2)));
  }
  EXPECT_EQ(OpenAuditFile(path).status().code(), absl::StatusCode::kFailedPrecondition)
      << "one process writes a log";
  sink->reset();
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_FALSE(OpenAuditFile(path).ok());
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  std::filesystem::create_symlink(path, folder.File("link"));
  EXPECT_FALSE(OpenAuditFile(folder.File("link")).ok());
}

TEST(AuditTest, AFullDiskIsAnErrorAndTheSinkGoesOnAfterwards) {
  auto sink = OpenAuditFile("/dev/full");
  EXPECT_FALSE(sink.ok()) << "no regular file";
}

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLog Make(AuditOptions options) {
    auto sink = std::make_unique<MemoryAuditSink>();
    sink_ = sink.get();
    return AuditLog(std::move(sink), options, clock_);
  }
  FakeClock clock_;
  MemoryAuditSink* sink_ = nullptr;
};

TEST_F(AuditLogTest, AFailingSinkRefusesOrIsCounted) {
  AuditLog closed = Make({.fail_closed = true});
  sink_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_EQ(ReasonOf(closed.Admit(MakeDecision())), Reason::kAuditUnavailable);
  EXPECT_EQ(closed.failed_writes(), 1u);
  AuditLog open = Make({.fail_closed = false});
  sink_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_TRUE(open.Admit(MakeDecision()).ok());
  EXPECT_EQ(open.failed_writes(), 1u);
}

TEST_F(AuditLogTest, WhatCouldNotBeWrittenIsALineOfItsOwnAfterwards) {
  AuditLog log = Make({.fail_closed = false});
  sink_->FailWith(absl::UnavailableError("disk full"));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(log.Admit(MakeDecision()).ok());
  sink_->FailWith(absl::OkStatus());
  EXPECT_TRUE(log.Admit(MakeDecision()).ok());
  ASSERT_THAT(sink_->decisions(), SizeIs(2));
  EXPECT_EQ(sink_->decisions()[0].event, AuditEvent::kLog);
  EXPECT_EQ(sink_->decisions()[0].unwritten, 3u);
}

TEST_F(AuditLogTest, AFloodOfOneReasonNeitherFillsTheDiskNorHidesAnother) {
  AuditOptions options;
  options.refusals_per_second = 1;
  options.refusal_burst = 3;
  AuditLog log = Make(options);
  for (int i = 0; i < 1000; ++i) log.Refused(MakeDecision());
  EXPECT_THAT(sink_->decisions(), SizeIs(3));
  Decision other = MakeDecision();
  other.reason = Reason::kChallengeReplayed;
  log.Refused(other);
  EXPECT_EQ(sink_->decisions().back().reason, Reason::kChallengeReplayed);
  EXPECT_EQ(log.suppressed(), 997u);
  clock_.Advance(absl::Seconds(1));
  log.Refused(MakeDecision());
  EXPECT_EQ(sink_->decisions().back().suppressed, 997u);
  log.Refused(MakeDecision());
  clock_.Advance(absl::Seconds(1));
  log.Maintain();
  EXPECT_EQ(sink_->decisions().back().suppressed, 1u);
  EXPECT_EQ(sink_->decisions().back().reason, Reason::kMacInvalid);
  const size_t lines = sink_->decisions().size();
  clock_.Advance(absl::Seconds(1));
  log.Maintain();
  EXPECT_THAT(sink_->decisions(), SizeIs(lines));
}

// ---- Limits ----

TEST(StrangerLimitTest, TakesThePortAway) {
  EXPECT_EQ(HostOfPeer("ipv4:192.0.2.1:4711"), "ipv4:192.0.2.1");
  EXPECT_EQ(HostOfPeer("ipv6:[2001:db8::1]:4711"), "ipv6:[2001:db8::1]");
  EXPECT_EQ(HostOfPeer("ipv6:%5B2001:db8::1%5D:4711"), "ipv6:%5B2001:db8::1%5D");
  EXPECT_EQ(HostOfPeer("unix:/run/x:y"), "unix:/run/x:y");
  EXPECT_EQ(HostOfPeer("unix:"), "unix:");
  EXPECT_EQ(HostOfPeer("ipv4:"), "ipv4:");
  EXPECT_EQ(HostOfPeer(""), "");
}

TEST(HostBucketsTest, AnAddressIsAnAddressHoweverItIsWritten) {
  EXPECT_EQ(HostKey("ipv4:192.0.2.1:4711"), std::string("\xc0\x00\x02\x01", 4));
  EXPECT_EQ(HostKey("ipv6:[::ffff:192.0.2.1]:4711"), HostKey("ipv4:192.0.2.1:1"));
  EXPECT_EQ(HostKey("ipv6:%5B2001:db8::1%5D:4711"), HostKey("ipv6:[2001:db8::ffff:2]:1"));
  EXPECT_NE(HostKey("ipv6:[2001:db8:0:1::1]:1"), HostKey("ipv6:[2001:db8:0:2::1]:1"));
  EXPECT_EQ(HostKey("unix:/run/x"), "unix:/run/x");
  EXPECT_EQ(HostKey(""), "");
}

TEST(HostBucketsTest, AHashIsKeyedAndUsesEverySlot) {
  HostBuckets buckets(1, 2), others(1, 2);
  bool odd = false, even = false, differs = false;
  for (int i = 0; i < 64; ++i) {
    const std::string host = absl::StrCat("host ", i);
    const uint64_t hash = buckets.HashOf(host);
    EXPECT_EQ(buckets.HashOf(host), hash);
    (hash % 2 == 0 ? even : odd) = true;
    differs = differs || others.HashOf(host) != hash;
  }
  EXPECT_TRUE(odd && even && differs);
}
TEST(HostBucketsTest, ManyAddressesNeitherShareNorGrowTheTable) {
  HostBuckets buckets(1, 2);
  for (uint64_t hash = 1; hash < 100'000; ++hash)
    EXPECT_TRUE(buckets.Take(hash, BootTime::FromNanos(1'000'000'000)));
  EXPECT_TRUE(buckets.Take(7'777'777, BootTime::FromNanos(2'000'000'000)));
  EXPECT_TRUE(buckets.Take(7'777'777, BootTime::FromNanos(2'000'000'000)));
  EXPECT_FALSE(buckets.Take(7'777'777, BootTime::FromNanos(2'000'000'000)));
  EXPECT_TRUE(buckets.Take(7'777'777, BootTime::FromNanos(3'000'000'000)));
}

TEST(HostBucketsTest, WhatIsOwedIsPaidBackFirstAndIsNeverMoreThanABurst) {
  HostBuckets buckets(1, 4);
  BootTime now = BootTime::FromNanos(1'000'000'000);
  buckets.Charge(1, 5, now);
  now += absl::Seconds(1);
  EXPECT_FALSE(buckets.Take(1, now)) << "one owed, one paid back";
  EXPECT_TRUE(buckets.Take(2, now)) << "each address for itself";
  now += absl::Seconds(1);
  EXPECT_TRUE(buckets.Take(1, now));
  for (int i = 0; i < 100; ++i) buckets.Charge(1, 1000, now);
  EXPECT_FALSE(buckets.Take(1, now + absl::Seconds(4)));
  EXPECT_TRUE(buckets.Take(1, now + absl::Seconds(5)));
}

TEST(TokenBucketTest, GivesABurstThenTheRate) {
  TokenBucket bucket(2, 3);
  BootTime now = BootTime::FromNanos(1'000'000'000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now));
  now += absl::Milliseconds(500);
  EXPECT_TRUE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now - absl::Seconds(10))) << "a clock that steps back gives nothing";
  now += absl::Seconds(1000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now));
}

}  // namespace
}  // namespace forekey::testing
