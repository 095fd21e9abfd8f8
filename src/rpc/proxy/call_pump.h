// SPDX-License-Identifier: Apache-2.0
// Passes one call on to another server, as it came: messages of all kinds of calls as bytes,
// metadata, trailers, deadline, cancellation. Nothing of it is parsed.
//
// What it keeps of a call is one message in each direction, and at the beginning another one behind
// one of at most 64 KiB: the next one is read when the one before was taken, so that whoever is
// slow slows the other side down.
// What the caller's half-close means is kept, too: a caller who is gone in the middle of its
// messages cancels the call, and never ends them as if it had sent all.
#ifndef FOREKEY_SRC_RPC_PROXY_CALL_PUMP_H_
#define FOREKEY_SRC_RPC_PROXY_CALL_PUMP_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace forekey {

using MetadataList = std::vector<std::pair<std::string, std::string>>;

struct PumpedCall {
  std::shared_ptr<grpc::Channel> to;
  std::string method;  // "/package.Service/Method"
  // Metadata that goes along besides the caller's own.
  MetadataList added;
  // What the caller is told where the other side could not be reached at all: its addresses are
  // nobody's business. Empty: gRPC's own words.
  std::string unreachable;
  // A larger message of the caller's ends the call, and is never taken for the end of its messages.
  // The server should have TakeMessages() of the same size.
  size_t max_message = std::numeric_limits<size_t>::max();
  // The server in front tells callers itself that UNAUTHENTICATED is nothing to retry, so that it
  // must not be told twice.
  bool adds_pushback = false;
  // Called once, when nothing of the call is left.
  std::function<void()> done;
};

// False for what belongs to one connection and not to the call (gRPC sets it anew), for everything
// under "forekey-", and for what is no metadata by gRPC's own rules although gRPC takes it in:
// names with capitals or spaces, values that are not printable ASCII.
bool PassesOn(absl::string_view key, absl::string_view value);

// For CallbackGenericService::CreateReactor(). Owns itself. `call.to` should have
// KeepLittle()'s arguments, or retry nothing that was admitted.
grpc::ServerGenericBidiReactor* PumpCall(grpc::GenericCallbackServerContext* context,
                                         PumpedCall call);
// The same for a call that is not passed on.
grpc::ServerGenericBidiReactor* RefuseCall(grpc::GenericCallbackServerContext* context,
                                           grpc::Status status);

// For servers whose calls are passed on. gRPC looks at a message's size when the message is there,
// and then tells of its end before it cancels the call; so that its limit is twice as far away as
// PumpedCall::max_message.
void TakeMessages(size_t max_message, grpc::ServerBuilder& builder);

// For the channels that calls are passed on to: at most `max_message` bytes a message, 64 KiB ahead
// of who reads, nothing compressed (what the caller may not send, it can't be asked to read),
// nothing retried. Not for servers that are far away: 64 KiB for a round trip are slow there.
void KeepLittle(int max_message, grpc::ChannelArguments* arguments);

}  // namespace forekey

#endif  // FOREKEY_SRC_RPC_PROXY_CALL_PUMP_H_
