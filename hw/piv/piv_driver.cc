// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/pcsc.h"
#include "hw/piv/pcsc_error.h"
#include "hw/piv/piv_data.h"
#include "hw/piv/piv_device.h"
#include "hw/piv/piv_enroller.h"
#include "hw/piv/piv_key.h"
#include "hw/piv/piv_uri.h"
#include "src/base/printable.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::Duration kListPatience = absl::Seconds(2);

void DescribeCard(const std::string& reader, const PivCard& card, DeviceInfo* info) {
  std::string& text = info->description;
  text = absl::StrCat("PIV card in ", Shown(reader));
  if (card.version().has_value()) {  // a YubiKey
    info->maker = "yubikey";
    info->firmware = card.version()->Text();
    absl::StrAppend(&text, ", firmware ", info->firmware);
  }
  if (card.serial().has_value()) absl::StrAppend(&text, ", serial ", *card.serial());
}

}  // namespace

PivDriver::PivDriver(std::vector<std::string> uris, std::shared_ptr<SmartcardService> service)
    : uris_(std::move(uris)),
      service_(service != nullptr ? std::move(service) : std::make_shared<PcscService>()) {}

PivDriver::~PivDriver() = default;

absl::StatusOr<std::shared_ptr<PivDevice>> PivDriver::DeviceAt(const std::string& text) {
  FOREKEY_ASSIGN_OR_RETURN(PivUri uri, PivUri::Parse(text));
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<PivDevice>& device = devices_[uri.DeviceText()];
  if (device == nullptr) device = std::make_shared<PivDevice>(std::move(uri), service_);
  return device;
}

std::vector<DeviceInfo> PivDriver::List(std::vector<std::string>* problems) {
  std::vector<std::string> seen_problems;
  std::vector<DeviceInfo> found;
  auto readers = service_->Readers();
  if (!readers.ok()) {
    if (uris_.empty() && HasUsbReader()) {
      seen_problems.push_back(absl::StrCat("piv: ", readers.status().message()));
    }
    for (const std::string& uri : uris_) {
      seen_problems.push_back(absl::StrCat(uri, " ", readers.status().message()));
    }
  } else {
    for (const CardReader& reader : *readers) {
      if (!reader.has_card) continue;
      PivUri uri;
      uri.reader = reader.name;
      absl::Status status = DeviceFailure(DeviceError::kOther,
                                          "the card does not answer; take it out and "
                                          "put it in again, the right way round");
      DeviceInfo info{"", kind(), ""};
      if (!reader.is_mute) {
        PivDevice device(uri, service_);
        status = device.Run({Deadline::In(kListPatience), nullptr}, [&](PivCard& card) {
          if (card.serial().has_value()) uri.serial = card.serial();
          DescribeCard(reader.name, card, &info);
          return absl::OkStatus();
        });
      }
      info.uri = uri.DeviceText();
      if (status.ok()) {
        found.push_back(std::move(info));
      } else if (DeviceErrorOf(status) != DeviceError::kGone &&
                 (DeviceErrorOf(status) != DeviceError::kNotSetUp ||
                  InterruptionOf(status) != Interruption::kNone)) {
        // A card without PIV application, a bank's, is no problem.
        seen_problems.push_back(absl::StrCat(info.uri, " ", status.message()));
      }
    }
    for (const std::string& text : uris_) {
      auto uri = PivUri::Parse(text);
      // "piv:" is any card.
      const bool listed =
          uri.ok() && std::any_of(found.begin(), found.end(), [&](const DeviceInfo& info) {
            return uri->DeviceText() == "piv:" || info.uri == uri->DeviceText();
          });
      if (listed) continue;
      auto device = DeviceAt(text);
      absl::Status status = device.status();
      if (device.ok()) {
        status = (*device)->Run({Deadline::In(kListPatience), nullptr}, [&](PivCard& card) {
          DeviceInfo info{(*device)->uri().DeviceText(), kind(), ""};
          DescribeCard((*device)->reader(), card, &info);
          found.push_back(std::move(info));
          return absl::OkStatus();
        });
      }
      if (!status.ok()) seen_problems.push_back(absl::StrCat(text, " ", status.message()));
    }
  }
  if (problems != nullptr)
    problems->insert(problems->end(), seen_problems.begin(), seen_problems.end());
  return found;
}

absl::StatusOr<std::unique_ptr<KeyEnroller>> PivDriver::Enroll(const std::string& uri,
                                                               EnrollOptions options) {
  FOREKEY_ASSIGN_OR_RETURN(PivUri parsed, PivUri::Parse(uri));
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<PivDevice> device, DeviceAt(uri));
  FOREKEY_ASSIGN_OR_RETURN(PivEnrollOptions piv, PivEnrollOptions::From(std::move(options)));
  return PivEnroller::New(std::move(device), parsed.slot, std::move(piv));
}

absl::StatusOr<std::vector<std::string>> PivDriver::HardwareCertificates(const std::string& uri) {
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<PivDevice> device, DeviceAt(uri));
  std::vector<std::string> certificates;
  FOREKEY_RETURN_IF_ERROR(device->Run(
      {Deadline::In(kListPatience), nullptr}, [&certificates](PivCard& card) -> absl::Status {
        certificates.clear();
        FOREKEY_ASSIGN_OR_RETURN(const auto object, card.GetObject(kObjectAttestation));
        if (!object.has_value()) return absl::OkStatus();
        FOREKEY_ASSIGN_OR_RETURN(std::string certificate, ParseCertificateObject(*object));
        certificates.push_back(std::move(certificate));
        return absl::OkStatus();
      }));
  return certificates;
}

absl::StatusOr<std::unique_ptr<DeviceKey>> PivDriver::Load(const std::string& reference,
                                                           Secret key_password) {
  FOREKEY_ASSIGN_OR_RETURN(PivKeyReference parsed, ParseKeyReference(reference));
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<PivDevice> device, DeviceAt(parsed.uri.Text()));
  return std::make_unique<PivKey>(std::move(device), std::move(parsed), std::move(key_password));
}

absl::StatusOr<std::optional<FoundKey>> PivDriver::KeyAt(const std::string& place) {
  FOREKEY_ASSIGN_OR_RETURN(PivUri uri, PivUri::Parse(place));
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<PivDevice> device, DeviceAt(place));
  if (!uri.slot.has_value()) return absl::InvalidArgumentError("the place has no slot");
  std::optional<FoundKey> found;
  const auto look = [&](PivCard& card) -> absl::Status {
    found.reset();
    FOREKEY_ASSIGN_OR_RETURN(const PivCard::Slot slot, card.ReadSlot(*uri.slot));
    if (slot.state == PivCard::SlotState::kEmpty) return absl::OkStatus();
    const auto key = slot.Key();
    const std::string name = SlotName(*uri.slot);
    found = FoundKey{
        key.ok() ? key->spki() : "",
        absl::StrCat("enrol it (--device '", uri.DeviceText(), "' --slot ", name,
                     " --existing), have a new key take its place (--overwrite instead), or "
                     "delete it (ykman piv keys delete ",
                     name, ", on a YubiKey with firmware 5.7 or later)")};
    return absl::OkStatus();
  };
  FOREKEY_RETURN_IF_ERROR(device->Run({Deadline::In(kListPatience), nullptr}, look));
  return found;
}

}  // namespace forekey
