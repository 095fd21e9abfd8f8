// SPDX-License-Identifier: Apache-2.0
// The registry: subjects, their roles, credentials with what was proved of them, and invites. An
// interface, so that shared stores can be added; src/store/sqlite_registry.h is the embedded
// default.
//
// Every mutating call is durable when it returns OK: a kill -9 after that loses nothing. All calls
// are safe from any thread. Errors: Refuse(kStoreUnavailable) when the store can't answer (disk
// full, locked, corrupt), and the reasons named at each call. Times are wall time.
#ifndef FOREKEY_SRC_STORE_REGISTRY_H_
#define FOREKEY_SRC_STORE_REGISTRY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/wire/token_kind.h"

namespace forekey {

struct SubjectRecord {
  std::string name;
  std::vector<std::string> roles;  // sorted, each once
  bool disabled = false;
  absl::Time created_at;
  // Both only grow, in the transaction of the change that they count: what a ticket of resumption
  // says of its subject is held against them. With each SetDisabled(true): all its sessions ended
  // then.
  uint64_t sessions_epoch = 0;
  // With each change of its password or its identities at identity providers.
  uint64_t factors_epoch = 0;
};

struct CredentialRecord {
  std::string id;  // 32 bytes
  std::string subject;
  TokenKind kind = v1::TOKEN_KIND_UNSPECIFIED;
  int algorithm = 0;  // Algorithm
  std::string spki;
  std::string label;
  std::string device_id;             // SHA-256 naming the device, or empty
  std::vector<std::string> factors;  // what a signature by it proves
  std::string proved_json;
  std::string evidence;     // the serialized enrolment, kept whole for later re-verification
  std::string rp_id;        // FIDO2: pinned at enrolment
  std::string origin;       // FIDO2
  uint32_t sign_count = 0;  // FIDO2
  absl::Time enrolled_at;
  std::optional<absl::Time> revoked_at;
  std::string revocation_note;
};

struct InviteRecord {
  std::string id;          // SHA-256 of public_key
  std::string public_key;  // 32 bytes Ed25519; the seed is never stored
  std::string subject;
  std::vector<std::string> roles;
  std::vector<TokenKind> kinds;     // empty: any
  std::string pinned_device;        // device_id that must be proved; empty: any
  std::string replaces_credential;  // recovery: this credential is revoked at use
  absl::Time created_at;
  absl::Time expires_at;
  std::optional<absl::Time> used_at;
};

// Who a subject is at an identity provider: what one of its ID tokens' claims holds. All three
// count: the same value at another provider, or in another claim, may be somebody else.
struct OidcIdentity {
  std::string issuer;
  std::string claim;
  std::string value;
  friend bool operator==(const OidcIdentity&, const OidcIdentity&) = default;
};

// Where a change lies in the history of a registry that several programs share, so that a server
// can be asked later whether it has it. Number -1: nothing was told, or nobody shares the registry.
struct ChangePosition {
  int64_t number = -1;
  std::string token;  // random: in another history the same number has another one
  friend bool operator==(const ChangePosition&, const ChangePosition&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const ChangePosition& position) {
    return H::combine(std::move(hash), position.number, position.token);
  }
};

class Registry {
 public:
  virtual ~Registry() = default;

  // Refuses with kInviteUnknown where there is none; used and expired ones are returned as they
  // are.
  virtual absl::StatusOr<InviteRecord> FindInvite(absl::string_view public_key) = 0;
  // InvalidArgument for names that are not IsWellFormedSubject(), an id that is not SHA-256 of the
  // key, or an invite that exists. kCredentialUnknown or kSubjectMismatch where
  // `replaces_credential` is nobody's or another subject's.
  virtual absl::Status AddInvite(const InviteRecord& invite) = 0;
  // Forgets an unused invite. kInviteUnknown; kInviteUsed.
  virtual absl::Status CancelInvite(absl::string_view invite_id) = 0;
  virtual absl::StatusOr<std::vector<InviteRecord>> ListInvites() = 0;

  // One transaction: the invite is unused and unexpired at `now` (kInviteUnknown, kInviteUsed,
  // kInviteExpired), the credential is what the invite is for (kSubjectMismatch,
  // kTokenKindNotAllowed, kDeviceNotPinned), the subject is not disabled (kSubjectDisabled), the
  // key is new (kCredentialExists: one key belongs to one subject, for ever), the device is not
  // another subject's where `one_subject_a_device` (kDeviceExists; revoked credentials do not hold
  // a device); then the subject is made with the invite's roles if it is new (an existing subject
  // keeps exactly its own roles), the credential is added, a replaced one is revoked, the invite is
  // used. All of it or nothing.
  struct Enrollment {
    std::string invite_id;
    CredentialRecord credential;
    bool one_subject_a_device = true;
    absl::Time now;
  };
  struct Enrolled {
    std::string replaced_credential;  // revoked by this enrolment; empty: none
    bool new_subject = false;
  };
  // `enrolled` may be null; it is written only when the result is OK.
  virtual absl::Status Enroll(const Enrollment& enrollment, Enrolled* enrolled) = 0;
  absl::Status Enroll(const Enrollment& enrollment) { return Enroll(enrollment, nullptr); }

  // Refuses with kCredentialUnknown; revoked ones are returned as they are.
  virtual absl::StatusOr<CredentialRecord> FindCredential(absl::string_view id) = 0;
  // NotFound where there is none.
  virtual absl::StatusOr<SubjectRecord> FindSubject(absl::string_view name) = 0;
  virtual absl::StatusOr<std::vector<SubjectRecord>> ListSubjects() = 0;
  // The credentials of one subject, or of all where `subject` is empty.
  virtual absl::StatusOr<std::vector<CredentialRecord>> ListCredentials(
      absl::string_view subject) = 0;

  // Ids of credentials that are not revoked, ascending, beyond `after` (empty: from the first), at
  // most `most`.
  virtual absl::StatusOr<std::vector<std::string>> ListLiveCredentialIds(absl::string_view after,
                                                                         size_t most) = 0;

  // Many at once, for who follows what others changed (src/store/live_credentials.h): no change
  // that is under way holds them up.
  // Of these ids, those of credentials that there are and that are not revoked, in any order.
  virtual absl::StatusOr<std::vector<std::string>> FindUnrevoked(absl::Span<const std::string> ids);
  // Of these subjects, those that there are, in any order.
  virtual absl::StatusOr<std::vector<SubjectRecord>> FindSubjects(
      absl::Span<const std::string> names);

  // `made`, here and below, may be null; it is written only when the result is OK.
  // False when it was revoked already. kCredentialUnknown where there is none.
  virtual absl::StatusOr<bool> RevokeCredential(absl::string_view id, absl::string_view note,
                                                absl::Time now, ChangePosition* made) = 0;
  absl::StatusOr<bool> RevokeCredential(absl::string_view id, absl::string_view note,
                                        absl::Time now) {
    return RevokeCredential(id, note, now, nullptr);
  }
  // Revokes every credential of a subject and forgets its unused invites, in one transaction: no
  // enrolment slips in between. NotFound where there is neither such a subject nor an invite of it.
  struct RevokedSubject {
    struct Credential {
      std::string id;
      bool revoked = false;  // false: it was revoked before
    };
    std::vector<Credential> credentials;
    std::vector<InviteRecord> cancelled_invites;
    ChangePosition made;
  };
  virtual absl::StatusOr<RevokedSubject> RevokeSubject(absl::string_view subject,
                                                       absl::string_view note, absl::Time now) = 0;
  // NotFound where there is no such subject; InvalidArgument for malformed role names.
  virtual absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                                ChangePosition* made) = 0;
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles) {
    return SetRoles(subject, roles, nullptr);
  }
  virtual absl::Status SetDisabled(absl::string_view subject, bool disabled,
                                   ChangePosition* made) = 0;
  absl::Status SetDisabled(absl::string_view subject, bool disabled) {
    return SetDisabled(subject, disabled, nullptr);
  }

  // The hash of a subject's password (src/crypto/password_hash.h); empty where it has none, or
  // there is no such subject.
  virtual absl::StatusOr<std::string> FindPasswordHash(absl::string_view subject) = 0;
  // Empty takes it away. NotFound where there is no such subject.
  virtual absl::Status SetPasswordHash(absl::string_view subject, absl::string_view hash,
                                       absl::Time now) = 0;

  // By issuer, one each. Empty where it has none, or there is no such subject.
  virtual absl::StatusOr<std::vector<OidcIdentity>> FindOidcIdentities(
      absl::string_view subject) = 0;
  // Takes the place of the one that the subject has at that issuer. NotFound where there is no such
  // subject.
  virtual absl::Status SetOidcIdentity(absl::string_view subject, const OidcIdentity& identity,
                                       absl::Time now) = 0;
  // Takes away the one at that issuer; empty: all. NotFound where there is no such subject.
  virtual absl::Status ClearOidcIdentities(absl::string_view subject, absl::string_view issuer) = 0;
  // Remembers, durably, that an ID token was used. Atomic: of two calls with one id exactly one
  // gets OK, the other kIdTokenReplayed. kReplayStoreFull rather than forget one that may still be
  // good: entries stay for an hour beyond `good_until`, so that a clock that is set back by less
  // revives nothing. A store with a clock of its own goes by that, and refuses with kIdTokenExpired
  // what it may have forgotten.
  struct IdTokenUse {
    std::string id;  // 32 bytes
    absl::Time good_until;
    absl::Time now;
    uint64_t capacity = 100'000;
  };
  virtual absl::Status UseIdToken(const IdTokenUse& use) = 0;

  // Counts a try of a further factor by each of the credentials, durably, before it is judged: a
  // kill -9 gives none back. Atomic. False, and nothing is counted, where one of them has used its
  // `tries` since less than `per`. A wall clock that was set back lets the time begin anew, and
  // forgets no try. kCredentialUnknown for one that is not enrolled: what is kept is bounded by who
  // is.
  struct FactorTry {
    std::vector<std::string> credential_ids;
    std::string factor;  // "password", "oidc": counted apart
    uint64_t tries = 0;
    absl::Duration per;
    absl::Time now;
  };
  virtual absl::StatusOr<bool> TakeFactorTry(const FactorTry& attempt) = 0;
  // Forgets the tries: after one that was right.
  virtual absl::Status GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                           absl::string_view factor) = 0;

  // Resumption of sessions (docs/PROTOCOL.md, "Resumption"). A store without these answers
  // Unimplemented, and its gate starts with `[sessions] resumption` off alone.
  //
  // The keys that tickets are sealed under, as the gates that share this registry keep them: bytes
  // that they alone can open, with a version that begins at 1 and grows by one with each change.
  // Version 0, no bytes: there were none yet.
  struct TicketState {
    uint64_t version = 0;
    std::string sealed;
    // The wall clock of a store that has one of its own, when it was asked: what the clocks of the
    // gates that share it are measured by.
    std::optional<absl::Time> store_time = std::nullopt;
  };
  virtual absl::StatusOr<TicketState> FindTicketState() { return NoResumption(); }
  // Atomic: of several callers with one `expected` version exactly one gets true. False, and
  // nothing is changed, where the version is another one.
  virtual absl::StatusOr<bool> SwapTicketState(uint64_t expected, absl::string_view sealed) {
    return NoResumption();
  }

  // A family is all the sessions that were resumed from one opening, one after the other: the
  // `serial`-th of them goes over into the next. Entries stay for an hour beyond the end of what
  // they are about, so that a clock that is set back by less revives nothing. Of one subject
  // `most` are remembered that were resumed, and as many that were ended: nobody fills others'.
  struct FamilyStep {
    std::string family;  // 16 bytes
    uint64_t serial = 0;
    absl::Time ends_at;   // no ticket of the family is good after that
    absl::Time now;       // of no other use than to forget what is over
    std::string subject;  // whose it is
    uint64_t most = 1000;
    // Of AdvanceFamily alone: when its ticket was made.
    absl::Time ticket_made;
    // Of EndFamily alone. When it is asked, by the gate's clock: a store that has one of its own
    // goes by that, so that a gate with a wrong clock makes nothing forgotten too early, nor
    // void for too long.
    absl::Time ended_at;
    // How long a ticket of its first session is good; of one that was resumed (by its serial here,
    // or by what the store knows), others may have been made until the end, to be good until
    // `ends_at`.
    absl::Duration ticket_life;
    // No ticket of it is made later than so long after its end.
    absl::Duration heard_within;
    // Of AdvanceFamily alone: what the ticket says of its subject (SubjectRecord; nullopt: no
    // further factor was proved), and whose signatures opened the session.
    uint64_t sessions_epoch = 0;
    std::optional<uint64_t> factors_epoch = std::nullopt;
    std::vector<std::string> credential_ids = {};
  };
  // One transaction, durable. Refuses with kSubjectDisabled; kSessionEnded where the subject was
  // disabled or its further factors changed since, or the family was ended; kCredentialUnknown,
  // kCredentialRevoked; kTicketReplayed: of several callers with one serial exactly one gets OK;
  // kTicketExpired where EndFamily made older tickets void; kReplayStoreFull rather than forget a
  // family that may still be good.
  virtual absl::Status AdvanceFamily(const FamilyStep& step) { return NoResumption(); }
  // None of its sessions is resumed any more. Durable; OK, too, where it was ended before, and
  // never refused for want of room: where `most` of the subject's were ended already, they are
  // forgotten one by one, and all tickets of the subject that are made within `heard_within` from
  // now are void instead. NotFound where there is no such subject.
  virtual absl::Status EndFamily(const FamilyStep& step) { return NoResumption(); }

  // The subject's sessions_epoch is at least this from now on: for who knows a greater one than the
  // store, because its history went back (a failover, a restore). NotFound where there is no
  // such subject.
  virtual absl::Status RaiseSessionsEpoch(absl::string_view subject, uint64_t least) {
    return NoResumption();
  }

  // FIDO2's signature counter: stores `count` if it is greater than the stored one, or both are
  // zero; otherwise refuses with kCounterRollback. Atomic; durable before the call is admitted.
  virtual absl::Status AdvanceSignCount(absl::string_view id, uint32_t count) = 0;

  // Copies everything, consistent, to a new file (mode 0600) while others go on using it.
  // AlreadyExists rather than overwrite. Unimplemented where the store has its own means.
  virtual absl::Status Backup(const std::string& path) {
    return absl::UnimplementedError("this registry is backed up by the means of its store");
  }

  struct Counts {
    uint64_t subjects = 0;
    uint64_t credentials = 0;
    uint64_t invites = 0;
  };
  virtual absl::StatusOr<Counts> Count() = 0;

 private:
  static absl::Status NoResumption() {
    return absl::UnimplementedError("this registry keeps nothing for the resumption of sessions");
  }
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_REGISTRY_H_
