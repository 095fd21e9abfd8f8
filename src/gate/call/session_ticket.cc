// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/session_ticket.h"

#include <algorithm>
#include <utility>

#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kTicketVersion = 1;
constexpr size_t kMaxSigners = 3;
// Fixed fields, and some room for what is of no fixed size.
constexpr size_t kRoomForTicket = 512;

absl::Status MalformedTicket() { return Refuse(Reason::kTicketInvalid, "malformed"); }

uint64_t NanosOf(absl::Time time) { return static_cast<uint64_t>(absl::ToUnixNanos(time)); }

absl::Time TimeOf(uint64_t nanos) { return absl::FromUnixNanos(static_cast<int64_t>(nanos)); }

absl::Status ParseLists(ByteReader& reader, SessionTicket& ticket) {
  const size_t signers = reader.U8();
  if (signers == 0 || signers > kMaxSigners) return MalformedTicket();
  for (size_t i = 0; i < signers; ++i) {
    std::string id(reader.Raw(kCredentialIdSize));
    if (!ticket.credential_ids.empty() && ticket.credential_ids.back() >= id) {
      return MalformedTicket();
    }
    ticket.credential_ids.push_back(std::move(id));
  }
  const size_t factors = reader.U8();
  if (factors > SessionTicket::kMaxFactors) return MalformedTicket();
  for (size_t i = 0; i < factors; ++i) {
    SessionTicket::Factor factor;
    factor.name = std::string(reader.Len1());
    factor.proved_at = TimeOf(reader.U64());
    const auto same = [&](const auto& other) { return other.name == factor.name; };
    if (factor.name.empty() || std::any_of(ticket.factors.begin(), ticket.factors.end(), same)) {
      return MalformedTicket();
    }
    ticket.factors.push_back(std::move(factor));
  }
  return absl::OkStatus();
}

}  // namespace

SessionTicket SessionTicket::Of(const Session& session, const Clock& clock) {
  const absl::Time now = clock.WallNow();
  const absl::Duration left = session.expires_at() - clock.BootNow();
  SessionTicket ticket;
  ticket.session_id = std::string(session.id());
  ticket.key = Secret::CopyOf(session.key());
  ticket.lineage = *session.lineage();
  // The earlier of what the wall clock said at the opening and what this process counts: whichever
  // way the wall clock was set meanwhile, no end moves away.
  ticket.lineage.ends_at = std::min(ticket.lineage.ends_at, now + left);
  ticket.further_factors = session.has_further_factors();
  ticket.issued_at = now;
  ticket.good_until = std::min(ticket.lineage.ends_at, now + session.idle());
  ticket.idle_s = static_cast<uint32_t>(absl::ToInt64Seconds(session.idle()));
  for (const auto& credential : session.credentials()) {
    ticket.credential_ids.push_back(credential->record().id);
  }
  std::sort(ticket.credential_ids.begin(), ticket.credential_ids.end());
  for (const ProvedFactor& factor : session.factors()) {
    // Here, too, the older of the two.
    const absl::Time counted = now - (clock.BootNow() - factor.proved_boot);
    ticket.factors.push_back({factor.name.str(), std::min(factor.proved_at, counted)});
  }
  return ticket;
}

Secret SessionTicket::Serialize() const {
  ByteWriter writer;
  size_t names = 0;
  for (const Factor& factor : factors) names += factor.name.size() + 1 + sizeof(uint64_t);
  writer.Reserve(kRoomForTicket + names);  // no reallocation leaves the key behind
  writer.U8(kTicketVersion)
      .Raw(session_id)
      .Raw(key.view())
      .Raw(lineage.family)
      .U64(lineage.serial)
      .U64(lineage.sessions_epoch)
      .U64(lineage.factors_epoch)
      .U64(NanosOf(lineage.ends_at))
      .U8(further_factors ? 1 : 0)
      .U64(NanosOf(issued_at))
      .U64(NanosOf(good_until))
      .U32(idle_s)
      .U8(static_cast<uint8_t>(credential_ids.size()));
  for (const std::string& id : credential_ids) writer.Raw(id);
  writer.U8(static_cast<uint8_t>(factors.size()));
  for (const Factor& factor : factors) writer.Len1(factor.name).U64(NanosOf(factor.proved_at));
  return Secret(std::move(writer).bytes());
}

absl::StatusOr<SessionTicket> SessionTicket::Parse(absl::string_view bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  SessionTicket ticket;
  ticket.session_id = std::string(reader.Raw(kSessionIdSize));
  ticket.key = Secret::CopyOf(reader.Raw(kSessionKeySize));
  ticket.lineage.family = std::string(reader.Raw(kSessionFamilySize));
  ticket.lineage.serial = reader.U64();
  ticket.lineage.sessions_epoch = reader.U64();
  ticket.lineage.factors_epoch = reader.U64();
  ticket.lineage.ends_at = TimeOf(reader.U64());
  const uint8_t further = reader.U8();
  ticket.further_factors = further == 1;
  ticket.issued_at = TimeOf(reader.U64());
  ticket.good_until = TimeOf(reader.U64());
  ticket.idle_s = reader.U32();
  FOREKEY_RETURN_IF_ERROR(ParseLists(reader, ticket));
  if (!reader.Finished() || version != kTicketVersion || further > 1) return MalformedTicket();
  return ticket;
}

}  // namespace forekey
