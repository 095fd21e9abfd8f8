// SPDX-License-Identifier: Apache-2.0
#include "src/gate/enroll/enrollment_ticket.h"

#include <utility>

#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kInviteKeySize = 32;
constexpr size_t kSealingKeySize = 32;

}  // namespace

Secret EnrollmentTicket::Serialize() const {
  ByteWriter writer;
  writer.Reserve(64 + state.size() + opening.size());  // no reallocation leaves the state behind
  writer.U8(kVersion)
      .U64(static_cast<uint64_t>(expires_at.nanos()))
      .Raw(enrollment_id)
      .Raw(invite_public_key)
      .Len2(state.view())
      .Raw(opening);
  return Secret(std::move(writer).bytes());
}

absl::StatusOr<EnrollmentTicket> EnrollmentTicket::Parse(absl::string_view bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  EnrollmentTicket ticket;
  ticket.expires_at = BootTime::FromNanos(static_cast<int64_t>(reader.U64()));
  ticket.enrollment_id = std::string(reader.Raw(kEnrollmentIdSize));
  ticket.invite_public_key = std::string(reader.Raw(kInviteKeySize));
  ticket.state = Secret::CopyOf(reader.Len2());
  ticket.opening = std::string(reader.Rest());
  if (!reader.Finished() || version != kVersion) {
    return Refuse(Reason::kEnrollmentTicketInvalid, "malformed");
  }
  return ticket;
}

TicketSealer::TicketSealer(absl::string_view audience)
    : associated_data_(
          ByteWriter().Raw("forekey/1 enrollment-ticket").U8(0).Len2(audience).bytes()),
      key_(RandomBytes(kSealingKeySize)) {}

std::string TicketSealer::Seal(const EnrollmentTicket& ticket) const {
  const Secret plain = ticket.Serialize();
  return AeadSeal(key_, plain.view(), associated_data_);
}

absl::StatusOr<EnrollmentTicket> TicketSealer::Open(absl::string_view sealed, BootTime now) const {
  absl::StatusOr<Secret> plain = AeadOpen(key_, sealed, associated_data_);
  if (!plain.ok()) return Refuse(Reason::kEnrollmentTicketInvalid);
  FOREKEY_ASSIGN_OR_RETURN(EnrollmentTicket ticket, EnrollmentTicket::Parse(plain->view()));
  if (ticket.expires_at <= now) {
    return Refuse(Reason::kEnrollmentTicketInvalid, "begun too long ago");
  }
  return ticket;
}

}  // namespace forekey
