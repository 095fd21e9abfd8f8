// SPDX-License-Identifier: Apache-2.0
#include "src/gate/front/envoy_check.h"

#include <grpcpp/generic/async_generic_service.h>

#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/rpc/call_deadline.h"

namespace forekey {
namespace {

namespace auth = envoy::service::auth::v3;

constexpr absl::string_view kOurs = "forekey-";
// Nobody's but the gate's to say.
constexpr const char* kCallerNames[] = {"forekey-subject", "forekey-roles", "forekey-factors",
                                        "forekey-caller"};
constexpr char kUpstreamExtension[] = "upstream";
constexpr absl::string_view kCheck = "/envoy.service.auth.v3.Authorization/Check";
// Envoy takes 60 KiB of headers, and tells some of them twice.
constexpr int kLargestCheck = 160 * 1024;
constexpr size_t kMemory = 64 << 20;
constexpr size_t kMostConnections = 256;
constexpr std::pair<const char*, int> kLimits[] = {
    {GRPC_ARG_MAX_CONCURRENT_STREAMS, 256},
    {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 * 1024},
    {GRPC_ARG_HTTP2_BDP_PROBE, 0},
    {GRPC_ARG_MAX_CONNECTION_IDLE_MS, 5 * 60 * 1000},
    {GRPC_ARG_KEEPALIVE_TIME_MS, 60 * 1000},
    {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20 * 1000},
    {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10 * 1000},
};
constexpr absl::Duration kDrain = absl::Seconds(1);

void Set(const std::string& key, const std::string& value, auth::HeaderValueOption* option) {
  option->mutable_header()->set_key(key);
  option->mutable_header()->set_value(value);
  option->set_append_action(auth::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
  option->set_keep_empty_value(true);
}

// Names of the caller's headers, in lower case.
std::set<std::string> NamesOf(const auth::CheckRequest& request) {
  const auto& http = request.attributes().request().http();
  std::set<std::string> names;
  for (const auto& [key, value] : http.headers()) names.insert(absl::AsciiStrToLower(key));
  for (const auto& header : http.header_map().headers()) {
    names.insert(absl::AsciiStrToLower(header.key()));
  }
  return names;
}

void Admit(const auth::CheckRequest& request, const FrontAnswer& answer,
           auth::CheckResponse& response) {
  auth::OkHttpResponse& ok = *response.mutable_ok_response();
  std::set<std::string> set;
  for (const auto& [key, value] : answer.caller) {
    Set(key, value, ok.add_headers());
    set.insert(key);
    if (key != "forekey-caller") {
      (*response.mutable_dynamic_metadata()->mutable_fields())[key].set_string_value(value);
    }
  }
  // Those are taken off unseen, too: Envoy may be told to say nothing of some headers
  // (allowed_headers).
  std::set<std::string> names = NamesOf(request);
  names.insert(std::begin(kCallerNames), std::end(kCallerNames));
  names.insert(std::string(kPrefixMetadataKey));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kOurs) && !set.contains(name)) ok.add_headers_to_remove(name);
  }
  // A service's own UNAUTHENTICATED must not be run twice; of an exempt method nobody retries it.
  Set("grpc-retry-pushback-ms", "-1", ok.add_response_headers_to_add());
}

}  // namespace

FrontQuestion ReadCheck(const auth::CheckRequest& request) {
  FrontQuestion question;
  const auth::AttributeContext& attributes = request.attributes();
  const auto& http = attributes.request().http();
  question.method = http.path();
  question.peer = attributes.source().address().socket_address().address();
  const auto upstream = attributes.context_extensions().find(kUpstreamExtension);
  if (upstream != attributes.context_extensions().end()) question.upstream = upstream->second;
  for (const auto& header : http.header_map().headers()) {
    if (absl::AsciiStrToLower(header.key()) != kPrefixMetadataKey) continue;
    AddPrefixes(header.raw_value().empty() ? header.value() : header.raw_value(),
                question.prefixes);
  }
  for (const auto& [key, value] : http.headers()) {
    if (absl::AsciiStrToLower(key) == kPrefixMetadataKey) AddPrefixes(value, question.prefixes);
  }
  return question;
}

namespace {

// What Envoy makes a gRPC status out of again: 401 becomes UNAUTHENTICATED, 403 PERMISSION_DENIED,
// 404 UNIMPLEMENTED, 503 UNAVAILABLE.
int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kUnimplemented:
      return 404;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 403;
  }
}

}  // namespace

auth::CheckResponse AnswerCheck(const auth::CheckRequest& request, const FrontAnswer& answer) {
  auth::CheckResponse response;
  response.mutable_status()->set_code(static_cast<int>(answer.status.code()));
  if (answer.status.ok()) {
    Admit(request, answer, response);
    return response;
  }
  // Of a gRPC call Envoy makes a status out of these, and the body is the message.
  response.mutable_status()->set_message(std::string(answer.status.message()));
  auth::DeniedHttpResponse& denied = *response.mutable_denied_response();
  denied.mutable_status()->set_code(HttpStatusOf(answer.status.code()));
  denied.set_body(std::string(answer.status.message()));
  return response;
}

// Generic, so that who asks is known before the message is read.
class EnvoyServer::Service : public grpc::CallbackGenericService {
 public:
  Service(Judge judge, AcceptLoop& accepts) : judge_(std::move(judge)), accepts_(accepts) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Question(*this, *context);
  }

 private:
  class Question : public grpc::ServerGenericBidiReactor {
   public:
    Question(const Service& service, const grpc::GenericCallbackServerContext& context)
        : judge_(service.judge_) {
      const auto& metadata = context.client_metadata();
      const auto [first, last] = metadata.equal_range(
          grpc::string_ref(kFrontSecretHeader.data(), kFrontSecretHeader.size()));
      if (std::distance(first, last) != 1 ||
          !judge_.knows(absl::string_view(first->second.data(), first->second.size()))) {
        Finish({grpc::StatusCode::UNAUTHENTICATED,
                "metadata x-forekey-secret must be what stands in the gate's [fronts] secret"});
        return;
      }
      service.accepts_.Known(context.peer());
      if (context.method() != kCheck) {
        Finish({grpc::StatusCode::UNIMPLEMENTED, "no such method"});
      } else {
        StartRead(&message_);
      }
    }
    void OnReadDone(bool ok) override {
      grpc::Slice bytes;
      if (!ok || !message_.DumpToSingleSlice(&bytes).ok() ||
          !request_.ParseFromArray(bytes.begin(), static_cast<int>(bytes.size()))) {
        Finish({grpc::StatusCode::INVALID_ARGUMENT, "no CheckRequest"});
        return;
      }
      // It is not done before it has finished, however long the answer takes.
      judge_.ask(ReadCheck(request_), [this](const FrontAnswer& answer) { Tell(answer); });
    }
    void OnDone() override { delete this; }

   private:
    void Tell(const FrontAnswer& answer) {
      const grpc::Slice bytes(AnswerCheck(request_, answer).SerializeAsString());
      message_ = grpc::ByteBuffer(&bytes, 1);
      StartWriteAndFinish(&message_, {}, grpc::Status::OK);
    }

    const Judge& judge_;
    grpc::ByteBuffer message_;
    auth::CheckRequest request_;
  };

  const Judge judge_;
  AcceptLoop& accepts_;
};

EnvoyServer::~EnvoyServer() {
  if (accepts_ != nullptr) accepts_->Stop();
  if (server_ != nullptr) server_->Shutdown(CallDeadline(kDrain));
}

absl::StatusOr<std::unique_ptr<EnvoyServer>> EnvoyServer::Start(const std::string& address,
                                                                Judge judge) {
  std::unique_ptr<EnvoyServer> made(new EnvoyServer);
  auto accepts = AcceptLoop::New(address, 0660, kMostConnections);
  if (!accepts.ok()) {
    return absl::Status(accepts.status().code(),
                        absl::StrCat("[fronts] envoy: ", accepts.status().message()));
  }
  made->accepts_ = *std::move(accepts);
  made->service_ = std::make_unique<Service>(std::move(judge), *made->accepts_);
  grpc::ServerBuilder builder;
  made->accepts_->Install(builder);
  builder.SetMaxReceiveMessageSize(kLargestCheck);
  builder.SetResourceQuota(grpc::ResourceQuota("forekey-envoy").Resize(kMemory));
  for (const auto& [name, value] : kLimits) builder.AddChannelArgument(name, value);
  builder.RegisterCallbackGenericService(made->service_.get());
  made->server_ = builder.BuildAndStart();
  if (made->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("[fronts] envoy: can't serve at ", address));
  }
  made->accepts_->Start();
  return made;
}

}  // namespace forekey
