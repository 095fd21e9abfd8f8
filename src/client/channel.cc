// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "forekey/client.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/agent_socket.h"
#include "src/client/live_streams.h"
#include "src/client/notice_watcher.h"
#include "src/client/prefix_credentials.h"
#include "src/client/preflight.h"
#include "src/client/session_source.h"
#include "src/client/tls_channel.h"
#include "src/rpc/call_deadline.h"

namespace forekey {
namespace {

// The gate refuses a session that it doesn't know with UNAUTHENTICATED, before it looks at the
// call; gRPC then tries once more, and asks for another prefix. Calls that were admitted are never
// retried: the gate pushes back in their trailers (grpc-retry-pushback-ms: -1).
constexpr char kServiceConfig[] =
    R"({"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.01s",
        "maxBackoff": "0.01s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAUTHENTICATED"]}}]})";
constexpr int kRetryBuffer = 8 << 20;
constexpr absl::Duration kAgentTimeout = absl::Seconds(10);

// For a call that brought call credentials of its own: they would be dropped without a word.
class ForeignCredentials : public PrefixProvider {
 public:
  std::optional<absl::StatusOr<std::string>> GetPrefix(const CallAttempt&, PrefixWaiter) override {
    return absl::FailedPreconditionError(
        "the call has call credentials of its own, which a Forekey channel can't send besides its "
        "prefix: give them to forekey::Channel as ChannelOptions::call_credentials");
  }
};

// Of a streaming call: lives as long as the call's context.
class StreamPrefixes : public CallPrefixes {
 public:
  StreamPrefixes(std::shared_ptr<SessionSource> source, std::shared_ptr<Preflight> preflight,
                 std::shared_ptr<LiveStreams> streams)
      : CallPrefixes(std::move(source), std::move(preflight)), streams_(std::move(streams)) {}
  ~StreamPrefixes() override { streams_->Remove(this); }

 private:
  const std::shared_ptr<LiveStreams> streams_;
};

// gRPC says UNAVAILABLE where credentials could not be made, whatever they said, and drops details:
// the application gets what was said.
class FailureInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit FailureInterceptor(std::shared_ptr<CallPrefixes> prefixes)
      : prefixes_(std::move(prefixes)) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::POST_RECV_STATUS)) {
      grpc::Status* status = methods->GetRecvStatus();
      if (status != nullptr && status->error_code() == grpc::StatusCode::UNAVAILABLE) {
        const std::optional<grpc::Status> failure = prefixes_->failure();
        // Else the call's last attempt had a prefix, and failed otherwise.
        if (failure && absl::StrContains(status->error_message(), failure->error_message())) {
          *status = *failure;
        }
      }
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<CallPrefixes> prefixes_;
};

// Gives every call its credentials.
class PrefixFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  PrefixFactory(std::shared_ptr<SessionSource> source, const std::shared_ptr<grpc::Channel>& gate,
                const std::shared_ptr<Lanes>& lanes, std::unique_ptr<NoticeWatcher> notices)
      : notices_(std::move(notices)),
        source_(std::move(source)),
        preflight_(std::make_shared<Preflight>(gate, lanes)),
        streams_(std::make_shared<LiveStreams>(source_, gate)) {}
  ~PrefixFactory() override {
    preflight_->Shutdown();
    source_->Shutdown();
    streams_->Shutdown();
  }

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    grpc::ClientContext* context = info->client_context();
    if (context->credentials() != nullptr) {
      context->set_credentials(MakePrefixCredentials(std::make_shared<ForeignCredentials>()));
      return nullptr;
    }
    std::shared_ptr<CallPrefixes> prefixes;
    if (info->type() == grpc::experimental::ClientRpcInfo::Type::UNARY) {
      prefixes = std::make_shared<CallPrefixes>(source_, /*preflight=*/nullptr);
    } else {
      prefixes = std::make_shared<StreamPrefixes>(source_, preflight_, streams_);
      streams_->Add(prefixes);
    }
    context->set_credentials(MakePrefixCredentials(prefixes));
    return new FailureInterceptor(std::move(prefixes));
  }

 private:
  const std::unique_ptr<NoticeWatcher> notices_;  // null: nobody is told
  const std::shared_ptr<SessionSource> source_;
  const std::shared_ptr<Preflight> preflight_;
  const std::shared_ptr<LiveStreams> streams_;
};

absl::StatusOr<forekey::v1::EnrolledGate> AskForGate(const std::shared_ptr<grpc::Channel>& agent,
                                                     const std::string& socket,
                                                     const std::string& gate) {
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(kAgentTimeout));
  forekey::v1::GetStatusRequest request;
  forekey::v1::GetStatusResponse response;
  grpc::Status status = forekey::v1::Agent::NewStub(agent)->GetStatus(&context, request, &response);
  if (!status.ok()) return AgentError(status, socket);
  if (gate.empty() && response.gates_size() == 1) return response.gates(0);
  std::vector<std::string> names;
  for (const forekey::v1::EnrolledGate& known : response.gates()) {
    if (known.audience() == gate) return known;
    names.push_back(known.audience());
  }
  if (names.empty()) {
    return Refuse(
        Reason::kGateNotEnrolled,
        "the agent is not enrolled at any gate: ask for an invite and run forekey enroll");
  }
  if (gate.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the agent is enrolled at several gates (",
                                                   absl::StrJoin(names, ", "), "): say which one"));
  }
  return Refuse(Reason::kGateNotEnrolled,
                absl::StrCat("the agent was never enrolled at ", gate,
                             "; it is enrolled at: ", absl::StrJoin(names, ", ")));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(const ChannelOptions& options) {
  std::string socket = options.agent_socket;
  if (socket.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(socket, FindAgentSocket());
  }
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> agent, AgentChannel(socket));
  FOREKEY_ASSIGN_OR_RETURN(forekey::v1::EnrolledGate gate, AskForGate(agent, socket, options.gate));

  GateTarget target;
  target.audience = gate.audience();
  target.address = options.target.empty() ? gate.address() : options.target;
  target.ca_pem = gate.ca_pem();
  target.tls_server_name =
      options.tls_server_name.empty() ? gate.tls_server_name() : options.tls_server_name;
  FOREKEY_ASSIGN_OR_RETURN(auto credentials, TlsCredentials(target.ca_pem));
  if (options.call_credentials != nullptr) {
    credentials = grpc::CompositeChannelCredentials(credentials, options.call_credentials);
  }
  grpc::ChannelArguments arguments = options.arguments;
  AddTlsArguments(target, &arguments);
  SetDefault(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, kRetryBuffer, &arguments);
  // Same target, arguments and credentials object: gRPC shares the connection between the two
  // channels (and with no other), as the service config makes no difference there.
  auto gate_alone = grpc::CreateCustomChannel(target.address, credentials, arguments);
  if (!IsSet(GRPC_ARG_SERVICE_CONFIG, arguments)) arguments.SetServiceConfigJSON(kServiceConfig);

  SessionSource::Options source;
  source.gate = gate.audience();
  source.socket = socket;
  source.agent = std::move(agent);
  std::unique_ptr<NoticeWatcher> notices;
  if (options.on_notice) {
    notices = std::make_unique<NoticeWatcher>(source.agent, source.gate, options.on_notice);
  }
  source.lanes = std::make_shared<Lanes>();
  const std::shared_ptr<Lanes> lanes = source.lanes;
  source.open_timeout = options.open_timeout;
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<PrefixFactory>(
      std::make_shared<SessionSource>(std::move(source)), gate_alone, lanes, std::move(notices)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(target.address, credentials,
                                                                 arguments, std::move(factories));
}

}  // namespace forekey
