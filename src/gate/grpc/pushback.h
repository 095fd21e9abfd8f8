// SPDX-License-Identifier: Apache-2.0
// Clients of a gate retry UNAUTHENTICATED once (with a new session): that must never run a handler
// twice, and by "grpc-retry-pushback-ms: -1" in the trailers gRPC's retry filter knows that it may
// not (gRFC A6). So every call that was admitted and ends with UNAUTHENTICATED, by its handler or
// by an interceptor of the application, has it. Refusals of the gate's own processor have not.
//
// Where it is done: an interceptor could do it, and makes gRPC 1.51 spend 7,200 instructions at
// every call; in the trailers of all answers, whatever they end with, it costs 6,200. All batches
// of the C++ layer pass one function of CoreCodegenInterface, whose object may be another: there a
// status is looked at for some ten instructions. That interface is in gRPC's installed headers, and
// is its own affair; one that differs does not compile here.
#ifndef FOREKEY_SRC_GATE_GRPC_PUSHBACK_H_
#define FOREKEY_SRC_GATE_GRPC_PUSHBACK_H_

namespace forekey {

// For the process, once, and for ever; before there is gRPC traffic in it. gRPC must be
// initialised.
void InstallPushback();

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_PUSHBACK_H_
