// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido2_driver.h"

#include <fido.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/fido2/fido_key.h"
#include "src/base/status.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/firmware_list.h"

namespace forekey {
namespace {
// A list must not wait for keys that others use.
constexpr absl::Duration kLookPatience = absl::Seconds(3);
}  // namespace

Fido2Driver::Fido2Driver(std::vector<std::string> uris)
    : context_(std::make_shared<FidoContext>()) {
  context_->uris = std::move(uris);
  fido_init(0);
}

Fido2Driver::~Fido2Driver() = default;

std::vector<DeviceInfo> Fido2Driver::List(std::vector<std::string>* problems) {
  std::vector<DeviceInfo> found;
  for (const FidoAddress& address : FindFidoKeys(context_->uris)) {
    FidoWait wait;
    wait.deadline = Deadline::In(kLookPatience);
    absl::StatusOr<HeldFidoTokenPtr> token = HoldToken(*context_, address, wait);
    if (token.ok()) {
      DeviceInfo info{address.uri, kind(), (**token)->Describe()};
      const FidoInfo& said = (**token)->info();
      if (!said.aaguid.empty()) info.maker = AaguidText(said.aaguid);
      if (said.firmware != 0) info.firmware = FirmwareText(kind(), said.firmware);
      found.push_back(std::move(info));
    } else if (problems != nullptr) {
      problems->push_back(absl::StrCat(address.uri, " ", token.status().message()));
    }
  }
  return found;
}

absl::StatusOr<std::unique_ptr<KeyEnroller>> Fido2Driver::Enroll(const std::string& uri,
                                                                 EnrollOptions options) {
  FOREKEY_RETURN_IF_ERROR(CheckFidoUri(uri));
  FOREKEY_RETURN_IF_ERROR(options.named.CheckNames("fido2", {"discoverable"}));
  FOREKEY_ASSIGN_OR_RETURN(const bool discoverable, options.named.Flag("discoverable"));
  return std::make_unique<FidoEnroller>(context_, uri, std::move(options), discoverable);
}

absl::StatusOr<std::unique_ptr<DeviceKey>> Fido2Driver::Load(const std::string& reference,
                                                             Secret key_password) {
  FOREKEY_ASSIGN_OR_RETURN(FidoKeyFile file, ParseFidoKeyFile(reference));
  return std::make_unique<FidoKey>(context_, std::move(file), std::move(key_password));
}

}  // namespace forekey
