// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/local_proxy.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "forekey/client.h"
#include "nlohmann/json.hpp"
#include "src/base/descriptor_limit.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/random.h"
#include "src/rpc/call_deadline.h"
#include "src/rpc/proxy/call_pump.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr absl::Duration kDrain = absl::Seconds(5);
constexpr size_t kMemoryOfPort = 512 << 20;
constexpr int kStreamsOfConnection = 1024;
constexpr int kIdleMillis = 5 * 60 * 1000;
constexpr size_t kMostConnections = 512;

// Nobody else may take the socket's place, and so be told what was meant for the gate.
absl::Status CheckFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == 0 ? "/" : path.substr(0, slash);
  struct stat found = {};
  if (stat(folder.c_str(), &found) != 0) return absl::ErrnoToStatus(errno, folder);
  const bool foreign = found.st_uid != geteuid() && found.st_uid != 0;
  // In one like /tmp nobody may replace what is there, but be there first, or after it.
  const bool open = (found.st_mode & 022) != 0;
  if (!foreign && !open) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder,
                   " lets other users replace the socket, or take its place: choose a folder of "
                   "your own, such as $XDG_RUNTIME_DIR/forekey"));
}

// Of those who reach a port and have no token.
void LimitStrangers(grpc::ServerBuilder& builder) {
  builder.SetResourceQuota(grpc::ResourceQuota("forekey-proxy").Resize(kMemoryOfPort));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsOfConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMillis);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalProxy>> LocalProxy::Start(std::shared_ptr<grpc::Channel> to,
                                                              const Options& options) {
  std::unique_ptr<LocalProxy> made(new LocalProxy(std::move(to), options));
  FOREKEY_RETURN_IF_ERROR(made->Listen());
  return made;
}

LocalProxy::~LocalProxy() {
  if (accepts_ != nullptr) accepts_->Stop();
  if (server_ != nullptr) server_->Shutdown(CallDeadline(kDrain));
  server_.reset();
  // Another one may have written its own there since.
  if (!token_written_) return;
  const auto there = ReadPrivateFile(options_.token_file);
  if (there.ok() && ConstantTimeEqual(*there, token_.view())) unlink(options_.token_file.c_str());
}

absl::Status LocalProxy::Listen() {
  absl::string_view path = options_.listen;
  const bool is_unix = absl::ConsumePrefix(&path, "unix:");
  if (is_unix) {
    if (!absl::StartsWith(path, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat(options_.listen, ": a socket's path begins with /"));
    }
    FOREKEY_RETURN_IF_ERROR(CheckFolder(std::string(path)));
    wants_token_ = false;
  } else if (absl::StartsWith(path, "127.") || absl::StartsWith(path, "[::1]:")) {
    if (options_.token_file.empty()) {
      return absl::InvalidArgumentError(
          "every user of this machine can reach a port: name a file for the token by which yours "
          "are known (--token-file), or listen on unix:PATH");
    }
    token_ = Secret(Base64UrlEncode(RandomBytes(kTokenBytes)));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.listen,
                     ": must be unix:PATH, 127.0.0.1:PORT or [::1]:PORT: what comes in is not "
                     "protected on its way"));
  }
  // The socket is never anybody else's, not even for a moment.
  FOREKEY_ASSIGN_OR_RETURN(accepts_, AcceptLoop::New(options_.listen, 0600, kMostConnections));
  grpc::ServerBuilder builder;
  accepts_->Install(builder);
  builder.RegisterCallbackGenericService(this);
  TakeMessages(static_cast<size_t>(options_.max_message), builder);
  if (!is_unix) LimitStrangers(builder);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("can't serve at ", options_.listen));
  }
  // Not before the port is this proxy's: the token of another one that has it already stays.
  if (!is_unix) {
    FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(options_.token_file, token_.view(), 0600));
    token_written_ = true;
  }
  address_ = is_unix ? options_.listen
                     : absl::StrCat(path.substr(0, path.rfind(':')), ":", accepts_->port());
  accepts_->Start();
  return absl::OkStatus();
}

bool LocalProxy::HasToken(const grpc::ServerContextBase& context) const {
  if (!wants_token_) return true;
  const auto& metadata = context.client_metadata();
  const auto [first, last] = metadata.equal_range(kProxyTokenKey);
  return std::distance(first, last) == 1 &&
         ConstantTimeEqual(absl::string_view(first->second.data(), first->second.size()),
                           token_.view());
}

grpc::ServerGenericBidiReactor* LocalProxy::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  if (!HasToken(*context)) {
    return RefuseCall(context, {grpc::StatusCode::UNAUTHENTICATED,
                                absl::StrCat("metadata ", kProxyTokenKey,
                                             " must be what stands in ", options_.token_file)});
  }
  if (wants_token_) accepts_->Known(context->peer());
  // Sessions are the library's and the agent's to open.
  if (absl::StartsWith(context->method(), "/forekey.v1.")) {
    return RefuseCall(context, {grpc::StatusCode::UNIMPLEMENTED,
                                "the gate's own methods are not for clients of this proxy"});
  }
  PumpedCall call;
  call.to = to_;
  call.method = context->method();
  call.max_message = static_cast<size_t>(options_.max_message);
  return PumpCall(context, std::move(call));
}

absl::Status RunLocalProxy(const ProxyArguments& arguments, bool json, std::ostream& out) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Two descriptors a connection. Where the limit stays, there are fewer of them.
  RaiseDescriptorLimit().IgnoreError();
  ChannelOptions options;
  options.gate = arguments.gate;
  options.agent_socket = arguments.agent_socket;
  // Nothing of KeepLittle(): the gate may be far away, and only the user's own calls are kept here.
  options.arguments.SetMaxReceiveMessageSize(arguments.proxy.max_message);
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, Channel(options));
  FOREKEY_ASSIGN_OR_RETURN(auto proxy, LocalProxy::Start(std::move(channel), arguments.proxy));
  if (json) {
    nlohmann::json told = {{"address", proxy->address()}};
    if (!arguments.proxy.token_file.empty()) told["token_file"] = arguments.proxy.token_file;
    out << told.dump() << std::endl;
  } else {
    out << "listening on " << proxy->address() << std::endl;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  return absl::OkStatus();
}

}  // namespace forekey
