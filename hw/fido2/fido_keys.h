// SPDX-License-Identifier: Apache-2.0
// The keys that are plugged in, for one operation: taken, opened, chosen from. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_KEYS_H_
#define FOREKEY_HW_FIDO2_FIDO_KEYS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hw/fido2/fido_key_file.h"
#include "hw/fido2/fido_slots.h"
#include "hw/fido2/fido_token.h"

namespace forekey {

// An open token with its slot taken.
class HeldFidoToken {
 public:
  HeldFidoToken(FidoSlots* slots, std::unique_ptr<FidoToken> token)
      : slots_(slots), token_(std::move(token)) {}
  ~HeldFidoToken() {
    const std::string path = token_->address().path;
    token_.reset();
    slots_->Give(path);
  }
  HeldFidoToken(const HeldFidoToken&) = delete;
  HeldFidoToken& operator=(const HeldFidoToken&) = delete;
  FidoToken& operator*() { return *token_; }
  FidoToken* operator->() { return token_.get(); }

 private:
  FidoSlots* const slots_;
  std::unique_ptr<FidoToken> token_;
};
using HeldFidoTokenPtr = std::unique_ptr<HeldFidoToken>;

// Shared by a driver and everything that it makes.
struct FidoContext {
  std::vector<std::string> uris;  // simulators to look at besides what is found
  FidoSlots slots;
};

absl::StatusOr<HeldFidoTokenPtr> HoldToken(FidoContext& context, const FidoAddress& address,
                                           const FidoWait& wait);

// The one at `uri`; where that names several, the one that is touched first (all others are told to
// stop waiting). kGone where there is none.
absl::StatusOr<HeldFidoTokenPtr> ChooseToken(FidoContext& context, const std::string& uri,
                                             const FidoWait& wait);

struct FidoHolder {
  HeldFidoTokenPtr token;
  // It said without a PIN that it holds the credential. False: it may be another one of the model,
  // and a PIN that is meant for the right one would cost it a try.
  bool shows_credential = false;
};

// The one that holds the credential, wherever it is plugged in now: each is asked, without a touch
// and without a PIN, also where there is but one. Where none says so (a credential that is hidden
// from who has no PIN): the only one of its model, or the one that is touched. Keys that other
// calls use are waited for only where none of the others says so. kGone where no key is plugged in,
// kNoCredentials where it is none of those that are.
absl::StatusOr<FidoHolder> FindHolder(FidoContext& context, const FidoKeyFile& key,
                                      const FidoWait& wait);

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_KEYS_H_
