// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/pcsc.h"

#include <winscard.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/device_key.h"
#include "hw/piv/pcsc_error.h"
#include "src/base/bytes.h"
#include "src/base/deadline.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// How often a waiting caller looks whether its own caller gave up.
constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr char kPnpReader[] = "\\\\?PnP?\\Notification";

class PcscContext {
 public:
  static absl::StatusOr<std::unique_ptr<PcscContext>> New() {
    SCARDCONTEXT context = 0;
    const LONG rc = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context);
    if (rc == SCARD_E_NO_SERVICE) {
      return Interrupted(Interruption::kServiceLost, NoService(PcscSocket()));
    }
    FOREKEY_RETURN_IF_ERROR(FromPcsc(rc, "SCardEstablishContext"));
    return std::unique_ptr<PcscContext>(new PcscContext(context));
  }
  ~PcscContext() { SCardReleaseContext(context_); }
  PcscContext(const PcscContext&) = delete;
  PcscContext& operator=(const PcscContext&) = delete;
  SCARDCONTEXT get() const { return context_; }

 private:
  explicit PcscContext(SCARDCONTEXT context) : context_(context) {}
  const SCARDCONTEXT context_;
};

absl::StatusOr<std::vector<std::string>> ReaderNames(const PcscContext& context) {
  std::vector<std::string> names;
  std::string list(PCSCLITE_MAX_READERS_CONTEXTS * (MAX_READERNAME + 1) + 1, '\0');
  DWORD size = list.size();
  const LONG rc = SCardListReaders(context.get(), nullptr, list.data(), &size);
  if (rc == SCARD_E_NO_READERS_AVAILABLE) return names;
  FOREKEY_RETURN_IF_ERROR(FromPcsc(rc, "SCardListReaders"));
  list.resize(std::min<size_t>(size, list.size()));
  for (size_t start = 0; start < list.size();) {
    const size_t end = std::min(list.find('\0', start), list.size());
    if (end > start) names.push_back(list.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

absl::StatusOr<std::vector<SCARD_READERSTATE>> ReaderStates(const PcscContext& context,
                                                            const std::vector<std::string>& names) {
  std::vector<SCARD_READERSTATE> states(names.size());
  for (size_t i = 0; i < names.size(); ++i) states[i].szReader = names[i].c_str();
  if (states.empty()) return states;
  const LONG rc = SCardGetStatusChange(context.get(), 0, states.data(), states.size());
  if (rc != SCARD_E_TIMEOUT) FOREKEY_RETURN_IF_ERROR(FromPcsc(rc, "SCardGetStatusChange"));
  return states;
}

class PcscChannel : public CardChannel {
 public:
  static absl::StatusOr<std::unique_ptr<CardChannel>> Open(const std::string& reader) {
    FOREKEY_ASSIGN_OR_RETURN(auto context, PcscContext::New());
    std::unique_ptr<PcscChannel> channel(new PcscChannel(std::move(context)));
    FOREKEY_RETURN_IF_ERROR(
        FromPcsc(SCardConnect(channel->context_->get(), reader.c_str(), SCARD_SHARE_SHARED,
                              SCARD_PROTOCOL_ANY, &channel->card_, &channel->protocol_),
                 "SCardConnect"));
    channel->connected_ = true;
    FOREKEY_RETURN_IF_ERROR(
        FromPcsc(SCardBeginTransaction(channel->card_), "SCardBeginTransaction"));
    channel->in_transaction_ = true;
    BYTE atr[MAX_ATR_SIZE];
    DWORD size = sizeof atr;
    FOREKEY_RETURN_IF_ERROR(
        FromPcsc(SCardStatus(channel->card_, nullptr, nullptr, nullptr, nullptr, atr, &size),
                 "SCardStatus"));
    channel->atr_ = std::string(View(atr, std::min<size_t>(size, sizeof atr)));
    return channel;
  }

  // Ends in any case: a transaction that is not ended by its own call is by the disconnection.
  ~PcscChannel() override {
    const DWORD disposition = reset_ ? SCARD_RESET_CARD : SCARD_LEAVE_CARD;
    bool ended = false;
    if (in_transaction_) ended = SCardEndTransaction(card_, disposition) == SCARD_S_SUCCESS;
    if (connected_) SCardDisconnect(card_, ended ? SCARD_LEAVE_CARD : disposition);
  }

  absl::StatusOr<std::string> Transmit(absl::string_view command) override {
    std::string answer(MAX_BUFFER_SIZE_EXTENDED, '\0');
    DWORD size = answer.size();
    const SCARD_IO_REQUEST* pci = is_t0() ? SCARD_PCI_T0 : SCARD_PCI_T1;
    FOREKEY_RETURN_IF_ERROR(
        FromPcsc(SCardTransmit(card_, pci, U8(command), command.size(), nullptr, U8(answer), &size),
                 "SCardTransmit"));
    answer.resize(std::min<size_t>(size, answer.size()));
    return answer;
  }
  void ResetWhenDone() override { reset_ = true; }
  const std::string& atr() const override { return atr_; }
  bool is_t0() const override { return protocol_ == SCARD_PROTOCOL_T0; }

 private:
  explicit PcscChannel(std::unique_ptr<PcscContext> context) : context_(std::move(context)) {}
  const std::unique_ptr<PcscContext> context_;
  SCARDHANDLE card_ = 0;
  DWORD protocol_ = 0;
  std::string atr_;
  bool connected_ = false;
  bool in_transaction_ = false;
  bool reset_ = false;
};

}  // namespace

// One attempt to get the card of a reader, shared by the thread that makes it and the one that
// waits.
class PcscService::Opening {
 public:
  // Whether the caller may wait for this one: it goes on, and nobody waits for it.
  bool TakeOver() {
    absl::MutexLock lock(&mutex_);
    if (done_ || wanted_) return false;
    wanted_ = true;
    return true;
  }

  void Finish(absl::StatusOr<std::unique_ptr<CardChannel>> channel) {
    // A channel that nobody wants any more is closed here, on the opening's own thread.
    absl::MutexLock lock(&mutex_);
    done_ = true;
    if (wanted_) channel_ = std::move(channel);
  }

  absl::StatusOr<std::unique_ptr<CardChannel>> Wait(const CardPatience& patience) {
    absl::MutexLock lock(&mutex_);
    while (true) {
      AwaitUntil(mutex_, absl::Condition(&done_), std::min(patience.deadline, Deadline::In(kPoll)));
      if (done_) return std::move(channel_);
      const bool cancelled = patience.Cancelled();
      if (!cancelled && !patience.deadline.Passed()) continue;
      wanted_ = false;
      if (cancelled) {
        return DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the card");
      }
      return DeviceFailure(DeviceError::kBusy,
                           absl::StrCat("SCardBeginTransaction: ", LikelyHolders(),
                                        " holds the card in a transaction; end it, or try again"));
    }
  }

 private:
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = true;
  absl::StatusOr<std::unique_ptr<CardChannel>> channel_ ABSL_GUARDED_BY(mutex_) =
      absl::InternalError("not opened");
};

std::shared_ptr<PcscService::Opening> PcscService::OpeningOf(const std::string& reader) {
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<Opening>& opening = openings_[reader];
  if (opening != nullptr && opening->TakeOver()) return opening;
  opening = std::make_shared<Opening>();
  std::thread([opening, reader] { opening->Finish(PcscChannel::Open(reader)); }).detach();
  return opening;
}

absl::StatusOr<std::unique_ptr<CardChannel>> PcscService::Open(const std::string& reader,
                                                               const CardPatience& patience) {
  return OpeningOf(reader)->Wait(patience);
}

absl::StatusOr<std::vector<CardReader>> PcscService::Readers() {
  FOREKEY_ASSIGN_OR_RETURN(auto context, PcscContext::New());
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> names, ReaderNames(*context));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<SCARD_READERSTATE> states, ReaderStates(*context, names));
  std::vector<CardReader> readers;
  for (size_t i = 0; i < names.size(); ++i) {
    const DWORD state = states[i].dwEventState;
    readers.push_back(
        {names[i], (state & SCARD_STATE_PRESENT) != 0, (state & SCARD_STATE_MUTE) != 0});
  }
  return readers;
}

void PcscService::AwaitChange(absl::Duration longest) {
  const Deadline until = Deadline::In(longest);
  absl::Status status;
  if (auto context = PcscContext::New(); context.ok()) {
    auto names = ReaderNames(**context);
    if (names.ok()) {
      names->push_back(kPnpReader);
      auto states = ReaderStates(**context, *names);
      if (states.ok()) {
        for (SCARD_READERSTATE& state : *states) state.dwCurrentState = state.dwEventState;
        // What the notification counts is kept in the upper half; a new reader changes it.
        states->back().dwCurrentState &= ~static_cast<DWORD>(SCARD_STATE_CHANGED);
        const LONG rc = SCardGetStatusChange((*context)->get(),
                                             static_cast<DWORD>(absl::ToInt64Milliseconds(longest)),
                                             states->data(), states->size());
        if (rc == SCARD_S_SUCCESS || rc == SCARD_E_TIMEOUT) return;
      }
    }
  }
  // Without a service there is nothing that would tell: a short pause, so that the caller does not
  // spin.
  absl::SleepFor(std::min(until.Left(), absl::Milliseconds(50)));
}

}  // namespace forekey
