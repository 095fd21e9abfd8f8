// SPDX-License-Identifier: Apache-2.0
// What the registry promises of invites, enrolment, subjects and credentials, over every store.
// SQLite's file is tested in tests/unit/store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::ElementsAre;
using ::testing::SizeIs;

class RegistryContractTest : public RegistryContract {
 protected:
  // Adds the invite, then enrols with it.
  absl::Status EnrollWith(const InviteRecord& invite, const CredentialRecord& credential) {
    absl::Status added = registry_->AddInvite(invite);
    return added.ok() ? registry_->Enroll(MakeEnrollment(invite, credential)) : added;
  }
  // A refused enrolment has left nothing behind.
  void ExpectUntouched(const InviteRecord& invite, uint64_t credentials, uint64_t subjects) {
    auto counts = registry_->Count();
    ASSERT_THAT(counts, IsOk());
    EXPECT_EQ(counts->credentials, credentials);
    EXPECT_EQ(counts->subjects, subjects);
    auto found = registry_->FindInvite(invite.public_key);
    ASSERT_THAT(found, IsOk());
    EXPECT_FALSE(found->used_at.has_value());
  }
};
FOREKEY_OVER_EVERY_STORE(RegistryContractTest);

TEST_P(RegistryContractTest, KeepsEveryFieldOverAReopening) {
  InviteRecord invite = MakeInvite("a", "alice");
  invite.roles = {"ops", "admin", "ops"};
  invite.kinds = {v1::TOKEN_KIND_TPM, v1::TOKEN_KIND_PIV};
  invite.pinned_device = Bytes32("device");
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  CredentialRecord credential = MakeCredential("a", "alice");
  credential.device_id = Bytes32("device");
  credential.factors = {"piv", "piv+pin"};
  credential.label = "laptop \"1\"; DROP TABLE credentials; --";
  credential.proved_json = R"({"manufacturer":"IFX"})";
  credential.evidence = std::string("\0evidence\xff", 10);
  credential.rp_id = "gate.example";
  credential.origin = "forekey://gate.example";
  credential.sign_count = 4294967295u;
  Registry::Enrolled enrolled;
  ASSERT_THAT(registry_->Enroll(MakeEnrollment(invite, credential), &enrolled), IsOk());
  EXPECT_TRUE(enrolled.new_subject);
  EXPECT_EQ(enrolled.replaced_credential, "");
  Reopen();

  auto found = registry_->FindCredential(credential.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->id, credential.id);
  EXPECT_EQ(found->subject, "alice");
  EXPECT_EQ(found->kind, credential.kind);
  EXPECT_EQ(found->algorithm, credential.algorithm);
  EXPECT_EQ(found->spki, credential.spki);
  EXPECT_EQ(found->label, credential.label);
  EXPECT_EQ(found->device_id, credential.device_id);
  EXPECT_EQ(found->factors, credential.factors);
  EXPECT_EQ(found->proved_json, credential.proved_json);
  EXPECT_EQ(found->evidence, credential.evidence);
  EXPECT_EQ(found->rp_id, credential.rp_id);
  EXPECT_EQ(found->origin, credential.origin);
  EXPECT_EQ(found->sign_count, credential.sign_count);
  EXPECT_EQ(found->enrolled_at, credential.enrolled_at);
  EXPECT_FALSE(found->revoked_at.has_value());

  auto subject = registry_->FindSubject("alice");
  ASSERT_THAT(subject, IsOk());
  EXPECT_THAT(subject->roles, ElementsAre("admin", "ops"));
  EXPECT_FALSE(subject->disabled);
  auto used = registry_->FindInvite(invite.public_key);
  ASSERT_THAT(used, IsOk());
  EXPECT_EQ(used->id, invite.id);
  EXPECT_EQ(used->used_at, TestNow() + absl::Minutes(1));
  EXPECT_EQ(used->kinds, invite.kinds);
  EXPECT_EQ(used->pinned_device, invite.pinned_device);
  EXPECT_EQ(used->expires_at, invite.expires_at);
}

TEST_P(RegistryContractTest, RefusesAnInviteThatIsUnknownUsedOrExpired) {
  InviteRecord invite = MakeInvite("a", "alice");
  Registry::Enrollment enrollment = MakeEnrollment(invite, MakeCredential("a", "alice"));
  EXPECT_THAT(registry_->Enroll(enrollment), RefusedWith(Reason::kInviteUnknown));
  EXPECT_THAT(registry_->FindInvite(invite.public_key), RefusedWith(Reason::kInviteUnknown));
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  enrollment.now = invite.expires_at;
  EXPECT_THAT(registry_->Enroll(enrollment), RefusedWith(Reason::kInviteExpired));
  ExpectUntouched(invite, 0, 0);
  enrollment.now = invite.expires_at - absl::Nanoseconds(1);
  ASSERT_THAT(registry_->Enroll(enrollment), IsOk());
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("b", "alice"))),
              RefusedWith(Reason::kInviteUsed));
  EXPECT_EQ(registry_->Count()->credentials, 1u);
}

TEST_P(RegistryContractTest, AnInviteIsUsedOnceByManyAtTheSameMoment) {
  InviteRecord invite = MakeInvite("a", "alice");
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  std::atomic<int> accepted{0}, used{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      absl::Status status =
          registry_->Enroll(MakeEnrollment(invite, MakeCredential(absl::StrCat(i), "alice")));
      accepted += status.ok();
      used += ReasonOf(status) == Reason::kInviteUsed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, 1);
  EXPECT_EQ(used, 7);
  EXPECT_EQ(registry_->Count()->credentials, 1u);
}

TEST_P(RegistryContractTest, RefusesAnEnrolmentThatTheInviteIsNotFor) {
  InviteRecord invite = MakeInvite("a", "alice");
  invite.kinds = {v1::TOKEN_KIND_TPM};
  invite.pinned_device = Bytes32("her laptop");
  CredentialRecord good = MakeCredential("a", "alice");
  good.device_id = invite.pinned_device;
  CredentialRecord other_subject = good;
  other_subject.subject = "mallory";
  EXPECT_THAT(EnrollWith(invite, other_subject), RefusedWith(Reason::kSubjectMismatch));
  CredentialRecord other_kind = good;
  other_kind.kind = v1::TOKEN_KIND_PIV;
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, other_kind)),
              RefusedWith(Reason::kTokenKindNotAllowed));
  for (const std::string& device : {Bytes32("his laptop"), std::string()}) {
    CredentialRecord other_device = good;
    other_device.device_id = device;
    EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, other_device)),
                RefusedWith(Reason::kDeviceNotPinned));
  }
  ExpectUntouched(invite, 0, 0);
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, good)), IsOk());
}

TEST_P(RegistryContractTest, OneKeyBelongsToOneSubjectForEver) {
  CredentialRecord first = MakeCredential("a", "alice");
  ASSERT_THAT(EnrollNew(*registry_, first), IsOk());
  InviteRecord invite = MakeInvite("b", "bob");
  CredentialRecord same_key = MakeCredential("b", "bob");
  same_key.spki = first.spki;
  EXPECT_THAT(EnrollWith(invite, same_key), RefusedWith(Reason::kCredentialExists));
  CredentialRecord same_id = MakeCredential("b", "bob");
  same_id.id = first.id;
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, same_id)),
              RefusedWith(Reason::kCredentialExists));
  ASSERT_THAT(registry_->RevokeCredential(first.id, "", TestNow()), IsOk());
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, same_key)),
              RefusedWith(Reason::kCredentialExists));
  ExpectUntouched(invite, 1, 1);
}

TEST_P(RegistryContractTest, OneDeviceBelongsToOneSubjectUnlessThePolicySaysOtherwise) {
  CredentialRecord first = MakeCredential("a", "alice");
  first.device_id = Bytes32("laptop");
  ASSERT_THAT(EnrollNew(*registry_, first), IsOk());
  CredentialRecord again = MakeCredential("a2", "alice");
  again.device_id = first.device_id;
  EXPECT_THAT(EnrollNew(*registry_, again), IsOk()) << "her own second key on it is welcome";

  InviteRecord invite = MakeInvite("b", "bob");
  CredentialRecord bobs = MakeCredential("b", "bob");
  bobs.device_id = first.device_id;
  EXPECT_THAT(EnrollWith(invite, bobs), RefusedWith(Reason::kDeviceExists));
  ExpectUntouched(invite, 2, 1);
  ASSERT_THAT(registry_->RevokeCredential(first.id, "", TestNow()), IsOk());
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, bobs)), RefusedWith(Reason::kDeviceExists))
      << "one of the two keys on it still stands";
  Registry::Enrollment lenient = MakeEnrollment(invite, bobs);
  lenient.one_subject_a_device = false;
  EXPECT_THAT(registry_->Enroll(lenient), IsOk());
}

TEST_P(RegistryContractTest, ADeviceIsFreeOnceItsCredentialsAreRevoked) {
  CredentialRecord first = MakeCredential("a", "alice");
  first.device_id = Bytes32("laptop");
  ASSERT_THAT(EnrollNew(*registry_, first), IsOk());
  ASSERT_THAT(registry_->RevokeCredential(first.id, "left", TestNow()), IsOk());
  CredentialRecord bobs = MakeCredential("b", "bob");
  bobs.device_id = first.device_id;
  EXPECT_THAT(EnrollNew(*registry_, bobs), IsOk());
}

TEST_P(RegistryContractTest, CredentialsWithoutDeviceDoNotCollide) {
  EXPECT_THAT(EnrollNew(*registry_, MakeCredential("a", "alice")), IsOk());
  EXPECT_THAT(EnrollNew(*registry_, MakeCredential("b", "bob")), IsOk());
}

TEST_P(RegistryContractTest, AnInviteNeverChangesTheRolesOfAnExistingSubject) {
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("a", "alice"), {"user"}), IsOk());
  InviteRecord invite = MakeInvite("b", "alice");
  invite.roles = {"admin"};
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  Registry::Enrolled enrolled;
  ASSERT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("b", "alice")), &enrolled),
              IsOk());
  EXPECT_FALSE(enrolled.new_subject);
  EXPECT_THAT(registry_->FindSubject("alice")->roles, ElementsAre("user"));
}

TEST_P(RegistryContractTest, ADisabledSubjectEnrolsNothing) {
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("a", "alice")), IsOk());
  ASSERT_THAT(registry_->SetDisabled("alice", true), IsOk());
  InviteRecord invite = MakeInvite("b", "alice");
  EXPECT_THAT(EnrollWith(invite, MakeCredential("b", "alice")),
              RefusedWith(Reason::kSubjectDisabled));
  ExpectUntouched(invite, 1, 1);
}

TEST_P(RegistryContractTest, ARecoveryRevokesTheReplacedCredential) {
  CredentialRecord lost = MakeCredential("lost", "alice");
  ASSERT_THAT(EnrollNew(*registry_, lost), IsOk());
  InviteRecord invite = MakeInvite("r", "alice");
  invite.replaces_credential = lost.id;
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  EXPECT_FALSE(registry_->FindCredential(lost.id)->revoked_at.has_value()) << "not before its use";
  Registry::Enrolled enrolled;
  ASSERT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("new", "alice")), &enrolled),
              IsOk());
  EXPECT_EQ(enrolled.replaced_credential, lost.id);
  EXPECT_EQ(registry_->FindCredential(lost.id)->revoked_at, TestNow() + absl::Minutes(1));
  EXPECT_FALSE(
      registry_->FindCredential(MakeCredential("new", "alice").id)->revoked_at.has_value());
}

TEST_P(RegistryContractTest, ARecoveryRevokesNobodyElsesCredential) {
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("a", "alice")), IsOk());
  CredentialRecord bobs = MakeCredential("b", "bob");
  ASSERT_THAT(EnrollNew(*registry_, bobs), IsOk());
  InviteRecord invite = MakeInvite("r", "alice");
  invite.replaces_credential = Bytes32("nobody's");
  EXPECT_THAT(registry_->AddInvite(invite), RefusedWith(Reason::kCredentialUnknown));
  invite.replaces_credential = bobs.id;
  EXPECT_THAT(registry_->AddInvite(invite), RefusedWith(Reason::kSubjectMismatch));
  // Even where such an invite came into the file in another way.
  invite.replaces_credential.clear();
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  registry_ = nullptr;
  store_->Sql(
      "UPDATE invites SET replaces_credential = (SELECT c.id FROM credentials c JOIN subjects s "
      "ON s.id = c.subject_id WHERE s.name = 'bob') WHERE used_at IS NULL");
  Reopen();
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("new", "alice"))),
              RefusedWith(Reason::kSubjectMismatch));
  ExpectUntouched(invite, 2, 2);
  EXPECT_FALSE(registry_->FindCredential(bobs.id)->revoked_at.has_value());
}

TEST_P(RegistryContractTest, RefusesMalformedRecords) {
  for (const char* name : {"", "-rf", ".hidden", "a b", "a/b", "a\nb", "a\"b", "\xc3\xa9"}) {
    InviteRecord invite = MakeInvite("a", name);
    EXPECT_THAT(registry_->AddInvite(invite), HasCode(absl::StatusCode::kInvalidArgument)) << name;
    invite = MakeInvite("a", "alice");
    invite.roles = {"ok", name};
    EXPECT_THAT(registry_->AddInvite(invite), HasCode(absl::StatusCode::kInvalidArgument)) << name;
  }
  InviteRecord invite = MakeInvite("a", "alice");
  invite.id = Bytes32("something else");
  EXPECT_THAT(registry_->AddInvite(invite), HasCode(absl::StatusCode::kInvalidArgument));
  invite = MakeInvite("a", "alice");
  invite.public_key.push_back('x');
  EXPECT_THAT(registry_->AddInvite(invite), HasCode(absl::StatusCode::kInvalidArgument));
  invite = MakeInvite("a", "alice");
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  EXPECT_THAT(registry_->AddInvite(invite), HasCode(absl::StatusCode::kInvalidArgument));

  for (auto break_it : std::vector<void (*)(CredentialRecord&)>{
           [](CredentialRecord& c) { c.id.pop_back(); },
           [](CredentialRecord& c) { c.spki.clear(); },
           [](CredentialRecord& c) { c.factors = {"a b"}; },
           [](CredentialRecord& c) { c.revoked_at = TestNow(); }}) {
    CredentialRecord credential = MakeCredential("a", "alice");
    break_it(credential);
    EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, credential)),
                HasCode(absl::StatusCode::kInvalidArgument));
  }
  ExpectUntouched(invite, 0, 0);
}

TEST_P(RegistryContractTest, CancelsOnlyUnusedInvites) {
  InviteRecord unused = MakeInvite("a", "alice"), used = MakeInvite("b", "bob");
  EXPECT_THAT(registry_->CancelInvite(unused.id), RefusedWith(Reason::kInviteUnknown));
  ASSERT_THAT(registry_->AddInvite(unused), IsOk());
  ASSERT_THAT(EnrollWith(used, MakeCredential("b", "bob")), IsOk());
  EXPECT_THAT(registry_->CancelInvite(used.id), RefusedWith(Reason::kInviteUsed));
  EXPECT_THAT(registry_->CancelInvite(unused.id), IsOk());
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(unused, MakeCredential("a", "alice"))),
              RefusedWith(Reason::kInviteUnknown));
  auto rest = registry_->ListInvites();
  ASSERT_THAT(rest, IsOk());
  ASSERT_THAT(*rest, SizeIs(1));
  EXPECT_EQ(rest->front().id, used.id);
}

TEST_P(RegistryContractTest, RevokesOnceAndKeepsTheFirstReason) {
  CredentialRecord credential = MakeCredential("a", "alice");
  EXPECT_THAT(registry_->RevokeCredential(credential.id, "", TestNow()),
              RefusedWith(Reason::kCredentialUnknown));
  EXPECT_THAT(registry_->FindCredential(credential.id), RefusedWith(Reason::kCredentialUnknown));
  ASSERT_THAT(EnrollNew(*registry_, credential), IsOk());
  EXPECT_EQ(registry_->RevokeCredential(credential.id, "stolen", TestNow()).value(), true);
  EXPECT_EQ(registry_->RevokeCredential(credential.id, "again", TestNow() + absl::Hours(1)).value(),
            false);
  Reopen();
  auto found = registry_->FindCredential(credential.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->revoked_at, TestNow());
  EXPECT_EQ(found->revocation_note, "stolen");
}

TEST_P(RegistryContractTest, RevokingASubjectTakesItsUnusedInvitesWithIt) {
  InviteRecord open = MakeInvite("open", "alice"), foreign = MakeInvite("foreign", "bob");
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("first", "alice")), IsOk());
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("second", "alice")), IsOk());
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("his", "bob")), IsOk());
  ASSERT_THAT(registry_->RevokeCredential(Bytes32("credential first"), "lost", TestNow()), IsOk());
  ASSERT_THAT(registry_->AddInvite(open), IsOk());
  ASSERT_THAT(registry_->AddInvite(foreign), IsOk());

  auto done = registry_->RevokeSubject("alice", "left", TestNow() + absl::Minutes(1));
  ASSERT_THAT(done, IsOk());
  ASSERT_THAT(done->credentials, SizeIs(2));
  for (const auto& credential : done->credentials) {
    EXPECT_EQ(credential.revoked, credential.id == Bytes32("credential second"));
  }
  ASSERT_THAT(done->cancelled_invites, SizeIs(1)) << "used ones stay, as a record";
  EXPECT_EQ(done->cancelled_invites[0].id, open.id);
  Reopen();
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(open, MakeCredential("new", "alice"))),
              RefusedWith(Reason::kInviteUnknown));
  EXPECT_EQ(registry_->FindCredential(Bytes32("credential first"))->revocation_note, "lost");
  EXPECT_EQ(registry_->FindCredential(Bytes32("credential second"))->revocation_note, "left");
  EXPECT_EQ(registry_->FindCredential(Bytes32("credential his"))->revoked_at, std::nullopt);
  EXPECT_THAT(registry_->Enroll(MakeEnrollment(foreign, MakeCredential("his second", "bob"))),
              IsOk());
}

TEST_P(RegistryContractTest, WhoIsOnlyInvitedCanBeRevoked) {
  const InviteRecord invite = MakeInvite("a", "alice");
  EXPECT_TRUE(absl::IsNotFound(registry_->RevokeSubject("alice", "", TestNow()).status()));
  ASSERT_THAT(registry_->AddInvite(invite), IsOk());
  auto done = registry_->RevokeSubject("alice", "", TestNow());
  ASSERT_THAT(done, IsOk());
  EXPECT_THAT(done->cancelled_invites, SizeIs(1));
  EXPECT_THAT(registry_->FindInvite(invite.public_key), RefusedWith(Reason::kInviteUnknown));
}

TEST_P(RegistryContractTest, NoEnrolmentSlipsBetweenASubjectsCredentialsAndItsInvites) {
  std::vector<InviteRecord> invites;
  for (int i = 0; i < 8; ++i) {
    invites.push_back(MakeInvite(absl::StrCat(i), "alice"));
    ASSERT_THAT(registry_->AddInvite(invites.back()), IsOk());
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      (void)registry_->Enroll(MakeEnrollment(invites[i], MakeCredential(absl::StrCat(i), "alice")));
    });
  }
  absl::StatusOr<Registry::RevokedSubject> done = registry_->RevokeSubject("alice", "", TestNow());
  for (std::thread& thread : threads) thread.join();
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->credentials.size() + done->cancelled_invites.size(), 8u);
  EXPECT_THAT(*registry_->ListLiveCredentialIds("", 100), SizeIs(0));
}

TEST_P(RegistryContractTest, ReplacesRolesAsAWhole) {
  EXPECT_THAT(registry_->SetRoles("alice", {"a"}), HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(registry_->SetDisabled("alice", true), HasCode(absl::StatusCode::kNotFound));
  EXPECT_THAT(registry_->FindSubject("alice"), HasCode(absl::StatusCode::kNotFound));
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("a", "alice"), {"x"}), IsOk());
  ASSERT_THAT(EnrollNew(*registry_, MakeCredential("b", "bob"), {"y"}), IsOk());
  EXPECT_THAT(registry_->SetRoles("alice", {"b", "a", "b"}), IsOk());
  EXPECT_THAT(registry_->SetRoles("alice", {"fine", "not fine"}),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(registry_->FindSubject("alice")->roles, ElementsAre("a", "b"));
  EXPECT_THAT(registry_->SetRoles("alice", {}), IsOk());
  EXPECT_THAT(registry_->SetDisabled("alice", true), IsOk());
  auto subjects = registry_->ListSubjects();
  ASSERT_THAT(subjects, IsOk());
  ASSERT_THAT(*subjects, SizeIs(2));
  EXPECT_TRUE((*subjects)[0].roles.empty());
  EXPECT_TRUE((*subjects)[0].disabled);
  EXPECT_THAT((*subjects)[1].roles, ElementsAre("y"));
  EXPECT_THAT(registry_->SetDisabled("alice", false), IsOk());
  EXPECT_FALSE(registry_->FindSubject("alice")->disabled);
}

TEST_P(RegistryContractTest, ListsTheCredentialsOfOneSubjectOrOfAll) {
  for (const auto& [name, subject] : {std::pair("a1", "alice"), {"b1", "bob"}, {"a2", "alice"}}) {
    ASSERT_THAT(EnrollNew(*registry_, MakeCredential(name, subject)), IsOk());
  }
  EXPECT_THAT(*registry_->ListCredentials("alice"), SizeIs(2));
  EXPECT_THAT(*registry_->ListCredentials("bob"), SizeIs(1));
  EXPECT_THAT(*registry_->ListCredentials("carol"), SizeIs(0));
  EXPECT_THAT(*registry_->ListCredentials(""), SizeIs(3));
}

TEST_P(RegistryContractTest, TheSignatureCounterOnlyGrows) {
  CredentialRecord credential = MakeCredential("a", "alice");
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 1),
              RefusedWith(Reason::kCredentialUnknown));
  ASSERT_THAT(EnrollNew(*registry_, credential), IsOk());
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 0), IsOk());
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 0), IsOk()) << "a token without a counter";
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 5), IsOk());
  Reopen();
  for (uint32_t old : {0u, 4u, 5u}) {
    EXPECT_THAT(registry_->AdvanceSignCount(credential.id, old),
                RefusedWith(Reason::kCounterRollback))
        << old;
  }
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 4294967295u), IsOk());
  EXPECT_THAT(registry_->AdvanceSignCount(credential.id, 4294967295u),
              RefusedWith(Reason::kCounterRollback));
}

TEST_P(RegistryContractTest, OneCounterValueIsAcceptedOnceByManyAtTheSameMoment) {
  CredentialRecord credential = MakeCredential("a", "alice");
  ASSERT_THAT(EnrollNew(*registry_, credential), IsOk());
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { accepted += registry_->AdvanceSignCount(credential.id, 7).ok(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, 1);
}

TEST_P(RegistryContractTest, LiveCredentialsAreListedInPagesWithoutTheRevoked) {
  std::vector<std::string> ids;
  for (const char* name : {"a", "b", "c", "d"}) {
    ASSERT_THAT(EnrollNew(*registry_, MakeCredential(name, "ada")), IsOk());
    ids.push_back(MakeCredential(name, "ada").id);
  }
  std::sort(ids.begin(), ids.end());
  ASSERT_THAT(registry_->RevokeCredential(ids[1], "", TestNow()), IsOk());
  using Ids = std::vector<std::string>;
  EXPECT_EQ(registry_->ListLiveCredentialIds("", 2).value(), (Ids{ids[0], ids[2]}));
  EXPECT_EQ(registry_->ListLiveCredentialIds(ids[2], 2).value(), Ids{ids[3]});
  EXPECT_EQ(registry_->ListLiveCredentialIds(ids[3], 2).value(), Ids{});
}

}  // namespace
}  // namespace forekey
