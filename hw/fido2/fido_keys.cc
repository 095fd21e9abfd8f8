// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_keys.h"

#include <fido/err.h>

#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/fido2/fido_error.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status NoKey(absl::string_view uri) {
  return DeviceFailure(DeviceError::kGone,
                       absl::StrCat("no security key is plugged in (looked for ", uri, ")"));
}

// The slot is the caller's, or the token's from now on.
absl::StatusOr<HeldFidoTokenPtr> OpenInSlot(FidoContext& context, const FidoAddress& address,
                                            const FidoWait& wait) {
  absl::StatusOr<std::unique_ptr<FidoToken>> token = FidoToken::Open(address, wait);
  if (!token.ok()) {
    context.slots.Give(address.path);
    return token.status();
  }
  return std::make_unique<HeldFidoToken>(&context.slots, *std::move(token));
}

// Opens what can be opened. An error only where nothing could. `in_use`: where not null, tokens
// that another call uses are not waited for; it is set where there are any, and then none is an
// error.
absl::StatusOr<std::vector<HeldFidoTokenPtr>> HoldAll(FidoContext& context,
                                                      const std::vector<FidoAddress>& addresses,
                                                      const FidoWait& wait,
                                                      bool* in_use = nullptr) {
  std::vector<HeldFidoTokenPtr> held;
  absl::Status refused;
  for (const FidoAddress& address : addresses) {
    if (in_use != nullptr && !context.slots.TryTake(address.path)) {
      *in_use = true;
      continue;
    }
    absl::StatusOr<HeldFidoTokenPtr> token =
        in_use == nullptr ? HoldToken(context, address, wait) : OpenInSlot(context, address, wait);
    if (token.ok()) {
      held.push_back(*std::move(token));
    } else if (DeviceErrorOf(token.status()) == DeviceError::kCancelled) {
      return token.status();
    } else if (refused.ok() || DeviceErrorOf(refused) == DeviceError::kGone) {
      refused = token.status();
    }
  }
  if (!held.empty() || (in_use != nullptr && *in_use)) return held;
  return refused.ok() ? NoKey("any") : refused;
}

absl::StatusOr<HeldFidoTokenPtr> AwaitTouch(std::vector<HeldFidoTokenPtr> tokens,
                                            const FidoWait& wait) {
  absl::Status gone;
  for (auto it = tokens.begin(); it != tokens.end();) {
    const absl::Status begun = (**it)->BeginTouch(wait);
    if (begun.ok()) {
      ++it;
    } else {
      gone = begun;
      it = tokens.erase(it);
    }
  }
  const std::string name = absl::StrCat("one of ", tokens.size(), " security keys");
  if (wait.prompt != nullptr) wait.prompt->ShowTouch(name);
  absl::Cleanup hide = [&wait] {
    if (wait.prompt != nullptr) wait.prompt->HideTouch();
  };
  while (!tokens.empty()) {
    if (absl::Status status = wait.CheckCancelled(); !status.ok() || wait.deadline.Passed()) {
      for (const HeldFidoTokenPtr& token : tokens) (*token)->CancelTouch();
      return status.ok()
                 ? DeviceFailure(DeviceError::kTouchTimeout, "no security key was touched in time")
                 : status;
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      const absl::StatusOr<bool> touched = (*tokens[i])->Touched(wait);
      if (!touched.ok()) {
        gone = touched.status();
        tokens.erase(tokens.begin() + static_cast<long>(i));
        break;
      }
      if (!*touched) continue;
      for (size_t other = 0; other < tokens.size(); ++other) {
        if (other != i) (*tokens[other])->CancelTouch();
      }
      return std::move(tokens[i]);
    }
  }
  return gone;
}

// Asks for an assertion without a touch: says whether the credential is there.
absl::Status ProbeCredential(FidoToken& token, const FidoKeyFile& key, const FidoWait& wait) {
  FidoPtr<fido_assert_t> assertion(fido_assert_new());
  static constexpr unsigned char kNothing[32] = {};
  if (fido_assert_set_clientdata_hash(assertion.get(), kNothing, sizeof kNothing) != FIDO_OK ||
      fido_assert_set_rp(assertion.get(), key.rp_id.c_str()) != FIDO_OK ||
      fido_assert_allow_cred(assertion.get(), U8(key.credential_id), key.credential_id.size()) !=
          FIDO_OK ||
      fido_assert_set_up(assertion.get(), FIDO_OPT_FALSE) != FIDO_OK) {
    return absl::InternalError("fido_assert_set");
  }
  const absl::Status status = token.Run("fido_dev_get_assert", wait, [&](fido_dev_t* dev) {
    return fido_dev_get_assert(dev, assertion.get(), nullptr);
  });
  return status;
}

struct Found {
  HeldFidoTokenPtr shows;               // says that it holds the credential
  std::vector<HeldFidoTokenPtr> maybe;  // of its model, and don't say that they don't
  absl::Status refused = FromFido(FIDO_ERR_NO_CREDENTIALS, "fido_dev_get_assert");
};

absl::StatusOr<Found> LookFor(const FidoKeyFile& key, std::vector<HeldFidoTokenPtr> tokens,
                              const FidoWait& wait) {
  Found found;
  for (HeldFidoTokenPtr& token : tokens) {
    if ((*token)->info().aaguid != key.aaguid) continue;
    const absl::Status probed = ProbeCredential(**token, key, wait);
    if (probed.ok()) {
      found.shows = std::move(token);
      return found;
    }
    const std::optional<DeviceError> error = DeviceErrorOf(probed);
    if (error == DeviceError::kCancelled) return probed;
    if (error == DeviceError::kNoCredentials && !key.hidden) continue;
    if (error == DeviceError::kGone || error == DeviceError::kBusy) {
      found.refused = probed;
      continue;
    }
    found.maybe.push_back(std::move(token));
  }
  return found;  // others may want the rest
}

}  // namespace

absl::StatusOr<HeldFidoTokenPtr> HoldToken(FidoContext& context, const FidoAddress& address,
                                           const FidoWait& wait) {
  FOREKEY_RETURN_IF_ERROR(context.slots.Take(address.path, wait));
  return OpenInSlot(context, address, wait);
}

absl::StatusOr<HeldFidoTokenPtr> ChooseToken(FidoContext& context, const std::string& uri,
                                             const FidoWait& wait) {
  const std::vector<FidoAddress> addresses = FidoKeysAt(uri, context.uris);
  if (addresses.empty()) return NoKey(uri);
  if (addresses.size() == 1) return HoldToken(context, addresses[0], wait);
  FOREKEY_ASSIGN_OR_RETURN(std::vector<HeldFidoTokenPtr> tokens, HoldAll(context, addresses, wait));
  if (tokens.size() == 1) return std::move(tokens[0]);
  return AwaitTouch(std::move(tokens), wait);
}

absl::StatusOr<FidoHolder> FindHolder(FidoContext& context, const FidoKeyFile& key,
                                      const FidoWait& wait) {
  std::vector<FidoAddress> addresses = FindFidoKeys(context.uris);
  for (FidoAddress& named : FidoKeysAt(key.device_uri, context.uris)) {
    auto same = [&](const FidoAddress& known) { return known.path == named.path; };
    if (std::none_of(addresses.begin(), addresses.end(), same))
      addresses.push_back(std::move(named));
  }
  if (addresses.empty()) return NoKey(key.device_uri);
  // A key that waits for another call's touch or PIN keeps nobody from the others.
  bool in_use = false;
  FOREKEY_ASSIGN_OR_RETURN(std::vector<HeldFidoTokenPtr> tokens,
                           HoldAll(context, addresses, wait, &in_use));
  FOREKEY_ASSIGN_OR_RETURN(Found found, LookFor(key, std::move(tokens), wait));
  if (found.shows == nullptr && in_use) {
    // All given back: of two who each keep one, none would get the other's.
    found = Found();
    FOREKEY_ASSIGN_OR_RETURN(tokens, HoldAll(context, addresses, wait));
    FOREKEY_ASSIGN_OR_RETURN(found, LookFor(key, std::move(tokens), wait));
  }
  if (found.shows != nullptr) return FidoHolder{std::move(found.shows), true};
  if (found.maybe.empty()) return found.refused;
  if (found.maybe.size() == 1) return FidoHolder{std::move(found.maybe[0]), false};
  FOREKEY_ASSIGN_OR_RETURN(HeldFidoTokenPtr touched, AwaitTouch(std::move(found.maybe), wait));
  return FidoHolder{std::move(touched), false};
}

}  // namespace forekey
