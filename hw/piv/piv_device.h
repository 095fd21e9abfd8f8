// SPDX-License-Identifier: Apache-2.0
// One card, shared by everything in this process that uses it: one operation at a time, each in a
// transaction of its own, so that other programs get their turn, and a card, reader or pcscd that
// went away and came back is simply used again. Private to hw/piv. Safe from any thread.
#ifndef FOREKEY_HW_PIV_PIV_DEVICE_H_
#define FOREKEY_HW_PIV_PIV_DEVICE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "hw/piv/card_channel.h"
#include "hw/piv/piv_card.h"
#include "hw/piv/piv_uri.h"

namespace forekey {

class PivDevice {
 public:
  // `uri`: its slot does not matter here.
  PivDevice(PivUri uri, std::shared_ptr<SmartcardService> service)
      : uri_(std::move(uri)), service_(std::move(service)) {}
  const PivUri& uri() const { return uri_; }
  std::string reader();  // in which the card was found last

  // Runs `operation` with the card to itself. It must be fit to be run again from the start, and
  // must not wait for the person's typing: it is run again, for up to 5 s, when another program
  // reset the card or pcscd was restarted on the way. For as long it waits for others'
  // transactions. Stops early at the deadline and when cancelled. When it returns, the card is
  // locked (PivCard) and free for others.
  absl::Status Run(const CardPatience& patience,
                   absl::FunctionRef<absl::Status(PivCard&)> operation);

 private:
  absl::Status Enter(const CardPatience& patience);
  void Leave();
  absl::Status Attempt(const CardPatience& patience,
                       absl::FunctionRef<absl::Status(PivCard&)> operation);
  absl::StatusOr<std::unique_ptr<PivCard>> OpenReader(const std::string& reader,
                                                      const CardPatience& patience);
  absl::StatusOr<std::unique_ptr<PivCard>> Search(const CardPatience& patience);

  const PivUri uri_;
  const std::shared_ptr<SmartcardService> service_;
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  std::string reader_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_DEVICE_H_
