// SPDX-License-Identifier: Apache-2.0
// Locks: `index` first, then one shard's. Calls take a shard's reader lock alone; opening, ending
// and revoking, which are rare, take `index`, so that they happen one after the other.
#include "src/store/session_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kShards = 64;
constexpr size_t kIdSize = 16;
constexpr size_t kKeySize = 32;
constexpr size_t kChannelBindingBytes = 32;
constexpr absl::Duration kFullTableSweepInterval = absl::Seconds(1);

using SessionId = std::array<char, kIdSize>;

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
  std::memcpy(id.data(), bytes.data(), kIdSize);
  return id;
}

struct alignas(64) Shard {
  absl::Mutex mutex;
  absl::flat_hash_map<SessionId, std::shared_ptr<const Session>, IdHash> sessions
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
  if (parts.id.size() != kIdSize || parts.key.size() != kKeySize ||
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
    if (id.size() != kIdSize) return nullptr;
    Shard& shard = ShardOf(id);
    const SessionId key = ToId(id);
    absl::ReaderMutexLock lock(&shard.mutex);
    auto found = shard.sessions.find(key);
    return found == shard.sessions.end() ? nullptr : found->second;
  }

  // The sessions of one subject without a parent, and what they hold of memory for the index's
  // keys.
  struct OfSubject {
    std::shared_ptr<const LiveCredential> any;  // keeps the name alive that is the key
    SessionList sessions;
  };
  // How many sessions hold a credential. It leads to its subject, whose few sessions are then
  // asked.
  struct OfCredential {
    std::shared_ptr<const LiveCredential> credential;  // keeps the id alive that is the key
    uint32_t sessions = 0;
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
      OfCredential& entry = credentials[credential->record().id];
      if (entry.sessions++ == 0) entry.credential = credential;
    }
    if (raw->parent() != nullptr) {
      children[raw->parent()].push_back(raw);
    } else {
      const auto& first = raw->credentials().front();
      OfSubject& entry = subjects[first->subject().name()];
      if (entry.sessions.empty()) entry.any = first;
      entry.sessions.push_back(raw);
    }
    size.fetch_add(1, std::memory_order_relaxed);
    Shard& shard = ShardOf(raw->id());
    absl::MutexLock lock(&shard.mutex);
    shard.sessions.emplace(ToId(raw->id()), std::move(session));
  }

  // Ends it and its children and forgets them, but for `why`; returns how many. It is in the table.
  size_t Remove(const Session* session, Reason why = Reason::kSessionUnknown)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    size_t removed = 1;
    session->End();
    gone.Add(ToId(session->id()), why);  // before it can no longer be found
    while (!ChildrenOf(session).empty()) removed += Remove(ChildrenOf(session).back(), why);
    if (session->parent() != nullptr) {
      auto family = children.find(session->parent());
      Erase(family->second, session);
      if (family->second.empty()) children.erase(family);
    } else {
      auto entry = subjects.find(session->subject().name());
      Erase(entry->second.sessions, session);
      if (entry->second.sessions.empty()) EraseKeyed(subjects, entry);
    }
    for (const auto& credential : session->credentials()) {
      auto entry = credentials.find(credential->record().id);
      if (--entry->second.sessions == 0) EraseKeyed(credentials, entry);
    }
    size.fetch_sub(1, std::memory_order_relaxed);
    Shard& shard = ShardOf(session->id());
    // Freed after the lock, together with its window and key.
    std::shared_ptr<const Session> last;
    absl::MutexLock lock(&shard.mutex);
    auto found = shard.sessions.find(ToId(session->id()));
    last = std::move(found->second);
    shard.sessions.erase(found);
    return removed;
  }

  // The value owns the bytes of the key: it goes after the slot.
  template <typename Map>
  static void EraseKeyed(Map& map, typename Map::iterator entry) {
    auto keep = std::move(entry->second);
    map.erase(entry);
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

  absl::Status MakeRoomAmong(const SessionList& list, size_t cap, BootTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    if (list.size() < cap) return absl::OkStatus();
    Choice choice;
    for (const Session* session : list) Consider(session, now, &choice);
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
    for (const Session* session : own->second.sessions) count += ChildrenOf(session).size();
    if (count < limits.children_per_subject) return absl::OkStatus();
    Choice choice;
    for (const Session* session : own->second.sessions) {
      for (const Session* child : ChildrenOf(session)) Consider(child, now, &choice);
    }
    if (choice.session == nullptr) return Refuse(Reason::kSessionTableFull);
    Remove(choice.session);
    return absl::OkStatus();
  }

  // A place of the total cap, if need be one of the subject's own.
  absl::Status MakeRoomInTotal(absl::string_view subject, const Session* parent, BootTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(index) {
    if (Size() < limits.total) return absl::OkStatus();
    if (now >= next_full_sweep) {
      next_full_sweep = now + kFullTableSweepInterval;
      SweepLocked(now);
      if (Size() < limits.total) return absl::OkStatus();
    }
    Choice choice;
    auto own = subjects.find(subject);
    if (own == subjects.end()) return Refuse(Reason::kSessionTableFull);
    for (const Session* session : own->second.sessions) {
      for (const Session* child : ChildrenOf(session)) Consider(child, now, &choice);
      // On a tie the child goes: it was considered first and ends nothing else.
      if (session != parent) Consider(session, now, &choice);
    }
    if (choice.session == nullptr) return Refuse(Reason::kSessionTableFull);
    Remove(choice.session);
    return absl::OkStatus();
  }

  static void CollectDead(Shard& shard, BootTime now,
                          std::vector<std::shared_ptr<const Session>>* dead) {
    dead->clear();
    absl::ReaderMutexLock lock(&shard.mutex);
    for (const auto& [id, session] : shard.sessions) {
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
  absl::flat_hash_map<absl::string_view, OfSubject> subjects ABSL_GUARDED_BY(index);
  absl::flat_hash_map<absl::string_view, OfCredential> credentials ABSL_GUARDED_BY(index);
  absl::flat_hash_map<const Session*, SessionList> children ABSL_GUARDED_BY(index);
  absl::flat_hash_map<std::string, std::weak_ptr<const std::string>> bindings
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
  FOREKEY_RETURN_IF_ERROR(CheckCredentials(parts));
  if (impl_->Find(parts.id) != nullptr)
    return absl::InvalidArgumentError("the session id is known");
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
        impl_->MakeRoomAmong(own == impl_->subjects.end() ? SessionList() : own->second.sessions,
                             impl_->limits.per_subject, now));
  }
  FOREKEY_RETURN_IF_ERROR(impl_->MakeRoomInTotal(subject, parent.get(), now));
  auto binding = impl_->Intern(parts.channel_binding);
  auto session =
      std::make_shared<const Session>(Session::Tag(), std::move(parts), std::move(binding));
  impl_->Add(session);
  return session;
}

bool SessionTable::End(absl::string_view id) {
  absl::MutexLock lock(&impl_->index);
  std::shared_ptr<const Session> session = impl_->Find(id);
  if (session == nullptr) return false;
  impl_->Remove(session.get(), Reason::kSessionEnded);
  return true;
}

absl::Status SessionTable::WhyNotFound(absl::string_view id) const {
  if (id.size() != kIdSize) return Refuse(Reason::kSessionUnknown);
  const Reason why = impl_->gone.Why(ToId(id));
  // Each of them ended it; what it was is all that is known of it now.
  return why == Reason::kSessionUnknown || why == Reason::kSessionEnded
             ? Refuse(why)
             : Refuse(why, absl::StrCat(ReasonMeaning(why), "; its sessions were ended then"));
}

size_t SessionTable::EndByCredential(absl::string_view credential_id) {
  absl::MutexLock lock(&impl_->index);
  auto entry = impl_->credentials.find(credential_id);
  if (entry == impl_->credentials.end()) return 0;
  auto own = impl_->subjects.find(entry->second.credential->subject().name());
  if (own == impl_->subjects.end()) return 0;
  // A child's credentials are its parent's, so the parents are enough.
  const SessionList sessions = own->second.sessions;
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
  const SessionList sessions = own->second.sessions;
  size_t ended = 0;
  for (const Session* session : sessions) ended += impl_->Remove(session, Reason::kSubjectDisabled);
  return ended;
}

size_t SessionTable::Sweep(BootTime now) { return impl_->Sweep(now); }

size_t SessionTable::size() const { return impl_->Size(); }

}  // namespace forekey
