// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/jwks_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// How often the thread looks at a clock that a test, or a suspended machine, moved.
constexpr absl::Duration kLook = absl::Seconds(1);

}  // namespace

JwksCache::JwksCache(const JwksCacheOptions& options, const Clock& clock, Fetch fetch,
                     Report report)
    : options_(options), clock_(clock), fetch_(std::move(fetch)), report_(std::move(report)) {}

JwksCache::~JwksCache() {
  stop_ = true;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void JwksCache::Start() {
  {
    absl::MutexLock lock(&mutex_);
    fetching_ = true;  // who asks from now on waits for the first keys
    wait_until_ = Deadline::In(options_.longest_wait);
  }
  thread_ = std::thread([this] { Run(); });
}

BootTime JwksCache::Due() const {
  const absl::Duration pause = error_.empty() ? lifetime_ : options_.retry;
  return asked_at_ + pause;
}

bool JwksCache::MayAsk() const {
  return attempts_ == 0 || clock_.BootNow() - asked_at_ >= options_.retry;
}

void JwksCache::Run() {
  (void)Refresh();
  absl::MutexLock lock(&mutex_);
  const auto woken = [this]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || wanted_; };
  while (true) {
    AwaitFor(mutex_, absl::Condition(&woken), kLook);
    if (stopping_) return;
    if (!wanted_ && clock_.BootNow() < Due()) continue;
    mutex_.Unlock();
    (void)Refresh();
    mutex_.Lock();
  }
}

absl::Status JwksCache::Refresh() {
  absl::MutexLock fetching(&fetching_mutex_);
  const BootTime begun = clock_.BootNow();
  {
    absl::MutexLock lock(&mutex_);
    fetching_ = true;
    wait_until_ = Deadline::In(options_.longest_wait);
    wanted_ = false;
    ++begun_;
  }
  const absl::StatusOr<JwksDocument> document = fetch_(stop_);
  const absl::StatusOr<std::shared_ptr<const JwkSet>> got =
      document.ok() ? JwkSet::Parse(document->body) : document.status();
  Take(got, document.ok() ? *document : JwksDocument(), begun);
  return got.status();
}

uint64_t JwksCache::RefreshSoon() {
  absl::MutexLock lock(&mutex_);
  wanted_ = true;
  return begun_ + 1;  // one that is under way may have been answered already
}

absl::Status JwksCache::Await(uint64_t attempt, const Deadline& deadline) {
  if (!thread_.joinable()) return Refresh();
  absl::MutexLock lock(&mutex_);
  const auto finished = [this, attempt]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || attempts_ >= attempt;
  };
  if (!AwaitUntil(mutex_, absl::Condition(&finished), deadline)) {
    return absl::DeadlineExceededError("it has not answered yet");
  }
  return error_.empty() ? absl::OkStatus() : absl::UnavailableError(error_);
}

void JwksCache::Take(const absl::StatusOr<std::shared_ptr<const JwkSet>>& got,
                     const JwksDocument& document, BootTime begun) {
  std::string news;
  {
    absl::MutexLock lock(&mutex_);
    const std::string error(got.status().message());
    if (got.ok()) {
      // The same bytes are the same keys: who waits for others sees that there are none.
      if (document.body != body_ || keys_ == nullptr) {
        keys_ = *got;
        body_ = document.body;
        news = absl::StrCat(keys_->size(), " keys of the identity provider were read");
      } else if (!error_.empty()) {
        news = "the identity provider's keys can be read again";
      }
      good_at_ = begun;
      lifetime_ = std::clamp(document.max_age.value_or(options_.refresh),
                             std::min(kLeastJwksRefresh, options_.refresh), options_.refresh);
    } else if (error != error_ && !stopping_) {
      news = absl::StrCat("the identity provider's keys can't be read; those read last stay for ",
                          absl::FormatDuration(options_.max_stale), ": ", error);
    }
    error_ = error;
    asked_at_ = begun;
    ++attempts_;
    fetching_ = false;
  }
  if (!news.empty() && report_) report_(got.ok(), news);
}

absl::StatusOr<std::shared_ptr<const JwkSet>> JwksCache::Current() const {
  if (keys_ == nullptr) {
    return Refuse(Reason::kIdentityProviderUnavailable,
                  error_.empty() ? "its keys were not fetched yet" : error_);
  }
  if (clock_.BootNow() - good_at_ > options_.max_stale) {
    return Refuse(Reason::kIdentityProviderUnavailable,
                  absl::StrCat("its keys are older than max_stale: ", error_));
  }
  return keys_;
}

void JwksCache::AskAndWait() {
  Deadline until = wait_until_;
  if (!fetching_) {
    if (!MayAsk()) return;
    wanted_ = true;
    until = Deadline::In(options_.longest_wait);
  }
  const uint64_t before = attempts_;
  const auto finished = [this, before]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || attempts_ != before;
  };
  AwaitUntil(mutex_, absl::Condition(&finished), until);
}

absl::StatusOr<std::shared_ptr<const JwkSet>> JwksCache::AtHand() const {
  absl::MutexLock lock(&mutex_);
  return Current();
}

absl::StatusOr<std::shared_ptr<const JwkSet>> JwksCache::Keys() {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<std::shared_ptr<const JwkSet>> keys = Current();
  if (keys.ok() || !thread_.joinable()) return keys;
  AskAndWait();
  return Current();
}

absl::StatusOr<std::shared_ptr<const JwkSet>> JwksCache::Newer(
    const std::shared_ptr<const JwkSet>& than) {
  absl::MutexLock lock(&mutex_);
  if (keys_ == than && thread_.joinable()) AskAndWait();
  return Current();
}

JwksCache::State JwksCache::state() const {
  absl::MutexLock lock(&mutex_);
  State state;
  state.error = error_;
  state.due_in = Due() - clock_.BootNow();
  if (keys_ == nullptr) return state;
  state.keys = keys_->size();
  state.age = clock_.BootNow() - good_at_;
  return state;
}

uint64_t JwksCache::attempts() const {
  absl::MutexLock lock(&mutex_);
  return attempts_;
}

}  // namespace forekey
