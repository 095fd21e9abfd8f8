// SPDX-License-Identifier: Apache-2.0
// Locks: `index` first, then one shard's. Calls take a shard's reader lock alone; opening, ending
// and revoking, which are rare, take `index`, so that they happen one after the other.
#include "src/store/session_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kShards = 64;
constexpr size_t kKeySize = 32;
constexpr size_t kChannelBindingBytes = 32;
constexpr absl::Duration kFullTableSweepInterval = absl::Seconds(1);

using SessionId = std::array<char, kSessionIdBytes>;

// Ids are the gate's own random bytes, so their first eight are the hash. A stranger's id is only
// looked up, never stored.
struct IdHash {
  size_t operator()(const SessionId& id) const {
    uint64_t hash;
    std::memcpy(&hash, id.data(), sizeof(hash));
    return hash;
  }
};

SessionId ToId(absl::string_view bytes) {
  SessionId id;
  std::memcpy(id.data(), bytes.data(), kSessionIdBytes);
  return id;
}

// Sessions by their own ids: a slot has nothing but the pointer.
struct SessionHash {
  using is_transparent = void;
  size_t operator()(const SessionId& id) const { return IdHash()(id); }
  size_t operator()(const std::shared_ptr<const Session>& session) const {
    return IdHash()(ToId(session->id()));
  }
};
struct SameSession {
  using is_transparent = void;
  static absl::string_view IdOf(const SessionId& id) {
    return absl::string_view(id.data(), id.size());
  }
  static absl::string_view IdOf(const std::shared_ptr<const Session>& session) {
    return session->id();
  }
  template <typename One, typename Other>
  bool operator()(const One& one, const Other& other) const {
    return IdOf(one) == IdOf(other);
  }
};

struct alignas(64) Shard {
  absl::Mutex mutex;
  absl::flat_hash_set<std::shared_ptr<const Session>, SessionHash, SameSession> sessions
      ABSL_GUARDED_BY(mutex);
};

// Why the last sessions that somebody ended are not there. In fixed memory, the oldest go first.
class GoneSessions {
 public:
  void Add(const SessionId& id, Reason why) {
    if (why == Reason::kSessionUnknown) return;
    absl::MutexLock lock(&mutex_);
    if (!reasons_.emplace(id, why).second) return;
    order_.push_back(id);
    if (order_.size() <= kMost) return;
    reasons_.erase(order_.front());
    order_.pop_front();
  }
  Reason Why(const SessionId& id) const {
    absl::ReaderMutexLock lock(&mutex_);
    auto found = reasons_.find(id);
    return found == reasons_.end() ? Reason::kSessionUnknown : found->second;
  }

 private:
  static constexpr size_t kMost = 16384;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<SessionId, Reason, IdHash> reasons_ ABSL_GUARDED_BY(mutex_);
  std::deque<SessionId> order_ ABSL_GUARDED_BY(mutex_);
};

using SessionList = absl::InlinedVector<const Session*, 1>;

void Erase(SessionList& list, const Session* session) {
  auto it = std::find(list.begin(), list.end(), session);
  if (it == list.end()) return;
  *it = list.back();
  list.pop_back();
}

bool Holds(absl::Span<const std::shared_ptr<const LiveCredential>> credentials,
           absl::string_view credential_id) {
  return std::any_of(credentials.begin(), credentials.end(), [&](const auto& credential) {
    return credential->record().id == credential_id;
  });
}

absl::Status CheckParts(const Session::Parts& parts) {
  if (parts.id.size() != kSessionIdBytes || parts.key.size() != kKeySize ||
      parts.channel_binding.size() != kChannelBindingBytes) {
    return absl::InvalidArgumentError("a session has an id of 16 bytes, a key and a binding of 32");
  }
  if (parts.credentials.empty() || parts.credentials.size() > 3) {
    return absl::InvalidArgumentError("a session has one to three credentials");
  }
  for (const auto& credential : parts.credentials) {
    if (credential->subject().name() != parts.credentials.front()->subject().name()) {
      return Refuse(Reason::kSubjectMismatch);
    }
  }
  return absl::OkStatus();
}

// What a child may be: never stronger or fresher than its parent. (Never longer: Session's own
// doing.)
absl::Status CheckChild(const Session::Parts& parts) {
  const Session& parent = *parts.parent;
  if (parts.lineage != nullptr) {
    return Refuse(Reason::kChildNotAllowed, "a child is not resumed: its parent is");
  }
  if (parent.parent() != nullptr) return Refuse(Reason::kChildNotAllowed, "a child opens no child");
  for (const auto& credential : parts.credentials) {
    if (!Holds(parent.credentials(), credential->record().id)) {
      return Refuse(Reason::kChildNotAllowed, "a credential that the parent does not have");
    }
  }
  for (const ProvedFactor& factor : parts.factors) {
    auto same = [&](const ProvedFactor& other) {
      return other.name == factor.name && other.proved_at >= factor.proved_at;
    };
    if (std::none_of(parent.factors().begin(), parent.factors().end(), same)) {
      return Refuse(Reason::kChildNotAllowed,
                    "a factor that the parent has not proved, or not then");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCredentials(const Session::Parts& parts) {
  for (const auto& credential : parts.credentials) {
    if (credential->revoked()) return Refuse(Reason::kCredentialRevoked);
    if (credential->subject().disabled()) return Refuse(Reason::kSubjectDisabled);
  }
  if (parts.sessions_epoch < parts.credentials.front()->subject().sessions_epoch()) {
    return Refuse(Reason::kSessionEnded, "the subject was disabled meanwhile");
  }
  if (parts.factors_version &&
      *parts.factors_version != parts.credentials.front()->subject().factors_version()) {
    return Refuse(Reason::kSessionEnded, "the password was changed meanwhile");
  }
  return absl::OkStatus();
}

}  // namespace

struct SessionTable::Impl {
  explicit Impl(SessionLimits limits) : limits(limits) {}

  Shard& ShardOf(absl::string_view id) { return shards[static_cast<uint8_t>(id.back()) % kShards]; }

  std::shared_ptr<const Session> Find(absl::string_view id) {
    if (id.size() != kSessionIdBytes) return nullptr;
    Shard& shard = ShardOf(id);
    const SessionId key = ToId(id);
    absl::ReaderMutexLock lock(&shard.mutex);
    auto found = shard.sessions.find(key);
    return found == shard.sessions.end() ? nullptr : *found;
  }

  // The sessions of one subject without a parent, one at least: their first one's subject is the
  // key. What is in a set counts as constant; what is no part of the key may change, all the same.
  struct OfSubject {
    mutable SessionList sessions;
    absl::string_view key() const { return sessions.front()->subject().name(); }
  };
  // How many sessions hold a credential. It leads to its subject, whose few sessions are then
  // asked.
  struct OfCredential {
    std::shared_ptr<const LiveCredential> credential;
    mutable uint32_t sessions = 0;
    absl::string_view key() const { return credential->record().id; }
  };
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(absl::string_view key) const { return absl::HashOf(key); }
    template <typename Entry>
    requires requires(const Entry& entry) { entry.key(); }
    size_t operator()(const Entry& entry) const { return absl::HashOf(entry.key()); }
  };
  struct SameKey {
    using is_transparent = void;
    static absl::string_view KeyOf(absl::string_view key) { return key; }
    template <typename Entry>
    requires requires(const Entry& entry) { entry.key(); }
    static absl::string_view KeyOf(const Entry& entry) { return entry.key(); }
    template <typename One, typename Other>
    bool operator()(const One& one, const Other& other) const {
      return KeyOf(one) == KeyOf(other);
    }
  };

  const SessionList& ChildrenOf(const Session* parent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    static const SessionList* const none = new SessionList;
    auto found = children.find(parent);
    return found == children.end() ? *none : found->second;
  }

  // When it, or any child of it, was last used.
  BootTime LastUseOfFamily(const Session* session) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    BootTime last = session->last_used();
    for (const Session* child : ChildrenOf(session)) last = std::max(last, child->last_used());
    return last;
  }

  bool InTable(const Session* session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    return Find(session->id()).get() == session;
  }

  absl::Status CheckNew(const Session::Parts& parts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    FOREKEY_RETURN_IF_ERROR(CheckCredentials(parts));
    return Find(parts.id) == nullptr ? absl::OkStatus()
                                     : absl::InvalidArgumentError("the session id is known");
  }

  std::shared_ptr<const std::string> Intern(const std::string& binding)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    std::weak_ptr<const std::string>& known = bindings[binding];
    if (auto shared = known.lock()) return shared;
    auto made = std::make_shared<const std::string>(binding);
    known = made;
    return made;
  }

  void Add(const std::shared_ptr<const Session>& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    const Session* raw = session.get();
    for (const auto& credential : raw->credentials()) {
      auto entry = credentials.find(absl::string_view(credential->record().id));
      if (entry == credentials.end()) entry = credentials.insert(OfCredential{credential}).first;
      ++entry->sessions;
    }
    if (raw->parent() != nullptr) {
      children[raw->parent()].push_back(raw);
    } else {
      auto entry = subjects.find(absl::string_view(raw->subject().name()));
      if (entry == subjects.end())
        subjects.insert(OfSubject{SessionList{raw}});
      else
        entry->sessions.push_back(raw);
    }
    size.fetch_add(1, std::memory_order_relaxed);
    Shard& shard = ShardOf(raw->id());
    absl::MutexLock lock(&shard.mutex);
    shard.sessions.insert(session);
  }

  // Ends it and its children and forgets them, but for `why`; returns how many. It is in the table.
  // `moved_on`: its live calls may finish.
  size_t Remove(const Session* session, Reason why = Reason::kSessionUnknown, bool moved_on = false)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    size_t removed = 1;
    if (moved_on) {
      session->MoveOn();
    } else {
      session->End();
    }
    gone.Add(ToId(session->id()), why);  // before it can no longer be found
    while (!ChildrenOf(session).empty()) {
      removed += Remove(ChildrenOf(session).back(), why, moved_on);
    }
    if (session->parent() != nullptr) {
      auto family = children.find(session->parent());
      Erase(family->second, session);
      if (family->second.empty()) children.erase(family);
    } else {
      auto entry = subjects.find(absl::string_view(session->subject().name()));
      if (entry->sessions.size() == 1)
        subjects.erase(entry);
      else
        Erase(entry->sessions, session);
    }
    for (const auto& credential : session->credentials()) {
      auto entry = credentials.find(absl::string_view(credential->record().id));
      if (--entry->sessions == 0) credentials.erase(entry);
    }
    size.fetch_sub(1, std::memory_order_relaxed);
    Shard& shard = ShardOf(session->id());
    // Freed after the lock, together with its window and key.
    std::shared_ptr<const Session> last;
    absl::MutexLock lock(&shard.mutex);
    auto found = shard.sessions.find(ToId(session->id()));
    last = *found;
    shard.sessions.erase(found);
    if (moved_on) {
      const Session* const root = session->parent() == nullptr ? session : session->parent();
      finishing[root->lineage()->family].push_back(last);
    }
    return removed;
  }

  // Those of a family that moved on: what lives of their calls is over, too. Returns how many.
  size_t EndFinishing(absl::string_view family) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    const auto found = finishing.find(family);
    if (found == finishing.end()) return 0;
    size_t ended = 0;
    for (const auto& moved : found->second) {
      const auto session = moved.lock();
      if (session == nullptr) continue;
      session->End();
      ++ended;
    }
    finishing.erase(found);
    return ended;
  }

  // Of `candidates`, the one to give up: expired or ended before all, then the longest idle.
  struct Choice {
    const Session* session = nullptr;
    bool dead = false;
    BootTime last_used;
  };
  void Consider(const Session* session, BootTime now, Choice* choice)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    bool dead = !session->CheckAlive(now).ok();
    BootTime last_used = LastUseOfFamily(session);
    bool better = choice->session == nullptr || (dead && !choice->dead) ||
                  (dead == choice->dead && last_used < choice->last_used);
    if (better) *choice = {session, dead, last_used};
  }

  // `held`: one that is in the table already, and is not given up for itself; null: none yet.
  absl::Status MakeRoomAmong(const SessionList& list, size_t cap, BootTime now,
                             const Session* held = nullptr) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    if (list.size() < cap + (held == nullptr ? 0 : 1)) return absl::OkStatus();
    Choice choice;
    for (const Session* session : list) {
      if (session != held) Consider(session, now, &choice);
    }
    if (choice.session == nullptr) return Refuse(Reason::kSessionTableFull);
    Remove(choice.session);
    return absl::OkStatus();
  }

  // A place among the children of all of one subject's sessions.
  absl::Status MakeRoomAmongChildren(absl::string_view subject, BootTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    auto own = subjects.find(subject);
    if (own == subjects.end()) return absl::OkStatus();
    size_t count = 0;
    for (const Session* session : own->sessions) count += ChildrenOf(session).size();
    if (count < limits.children_per_subject) return absl::OkStatus();
    Choice choice;
    for (const Session* session : own->sessions) {
      for (const Session* child : ChildrenOf(session)) Consider(child, now, &choice);
    }
    if (choice.session == nullptr) return Refuse(Reason::kSessionTableFull);
    Remove(choice.session);
    return absl::OkStatus();
  }

  // Whether the table has room, if need be once it was swept.
  bool HasRoomInTotal(size_t cap, BootTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    if (Size() < cap) return true;
    if (now < next_full_sweep) return false;
    next_full_sweep = now + kFullTableSweepInterval;
    SweepLocked(now);
    return Size() < cap;
  }

  // A place of the total cap, if need be one of the subject's own.
  absl::Status MakeRoomInTotal(absl::string_view subject, const Session* parent, BootTime now,
                               const Session* held = nullptr) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    // Each that is held may stand beyond the cap until it is settled: what goes for it was there
    // when it came, and is its own subject's.
    if (HasRoomInTotal(limits.total + (held == nullptr ? 0 : holding), now)) {
      return absl::OkStatus();
    }
    Choice choice;
    auto own = subjects.find(subject);
    if (own == subjects.end()) return Refuse(Reason::kSessionTableFull);
    for (const Session* session : own->sessions) {
      for (const Session* child : ChildrenOf(session)) Consider(child, now, &choice);
      // On a tie the child goes: it was considered first and ends nothing else.
      if (session != parent && session != held) Consider(session, now, &choice);
    }
    if (choice.session == nullptr) return Refuse(Reason::kSessionTableFull);
    Remove(choice.session);
    return absl::OkStatus();
  }

  static void CollectDead(Shard& shard, BootTime now,
                          std::vector<std::shared_ptr<const Session>>* dead) {
    dead->clear();
    absl::ReaderMutexLock lock(&shard.mutex);
    for (const auto& session : shard.sessions) {
      if (!session->CheckAlive(now).ok()) dead->push_back(session);
    }
  }

  size_t RemoveDead(const std::vector<std::shared_ptr<const Session>>& dead)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    size_t removed = 0;
    for (const auto& session : dead) {
      // A parent before it in the list, or another thread, may have taken it along.
      if (InTable(session.get())) removed += Remove(session.get());
    }
    return removed;
  }

  void SweepLocked(BootTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    std::vector<std::shared_ptr<const Session>> dead;
    for (Shard& shard : shards) {
      CollectDead(shard, now, &dead);
      RemoveDead(dead);
    }
  }

  // Looks without `index`, so that sessions can be opened meanwhile.
  size_t Sweep(BootTime now) ABSL_LOCKS_EXCLUDED(index) {
    size_t removed = 0;
    std::vector<std::shared_ptr<const Session>> dead;
    for (Shard& shard : shards) {
      CollectDead(shard, now, &dead);
      if (dead.empty()) continue;
      absl::MutexLock lock(&index);
      removed += RemoveDead(dead);
    }
    absl::MutexLock lock(&index);
    absl::erase_if(bindings, [](const auto& entry) { return entry.second.expired(); });
    return removed;
  }

  // `index` keeps the writers out, so that nothing changes between reading this and acting on it.
  size_t Size() const { return size.load(std::memory_order_relaxed); }

  const SessionLimits limits;
  std::array<Shard, kShards> shards;
  std::atomic<size_t> size{0};

  GoneSessions gone;
  absl::Mutex index;
  absl::flat_hash_set<OfSubject, KeyHash, SameKey> subjects ABSL_GUARDED_BY(index);
  absl::flat_hash_set<OfCredential, KeyHash, SameKey> credentials ABSL_GUARDED_BY(index);
  absl::flat_hash_map<const Session*, SessionList> children ABSL_GUARDED_BY(index);
  absl::flat_hash_map<std::string, std::weak_ptr<const std::string>> bindings
      ABSL_GUARDED_BY(index);
  size_t holding ABSL_GUARDED_BY(index) = 0;
  bool on_its_way_out ABSL_GUARDED_BY(index) = false;
  // By their families. The process ends before they are many.
  absl::flat_hash_map<std::string, std::vector<std::weak_ptr<const Session>>> finishing
      ABSL_GUARDED_BY(index);
  BootTime next_full_sweep ABSL_GUARDED_BY(index);
};

SessionTable::SessionTable(SessionLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
SessionTable::~SessionTable() = default;

std::shared_ptr<const Session> SessionTable::Find(absl::string_view id) const {
  return impl_->Find(id);
}

absl::StatusOr<std::shared_ptr<const Session>> SessionTable::Insert(Session::Parts parts,
                                                                    BootTime now) {
  FOREKEY_RETURN_IF_ERROR(CheckParts(parts));
  if (parts.parent != nullptr) FOREKEY_RETURN_IF_ERROR(CheckChild(parts));
  const std::shared_ptr<const Session> parent = parts.parent;
  absl::MutexLock lock(&impl_->index);
  FOREKEY_RETURN_IF_ERROR(impl_->CheckNew(parts));
  if (parent != nullptr) {
    FOREKEY_RETURN_IF_ERROR(parent->CheckAlive(now));
    if (!impl_->InTable(parent.get())) return Refuse(Reason::kSessionEnded);
    FOREKEY_RETURN_IF_ERROR(impl_->MakeRoomAmong(impl_->ChildrenOf(parent.get()),
                                                 impl_->limits.children_per_parent, now));
  }
  const std::string& subject = parts.credentials.front()->subject().name();
  if (parent != nullptr) {
    FOREKEY_RETURN_IF_ERROR(impl_->MakeRoomAmongChildren(subject, now));
  } else {
    auto own = impl_->subjects.find(subject);
    FOREKEY_RETURN_IF_ERROR(
        impl_->MakeRoomAmong(own == impl_->subjects.end() ? SessionList() : own->sessions,
                             impl_->limits.per_subject, now));
  }
  FOREKEY_RETURN_IF_ERROR(impl_->MakeRoomInTotal(subject, parent.get(), now));
  return Put(std::move(parts));
}

// With `index`, which only the two functions that call it can hold.
std::shared_ptr<const Session> SessionTable::Put(Session::Parts parts) {
  impl_->index.AssertHeld();
  auto binding = impl_->Intern(parts.channel_binding);
  auto session =
      std::make_shared<const Session>(Session::Tag(), std::move(parts), std::move(binding));
  impl_->Add(session);
  return session;
}

absl::StatusOr<std::shared_ptr<const Session>> SessionTable::Hold(Session::Parts parts,
                                                                  BootTime now) {
  FOREKEY_RETURN_IF_ERROR(CheckParts(parts));
  if (parts.parent != nullptr) return absl::InvalidArgumentError("a child is not held");
  absl::MutexLock lock(&impl_->index);
  FOREKEY_RETURN_IF_ERROR(impl_->CheckNew(parts));
  const std::string& subject = parts.credentials.front()->subject().name();
  if (!impl_->HasRoomInTotal(impl_->limits.total, now) && !impl_->subjects.contains(subject)) {
    return Refuse(Reason::kSessionTableFull);
  }
  ++impl_->holding;
  return Put(std::move(parts));
}

void SessionTable::LetGo(const Session& session) {
  absl::MutexLock lock(&impl_->index);
  --impl_->holding;
  if (impl_->InTable(&session)) impl_->Remove(&session, Reason::kSessionEnded);
}

absl::Status SessionTable::Settle(const Session& session, BootTime now) {
  absl::MutexLock lock(&impl_->index);
  const absl::Cleanup settle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { --impl_->holding; };
  if (!impl_->InTable(&session)) return Refuse(Reason::kSessionEnded, "while it was resumed");
  absl::Status settled = session.CheckAlive(now);
  if (settled.ok()) {
    const auto own = impl_->subjects.find(absl::string_view(session.subject().name()));
    settled = impl_->MakeRoomAmong(own->sessions, impl_->limits.per_subject, now, &session);
  }
  if (settled.ok()) {
    settled = impl_->MakeRoomInTotal(session.subject().name(), nullptr, now, &session);
  }
  if (!settled.ok()) impl_->Remove(&session);
  return settled;
}

bool SessionTable::End(absl::string_view id) {
  absl::MutexLock lock(&impl_->index);
  std::shared_ptr<const Session> session = impl_->Find(id);
  if (session == nullptr) return false;
  impl_->Remove(session.get(), Reason::kSessionEnded);
  return true;
}

absl::Status SessionTable::WhyNotFound(absl::string_view id) const {
  if (id.size() != kSessionIdBytes) return Refuse(Reason::kSessionUnknown);
  const Reason why = impl_->gone.Why(ToId(id));
  // Each of them ended it; what it was is all that is known of it now.
  return why == Reason::kSessionUnknown || why == Reason::kSessionEnded
             ? Refuse(why)
             : Refuse(why, absl::StrCat(ReasonMeaning(why), "; its sessions were ended then"));
}

size_t SessionTable::EndFamily(absl::string_view subject, absl::string_view family,
                               uint64_t below) {
  absl::MutexLock lock(&impl_->index);
  const bool over = below == UINT64_MAX;
  size_t ended = over ? impl_->EndFinishing(family) : 0;
  auto own = impl_->subjects.find(subject);
  if (own == impl_->subjects.end()) return ended;
  const SessionList sessions = own->sessions;
  for (const Session* session : sessions) {
    const SessionLineage* const lineage = session->lineage();
    if (lineage == nullptr || lineage->family != family || lineage->serial >= below) continue;
    ended += impl_->Remove(session, Reason::kSessionEnded,
                           /*moved_on=*/impl_->on_its_way_out && !over);
  }
  return ended;
}

void SessionTable::LetLiveCallsFinish() {
  absl::MutexLock lock(&impl_->index);
  impl_->on_its_way_out = true;
}

size_t SessionTable::EndFamilies() {
  absl::MutexLock lock(&impl_->index);
  std::vector<const Session*> all;
  for (const auto& own : impl_->subjects) {
    for (const Session* session : own.sessions) {
      if (session->lineage() != nullptr) all.push_back(session);
    }
  }
  size_t ended = 0;
  for (const Session* session : all) ended += impl_->Remove(session, Reason::kSessionEnded);
  while (!impl_->finishing.empty()) ended += impl_->EndFinishing(impl_->finishing.begin()->first);
  return ended;
}

size_t SessionTable::EndByCredential(absl::string_view credential_id) {
  absl::MutexLock lock(&impl_->index);
  auto entry = impl_->credentials.find(credential_id);
  if (entry == impl_->credentials.end()) return 0;
  auto own = impl_->subjects.find(entry->credential->subject().name());
  if (own == impl_->subjects.end()) return 0;
  // A child's credentials are its parent's, so the parents are enough.
  const SessionList sessions = own->sessions;
  size_t ended = 0;
  for (const Session* session : sessions) {
    if (Holds(session->credentials(), credential_id)) {
      ended += impl_->Remove(session, Reason::kCredentialRevoked);
    }
  }
  return ended;
}

size_t SessionTable::EndBySubject(absl::string_view subject) {
  absl::MutexLock lock(&impl_->index);
  auto own = impl_->subjects.find(subject);
  if (own == impl_->subjects.end()) return 0;
  const SessionList sessions = own->sessions;
  size_t ended = 0;
  for (const Session* session : sessions) ended += impl_->Remove(session, Reason::kSubjectDisabled);
  return ended;
}

size_t SessionTable::Sweep(BootTime now) { return impl_->Sweep(now); }

size_t SessionTable::size() const { return impl_->Size(); }

}  // namespace forekey
