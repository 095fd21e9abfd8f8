// SPDX-License-Identifier: Apache-2.0
// How the client library carries a Refusal (public/forekey/refusal.h) in the status of a call.
#ifndef FOREKEY_SRC_CLIENT_REFUSAL_DETAILS_H_
#define FOREKEY_SRC_CLIENT_REFUSAL_DETAILS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace forekey {

// The status that the application gets of a call whose prefix could not be made: with details for
// RefusalOf(), and never kUnavailable where another attempt can't help, since retry policies retry
// that.
grpc::Status CallFailure(const absl::Status& why);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_REFUSAL_DETAILS_H_
