// SPDX-License-Identifier: Apache-2.0
// A registry that hands everything on to another one: tests change what they are about.
#ifndef FOREKEY_TESTS_SUPPORT_FORWARDING_REGISTRY_H_
#define FOREKEY_TESTS_SUPPORT_FORWARDING_REGISTRY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/store/registry.h"

namespace forekey::testing {

class ForwardingRegistry : public Registry {
 public:
  explicit ForwardingRegistry(std::shared_ptr<Registry> inner) : inner_(std::move(inner)) {}

  absl::StatusOr<InviteRecord> FindInvite(absl::string_view public_key) override {
    return inner().FindInvite(public_key);
  }
  absl::Status AddInvite(const InviteRecord& invite) override { return inner().AddInvite(invite); }
  absl::Status CancelInvite(absl::string_view invite_id) override {
    return inner().CancelInvite(invite_id);
  }
  absl::StatusOr<std::vector<InviteRecord>> ListInvites() override { return inner().ListInvites(); }
  using Registry::Enroll;
  absl::Status Enroll(const Enrollment& enrollment, Enrolled* enrolled) override {
    return inner().Enroll(enrollment, enrolled);
  }
  absl::StatusOr<CredentialRecord> FindCredential(absl::string_view id) override {
    return inner().FindCredential(id);
  }
  absl::StatusOr<SubjectRecord> FindSubject(absl::string_view name) override {
    return inner().FindSubject(name);
  }
  absl::StatusOr<std::vector<SubjectRecord>> ListSubjects() override {
    return inner().ListSubjects();
  }
  absl::StatusOr<std::vector<CredentialRecord>> ListCredentials(
      absl::string_view subject) override {
    return inner().ListCredentials(subject);
  }
  absl::StatusOr<std::vector<std::string>> ListLiveCredentialIds(absl::string_view after,
                                                                 size_t most) override {
    return inner().ListLiveCredentialIds(after, most);
  }
  absl::StatusOr<std::vector<std::string>> FindUnrevoked(
      absl::Span<const std::string> ids) override {
    return inner().FindUnrevoked(ids);
  }
  absl::StatusOr<std::vector<SubjectRecord>> FindSubjects(
      absl::Span<const std::string> names) override {
    return inner().FindSubjects(names);
  }
  using Registry::RevokeCredential;
  absl::StatusOr<bool> RevokeCredential(absl::string_view id, absl::string_view note,
                                        absl::Time now, ChangePosition* made) override {
    return inner().RevokeCredential(id, note, now, made);
  }
  absl::StatusOr<RevokedSubject> RevokeSubject(absl::string_view subject, absl::string_view note,
                                               absl::Time now) override {
    return inner().RevokeSubject(subject, note, now);
  }
  using Registry::SetRoles;
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                        ChangePosition* made) override {
    return inner().SetRoles(subject, roles, made);
  }
  using Registry::SetDisabled;
  absl::Status SetDisabled(absl::string_view subject, bool disabled,
                           ChangePosition* made) override {
    return inner().SetDisabled(subject, disabled, made);
  }
  absl::StatusOr<std::string> FindPasswordHash(absl::string_view subject) override {
    return inner().FindPasswordHash(subject);
  }
  absl::Status SetPasswordHash(absl::string_view subject, absl::string_view hash,
                               absl::Time now) override {
    return inner().SetPasswordHash(subject, hash, now);
  }
  absl::StatusOr<std::vector<OidcIdentity>> FindOidcIdentities(absl::string_view subject) override {
    return inner().FindOidcIdentities(subject);
  }
  absl::Status SetOidcIdentity(absl::string_view subject, const OidcIdentity& identity,
                               absl::Time now) override {
    return inner().SetOidcIdentity(subject, identity, now);
  }
  absl::Status ClearOidcIdentities(absl::string_view subject, absl::string_view issuer) override {
    return inner().ClearOidcIdentities(subject, issuer);
  }
  absl::Status UseIdToken(const IdTokenUse& use) override { return inner().UseIdToken(use); }
  absl::StatusOr<bool> TakeFactorTry(const FactorTry& attempt) override {
    return inner().TakeFactorTry(attempt);
  }
  absl::Status GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                   absl::string_view factor) override {
    return inner().GiveFactorTriesBack(credential_ids, factor);
  }
  absl::StatusOr<TicketState> FindTicketState() override { return inner().FindTicketState(); }
  absl::StatusOr<bool> SwapTicketState(uint64_t expected, absl::string_view sealed) override {
    return inner().SwapTicketState(expected, sealed);
  }
  absl::Status AdvanceFamily(const FamilyStep& step) override {
    return inner().AdvanceFamily(step);
  }
  absl::Status EndFamily(const FamilyStep& step) override { return inner().EndFamily(step); }
  absl::Status RaiseSessionsEpoch(absl::string_view subject, uint64_t least) override {
    return inner().RaiseSessionsEpoch(subject, least);
  }
  absl::Status AdvanceSignCount(absl::string_view id, uint32_t count) override {
    return inner().AdvanceSignCount(id, count);
  }
  absl::StatusOr<Counts> Count() override { return inner().Count(); }

 protected:
  // Asked at each call of the other one, on its thread.
  virtual Registry& inner() { return *inner_; }

 private:
  const std::shared_ptr<Registry> inner_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_FORWARDING_REGISTRY_H_
