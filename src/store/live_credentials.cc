// SPDX-License-Identifier: Apache-2.0
#include "src/store/live_credentials.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Loads that a change overtook before one is made with changes kept out.
constexpr int kLoadAttempts = 4;
// Readings of a subject that another change overtook, or that know less than was read before.
constexpr int kSubjectReadings = 8;

CredentialRecord WithoutEvidence(CredentialRecord record) {
  record.evidence = std::string();
  return record;
}

absl::StatusOr<PublicKey> StoredKey(const CredentialRecord& record) {
  absl::StatusOr<PublicKey> key = PublicKey::FromSpki(record.spki);
  if (!key.ok()) {
    return Refuse(Reason::kStoreUnavailable,
                  absl::StrCat("a stored key does not parse: ", key.status().message()));
  }
  if (static_cast<int>(key->algorithm()) != record.algorithm) {
    return Refuse(Reason::kStoreUnavailable,
                  "a stored key is not of the algorithm stored beside it");
  }
  return key;
}

}  // namespace

LiveSubject::LiveSubject(const SubjectRecord& record)
    : name_(record.name),
      disabled_(record.disabled),
      sessions_epoch_(record.sessions_epoch),
      roles_(std::make_shared<const std::vector<std::string>>(record.roles)) {}

// Written one at a time. The epoch goes first: who sees that the subject is enabled again sees that
// it was disabled.
void LiveSubject::Take(bool disabled, uint64_t sessions_epoch) {
  sessions_epoch_.store(std::max(sessions_epoch, this->sessions_epoch()),
                        std::memory_order_release);
  disabled_.store(disabled, std::memory_order_release);
}

std::shared_ptr<const std::vector<std::string>> LiveSubject::roles() const {
  absl::ReaderMutexLock lock(&mutex_);
  return roles_;
}

LiveCredential::LiveCredential(CredentialRecord record, PublicKey key,
                               std::shared_ptr<LiveSubject> subject)
    : record_(WithoutEvidence(std::move(record))),
      key_(std::move(key)),
      subject_(std::move(subject)),
      revoked_(record_.revoked_at.has_value()) {}

const std::shared_ptr<const TokenDescription>& LiveCredential::description() const {
  absl::call_once(described_, [this] { description_ = DescribeToken(record_); });
  return description_;
}

LiveCredentials::LiveCredentials(std::shared_ptr<Registry> registry, size_t capacity)
    : registry_(std::move(registry)), capacity_(capacity) {}

absl::StatusOr<std::shared_ptr<const LiveCredential>> LiveCredentials::Find(absl::string_view id) {
  {
    absl::ReaderMutexLock lock(&mutex_);
    auto found = credentials_.find(id);
    if (found != credentials_.end()) {
      // Written only where it changes something: all threads that find it share its cache line.
      std::atomic<bool>& used = found->second->recently_used_;
      if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
      return found->second;
    }
  }
  for (int attempt = 0; attempt < kLoadAttempts; ++attempt) {
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<LiveCredential> credential, Load(id));
    if (credential != nullptr) return credential;
  }
  absl::MutexLock no_changes(&changes_);
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<LiveCredential> credential, Load(id));
  if (credential == nullptr)
    return Refuse(Reason::kStoreUnavailable, "the registry does not hold still");
  return credential;
}

absl::StatusOr<std::shared_ptr<LiveCredential>> LiveCredentials::Load(absl::string_view id) {
  Loading loading{id};
  {
    absl::MutexLock lock(&mutex_);
    loading_.insert(&loading);
  }
  const absl::Cleanup loaded = [&] {
    absl::MutexLock lock(&mutex_);
    loading_.erase(&loading);
  };
  FOREKEY_ASSIGN_OR_RETURN(CredentialRecord record, registry_->FindCredential(id));
  {
    absl::MutexLock lock(&mutex_);
    loading.subject = record.subject;
  }
  absl::StatusOr<SubjectRecord> subject = registry_->FindSubject(record.subject);
  if (!subject.ok()) {
    if (ReasonOf(subject.status())) return subject.status();
    return Refuse(Reason::kStoreUnavailable, "a credential's subject is missing");
  }
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, StoredKey(record));

  absl::MutexLock lock(&mutex_);
  auto found = credentials_.find(id);
  if (found != credentials_.end()) return found->second;
  if (loading.overtaken) return nullptr;
  auto credential =
      std::make_shared<LiveCredential>(std::move(record), std::move(key), SubjectFor(*subject));
  credentials_.emplace(id, credential);
  ++inserted_since_cleanup_;
  MakeRoom();
  return credential;
}

void LiveCredentials::OvertakeLoads() {
  for (Loading* one : loading_) one->overtaken = true;
}

void LiveCredentials::OvertakeLoadsOf(absl::string_view subject) {
  for (Loading* one : loading_) one->overtaken = one->overtaken || one->subject == subject;
}

std::shared_ptr<LiveSubject> LiveCredentials::LiveSubjectNamed(absl::string_view name) {
  auto found = subjects_.find(name);
  return found == subjects_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<LiveSubject> LiveCredentials::SubjectFor(const SubjectRecord& record) {
  if (auto live = LiveSubjectNamed(record.name)) return live;
  auto made = std::make_shared<LiveSubject>(record);
  subjects_[record.name] = made;
  return made;
}

// Walks all entries, but only once in an eighth of their number of insertions. use_count() == 1 is
// stable here: a second owner could only come out of the map, which is locked.
void LiveCredentials::MakeRoom() {
  if (credentials_.size() <= capacity_ || inserted_since_cleanup_ * 8 < credentials_.size()) return;
  inserted_since_cleanup_ = 0;
  size_t unheld = std::count_if(credentials_.begin(), credentials_.end(),
                                [](const auto& entry) { return entry.second.use_count() == 1; });
  for (bool spare_used : {true, false}) {
    for (auto it = credentials_.begin(); it != credentials_.end() && unheld > capacity_;) {
      auto entry = it++;
      if (entry->second.use_count() != 1) continue;
      bool used = entry->second->recently_used_.exchange(false, std::memory_order_relaxed);
      if (used && spare_used) continue;
      credentials_.erase(entry);
      --unheld;
    }
  }
  absl::erase_if(subjects_, [](const auto& entry) { return entry.second.expired(); });
}

absl::StatusOr<bool> LiveCredentials::Revoke(absl::string_view id, absl::string_view note,
                                             absl::Time now, ChangePosition* made) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  absl::StatusOr<bool> revoked = registry_->RevokeCredential(id, note, now, made);
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  if (!revoked.ok()) return revoked;
  auto found = credentials_.find(id);
  if (found != credentials_.end()) found->second->revoked_.store(true, std::memory_order_release);
  return revoked;
}

absl::StatusOr<Registry::RevokedSubject> LiveCredentials::RevokeSubject(absl::string_view subject,
                                                                        absl::string_view note,
                                                                        absl::Time now) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  absl::StatusOr<Registry::RevokedSubject> revoked = registry_->RevokeSubject(subject, note, now);
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  if (!revoked.ok()) return revoked;
  for (const auto& credential : revoked->credentials) {
    auto found = credentials_.find(credential.id);
    if (found != credentials_.end()) found->second->revoked_.store(true, std::memory_order_release);
  }
  return revoked;
}

absl::Status LiveCredentials::SetRoles(absl::string_view subject,
                                       const std::vector<std::string>& roles,
                                       ChangePosition* made) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  const Before before = Now(subject);
  FOREKEY_RETURN_IF_ERROR(Changed(registry_->SetRoles(subject, roles, made)));
  std::vector<std::string> sorted = roles;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  {
    absl::MutexLock lock(&mutex_);
    if (before.live != nullptr && before.live->changes_ == before.changes) {
      ++before.live->changes_;
      SetLiveRoles(*before.live, std::move(sorted));
      return absl::OkStatus();
    }
  }
  // Of what was followed or loaded meanwhile and this, the registry knows which came last. Where it
  // does not answer, following will: this change is told to this process, too.
  (void)ReadSubjectAgain(subject);
  return absl::OkStatus();
}

absl::Status LiveCredentials::SetDisabled(absl::string_view subject, bool disabled,
                                          ChangePosition* made) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  const Before before = Now(subject);
  FOREKEY_RETURN_IF_ERROR(Changed(registry_->SetDisabled(subject, disabled, made)));
  // Read again, so that the epoch is the registry's, whoever else changed it.
  if (ReadSubjectAgain(subject).ok()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  const auto live = LiveSubjectNamed(subject);
  if (live == nullptr || (!disabled && (live != before.live || live->changes_ != before.changes))) {
    return absl::OkStatus();
  }
  ++live->changes_;
  // Where this very change was followed meanwhile, it is counted already.
  const uint64_t epoch = live == before.live ? before.sessions_epoch : live->sessions_epoch();
  live->Take(disabled, epoch + (disabled ? 1 : 0));
  return absl::OkStatus();
}

absl::Status LiveCredentials::ChangeFactors(absl::string_view subject,
                                            absl::FunctionRef<absl::Status(Registry&)> change) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  {
    absl::MutexLock lock(&mutex_);
    changing_factors_of_ = std::string(subject);
  }
  absl::Status status = change(*registry_);
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  changing_factors_of_.clear();
  if (!status.ok()) return status;
  if (auto live = LiveSubjectNamed(subject))
    live->factors_version_.fetch_add(1, std::memory_order_acq_rel);
  return absl::OkStatus();
}

absl::Status LiveCredentials::SetPasswordHash(absl::string_view subject, absl::string_view hash,
                                              absl::Time now) {
  return ChangeFactors(
      subject, [&](Registry& registry) { return registry.SetPasswordHash(subject, hash, now); });
}

absl::Status LiveCredentials::SetOidcIdentity(absl::string_view subject,
                                              const OidcIdentity& identity, absl::Time now) {
  return ChangeFactors(subject, [&](Registry& registry) {
    return registry.SetOidcIdentity(subject, identity, now);
  });
}

absl::Status LiveCredentials::ClearOidcIdentities(absl::string_view subject,
                                                  absl::string_view issuer) {
  return ChangeFactors(
      subject, [&](Registry& registry) { return registry.ClearOidcIdentities(subject, issuer); });
}

absl::Status LiveCredentials::Enroll(const Registry::Enrollment& enrollment) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the locks
  absl::MutexLock order(&changes_);
  Registry::Enrolled enrolled;
  absl::Status status = registry_->Enroll(enrollment, &enrolled);
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  if (!status.ok() || enrolled.replaced_credential.empty()) return status;
  auto found = credentials_.find(enrolled.replaced_credential);
  if (found != credentials_.end()) found->second->revoked_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status LiveCredentials::FollowCredential(absl::string_view id) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the lock
  absl::MutexLock lock(&mutex_);
  for (Loading* one : loading_) one->overtaken = one->overtaken || one->id == id;
  auto found = credentials_.find(id);
  if (found != credentials_.end()) found->second->revoked_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

LiveCredentials::Before LiveCredentials::Now(absl::string_view subject) {
  absl::MutexLock lock(&mutex_);
  Before before{LiveSubjectNamed(subject)};
  if (before.live == nullptr) return before;
  before.changes = before.live->changes_;
  before.sessions_epoch = before.live->sessions_epoch();
  return before;
}

absl::Status LiveCredentials::Changed(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  return status;
}

void LiveCredentials::SetLiveRoles(LiveSubject& live, std::vector<std::string> roles) {
  auto snapshot = std::make_shared<const std::vector<std::string>>(std::move(roles));
  absl::MutexLock lock(&live.mutex_);
  live.roles_ = std::move(snapshot);
}

LiveCredentials::Taken LiveCredentials::TakeSubject(LiveSubject& live, uint64_t changes,
                                                    const SubjectRecord* record) {
  if (live.changes_ != changes) return Taken::kOvertaken;
  if (record != nullptr && record->sessions_epoch < live.sessions_epoch()) {
    return Taken::kHistoryWentBack;
  }
  ++live.changes_;
  live.Take(record == nullptr || record->disabled,
            record == nullptr ? live.sessions_epoch() + 1 : record->sessions_epoch);
  if (record != nullptr) SetLiveRoles(live, record->roles);
  return Taken::kYes;
}

absl::Status LiveCredentials::ReadSubjectAgain(absl::string_view name) {
  const std::string names[] = {std::string(name)};
  std::shared_ptr<LiveSubject> live;  // held, so that nobody loads another one meanwhile
  {
    absl::MutexLock lock(&mutex_);
    OvertakeLoadsOf(name);
    live = LiveSubjectNamed(name);
  }
  if (live == nullptr) return absl::OkStatus();
  for (int reading = 0; reading < kSubjectReadings; ++reading) {
    uint64_t changes, epoch;
    {
      absl::MutexLock lock(&mutex_);
      changes = live->changes_;
      epoch = live->sessions_epoch();
    }
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<SubjectRecord> found,
                             registry_->FindSubjects(names));
    {
      absl::MutexLock lock(&mutex_);
      OvertakeLoadsOf(name);
      const Taken taken = TakeSubject(*live, changes, found.empty() ? nullptr : &found.front());
      if (taken == Taken::kYes) return absl::OkStatus();
      if (taken == Taken::kOvertaken) continue;
    }
    // The registry's history went back, and has forgotten a disabling. What the subject has open,
    // and its tickets everywhere, may be of either history: all of it is over.
    FOREKEY_RETURN_IF_ERROR(registry_->RaiseSessionsEpoch(name, epoch + 1));
  }
  return Refuse(Reason::kStoreUnavailable, absl::StrCat("what the registry says of the subject ",
                                                        name, " does not hold still"));
}

absl::Status LiveCredentials::FollowSubject(absl::string_view name) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the lock
  return ReadSubjectAgain(name);
}

absl::Status LiveCredentials::FollowFactors(absl::string_view subject,
                                            absl::FunctionRef<bool()> mine) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the lock
  absl::MutexLock lock(&mutex_);
  OvertakeLoadsOf(subject);
  if (mine() && changing_factors_of_ != subject) return absl::OkStatus();
  if (auto live = LiveSubjectNamed(subject))
    live->factors_version_.fetch_add(1, std::memory_order_acq_rel);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> LiveCredentials::FollowAll(
    absl::FunctionRef<absl::Status()> between) {
  const absl::Cleanup tell = [this] { tell_(); };  // after the lock
  std::vector<std::shared_ptr<LiveCredential>> credentials;
  std::vector<std::shared_ptr<LiveSubject>> subjects;
  {
    absl::MutexLock lock(&mutex_);
    OvertakeLoads();
    for (const auto& [id, credential] : credentials_) credentials.push_back(credential);
    for (const auto& [name, subject] : subjects_) {
      if (auto live = subject.lock()) subjects.push_back(std::move(live));
    }
  }
  std::vector<std::string> revoked;
  for (size_t at = 0; at < credentials.size(); at += kFollowPage) {
    FOREKEY_RETURN_IF_ERROR(
        ReadCredentialsAgain(absl::MakeConstSpan(credentials).subspan(at, kFollowPage), revoked));
    FOREKEY_RETURN_IF_ERROR(between());
  }
  for (size_t at = 0; at < subjects.size(); at += kFollowPage) {
    FOREKEY_RETURN_IF_ERROR(
        ReadSubjectsAgain(absl::MakeConstSpan(subjects).subspan(at, kFollowPage), between));
    FOREKEY_RETURN_IF_ERROR(between());
  }
  absl::MutexLock lock(&mutex_);
  OvertakeLoads();
  return revoked;
}

absl::Status LiveCredentials::ReadCredentialsAgain(
    absl::Span<const std::shared_ptr<LiveCredential>> page, std::vector<std::string>& revoked) {
  std::vector<std::string> ids;
  for (const auto& credential : page) ids.push_back(credential->record().id);
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> found, registry_->FindUnrevoked(ids));
  const absl::flat_hash_set<absl::string_view> unrevoked(found.begin(), found.end());
  for (const auto& credential : page) {
    if (unrevoked.contains(credential->record().id)) continue;
    credential->revoked_.store(true, std::memory_order_release);
    revoked.push_back(credential->record().id);
  }
  return absl::OkStatus();
}

absl::Status LiveCredentials::ReadSubjectsAgain(absl::Span<const std::shared_ptr<LiveSubject>> page,
                                                absl::FunctionRef<absl::Status()> between) {
  std::vector<std::string> names;
  std::vector<uint64_t> changes;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& subject : page) {
      names.push_back(subject->name());
      changes.push_back(subject->changes_);
    }
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<SubjectRecord> found, registry_->FindSubjects(names));
  absl::flat_hash_map<absl::string_view, const SubjectRecord*> records;
  for (const SubjectRecord& record : found) records[record.name] = &record;
  std::vector<std::string> again;
  {
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < page.size(); ++i) {
      OvertakeLoadsOf(names[i]);
      const auto record = records.find(names[i]);
      const Taken taken =
          TakeSubject(*page[i], changes[i], record == records.end() ? nullptr : record->second);
      if (taken != Taken::kYes) again.push_back(names[i]);
      page[i]->factors_version_.fetch_add(1, std::memory_order_acq_rel);
    }
  }
  for (const std::string& name : again) {
    FOREKEY_RETURN_IF_ERROR(ReadSubjectAgain(name));
    FOREKEY_RETURN_IF_ERROR(between());
  }
  return absl::OkStatus();
}

}  // namespace forekey
