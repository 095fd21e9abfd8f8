// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/pushback.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/impl/codegen/core_codegen_interface.h>

#include <algorithm>
#include <vector>

#include "absl/base/call_once.h"
#include "src/gate/grpc/call_gate.h"

namespace forekey {
namespace {

constexpr char kKey[] = "grpc-retry-pushback-ms";
constexpr char kNever[] = "-1";

// Whether a gate judged it: its connection has some gate's mark.
bool WasJudged(grpc_call* call) {
  grpc_auth_context* const context = grpc_call_auth_context(call);
  if (context == nullptr) return false;
  grpc_auth_property_iterator marks =
      grpc_auth_context_find_properties_by_name(context, CallGate::kMark);
  const bool marked = grpc_auth_property_iterator_next(&marks) != nullptr;
  grpc_auth_context_release(context);
  return marked;
}

bool EndsUnauthenticated(const grpc_op& op) {
  return op.op == GRPC_OP_SEND_STATUS_FROM_SERVER &&
         op.data.send_status_from_server.status == GRPC_STATUS_UNAUTHENTICATED;
}

// gRPC's own object, and in front of it the one function that matters. Lives for ever.
class CoreWithPushback final : public grpc::CoreCodegenInterface {
 public:
  explicit CoreWithPushback(grpc::CoreCodegenInterface* core) : core_(core) {}

  grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t nops, void* tag,
                                        void* reserved) override {
    if (std::none_of(ops, ops + nops, EndsUnauthenticated) || !WasJudged(call)) {
      return core_->grpc_call_start_batch(call, ops, nops, tag, reserved);
    }
    // The core copies what it is given here, but for the bytes, which are static.
    std::vector<grpc_op> all(ops, ops + nops);
    auto& status =
        std::find_if(all.begin(), all.end(), EndsUnauthenticated)->data.send_status_from_server;
    std::vector<grpc_metadata> trailers(status.trailing_metadata,
                                        status.trailing_metadata + status.trailing_metadata_count);
    grpc_metadata pushback = {};
    pushback.key = grpc_slice_from_static_string(kKey);
    pushback.value = grpc_slice_from_static_string(kNever);
    trailers.push_back(pushback);
    status.trailing_metadata = trailers.data();
    status.trailing_metadata_count = trailers.size();
    return core_->grpc_call_start_batch(call, all.data(), all.size(), tag, reserved);
  }

  // ---- As they are ----
  void assert_fail(const char* failed_assertion, const char* file, int line) override {
    return core_->assert_fail(failed_assertion, file, line);
  }
  const grpc_completion_queue_factory* grpc_completion_queue_factory_lookup(
      const grpc_completion_queue_attributes* attributes) override {
    return core_->grpc_completion_queue_factory_lookup(attributes);
  }
  grpc_completion_queue* grpc_completion_queue_create(
      const grpc_completion_queue_factory* factory,
      const grpc_completion_queue_attributes* attributes, void* reserved) override {
    return core_->grpc_completion_queue_create(factory, attributes, reserved);
  }
  grpc_completion_queue* grpc_completion_queue_create_for_next(void* reserved) override {
    return core_->grpc_completion_queue_create_for_next(reserved);
  }
  grpc_completion_queue* grpc_completion_queue_create_for_pluck(void* reserved) override {
    return core_->grpc_completion_queue_create_for_pluck(reserved);
  }
  void grpc_completion_queue_shutdown(grpc_completion_queue* cq) override {
    return core_->grpc_completion_queue_shutdown(cq);
  }
  void grpc_completion_queue_destroy(grpc_completion_queue* cq) override {
    return core_->grpc_completion_queue_destroy(cq);
  }
  grpc_event grpc_completion_queue_pluck(grpc_completion_queue* cq, void* tag,
                                         gpr_timespec deadline, void* reserved) override {
    return core_->grpc_completion_queue_pluck(cq, tag, deadline, reserved);
  }
  void* gpr_malloc(size_t size) override { return core_->gpr_malloc(size); }
  void gpr_free(void* p) override { return core_->gpr_free(p); }
  void grpc_init() override { return core_->grpc_init(); }
  void grpc_shutdown() override { return core_->grpc_shutdown(); }
  void gpr_mu_init(gpr_mu* mu) override { return core_->gpr_mu_init(mu); }
  void gpr_mu_destroy(gpr_mu* mu) override { return core_->gpr_mu_destroy(mu); }
  void gpr_mu_lock(gpr_mu* mu) override { return core_->gpr_mu_lock(mu); }
  void gpr_mu_unlock(gpr_mu* mu) override { return core_->gpr_mu_unlock(mu); }
  void gpr_cv_init(gpr_cv* cv) override { return core_->gpr_cv_init(cv); }
  void gpr_cv_destroy(gpr_cv* cv) override { return core_->gpr_cv_destroy(cv); }
  int gpr_cv_wait(gpr_cv* cv, gpr_mu* mu, gpr_timespec abs_deadline) override {
    return core_->gpr_cv_wait(cv, mu, abs_deadline);
  }
  void gpr_cv_signal(gpr_cv* cv) override { return core_->gpr_cv_signal(cv); }
  void gpr_cv_broadcast(gpr_cv* cv) override { return core_->gpr_cv_broadcast(cv); }
  grpc_byte_buffer* grpc_byte_buffer_copy(grpc_byte_buffer* bb) override {
    return core_->grpc_byte_buffer_copy(bb);
  }
  void grpc_byte_buffer_destroy(grpc_byte_buffer* bb) override {
    return core_->grpc_byte_buffer_destroy(bb);
  }
  size_t grpc_byte_buffer_length(grpc_byte_buffer* bb) override {
    return core_->grpc_byte_buffer_length(bb);
  }
  int grpc_byte_buffer_reader_init(grpc_byte_buffer_reader* reader,
                                   grpc_byte_buffer* buffer) override {
    return core_->grpc_byte_buffer_reader_init(reader, buffer);
  }
  void grpc_byte_buffer_reader_destroy(grpc_byte_buffer_reader* reader) override {
    return core_->grpc_byte_buffer_reader_destroy(reader);
  }
  int grpc_byte_buffer_reader_next(grpc_byte_buffer_reader* reader, grpc_slice* slice) override {
    return core_->grpc_byte_buffer_reader_next(reader, slice);
  }
  int grpc_byte_buffer_reader_peek(grpc_byte_buffer_reader* reader, grpc_slice** slice) override {
    return core_->grpc_byte_buffer_reader_peek(reader, slice);
  }
  grpc_byte_buffer* grpc_raw_byte_buffer_create(grpc_slice* slice, size_t nslices) override {
    return core_->grpc_raw_byte_buffer_create(slice, nslices);
  }
  grpc_slice grpc_slice_new_with_user_data(void* p, size_t len, void (*destroy)(void*),
                                           void* user_data) override {
    return core_->grpc_slice_new_with_user_data(p, len, destroy, user_data);
  }
  grpc_slice grpc_slice_new_with_len(void* p, size_t len, void (*destroy)(void*, size_t)) override {
    return core_->grpc_slice_new_with_len(p, len, destroy);
  }
  grpc_call_error grpc_call_cancel_with_status(grpc_call* call, grpc_status_code status,
                                               const char* description, void* reserved) override {
    return core_->grpc_call_cancel_with_status(call, status, description, reserved);
  }
  int grpc_call_failed_before_recv_message(const grpc_call* c) override {
    return core_->grpc_call_failed_before_recv_message(c);
  }
  void grpc_call_ref(grpc_call* call) override { return core_->grpc_call_ref(call); }
  void grpc_call_unref(grpc_call* call) override { return core_->grpc_call_unref(call); }
  void* grpc_call_arena_alloc(grpc_call* call, size_t length) override {
    return core_->grpc_call_arena_alloc(call, length);
  }
  const char* grpc_call_error_to_string(grpc_call_error error) override {
    return core_->grpc_call_error_to_string(error);
  }
  grpc_slice grpc_empty_slice() override { return core_->grpc_empty_slice(); }
  grpc_slice grpc_slice_malloc(size_t length) override { return core_->grpc_slice_malloc(length); }
  void grpc_slice_unref(grpc_slice slice) override { return core_->grpc_slice_unref(slice); }
  grpc_slice grpc_slice_ref(grpc_slice slice) override { return core_->grpc_slice_ref(slice); }
  grpc_slice grpc_slice_split_tail(grpc_slice* s, size_t split) override {
    return core_->grpc_slice_split_tail(s, split);
  }
  grpc_slice grpc_slice_split_head(grpc_slice* s, size_t split) override {
    return core_->grpc_slice_split_head(s, split);
  }
  grpc_slice grpc_slice_sub(grpc_slice s, size_t begin, size_t end) override {
    return core_->grpc_slice_sub(s, begin, end);
  }
  void grpc_slice_buffer_add(grpc_slice_buffer* sb, grpc_slice slice) override {
    return core_->grpc_slice_buffer_add(sb, slice);
  }
  void grpc_slice_buffer_add_indexed(grpc_slice_buffer* sb, grpc_slice slice) override {
    return core_->grpc_slice_buffer_add_indexed(sb, slice);
  }
  void grpc_slice_buffer_pop(grpc_slice_buffer* sb) override {
    return core_->grpc_slice_buffer_pop(sb);
  }
  grpc_slice grpc_slice_from_static_buffer(const void* buffer, size_t length) override {
    return core_->grpc_slice_from_static_buffer(buffer, length);
  }
  grpc_slice grpc_slice_from_copied_buffer(const void* buffer, size_t length) override {
    return core_->grpc_slice_from_copied_buffer(buffer, length);
  }
  void grpc_metadata_array_init(grpc_metadata_array* array) override {
    return core_->grpc_metadata_array_init(array);
  }
  void grpc_metadata_array_destroy(grpc_metadata_array* array) override {
    return core_->grpc_metadata_array_destroy(array);
  }
  const grpc::Status& ok() override { return core_->ok(); }
  const grpc::Status& cancelled() override { return core_->cancelled(); }
  gpr_timespec gpr_inf_future(gpr_clock_type type) override { return core_->gpr_inf_future(type); }
  gpr_timespec gpr_time_0(gpr_clock_type type) override { return core_->gpr_time_0(type); }

 private:
  grpc::CoreCodegenInterface* const core_;
};

}  // namespace

void InstallPushback() {
  static absl::once_flag once;
  absl::call_once(once, [] {
    grpc::g_core_codegen_interface = new CoreWithPushback(grpc::g_core_codegen_interface);
  });
}

}  // namespace forekey
