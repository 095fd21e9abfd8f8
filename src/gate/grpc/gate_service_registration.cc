// SPDX-License-Identifier: Apache-2.0
// What GateServices changes in a server's builder, when all else is registered.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/gate/grpc/gate_service.h"

namespace forekey {

// gRPC's own way to change a builder at BuildAndStart(), when everything is registered; nothing
// that the application asked for before has the last word.
//
// Compressed requests are refused by the processor (CallGate::Process), and here once more: gRPC
// 1.51 inflates a message as a whole before it looks at its size, exempt methods' included, so
// that a megabyte of a stranger's would cost a gigabyte. The list of algorithms refuses them in
// words; without the filter nothing is inflated while that refusal is on its way.
class GateServices::Plugin : public grpc::ServerBuilderPlugin {
 public:
  Plugin(GateServices* services, ServerApi api, Building building, std::function<void()> started)
      : services_(services),
        api_(api),
        building_(std::move(building)),
        started_(std::move(started)) {}
  std::string name() override { return "forekey"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    services_->Register(*builder, api_);
    building_(*builder);
  }
  // Of an argument that is given twice gRPC takes the first: so these come before all others.
  void UpdateChannelArguments(grpc::ChannelArguments* arguments) override {
    grpc::ChannelArguments all;
    all.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    all.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
    const grpc_channel_args asked = arguments->c_channel_args();
    for (size_t i = 0; i < asked.num_args; ++i) {
      const grpc_arg& one = asked.args[i];
      if (one.type == GRPC_ARG_INTEGER) {
        all.SetInt(one.key, one.value.integer);
      } else if (one.type == GRPC_ARG_POINTER) {
        all.SetPointerWithVtable(one.key, one.value.pointer.p, one.value.pointer.vtable);
      } else if (absl::string_view(one.key) != GRPC_ARG_PRIMARY_USER_AGENT_STRING) {
        all.SetString(one.key, one.value.string);  // it has gRPC's own name already
      }
    }
    arguments->Swap(all);
  }
  void InitServer(grpc::ServerInitializer*) override {}
  // gRPC calls it when the server has started.
  void Finish(grpc::ServerInitializer*) override { started_(); }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  GateServices* const services_;
  const ServerApi api_;
  const Building building_;
  const std::function<void()> started_;
};

class GateServices::Option : public grpc::ServerBuilderOption {
 public:
  Option(GateServices* services, ServerApi api, Building building, std::function<void()> started)
      : services_(services),
        api_(api),
        building_(std::move(building)),
        started_(std::move(started)) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<Plugin>(services_, api_, building_, started_));
  }

 private:
  GateServices* const services_;
  const ServerApi api_;
  const Building building_;
  const std::function<void()> started_;
};

std::unique_ptr<grpc::ServerBuilderOption> GateServices::Registration(
    ServerApi api, Building building, std::function<void()> started) {
  return std::make_unique<Option>(this, api, std::move(building), std::move(started));
}

}  // namespace forekey
