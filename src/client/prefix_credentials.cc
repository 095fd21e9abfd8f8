// SPDX-License-Identifier: Apache-2.0
#include "src/client/prefix_credentials.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/grpc.h"
#include "grpc/slice.h"
#include "grpc/support/alloc.h"
#include "grpc/support/string_util.h"
#include "src/client/channel_binding.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

using ProviderPtr = std::shared_ptr<PrefixProvider>;

// Owns one reference to the value's slice. `key`: lives for ever.
grpc_metadata Metadata(absl::string_view key, absl::string_view value) {
  grpc_metadata metadata{};
  metadata.key = grpc_slice_from_static_buffer(key.data(), key.size());
  metadata.value = grpc_slice_from_copied_buffer(value.data(), value.size());
  return metadata;
}

// The prefix, and what goes beside it; returns how many.
size_t FillMetadata(absl::string_view prefix, const std::string& affinity,
                    grpc_metadata* metadata) {
  metadata[0] = Metadata(kPrefixMetadataKey, prefix);
  if (affinity.empty()) return 1;
  metadata[1] = Metadata(kAffinityMetadataKey, affinity);
  return 2;
}

int GetMetadata(void* state, grpc_auth_metadata_context context,
                grpc_credentials_plugin_metadata_cb callback, void* user_data,
                grpc_metadata metadata[GRPC_METADATA_CREDENTIALS_PLUGIN_SYNC_MAX], size_t* count,
                grpc_status_code* code, const char** details) {
  *count = 0;
  *code = GRPC_STATUS_OK;
  *details = nullptr;
  const std::string method = MethodFromServiceUrl(context.service_url, context.method_name);
  const ProviderPtr& provider = *static_cast<ProviderPtr*>(state);
  std::optional<absl::StatusOr<std::string>> prefix = provider->GetPrefix(
      {method, LeafPemOf(context.channel_auth_context), context.channel_auth_context},
      PrefixWaiter(callback, user_data, provider));
  if (!prefix.has_value()) return 0;
  if (prefix->ok()) {
    *count = FillMetadata(**prefix, provider->affinity(), metadata);
  } else {
    *code = static_cast<grpc_status_code>(prefix->status().code());
    *details = gpr_strdup(std::string(prefix->status().message()).c_str());
  }
  return 1;
}

char* PluginDebugString(void*) { return gpr_strdup("forekey"); }
void Destroy(void* state) { delete static_cast<ProviderPtr*>(state); }

class PrefixCredentials : public grpc::CallCredentials {
 public:
  explicit PrefixCredentials(ProviderPtr provider) {
    grpc_metadata_credentials_plugin plugin{};
    plugin.get_metadata = GetMetadata;
    plugin.debug_string = PluginDebugString;
    plugin.destroy = Destroy;
    plugin.state = new ProviderPtr(std::move(provider));
    plugin.type = "forekey";
    credentials_ =
        grpc_metadata_credentials_create_from_plugin(plugin, GRPC_PRIVACY_AND_INTEGRITY, nullptr);
  }
  ~PrefixCredentials() override { grpc_call_credentials_release(credentials_); }

  bool ApplyToCall(grpc_call* call) override {
    return grpc_call_set_credentials(call, credentials_) == GRPC_CALL_OK;
  }
  grpc::string DebugString() override { return "forekey"; }

 private:
  // Only CompositeCallCredentials and CompositeChannelCredentials ask, and they get none of these.
  grpc::SecureCallCredentials* AsSecureCredentials() override { return nullptr; }
  grpc_call_credentials* credentials_;
};

}  // namespace

// The C API has no other way to take a reference.
ConnectionPtr CallAttempt::connection() const {
  grpc_auth_metadata_context borrowed{};
  borrowed.channel_auth_context = auth_context;
  grpc_auth_metadata_context held{};
  grpc_auth_metadata_context_copy(&borrowed, &held);
  return ConnectionPtr(held.channel_auth_context, [](const grpc_auth_context* context) {
    grpc_auth_context_release(const_cast<grpc_auth_context*>(context));
  });
}

std::optional<absl::StatusOr<std::string>> OnePrefix::GetPrefix(const CallAttempt&, PrefixWaiter) {
  if (prefix_.empty()) return absl::UnavailableError("the proof was used already");
  return std::exchange(prefix_, std::string());
}

void PrefixWaiter::Answer(const absl::StatusOr<std::string>& prefix) const {
  if (!prefix.ok()) {
    callback_(user_data_, nullptr, 0, static_cast<grpc_status_code>(prefix.status().code()),
              std::string(prefix.status().message()).c_str());
    return;
  }
  grpc_metadata metadata[2];
  const size_t count = FillMetadata(*prefix, provider_->affinity(), metadata);
  callback_(user_data_, metadata, count, GRPC_STATUS_OK, nullptr);
  for (size_t i = 0; i < count; ++i) grpc_slice_unref(metadata[i].value);
}

std::shared_ptr<grpc::CallCredentials> MakePrefixCredentials(ProviderPtr provider) {
  return std::make_shared<PrefixCredentials>(std::move(provider));
}

std::string MethodFromServiceUrl(absl::string_view service_url, absl::string_view method_name) {
  size_t scheme = service_url.find("://");
  size_t authority = scheme == absl::string_view::npos ? 0 : scheme + 3;
  size_t path = service_url.find('/', authority);
  if (path == absl::string_view::npos) return "";
  return absl::StrCat(service_url.substr(path), "/", method_name);
}

}  // namespace forekey
