// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_call
// Tickets of resumption, as they are under their seal: what parses serializes to the same bytes.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/gate/call/session_ticket.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  auto ticket = forekey::SessionTicket::Parse(bytes);
  if (ticket.ok() && ticket->Serialize().view() != bytes) std::abort();
  return 0;
}
