// SPDX-License-Identifier: Apache-2.0
// The echo service behind every API that gRPC has for servers. A call that carries the metadata
// "x-fail" is counted and ends with the handler's own UNAUTHENTICATED.
#ifndef FOREKEY_TESTS_END2END_ECHO_APIS_H_
#define FOREKEY_TESTS_END2END_ECHO_APIS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>

namespace forekey::testing {

enum class Api { kSync, kCallback, kAsync, kGenericAsync, kGenericCallback };
inline constexpr Api kAllApis[] = {Api::kSync, Api::kCallback, Api::kAsync, Api::kGenericAsync,
                                   Api::kGenericCallback};
std::string ApiName(Api api);

class EchoApi {
 public:
  static std::unique_ptr<EchoApi> New(Api api);
  virtual ~EchoApi() = default;
  virtual void Register(grpc::ServerBuilder& builder) = 0;
  // After BuildAndStart(): begins to take calls where the API asks for it.
  virtual void Start() {}
  // After the server's Shutdown().
  virtual void Stop() {}

  int failures() const { return failures_; }

 protected:
  // True, once counted, where the call asks to fail.
  bool AskedToFail(const grpc::ServerContextBase& context);
  static grpc::Status Failure();

 private:
  std::atomic<int> failures_{0};
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_ECHO_APIS_H_
