// SPDX-License-Identifier: Apache-2.0
// One open FIDO2 key, through libfido2. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_TOKEN_H_
#define FOREKEY_HW_FIDO2_FIDO_TOKEN_H_

#include <fido.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hw/fido2/fido_address.h"
#include "hw/fido2/hid_link.h"

namespace forekey {

struct FidoFree {
  void operator()(fido_dev_t* p) const { fido_dev_free(&p); }
  void operator()(fido_cred_t* p) const { fido_cred_free(&p); }
  void operator()(fido_assert_t* p) const { fido_assert_free(&p); }
  void operator()(fido_cbor_info_t* p) const { fido_cbor_info_free(&p); }
};
template <typename T>
using FidoPtr = std::unique_ptr<T, FidoFree>;

struct FidoInfo {
  std::string aaguid;           // 16 bytes; empty for U2F keys
  uint64_t firmware = 0;        // 0: the key does not say
  std::vector<int> algorithms;  // COSE; empty: the key does not say
  bool cred_protect = false;
  bool always_uv = false;
  bool fido2 = false;
  bool has_pin = false;
  bool has_uv = false;  // built-in, and set up
  std::string versions;
};

// One thread at a time.
class FidoToken {
 public:
  // Sits out a busy key for as long as `wait` has patience, at most some seconds.
  static absl::StatusOr<std::unique_ptr<FidoToken>> Open(const FidoAddress& address,
                                                         const FidoWait& wait);
  ~FidoToken();

  const FidoAddress& address() const { return address_; }
  const FidoInfo& info() const { return info_; }
  std::string Describe() const;
  // Maker, product, and the URI, which has the serial number where the key tells one: for prompts.
  std::string Name() const;

  // One call of libfido2's, with its result told apart: kGone, kCancelled, kTouchTimeout, kBusy
  // (sat out first), or FromFido()'s.
  absl::Status Run(absl::string_view call, const FidoWait& wait,
                   absl::FunctionRef<int(fido_dev_t*)> operation);

  // PIN tries that are left; -1 where the key does not say.
  int PinTriesLeft(const FidoWait& wait);

  // Begins to wait for a touch without doing anything with it; then asked again and again.
  absl::Status BeginTouch(const FidoWait& wait);
  absl::StatusOr<bool> Touched(const FidoWait& wait);
  void CancelTouch();

 private:
  FidoToken(FidoAddress address, std::unique_ptr<HidLink> link)
      : address_(std::move(address)), link_(std::move(link)) {}
  static absl::StatusOr<std::unique_ptr<FidoToken>> OpenOnce(const FidoAddress& address,
                                                             const FidoWait& wait);
  absl::Status Once(absl::string_view call, const FidoWait& wait,
                    absl::FunctionRef<int(fido_dev_t*)> operation);
  absl::Status ReadInfo(const FidoWait& wait);
  std::string Product() const;

  const FidoAddress address_;
  const std::unique_ptr<HidLink> link_;  // outlives dev_
  FidoPtr<fido_dev_t> dev_;
  FidoInfo info_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_TOKEN_H_
