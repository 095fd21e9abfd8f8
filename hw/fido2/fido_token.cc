// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_token.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "hw/fido2/fido_error.h"
#include "src/base/bytes.h"
#include "src/base/deadline.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::Duration kBusyPatience = absl::Seconds(5);
constexpr absl::Duration kFirstBusyPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestBusyPause = absl::Milliseconds(400);
constexpr int kTouchSliceMs = 40;

// libfido2's open callback is given a path and nothing else: the link is handed over here, by the
// thread that opens.
thread_local HidLink* opening_link = nullptr;

void* OpenLink(const char*) { return opening_link; }
void CloseLink(void*) {}  // the token closes it
int ReadLink(void* link, unsigned char* report, size_t size, int ms) {
  return static_cast<HidLink*>(link)->Read(report, size, ms);
}
int WriteLink(void* link, const unsigned char* report, size_t size) {
  return static_cast<HidLink*>(link)->Write(report, size);
}

// Runs `attempt` until it is not busy, or patience is over.
absl::Status SitOut(const FidoWait& wait, absl::FunctionRef<absl::Status()> attempt) {
  const Deadline until = std::min(wait.deadline, Deadline::In(kBusyPatience));
  absl::Duration pause = kFirstBusyPause;
  while (true) {
    FOREKEY_RETURN_IF_ERROR(wait.CheckCancelled());
    absl::Status status = attempt();
    if (DeviceErrorOf(status) != DeviceError::kBusy || pause > until.Left()) return status;
    absl::SleepFor(pause);
    pause = std::min(2 * pause, kLongestBusyPause);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<FidoToken>> FidoToken::Open(const FidoAddress& address,
                                                           const FidoWait& wait) {
  std::unique_ptr<FidoToken> token;
  FOREKEY_RETURN_IF_ERROR(SitOut(wait, [&]() -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(token, OpenOnce(address, wait));
    return absl::OkStatus();
  }));
  return token;
}

absl::StatusOr<std::unique_ptr<FidoToken>> FidoToken::OpenOnce(const FidoAddress& address,
                                                               const FidoWait& wait) {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<HidLink> link, HidLink::Open(address));
  std::unique_ptr<FidoToken> token(new FidoToken(address, std::move(link)));
  token->dev_.reset(fido_dev_new());
  const fido_dev_io_t io = {OpenLink, CloseLink, ReadLink, WriteLink};
  if (token->dev_ == nullptr || fido_dev_set_io_functions(token->dev_.get(), &io) != FIDO_OK) {
    return absl::ResourceExhaustedError("fido_dev_new");
  }
  FOREKEY_RETURN_IF_ERROR(token->Once("fido_dev_open", wait, [&](fido_dev_t* dev) {
    opening_link = token->link_.get();
    const int code = fido_dev_open(dev, address.path.c_str());
    opening_link = nullptr;
    return code;
  }));
  // A key that was busy, or left alone, when it was asked what it is looks like an old one that
  // can't say.
  if (token->link_->cancelled())
    return DeviceFailure(DeviceError::kCancelled, "fido_dev_open: cancelled");
  if (token->link_->out_of_time())
    return DeviceFailure(DeviceError::kBusy, "fido_dev_open: the key was not done in time");
  if (token->link_->busy()) return FromFido(FIDO_ERR_CHANNEL_BUSY, "fido_dev_open");
  if (token->link_->gone())
    return DeviceFailure(DeviceError::kGone, "fido_dev_open: the key is gone");
  FOREKEY_RETURN_IF_ERROR(token->ReadInfo(wait));
  return token;
}

FidoToken::~FidoToken() {
  if (dev_ != nullptr) fido_dev_close(dev_.get());
}

absl::Status FidoToken::ReadInfo(const FidoWait& wait) {
  info_.fido2 = fido_dev_is_fido2(dev_.get());
  if (!info_.fido2) {
    info_.versions = "U2F";
    return absl::OkStatus();
  }
  FidoPtr<fido_cbor_info_t> info(fido_cbor_info_new());
  FOREKEY_RETURN_IF_ERROR(Run("fido_dev_get_cbor_info", wait, [&](fido_dev_t* dev) {
    return fido_dev_get_cbor_info(dev, info.get());
  }));
  info_.aaguid = std::string(
      View(fido_cbor_info_aaguid_ptr(info.get()), fido_cbor_info_aaguid_len(info.get())));
  info_.firmware = fido_cbor_info_fwversion(info.get());
  for (size_t i = 0; i < fido_cbor_info_algorithm_count(info.get()); ++i) {
    info_.algorithms.push_back(fido_cbor_info_algorithm_cose(info.get(), i));
  }
  char** extensions = fido_cbor_info_extensions_ptr(info.get());
  for (size_t i = 0; i < fido_cbor_info_extensions_len(info.get()); ++i) {
    if (absl::string_view(extensions[i]) == "credProtect") info_.cred_protect = true;
  }
  char** names = fido_cbor_info_options_name_ptr(info.get());
  const bool* values = fido_cbor_info_options_value_ptr(info.get());
  for (size_t i = 0; i < fido_cbor_info_options_len(info.get()); ++i) {
    if (absl::string_view(names[i]) == "alwaysUv") info_.always_uv = values[i];
  }
  char** versions = fido_cbor_info_versions_ptr(info.get());
  info_.versions = absl::StrJoin(versions, versions + fido_cbor_info_versions_len(info.get()), " ");
  info_.has_pin = fido_dev_has_pin(dev_.get());
  info_.has_uv = fido_dev_has_uv(dev_.get());
  return absl::OkStatus();
}

std::string FidoToken::Product() const {
  const std::string name = absl::StrJoin({address_.manufacturer, address_.product}, " ");
  if (name != " ") return name;
  return address_.simulator ? "simulated security key" : "security key";
}

std::string FidoToken::Name() const { return absl::StrCat(Product(), " (", address_.uri, ")"); }

std::string FidoToken::Describe() const {
  return absl::StrCat(Product(), ", ", info_.versions, info_.has_uv ? ", biometrics" : "",
                      info_.has_pin ? ", PIN set" : "");
}

absl::Status FidoToken::Once(absl::string_view call, const FidoWait& wait,
                             absl::FunctionRef<int(fido_dev_t*)> operation) {
  fido_dev_t* dev = dev_.get();
  link_->Begin(&wait, [dev] { fido_dev_cancel(dev); });
  const int code = operation(dev);
  link_->End();
  if (code == FIDO_OK) return absl::OkStatus();
  // A try was used up, whoever gave up meanwhile: the PIN is not to be sent again.
  if (absl::Status judged = FromFido(code, call); PinIsNoGood(judged)) return judged;
  const std::string said = absl::StrCat(call, ": ", fido_strerr(code));
  if (link_->gone()) {
    return DeviceFailure(DeviceError::kGone, absl::StrCat(said, ": the key was pulled out"));
  }
  if (link_->cancelled())
    return DeviceFailure(DeviceError::kCancelled, absl::StrCat(said, ": cancelled"));
  if (link_->out_of_time()) {
    return link_->touch_wanted()
               ? DeviceFailure(DeviceError::kTouchTimeout,
                               absl::StrCat(said, ": nobody touched the key in time"))
               : DeviceFailure(DeviceError::kBusy,
                               absl::StrCat(said, ": the key was not done in time"));
  }
  if (link_->silent()) {
    return DeviceFailure(
        DeviceError::kGone,
        absl::StrCat(said, ": the key does not answer; pull it out and plug it in again"));
  }
  if (link_->busy()) return FromFido(FIDO_ERR_CHANNEL_BUSY, call);
  return FromFido(code, call);
}

absl::Status FidoToken::Run(absl::string_view call, const FidoWait& wait,
                            absl::FunctionRef<int(fido_dev_t*)> operation) {
  return SitOut(wait, [&] { return Once(call, wait, operation); });
}

int FidoToken::PinTriesLeft(const FidoWait& wait) {
  int tries = -1;
  const absl::Status status = Run("fido_dev_get_retry_count", wait, [&](fido_dev_t* dev) {
    return fido_dev_get_retry_count(dev, &tries);
  });
  return status.ok() ? tries : -1;
}

absl::Status FidoToken::BeginTouch(const FidoWait& wait) {
  return Run("fido_dev_get_touch_begin", wait,
             [](fido_dev_t* dev) { return fido_dev_get_touch_begin(dev); });
}

absl::StatusOr<bool> FidoToken::Touched(const FidoWait& wait) {
  int touched = 0;
  // The prompt speaks of all keys, and is the caller's here.
  FidoWait quiet = wait;
  quiet.prompt = nullptr;
  const absl::Status status = Once("fido_dev_get_touch_status", quiet, [&](fido_dev_t* dev) {
    return fido_dev_get_touch_status(dev, &touched, kTouchSliceMs);
  });
  if (!status.ok()) return status;
  if (link_->gone()) return DeviceFailure(DeviceError::kGone, "the key was pulled out");
  return touched != 0;
}

void FidoToken::CancelTouch() { fido_dev_cancel(dev_.get()); }

}  // namespace forekey
