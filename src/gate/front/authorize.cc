// SPDX-License-Identifier: Apache-2.0
#include "src/gate/front/authorize.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr size_t kLongestUpstream = 64;
constexpr char kVerdict[] = "forekey-verdict";

// What only one value makes sense of; empty where there is none.
absl::StatusOr<std::string> AtMostOne(const HttpRequest& request, absl::string_view name) {
  const std::vector<absl::string_view> values = request.All(name);
  if (values.empty()) return std::string();
  if (values.size() == 1) return std::string(values[0]);
  return absl::InvalidArgumentError(absl::StrCat(name, " is there more than once"));
}

HttpResponse Mistake(absl::string_view text) {
  HttpResponse response;
  response.status = 500;
  response.body = absl::StrCat(text, "\n");
  return response;
}

HttpResponse ResponseOf(FrontAnswer answer) {
  HttpResponse response;
  if (answer.status.ok()) {
    response.headers = std::move(answer.caller);
    response.headers.emplace_back(kVerdict, answer.exempt ? "exempt" : "admitted");
    return response;
  }
  response.status = answer.status.code() == absl::StatusCode::kUnauthenticated ? 401 : 403;
  response.headers = {{"grpc-status", absl::StrCat(static_cast<int>(answer.status.code()))},
                      {"grpc-message", GrpcMessage(answer.status.message())}};
  return response;
}

bool Authorize(const HttpRequest& request, FrontJudge& judge, const HttpServer::Told& told) {
  const auto secret = request.One(kFrontSecretHeader);
  if (!secret.has_value() || !judge.Knows(*secret)) {
    told(Mistake("x-forekey-secret must be what stands in the gate's [fronts] secret"));
    return false;
  }
  absl::StatusOr<FrontQuestion> question = ReadAuthorize(request);
  if (question.ok()) {
    judge.Ask(*std::move(question),
              [told](FrontAnswer answer) { told(ResponseOf(std::move(answer))); });
  } else {
    told(Mistake(question.status().message()));
  }
  return true;
}

}  // namespace

absl::StatusOr<FrontQuestion> ReadAuthorize(const HttpRequest& request) {
  FrontQuestion question;
  const std::pair<const char*, std::string*> singles[] = {
      {"x-forekey-path", &question.method},
      {"x-forekey-peer", &question.peer},
      {"x-forekey-upstream", &question.upstream}};
  for (const auto& [name, out] : singles) {
    auto value = AtMostOne(request, name);
    if (!value.ok()) return value.status();
    *out = *std::move(value);
  }
  if (question.method.empty()) {
    return absl::InvalidArgumentError("x-forekey-path must be the call's :path");
  }
  if (question.upstream.size() > kLongestUpstream) {
    return absl::InvalidArgumentError("x-forekey-upstream is too long");
  }
  if (question.upstream.empty()) {
    return absl::InvalidArgumentError("x-forekey-upstream must name the service");
  }
  for (absl::string_view value : request.All(kPrefixMetadataKey)) {
    AddPrefixes(value, question.prefixes);
  }
  return question;
}

bool AnswerFront(const HttpRequest& request, FrontJudge& judge, const CallerKeys& keys,
                 const HttpServer::Told& told) {
  HttpResponse response;
  if (request.target == "/authorize") {
    // nginx and HAProxy ask by GET, some fronts by the method of the call.
    if (request.method == "GET" || request.method == "POST") return Authorize(request, judge, told);
    response.status = 405;
  } else if (request.method != "GET") {
    response.status = 405;
  } else if (request.target == "/.well-known/jwks.json") {
    response.content_type = "application/jwk-set+json";
    response.body = keys.JwkSet();
  } else if (request.target != "/healthz") {
    response.status = 404;
  }
  told(std::move(response));
  return false;
}

}  // namespace forekey
