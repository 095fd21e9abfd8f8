// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_fronts.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/gate/front/authorize.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<GateFronts>> GateFronts::Start(GateCore* core, CallerTokens* tokens,
                                                              const CallerKeys* keys) {
  auto made = std::make_unique<GateFronts>();
  const GateConfig::Fronts& fronts = core->config().fronts;
  if (fronts.http.empty() && fronts.envoy.empty()) return made;
  FOREKEY_ASSIGN_OR_RETURN(made->judge_, FrontJudge::New(core, tokens));
  FrontJudge* judge = made->judge_.get();
  if (!fronts.http.empty()) {
    HttpServer::Options options;
    options.address = fronts.http;
    options.connections = fronts.connections;
    FOREKEY_ASSIGN_OR_RETURN(
        made->http_, HttpServer::Start(options, [judge, keys](const HttpRequest& request,
                                                              const HttpServer::Told& told) {
          return AnswerFront(request, *judge, *keys, told);
        }));
    absl::StrAppend(&made->told_, "fronts ask over HTTP at ", fronts.http);
    if (made->http_->port() != 0) absl::StrAppend(&made->told_, ", port ", made->http_->port());
  }
  if (!fronts.envoy.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        made->envoy_,
        EnvoyServer::Start(fronts.envoy,
                           {[judge](absl::string_view secret) { return judge->Knows(secret); },
                            [judge](FrontQuestion question, const FrontJudge::Told& told) {
                              judge->Ask(std::move(question), told);
                            }}));
    absl::StrAppend(&made->told_, made->told_.empty() ? "" : "; ", "Envoy asks at ", fronts.envoy);
    if (made->envoy_->port() != 0) absl::StrAppend(&made->told_, ", port ", made->envoy_->port());
  }
  return made;
}

}  // namespace forekey
