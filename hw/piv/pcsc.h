// SPDX-License-Identifier: Apache-2.0
// Smartcards through PC/SC (libpcsclite). Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PCSC_H_
#define FOREKEY_HW_PIV_PCSC_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "hw/piv/card_channel.h"

namespace forekey {

// Talks to pcscd at $PCSCLITE_CSOCK_NAME or the distribution's socket, each time on a context of
// its own: a pcscd that was restarted is simply used again.
//
// SCardConnect and SCardBeginTransaction wait, without limit, for a transaction that another
// program holds, and nothing cancels them. So each opening runs on a thread of its own: a caller
// whose patience ends leaves it behind, and it lets go of the card as soon as it gets it, unless
// the next caller for the same reader has taken it over. There is at most one such thread a reader
// that nobody waits for.
class PcscService : public SmartcardService {
 public:
  absl::StatusOr<std::vector<CardReader>> Readers() override;
  absl::StatusOr<std::unique_ptr<CardChannel>> Open(const std::string& reader,
                                                    const CardPatience& patience) override;
  void AwaitChange(absl::Duration longest) override;

 private:
  class Opening;
  std::shared_ptr<Opening> OpeningOf(const std::string& reader);

  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Opening>> openings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PCSC_H_
