// SPDX-License-Identifier: Apache-2.0
// The HTTP endpoint for fronts that ask by a subrequest: nginx (auth_request), HAProxy (Lua), Caddy
// (forward_auth).
//
//   /authorize              x-forekey-secret    the front's secret
//                           x-forekey-path      the call's raw :path
//                           forekey-prefix-bin  as the caller sent it
//                           x-forekey-peer      the caller's address, where the front knows it
//                           x-forekey-upstream  the service's name, for the token
//     200  forekey-verdict "admitted", with forekey-subject, -roles, -factors and -caller; or
//          "exempt", without
//     401, 403  refused: grpc-status and grpc-message, for the caller
//     500  the front is not known, or asks what can't be meant
//     405  neither GET nor POST
//   /.well-known/jwks.json  the keys by which tokens are checked
//   /healthz                200
#ifndef FOREKEY_SRC_GATE_FRONT_AUTHORIZE_H_
#define FOREKEY_SRC_GATE_FRONT_AUTHORIZE_H_

#include "absl/status/statusor.h"
#include "src/gate/caller/caller_keys.h"
#include "src/gate/front/front_judge.h"
#include "src/gate/front/http_server.h"

namespace forekey {

// What a request to /authorize asks. InvalidArgument: it can't be meant, such as two paths.
absl::StatusOr<FrontQuestion> ReadAuthorize(const HttpRequest& request);

// An HttpServer::Handler.
bool AnswerFront(const HttpRequest& request, FrontJudge& judge, const CallerKeys& keys,
                 const HttpServer::Told& told);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FRONT_AUTHORIZE_H_
