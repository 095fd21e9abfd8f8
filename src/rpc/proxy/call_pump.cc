// SPDX-License-Identifier: Apache-2.0
#include "src/rpc/proxy/call_pump.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

// src/core/lib/surface/call.h of gRPC 1.51; declared here because that header is not installed.
__attribute__((weak)) bool grpc_call_is_trailers_only(const grpc_call* call);

namespace forekey {
namespace {

constexpr int kLookahead = 64 * 1024;
constexpr absl::string_view kPushback = "grpc-retry-pushback-ms";

absl::string_view View(const grpc::string_ref& text) {
  return absl::string_view(text.data(), text.size());
}

grpc_slice Slice(absl::string_view text) {
  return grpc_slice_from_static_buffer(text.data(), text.size());
}

// What gRPC takes from others and what it lets its own users send differ: capitals, spaces and
// control characters come in, and abort the process that tries to send them on.
bool IsLegal(absl::string_view key, absl::string_view value) {
  return grpc_header_key_is_legal(Slice(key)) != 0 &&
         (grpc_is_binary_header(Slice(key)) != 0 ||
          grpc_header_nonbin_value_is_legal(Slice(value)) != 0);
}

// One direction of a call: a message that is read or has just been read, and one that is to be
// passed on or is just passed on.
//
// The next message is read when the one before was taken; but for the second, which is looked for
// at once behind a small one: where nothing follows the first message, as in all unary calls, it
// leaves together with the metadata before it and the end behind it, in one piece of work and one
// write. Behind a large one that is not worth keeping another.
struct Lane {
  grpc::ByteBuffer in;
  grpc::ByteBuffer out;
  bool reading = false;  // into `in`
  bool have_in = false;
  bool have_out = false;
  bool writing = false;  // `out`
  bool ended = false;    // nothing more is read
  int messages = 0;

  bool MayRead() const {
    if (reading || ended || have_in) return false;
    return !have_out || (messages == 1 && out.Length() <= kLookahead);
  }
  void Read(bool ok) {
    reading = false;
    if (!ok) {
      ended = true;
      return;
    }
    ++messages;
    have_in = true;
    MoveUp();
  }
  void Wrote() {
    writing = have_out = false;
    out.Clear();
    MoveUp();
  }
  // Whether it is known what follows the first message.
  bool KnowsMore() const { return ended || have_in || messages > 1; }

 private:
  void MoveUp() {
    if (have_out || !have_in) return;
    out.Swap(&in);
    have_out = true;
    have_in = false;
  }
};

// One call. The caller is told the end when the other side's OnDone() was heard and no look is on
// its way: so the caller's OnDone() is the last of all, and takes the pump along. Nothing of it
// outlives the server that it is a call of; gRPC's queue may go with the server, and must not be
// let go from one of its own threads.
//
// A look is an event that this sends to itself: gRPC tells it after what it had to tell already.
// What was not heard of by then is not waited for: metadata alone, or a first message alone, is
// passed on without what follows.
//
// Holds: the call to the other side has one for its messages in each direction, so that neither
// "done" nor an ended answer can take it away while the caller's side may still start something on
// it. Letting the last one go may end the call on the spot, so that nothing of this is touched
// afterwards, and no lock held.
class CallPump {
 public:
  CallPump(grpc::GenericCallbackServerContext* context, PumpedCall call)
      : caller_context_(context), call_(std::move(call)), stub_(call_.to) {}
  ~CallPump() {
    if (call_.done) call_.done();
  }

  grpc::ServerGenericBidiReactor* Start() {
    absl::MutexLock lock(&mutex_);
    StepRequests();
    Look();
    return &caller_;
  }

 private:
  // Towards who called.
  class Caller : public grpc::ServerGenericBidiReactor {
   public:
    explicit Caller(CallPump* pump) : pump_(pump) {}
    void OnReadDone(bool ok) override { pump_->CallerSent(ok); }
    void OnWriteDone(bool ok) override { pump_->CallerTook(ok); }
    void OnCancel() override { pump_->context_.TryCancel(); }
    void OnDone() override { pump_->CallerDone(); }

   private:
    CallPump* const pump_;
  };

  // Towards who serves.
  class Server : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Server(CallPump* pump) : pump_(pump) {}
    void OnReadInitialMetadataDone(bool ok) override { pump_->ServerBegan(ok); }
    void OnReadDone(bool ok) override { pump_->ServerSent(ok); }
    void OnWriteDone(bool ok) override { pump_->ServerTook(ok); }
    void OnDone(const grpc::Status& status) override { pump_->ServerEnded(status); }

   private:
    CallPump* const pump_;
  };

  struct LookTag : grpc_completion_queue_functor {
    explicit LookTag(CallPump* pump) : grpc_completion_queue_functor{}, pump(pump) {
      functor_run = [](grpc_completion_queue_functor* tag, int) {
        static_cast<LookTag*>(tag)->pump->Looked();
      };
      inlineable = 1;
    }
    CallPump* const pump;
  };

  // ---- Looks ----

  bool Waits() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !begun_ || (answer_begun_ && !answers_settled_ && !answers_.ended && !status_);
  }
  void Look() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (looking_ || !Waits()) return;
    looking_ = true;
    seen_ = events_;
    // Without operations it is over at once, and told like any other: by a thread of gRPC's queue,
    // never from here. The caller's call is there, for it was not finished.
    grpc_call_start_batch(caller_context_->c_call(), nullptr, 0, &look_, nullptr);
  }
  void Looked() {
    bool let_go = false;
    End end = End::kNotYet;
    {
      absl::MutexLock lock(&mutex_);
      looking_ = false;
      // Before the first look gRPC has not begun to read.
      const bool settled = std::exchange(looked_, true) && seen_ == events_;
      if (settled && !begun_) {
        requests_settled_ = true;
        let_go = StepRequests();
      } else if (settled && answer_begun_) {
        answers_settled_ = true;
        StepAnswers();
      }
      Look();
      end = EndIfOver();
    }
    if (let_go) server_.RemoveHold();
    Tell(end);
  }

  // ---- Requests ----

  void CallerSent(bool ok) {
    bool cut_off = !ok && (caller_context_->IsCancelled() ||
                           grpc_call_failed_before_recv_message(caller_context_->c_call()) != 0);
    bool let_go = false;
    {
      absl::MutexLock lock(&mutex_);
      ++events_;
      if (ok && !over_ && requests_.in.Length() > call_.max_message) {
        own_end_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                absl::StrCat("a message of ", requests_.in.Length(),
                                             " bytes: at most ", call_.max_message, " pass here"));
        cut_off = true;
      }
      if (!ok && !cut_off && !over_ && !std::exchange(asked_again_, true)) {
        // A message beyond the transport's own limit looks like the end, too, for as long as gRPC
        // has not cancelled the call for it. It does so before it reads again.
        caller_.StartRead(&requests_.in);
        return;
      }
      cut_off_ = cut_off_ || cut_off;
      requests_.Read(ok);
      if (cut_off) context_.TryCancel();
      let_go = StepRequests();
    }
    if (let_go) server_.RemoveHold();
  }

  void ServerTook(bool ok) {
    bool let_go = false;
    {
      absl::MutexLock lock(&mutex_);
      requests_.Wrote();
      cut_off_ = cut_off_ || !ok;  // nobody is there to take more
      let_go = StepRequests();
    }
    if (let_go) server_.RemoveHold();
  }

  // True where the requests' hold is to be let go.
  bool StepRequests() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Lane& lane = requests_;
    if (!begun_ && (requests_settled_ || lane.KnowsMore())) Begin();
    if (begun_ && !over_ && !cut_off_ && !half_closed_ && !lane.writing) {
      half_closed_ = lane.ended && !lane.have_in;
      lane.writing = lane.have_out;
      if (lane.have_out && half_closed_)
        server_.StartWriteLast(&lane.out, grpc::WriteOptions());
      else if (lane.have_out)
        server_.StartWrite(&lane.out);
      else if (half_closed_)
        server_.StartWritesDone();
    }
    if (!over_ && !cut_off_ && lane.MayRead()) {
      lane.reading = true;
      caller_.StartRead(&lane.in);
    }
    return begun_ && (half_closed_ || cut_off_) && TakeHold(requests_held_);
  }

  void Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    begun_ = true;
    for (const auto& [key, value] : caller_context_->client_metadata()) {
      const absl::string_view name = View(key);
      if (PassesOn(name, View(value))) {
        context_.AddMetadata(std::string(name), std::string(View(value)));
      }
    }
    for (const auto& [key, value] : call_.added) context_.AddMetadata(key, value);
    context_.set_deadline(caller_context_->raw_deadline());
    // With the first message, or the end.
    context_.set_initial_metadata_corked(!cut_off_ && (requests_.have_out || requests_.ended));
    stub_.PrepareBidiStreamingCall(&context_, call_.method, {}, &server_);
    server_.AddMultipleHolds(2);
    answers_.reading = true;
    server_.StartRead(&answers_.in);
    server_.StartCall();
  }

  // ---- Answers ----

  void ServerBegan(bool ok) {
    // Without a connection there are no trailers, so that these are the service's own words.
    const bool nothing_but_trailers =
        &grpc_call_is_trailers_only != nullptr && grpc_call_is_trailers_only(context_.c_call());
    if (ok && !nothing_but_trailers) {
      for (const auto& [key, value] : context_.GetServerInitialMetadata()) {
        if (PassesOn(View(key), View(value))) {
          caller_context_->AddInitialMetadata(std::string(View(key)), std::string(View(value)));
        }
      }
    }
    bool let_requests_go = false, let_answers_go = false;
    {
      absl::MutexLock lock(&mutex_);
      ++events_;
      heard_ = ok || nothing_but_trailers;
      answer_begun_ = ok;
      answer_refused_ = !ok;
      metadata_passed_ = nothing_but_trailers;
      if (!RefuseAnswers(let_requests_go, let_answers_go)) StepAnswers();
      Look();
    }
    if (let_requests_go) server_.RemoveHold();
    if (let_answers_go) server_.RemoveHold();
  }

  void ServerSent(bool ok) {
    bool let_requests_go = false, let_answers_go = false;
    {
      absl::MutexLock lock(&mutex_);
      ++events_;
      answers_.Read(ok);
      // Where the caller was found gone meanwhile, this was the read that the answers' hold was
      // kept for, and no other one follows that would let it go.
      if (!ok || caller_gone_) {
        NothingMore(let_requests_go, let_answers_go);
      } else if (!RefuseAnswers(let_requests_go, let_answers_go)) {
        StepAnswers();
      }
    }
    if (let_requests_go) server_.RemoveHold();
    if (let_answers_go) server_.RemoveHold();
  }

  // A message after metadata that gRPC refused, such as ":status: 503": the call has failed
  // already, and nothing of it is passed on.
  bool RefuseAnswers(bool& let_requests_go, bool& let_answers_go)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!answer_refused_ || !answers_.have_out) return false;
    context_.TryCancel();
    if (!answers_.reading) NothingMore(let_requests_go, let_answers_go);
    return true;
  }
  // No answer is read from here on.
  void NothingMore(bool& let_requests_go, bool& let_answers_go)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    over_ = true;
    let_requests_go = begun_ && TakeHold(requests_held_);
    let_answers_go = begun_ && TakeHold(answers_held_);
  }

  void CallerTook(bool ok) {
    bool let_go = false;
    End end = End::kNotYet;
    {
      absl::MutexLock lock(&mutex_);
      answers_.Wrote();
      caller_gone_ = caller_gone_ || !ok;
      if (over_) {
        end = EndIfOver();
      } else {
        StepAnswers();
        let_go = caller_gone_ && !answers_.reading && TakeHold(answers_held_);
      }
    }
    if (!ok) context_.TryCancel();
    if (let_go) server_.RemoveHold();
    Tell(end);
  }

  void StepAnswers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Lane& lane = answers_;
    // The first answer may be told before the metadata in front of it. The last one leaves with the
    // status.
    if (answer_begun_ && !lane.writing && !caller_gone_) {
      if (lane.have_out && (lane.have_in || (answers_settled_ && !lane.ended)))
        WriteAnswer();
      else if (!lane.have_out && answers_settled_)
        PassMetadata();
    }
    if (!caller_gone_ && lane.MayRead()) {
      lane.reading = true;
      server_.StartRead(&lane.in);
    }
  }
  void WriteAnswer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    answers_settled_ = metadata_passed_ = answers_.writing = true;
    caller_.StartWrite(&answers_.out);
  }
  void PassMetadata() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!std::exchange(metadata_passed_, true)) caller_.StartSendInitialMetadata();
  }

  void ServerEnded(const grpc::Status& status) {
    for (const auto& [key, value] : context_.GetServerTrailingMetadata()) {
      const absl::string_view name = View(key);
      if (!PassesOn(name, View(value)) && !(name == kPushback && IsLegal(name, View(value)))) {
        continue;
      }
      if (name == kPushback && call_.adds_pushback &&
          status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
        continue;
      }
      caller_context_->AddTrailingMetadata(std::string(name), std::string(View(value)));
    }
    End end = End::kNotYet;
    {
      absl::MutexLock lock(&mutex_);
      over_ = true;
      const bool unreachable = !heard_ && !call_.unreachable.empty() &&
                               status.error_code() == grpc::StatusCode::UNAVAILABLE;
      status_ = !own_end_.ok() ? own_end_
                : unreachable  ? grpc::Status(status.error_code(), call_.unreachable)
                               : status;
      end = EndIfOver();
    }
    Tell(end);
  }

  // ---- The end ----

  enum class End { kNotYet, kStatus, kStatusBehindAnswer };

  // What the caller is to be told now. Not kNotYet: once.
  End EndIfOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!status_ || answers_.writing || looking_) return End::kNotYet;
    if (answer_begun_ && !caller_gone_ && answers_.have_in) {
      WriteAnswer();
      return End::kNotYet;
    }
    if (answer_begun_ && !caller_gone_ && answers_.have_out) return End::kStatusBehindAnswer;
    if (answer_begun_) PassMetadata();
    return End::kStatus;
  }
  // Without the lock, and the last that is done: the pump may be gone before this returns. Nobody
  // else touches the answer and the status any more.
  void Tell(End end) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (end == End::kStatus) caller_.Finish(*status_);
    if (end == End::kStatusBehindAnswer) {
      caller_.StartWriteAndFinish(&answers_.out, grpc::WriteOptions(), *status_);
    }
  }

  static bool TakeHold(bool& held) { return std::exchange(held, false); }

  void CallerDone() { delete this; }

  grpc::GenericCallbackServerContext* const caller_context_;
  const PumpedCall call_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  Caller caller_{this};
  Server server_{this};
  LookTag look_{this};

  absl::Mutex mutex_;
  Lane requests_ ABSL_GUARDED_BY(mutex_);
  Lane answers_ ABSL_GUARDED_BY(mutex_);
  unsigned events_ ABSL_GUARDED_BY(mutex_) = 0;
  unsigned seen_ ABSL_GUARDED_BY(mutex_) = 0;  // events_ as a look began
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  bool looked_ ABSL_GUARDED_BY(mutex_) = false;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;  // the call to the other side
  bool requests_settled_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool cut_off_ ABSL_GUARDED_BY(mutex_) = false;      // no request is passed on any more
  bool asked_again_ ABSL_GUARDED_BY(mutex_) = false;  // whether the requests have ended
  bool heard_ ABSL_GUARDED_BY(mutex_) = false;        // of the other side, anything
  bool answer_begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool answer_refused_ ABSL_GUARDED_BY(mutex_) = false;  // its metadata
  bool answers_settled_ ABSL_GUARDED_BY(mutex_) = false;
  bool metadata_passed_ ABSL_GUARDED_BY(mutex_) = false;
  bool caller_gone_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more is sent to the other side
  bool requests_held_ ABSL_GUARDED_BY(mutex_) = true;
  bool answers_held_ ABSL_GUARDED_BY(mutex_) = true;
  grpc::Status own_end_ ABSL_GUARDED_BY(mutex_);  // not OK: what the caller is told in the end
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
};

class Refusal : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

bool PassesOn(absl::string_view key, absl::string_view value) {
  // Also refuses capitals, so that what follows need not ask for "Forekey-".
  if (!IsLegal(key, value)) return false;
  if (absl::StartsWith(key, "forekey-") || absl::StartsWith(key, ":")) return false;
  if (absl::StartsWith(key, "grpc-")) {
    return key == "grpc-trace-bin" || key == "grpc-tags-bin" || key == "grpc-previous-rpc-attempts";
  }
  for (const char* hop :
       {"user-agent", "te", "content-type", "content-length", "host", "connection", "keep-alive",
        "transfer-encoding", "upgrade", "proxy-connection"}) {
    if (key == hop) return false;
  }
  return true;
}

grpc::ServerGenericBidiReactor* PumpCall(grpc::GenericCallbackServerContext* context,
                                         PumpedCall call) {
  return (new CallPump(context, std::move(call)))->Start();
}

grpc::ServerGenericBidiReactor* RefuseCall(grpc::GenericCallbackServerContext*,
                                           grpc::Status status) {
  return new Refusal(std::move(status));
}

void TakeMessages(size_t max_message, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::min(2 * max_message, size_t{std::numeric_limits<int>::max()})));
}

void KeepLittle(int max_message, grpc::ChannelArguments* arguments) {
  arguments->SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_message);
  arguments->SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookahead);
  arguments->SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments->SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
  arguments->SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A pool of its own: connections are nobody else's.
  arguments->SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
}

}  // namespace forekey
