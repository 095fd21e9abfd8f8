// SPDX-License-Identifier: Apache-2.0
// An active TLS proxy, in a process of its own: it ends TLS with a certificate of its own, which
// the client accepts, speaks to the real gate on its other side, and changes what passes as it is
// told.
//
//   forekey-test-tls-proxy DIRECTORY READY_FD GATE_ADDRESS GATE_CERTIFICATE [DEED...]
//
// DIRECTORY holds cert.pem and key.pem of the proxy, and gets `seen`: a line "method hex-of-prefix"
// for each call, written before the call is passed on. The port is written to READY_FD, as a line.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/file.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey::testing {
namespace {

constexpr char kPrefixKey[] = "forekey-prefix-bin";

// What the proxy does to the calls that pass.
struct Deeds {
  bool rewrite_binding = false;  // puts the gate's certificate where the client named the proxy's
  bool swap_share = false;       // its own key share instead of the client's
  bool swap_gate_share = false;  // its own share instead of the gate's, in the answer
  bool swap_childs_gate_share = false;  // the same, in the answer to a child's opening alone
  bool swap_child_share = false;        // its own key share in a child's opening
  bool pose = false;          // answers challenges and openings itself, with an identity of its own
  bool steal_invite = false;  // another TPM's keys under the client's invite signature
  bool change_demand = false;  // another subject in the gate's demand

  static Deeds Of(const std::set<std::string>& names) {
    Deeds deeds;
    for (const std::string& name : names) {
      if (name == "rewrite-binding")
        deeds.rewrite_binding = true;
      else if (name == "swap-share")
        deeds.swap_share = true;
      else if (name == "swap-gate-share")
        deeds.swap_gate_share = true;
      else if (name == "swap-childs-gate-share")
        deeds.swap_childs_gate_share = true;
      else if (name == "swap-child-share")
        deeds.swap_child_share = true;
      else if (name == "pose")
        deeds.pose = true;
      else if (name == "steal-invite")
        deeds.steal_invite = true;
      else if (name == "change-demand")
        deeds.change_demand = true;
      else
        std::fprintf(stderr, "unknown deed: %s\n", name.c_str()), std::exit(2);
    }
    return deeds;
  }
};

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  (void)buffer.Dump(&slices);
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

grpc::ByteBuffer Buffer(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

struct PassingCall {
  std::string method;
  std::string prefix;  // empty: none
  std::string request;
};
struct PassingAnswer {
  grpc::Status status;
  std::string response;
};

class Proxy : public grpc::CallbackGenericService {
 public:
  Proxy(std::string directory, const std::string& gate_address, const std::string& gate_certificate,
        Deeds deeds)
      : directory_(std::move(directory)),
        deeds_(deeds),
        gate_binding_(BindingOf(gate_certificate)) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = gate_certificate;
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateChannel(gate_address, grpc::SslCredentials(tls)));
  }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

  PassingAnswer Pass(PassingCall call) {
    Note(call);
    if (deeds_.pose && call.method == kGetChallengeMethodName) return PosedChallenge();
    if (deeds_.pose && call.method == kOpenSessionMethod) return PosedSession(call);
    ChangePrefix(&call);
    ChangeRequest(&call);
    PassingAnswer answer = Forward(call);
    if (answer.status.ok()) ChangeResponse(call.method, &answer.response);
    return answer;
  }

 private:
  static constexpr absl::string_view kGetChallengeMethodName = "/forekey.v1.Gate/GetChallenge";

  static std::string BindingOf(const std::string& pem) {
    auto certificates = Certificate::ParseAll(pem);
    if (!certificates.ok()) std::abort();
    return certificates->front().Fingerprint();
  }

  void Note(const PassingCall& call) {
    absl::MutexLock lock(&mutex_);
    std::ofstream(directory_ + "/seen", std::ios::app)
        << call.method << " " << absl::BytesToHexString(call.prefix) << std::endl;
  }

  void ChangePrefix(PassingCall* call) const {
    auto parsed = Prefix::Parse(call->prefix);
    if (!parsed.ok() || parsed->device() == nullptr) return;
    DeviceProofView proof = *parsed->device();
    if (deeds_.rewrite_binding) proof.channel_binding = gate_binding_;
    if (deeds_.swap_share && !proof.key_share.empty()) proof.key_share = ephemeral_.public_key();
    call->prefix = SerializePrefix(proof);
  }

  void ChangeRequest(PassingCall* call) const {
    if (deeds_.steal_invite && call->method == "/forekey.v1.Gate/BeginEnrollment") {
      v1::BeginEnrollmentRequest request;
      v1::EnrollmentOpening opening;
      if (!request.ParseFromString(call->request) || !opening.ParseFromString(request.payload()))
        return;
      opening.set_channel_binding(gate_binding_);
      opening.mutable_fido2()->set_aaguid(std::string(16, 'm'));
      request.set_payload(opening.SerializeAsString());
      call->request = request.SerializeAsString();
    }
    if (deeds_.swap_child_share && call->method == kOpenChildSessionMethod) {
      v1::OpenChildSessionRequest request;
      v1::OpenChildSessionPayload payload;
      if (!request.ParseFromString(call->request) || !payload.ParseFromString(request.payload()))
        return;
      payload.set_key_share(ephemeral_.public_key());
      request.set_payload(payload.SerializeAsString());
      call->request = request.SerializeAsString();
    }
  }

  void ChangeResponse(absl::string_view method, std::string* response) const {
    if ((deeds_.swap_gate_share && method == kOpenSessionMethod) ||
        (deeds_.swap_childs_gate_share && method == kOpenChildSessionMethod)) {
      v1::OpenSessionResponse opened;
      if (!opened.ParseFromString(*response)) return;
      opened.set_gate_share(ephemeral_.public_key());
      *response = opened.SerializeAsString();
    }
    if (deeds_.change_demand && method == "/forekey.v1.Gate/BeginEnrollment") {
      v1::BeginEnrollmentResponse begun;
      v1::EnrollmentDemand demand;
      if (!begun.ParseFromString(*response) || !demand.ParseFromString(begun.payload())) return;
      demand.set_subject("mallory");
      begun.set_payload(demand.SerializeAsString());
      *response = begun.SerializeAsString();
    }
  }

  PassingAnswer PosedChallenge() const {
    v1::GetChallengeResponse response;
    response.set_challenge(RandomBytes(64));
    response.set_lifetime_s(120);
    return {grpc::Status::OK, response.SerializeAsString()};
  }

  // All that can be done without the gate's identity key: the whole protocol, with another one.
  PassingAnswer PosedSession(const PassingCall& call) const {
    auto parsed = Prefix::Parse(call.prefix);
    if (!parsed.ok() || parsed->device() == nullptr)
      return {grpc::Status(grpc::StatusCode::INTERNAL, ""), ""};
    const DeviceProofView& proof = *parsed->device();
    std::vector<absl::string_view> ids;
    for (const AssertionView& assertion : proof.assertions) ids.push_back(assertion.credential_id);
    const std::string statement = BuildStatement(
        CallStatement{"gate.test", kOpenSessionMethod, proof.challenge, proof.channel_binding, ids,
                      proof.key_share, proof.request_digest});
    v1::OpenSessionResponse response;
    response.set_session_id(RandomBytes(16));
    response.set_gate_share(ephemeral_.public_key());
    response.set_idle_s(600);
    response.set_absolute_s(3600);
    response.set_window(1024);
    response.set_subject("alice");
    const auto shared = ephemeral_.Agree(proof.key_share);
    const auto with_identity = identity_.Agree(proof.key_share);
    if (!shared.ok() || !with_identity.ok())
      return {grpc::Status(grpc::StatusCode::INTERNAL, ""), ""};
    const Secret key =
        DeriveSessionKey(SessionKeyInput{&*shared, &*with_identity, "", proof.challenge, statement,
                                         response.gate_share(), response.session_id()});
    response.set_confirmation(ComputeConfirmation(
        key, ConfirmationInput{response.session_id(), response.gate_share(), response.idle_s(),
                               response.absolute_s(), response.window(), "", response.subject()}));
    return {grpc::Status::OK, response.SerializeAsString()};
  }

  PassingAnswer Forward(const PassingCall& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!call.prefix.empty()) context.AddMetadata(kPrefixKey, call.prefix);
    grpc::CompletionQueue queue;
    auto reader = stub_->PrepareUnaryCall(&context, call.method, Buffer(call.request), &queue);
    reader->StartCall();
    PassingAnswer answer;
    grpc::ByteBuffer response;
    reader->Finish(&response, &answer.status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    if (answer.status.ok()) answer.response = Text(response);
    return answer;
  }

  const std::string directory_;
  const Deeds deeds_;
  const std::string gate_binding_;
  const X25519PrivateKey ephemeral_ = X25519PrivateKey::Generate();
  const X25519PrivateKey identity_ = X25519PrivateKey::Generate();
  std::unique_ptr<grpc::GenericStub> stub_;
  absl::Mutex mutex_;
};

// One unary call from the client; a thread of its own asks the gate.
class PassingReactor : public grpc::ServerGenericBidiReactor {
 public:
  PassingReactor(Proxy* proxy, grpc::GenericCallbackServerContext* context) : proxy_(proxy) {
    call_.method = context->method();
    const auto found = context->client_metadata().find(kPrefixKey);
    if (found != context->client_metadata().end()) {
      call_.prefix.assign(found->second.data(), found->second.size());
    }
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::INTERNAL, "unary calls alone pass here"));
      return;
    }
    call_.request = Text(request_);
    thread_ = std::thread([this] {
      PassingAnswer answer = proxy_->Pass(std::move(call_));
      response_ = Buffer(answer.response);
      if (answer.status.ok()) {
        StartWriteAndFinish(&response_, grpc::WriteOptions(), answer.status);
      } else {
        Finish(answer.status);
      }
    });
  }
  void OnDone() override {
    if (thread_.joinable()) thread_.detach();
    delete this;
  }

 private:
  Proxy* const proxy_;
  PassingCall call_;
  grpc::ByteBuffer request_, response_;
  std::thread thread_;
};

grpc::ServerGenericBidiReactor* Proxy::CreateReactor(grpc::GenericCallbackServerContext* context) {
  return new PassingReactor(this, context);
}

int Run(const std::string& directory, int ready_fd, const std::string& gate_address,
        const std::string& gate_certificate_path, const std::set<std::string>& deeds) {
  auto certificate = ReadFile(directory + "/cert.pem");
  auto key = ReadFile(directory + "/key.pem");
  auto gate_certificate = ReadFile(gate_certificate_path);
  if (!certificate.ok() || !key.ok() || !gate_certificate.ok()) return 2;
  Proxy proxy(directory, gate_address, *gate_certificate, Deeds::Of(deeds));
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({*key, *certificate});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port);
  builder.RegisterCallbackGenericService(&proxy);
  auto server = builder.BuildAndStart();
  if (server == nullptr) return 2;
  const std::string line = absl::StrCat(port, "\n");
  if (write(ready_fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return 2;
  close(ready_fd);
  server->Wait();  // until it is killed
  return 0;
}

}  // namespace
}  // namespace forekey::testing

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  return forekey::testing::Run(argv[1], std::atoi(argv[2]), argv[3], argv[4],
                               {argv + 5, argv + argc});
}
