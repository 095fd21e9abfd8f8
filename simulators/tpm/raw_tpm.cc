// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/raw_tpm.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr uint16_t kNoSessions = 0x8001;
constexpr uint16_t kSessions = 0x8002;
constexpr uint32_t kOwner = 0x40000001;
constexpr uint32_t kLockout = 0x4000000A;
constexpr uint32_t kEndorsement = 0x4000000B;
constexpr uint32_t kPlatform = 0x4000000C;
constexpr uint32_t kPasswordSession = 0x40000009;

std::string Command(uint16_t tag, uint32_t code, absl::string_view body) {
  return ByteWriter().U16(tag).U32(10 + body.size()).U32(code).Raw(body).bytes();
}

// An authorisation area with one empty password.
std::string EmptyPassword() {
  return ByteWriter().U32(9).U32(kPasswordSession).U16(0).U8(0).U16(0).bytes();
}

// TPMT_PUBLIC of template L-2: attributes fixedTPM, fixedParent, sensitiveDataOrigin,
// adminWithPolicy, restricted, decrypt; PolicySecret(endorsement); AES-128-CFB; P-256.
std::string P256EkTemplate() {
  const std::string policy =
      absl::HexStringToBytes("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa");
  const std::string zeros(32, '\0');
  return ByteWriter()
      .U16(0x0023)
      .U16(0x000B)
      .U32(0x000300B2)
      .Len2(policy)
      .U16(0x0006)
      .U16(128)
      .U16(0x0043)  // AES-128-CFB
      .U16(0x0010)
      .U16(0x0003)
      .U16(0x0010)  // scheme NULL, curve P-256, kdf NULL
      .Len2(zeros)
      .Len2(zeros)
      .bytes();
}

}  // namespace

std::string TpmResponse(uint32_t code) {
  return ByteWriter().U16(kNoSessions).U32(10).U32(code).bytes();
}

absl::StatusOr<std::string> RawTpm::Transmit(absl::string_view command) {
  while (!command.empty()) {
    ssize_t sent = send(fd_, command.data(), command.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return absl::UnavailableError("swtpm is gone");
    command.remove_prefix(sent);
  }
  std::string response;
  size_t wanted = 10;
  while (response.size() < wanted) {
    char buffer[kMaxTpmCommandSize];
    ssize_t got = recv(fd_, buffer, wanted - response.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::UnavailableError("swtpm is gone");
    response.append(buffer, got);
    if (response.size() == 10) {
      ByteReader header(response);
      header.U16();
      wanted = header.U32();
      if (wanted < 10 || wanted > kMaxTpmCommandSize) return absl::DataLossError("swtpm's answer");
    }
  }
  return response;
}

absl::StatusOr<std::string> RawTpm::Execute(absl::string_view command) {
  FOREKEY_ASSIGN_OR_RETURN(std::string response, Transmit(command));
  ByteReader reader(response);
  reader.U16();
  reader.U32();
  uint32_t code = reader.U32();
  if (code != 0) {
    ByteReader sent(command);
    sent.U16();
    sent.U32();
    return absl::InternalError(
        absl::StrFormat("swtpm answered 0x%x to command 0x%x", code, sent.U32()));
  }
  return std::string(reader.Rest());
}

absl::Status RawTpm::ShutdownClear() {
  return Execute(Command(kNoSessions, 0x145, ByteWriter().U16(0).bytes())).status();
}

absl::Status RawTpm::StartupClear() {
  return Execute(Command(kNoSessions, 0x144, ByteWriter().U16(0).bytes())).status();
}

absl::Status RawTpm::SetMaxAuthTries(uint32_t tries) {
  return Execute(Command(kSessions, 0x13A,
                         ByteWriter()
                             .U32(kLockout)
                             .Raw(EmptyPassword())
                             .U32(tries)
                             .U32(1000)
                             .U32(1000)
                             .bytes()))
      .status();
}

absl::StatusOr<std::vector<uint32_t>> RawTpm::Handles(uint32_t first) {
  FOREKEY_ASSIGN_OR_RETURN(
      std::string body,
      Execute(Command(kNoSessions, 0x17A, ByteWriter().U32(1).U32(first).U32(254).bytes())));
  ByteReader reader(body);
  reader.U8();
  reader.U32();
  std::vector<uint32_t> handles(std::min<uint32_t>(reader.U32(), 254));
  for (uint32_t& handle : handles) handle = reader.U32();
  if (!reader.Finished()) return absl::DataLossError("swtpm's list of handles");
  return handles;
}

absl::Status RawTpm::Flush(uint32_t handle) {
  return Execute(Command(kNoSessions, 0x165, ByteWriter().U32(handle).bytes())).status();
}

absl::StatusOr<uint32_t> RawTpm::LoadP256EndorsementKey(Point* point) {
  const std::string sensitive = ByteWriter().U16(0).U16(0).bytes();
  FOREKEY_ASSIGN_OR_RETURN(std::string body, Execute(Command(kSessions, 0x131,
                                                             ByteWriter()
                                                                 .U32(kEndorsement)
                                                                 .Raw(EmptyPassword())
                                                                 .Len2(sensitive)
                                                                 .Len2(P256EkTemplate())
                                                                 .U16(0)
                                                                 .U32(0)
                                                                 .bytes())));
  ByteReader reader(body);
  uint32_t handle = reader.U32();
  reader.U32();  // parameter size
  ByteReader area(reader.Len2());
  area.Raw(8);   // type, nameAlg, attributes
  area.Len2();   // policy
  area.Raw(12);  // AES, 128, CFB; NULL; P-256; NULL
  point->x = std::string(area.Len2());
  point->y = std::string(area.Len2());
  if (!area.Finished() || point->x.empty()) return absl::DataLossError("the EK's public area");
  return handle;
}

absl::Status RawTpm::WriteNv(uint32_t index, absl::string_view content) {
  // PLATFORMCREATE, NO_DA, AUTHREAD, OWNERREAD, PPREAD, WRITEDEFINE, PPWRITE
  const std::string definition =
      ByteWriter().U32(index).U16(0x000B).U32(0x42072001).U16(0).U16(content.size()).bytes();
  FOREKEY_RETURN_IF_ERROR(
      Execute(
          Command(kSessions, 0x12A,
                  ByteWriter().U32(kPlatform).Raw(EmptyPassword()).U16(0).Len2(definition).bytes()))
          .status());
  constexpr size_t kChunk = 512;
  for (size_t offset = 0; offset < content.size(); offset += kChunk) {
    absl::string_view chunk = content.substr(offset, kChunk);
    FOREKEY_RETURN_IF_ERROR(Execute(Command(kSessions, 0x137,
                                            ByteWriter()
                                                .U32(kPlatform)
                                                .U32(index)
                                                .Raw(EmptyPassword())
                                                .Len2(chunk)
                                                .U16(offset)
                                                .bytes()))
                                .status());
  }
  return absl::OkStatus();
}

absl::Status RawTpm::UndefineNv(uint32_t index) {
  return Execute(Command(kSessions, 0x122,
                         ByteWriter().U32(kPlatform).U32(index).Raw(EmptyPassword()).bytes()))
      .status();
}

absl::Status RawTpm::ChangeHierarchyPassword(uint32_t hierarchy, absl::string_view password) {
  return Execute(Command(kSessions, 0x129,
                         ByteWriter().U32(hierarchy).Raw(EmptyPassword()).Len2(password).bytes()))
      .status();
}

absl::Status RawTpm::EvictPersistent(uint32_t handle, bool platform) {
  return Execute(Command(kSessions, 0x120,
                         ByteWriter()
                             .U32(platform ? kPlatform : kOwner)
                             .U32(handle)
                             .Raw(EmptyPassword())
                             .U32(handle)
                             .bytes()))
      .status();
}

}  // namespace forekey
