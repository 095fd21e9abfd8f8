// SPDX-License-Identifier: Apache-2.0
#include "src/agent/notice_board.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

constexpr size_t kMostLines = 64;  // of one command
constexpr size_t kLongestLine = 1024;
constexpr int kMostWatchers = 32;

}  // namespace

NoticeBoard::Place::Place(NoticeBoard* board, std::string gate)
    : board_(board), gate_(std::move(gate)), command_([board] {
        absl::MutexLock lock(&board->mutex_);
        return ++board->commands_;
      }()) {}

NoticeBoard::Place::~Place() {
  absl::MutexLock lock(&board_->mutex_);
  std::erase_if(board_->notices_,
                [this](const Notice& notice) { return notice.command == command_; });
}

std::string NoticeBoard::Place::Post(absl::string_view line) {
  std::string text(absl::StripTrailingAsciiWhitespace(line.substr(0, kLongestLine)));
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  text = Shown(text);  // nor may other characters turn what a terminal shows
  if (text.empty() || lines_ == kMostLines) return "";
  ++lines_;
  absl::MutexLock lock(&board_->mutex_);
  board_->notices_.push_back({++board_->last_, command_, gate_, text});
  return text;
}

std::vector<NoticeBoard::Notice> NoticeBoard::After(uint64_t* seen, absl::Duration patience) {
  absl::MutexLock lock(&mutex_);
  const auto news = [this, seen]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_ || last_ > *seen; };
  AwaitFor(mutex_, absl::Condition(&news), patience);
  std::vector<Notice> found;
  for (const Notice& notice : notices_) {
    if (notice.number > *seen) found.push_back(notice);
  }
  *seen = last_;
  return found;
}

bool NoticeBoard::Enter() {
  absl::MutexLock lock(&mutex_);
  if (stopped_ || watchers_ == kMostWatchers) return false;
  ++watchers_;
  return true;
}

void NoticeBoard::Leave() {
  absl::MutexLock lock(&mutex_);
  --watchers_;
}

void NoticeBoard::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

bool NoticeBoard::stopped() const {
  absl::MutexLock lock(&mutex_);
  return stopped_;
}

}  // namespace forekey
