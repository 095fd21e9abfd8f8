// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/piv_applet.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"

namespace forekey::piv {
namespace {

constexpr absl::string_view kPivAid("\xa0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00", 11);
constexpr absl::string_view kOtpAid("\xa0\x00\x00\x05\x27\x20\x01\x01", 8);
constexpr absl::string_view kManagementAid("\xa0\x00\x00\x05\x27\x47\x11\x17", 8);
// The largest data object of a YubiKey 5 with the command around it.
constexpr size_t kMaxChained = 3072 + 64;
constexpr size_t kMaxObject = 3072;

// Data objects that are read with the PIN alone: fingerprints, face, printed information, iris.
bool NeedsPin(uint32_t tag) {
  return tag == 0x5fc103 || tag == 0x5fc108 || tag == 0x5fc109 || tag == 0x5fc121;
}

std::optional<uint32_t> ObjectTag(absl::string_view bytes) {
  if (bytes.empty() || bytes.size() > 3) return std::nullopt;
  uint32_t tag = 0;
  for (char c : bytes) tag = tag << 8 | static_cast<uint8_t>(c);
  const bool known = tag == 0x7e || tag == 0x7f61 || (tag >= 0x5fc101 && tag <= 0x5fc1ff) ||
                     (tag >= 0x5fff00 && tag <= 0x5fffff);
  if (!known) return std::nullopt;
  return tag;
}

}  // namespace

void PivApplet::ForgetAuthentication() {
  pin_verified_ = pin_fresh_ = management_authenticated_ = false;
  witness_.clear();
  challenge_.clear();
}

void PivApplet::Reset() {
  ForgetAuthentication();
  selected_ = state_.config.yubikey() ? Selected::kNothing : Selected::kPiv;
  touched_until_ = absl::InfinitePast();
  chain_.reset();
  chained_.clear();
  pending_.clear();
}

std::string PivApplet::Process(absl::string_view command) {
  auto parsed = CommandApdu::Parse(command);
  if (!parsed.ok() || (parsed->extended && !state_.config.extended_apdus)) {
    chain_.reset();
    return ByteWriter().U16(0x6700).bytes();
  }
  CommandApdu apdu = *parsed;
  if ((apdu.cla & ~0x10) != 0)
    return ByteWriter().U16((apdu.cla & 0x0c) != 0 ? 0x6882 : 0x6e00).bytes();
  if (apdu.ins == 0xc0) {
    if (pending_.empty()) return ByteWriter().U16(0x6985).bytes();
    return NextPart(apdu.le.value_or(256));
  }
  pending_.clear();
  const bool continues =
      chain_ && chain_->ins == apdu.ins && chain_->p1 == apdu.p1 && chain_->p2 == apdu.p2;
  if (!continues) chained_.clear();
  chain_.reset();
  if (chained_.size() + apdu.data.size() > kMaxChained && (continues || apdu.cla != 0)) {
    chained_.clear();
    return ByteWriter().U16(0x6700).bytes();
  }
  std::string whole;
  if (apdu.cla == 0x10) {
    chained_.append(apdu.data.data(), apdu.data.size());
    chain_ = apdu;
    chain_->data = {};
    return ByteWriter().U16(0x9000).bytes();
  }
  if (continues) {
    whole = std::exchange(chained_, "");
    whole.append(apdu.data.data(), apdu.data.size());
    apdu.data = whole;
  }
  Reply reply = Dispatch(apdu);
  if (misbehaviour_.wrong_status && apdu.ins == misbehaviour_.wrong_status_ins.value_or(0x87) &&
      misbehaviour_.wrong_status_count != 0) {
    if (misbehaviour_.wrong_status_count > 0) --misbehaviour_.wrong_status_count;
    reply = Reply(*misbehaviour_.wrong_status);
  }
  if (dirty_ && !environment_.save(state_).ok()) reply = Reply(0x6581);
  dirty_ = false;
  return Send(std::move(reply), apdu);
}

std::string PivApplet::Send(Reply reply, const CommandApdu& apdu) {
  if (reply.data.empty()) return ByteWriter().U16(reply.sw).bytes();
  reply.data.resize(reply.data.size() - std::min(misbehaviour_.truncate, reply.data.size()));
  pending_ = std::move(reply.data);
  // Without Le, in a protocol that needs none, cards answer as to a Le of 00.
  return NextPart(apdu.le.value_or(256));
}

std::string PivApplet::NextPart(size_t most) {
  ByteWriter answer;
  answer.Raw(absl::string_view(pending_).substr(0, most));
  pending_.erase(0, std::min(most, pending_.size()));
  if (pending_.empty()) return answer.U16(0x9000).bytes();
  return answer.U8(0x61)
      .U8(pending_.size() > 0xff ? 0 : static_cast<uint8_t>(pending_.size()))
      .bytes();
}

PivApplet::Reply PivApplet::Dispatch(const CommandApdu& apdu) {
  if (misbehaviour_.forget_after && (*misbehaviour_.forget_after)-- <= 0) {
    misbehaviour_.forget_after.reset();
    ForgetAuthentication();
  }
  if (apdu.ins == 0xa4) return Select(apdu);
  if (selected_ == Selected::kOtp && apdu.ins == 0x01 && apdu.p1 == 0x10) {
    return Reply(ByteWriter().U32(state_.config.serial).bytes());
  }
  if (selected_ != Selected::kPiv) return 0x6d00;
  // SP 800-73-4 part 1, table 4: "PIN always" means immediately before.
  if (!state_.config.yubikey() && apdu.ins != 0x87 && apdu.ins != 0x20) pin_fresh_ = false;
  switch (apdu.ins) {
    case 0xcb:
      return GetData(apdu);
    case 0xdb:
      return PutData(apdu);
    case 0x20:
      return Verify(apdu);
    case 0x24:
      return ChangeReferenceData(apdu);
    case 0x2c:
      return ResetRetryCounter(apdu);
    case 0x87:
      return GeneralAuthenticate(apdu);
    case 0x47:
      return Generate(apdu);
    default:
      return state_.config.yubikey() ? DispatchYubico(apdu) : Reply(0x6d00);
  }
}

PivApplet::Reply PivApplet::DispatchYubico(const CommandApdu& apdu) {
  const PivConfig& config = state_.config;
  switch (apdu.ins) {
    case 0xfd:
      return Reply(std::string{static_cast<char>(config.firmware.major),
                               static_cast<char>(config.firmware.minor),
                               static_cast<char>(config.firmware.patch)});
    case 0xf8:
      return config.AtLeast(5, 0, 0) ? Reply(ByteWriter().U32(config.serial).bytes())
                                     : Reply(0x6d00);
    case 0xf9:
      return config.AtLeast(4, 3, 0) && config.attestation ? Attest(apdu) : Reply(0x6d00);
    case 0xf7:
      return config.AtLeast(5, 3, 0) ? Metadata(apdu) : Reply(0x6d00);
    case 0xf6:
      return config.AtLeast(5, 7, 0) ? MoveKey(apdu) : Reply(0x6d00);
    case 0xff:
      return SetManagementKey(apdu);
    case 0xfe:
      return Import(apdu);
    case 0xfa:
      return SetPinRetries(apdu);
    case 0xfb:
      return FactoryReset();
    default:
      return 0x6d00;
  }
}

PivApplet::Reply PivApplet::Select(const CommandApdu& apdu) {
  if (apdu.p1 != 0x04) return 0x6a86;
  if (apdu.data.size() >= 5 && absl::StartsWith(kPivAid, apdu.data)) {
    // On a PIV card a second SELECT changes nothing (SP 800-73-4 part 2, 3.1.1); a YubiKey starts
    // anew.
    if (selected_ != Selected::kPiv || state_.config.yubikey()) ForgetAuthentication();
    selected_ = Selected::kPiv;
    std::string properties = absl::StrCat(MakeTlv(0x4f, kPivAid.substr(5)),
                                          MakeTlv(0x79, MakeTlv(0x4f, kPivAid.substr(0, 5))));
    if (!state_.config.yubikey()) {
      properties += MakeTlv(0x50, "Simulated PIV card");
      std::string algorithms;
      for (uint8_t algorithm : {0x07, 0x11, 0x14}) {
        algorithms += MakeTlv(0x80, std::string(1, static_cast<char>(algorithm)));
      }
      properties += MakeTlv(0xac, algorithms + MakeTlv(0x06, std::string(1, '\0')));
    }
    return Reply(MakeTlv(0x61, properties));
  }
  const bool other =
      state_.config.yubikey() && apdu.data.size() >= 5 &&
      (absl::StartsWith(kOtpAid, apdu.data) || absl::StartsWith(kManagementAid, apdu.data));
  if (!other) return 0x6a82;  // what was selected stays so
  ForgetAuthentication();
  const bool otp = absl::StartsWith(kOtpAid, apdu.data);
  selected_ = otp ? Selected::kOtp : Selected::kManagement;
  const Firmware& firmware = state_.config.firmware;
  if (otp) {
    return Reply(
        ByteWriter().U8(firmware.major).U8(firmware.minor).U8(firmware.patch).U32(0).bytes());
  }
  return Reply(absl::StrCat("Virtual mgr - FW version ", firmware.major, ".", firmware.minor, ".",
                            firmware.patch));
}

PivApplet::Reply PivApplet::GetData(const CommandApdu& apdu) {
  if (apdu.p1 != 0x3f || apdu.p2 != 0xff) return 0x6a86;
  auto tlvs = ParseTlvs(apdu.data);
  if (!tlvs.ok() || tlvs->size() != 1 || tlvs->front().tag != 0x5c) return 0x6a80;
  auto tag = ObjectTag(tlvs->front().value);
  if (!tag) return 0x6a82;
  if (NeedsPin(*tag) && !pin_verified_) return 0x6982;
  auto found = state_.objects.find(*tag);
  if (found == state_.objects.end()) return 0x6a82;
  return Reply(found->second);
}

PivApplet::Reply PivApplet::PutData(const CommandApdu& apdu) {
  if (apdu.p1 != 0x3f || apdu.p2 != 0xff) return 0x6a86;
  if (!management_authenticated_) return 0x6982;
  auto tlvs = ParseTlvs(apdu.data);
  if (!tlvs.ok() || tlvs->empty()) return 0x6a80;
  const bool bare = tlvs->front().tag == 0x7e || tlvs->front().tag == 0x7f61;
  if (bare && tlvs->size() == 1) {
    state_.objects[tlvs->front().tag] = std::string(apdu.data);
    dirty_ = true;
    return 0x9000;
  }
  if (tlvs->size() != 2 || (*tlvs)[0].tag != 0x5c || (*tlvs)[1].tag != 0x53) return 0x6a80;
  auto tag = ObjectTag((*tlvs)[0].value);
  if (!tag) return 0x6a80;
  if ((*tlvs)[1].value.size() > kMaxObject) return 0x6a84;
  if ((*tlvs)[1].value.empty()) {
    state_.objects.erase(*tag);
  } else {
    state_.objects[*tag] = MakeTlv(0x53, (*tlvs)[1].value);
  }
  dirty_ = true;
  return 0x9000;
}

}  // namespace forekey::piv
