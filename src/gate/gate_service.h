// forekey.v1.Gate: what the gate itself answers. Everything is GateCore's; here are threads alone.
#ifndef FOREKEY_SRC_GATE_GATE_SERVICE_H_
#define FOREKEY_SRC_GATE_GATE_SERVICE_H_

#include <functional>
#include <memory>

#include "forekey/v1/gate.grpc.pb.h"
#include "src/gate/core/gate_core.h"
#include "src/gate/worker.h"

namespace forekey {

// Callback API, so that it fits beside every kind of application service. Enrolment waits for the disk
// and checks certificate paths: it has a thread and a short queue of its own, so that enrolments never
// take gRPC's threads away from calls (DESIGN LAW 7); the rest answers in microseconds.
class GateService : public v1::Gate::CallbackService {
 public:
  explicit GateService(GateCore* core);
  ~GateService() override;

  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest* request,
                                         v1::GetChallengeResponse* response) override;
  grpc::ServerUnaryReactor* BeginEnrollment(grpc::CallbackServerContext* context,
                                            const v1::BeginEnrollmentRequest* request,
                                            v1::BeginEnrollmentResponse* response) override;
  grpc::ServerUnaryReactor* FinishEnrollment(grpc::CallbackServerContext* context,
                                             const v1::FinishEnrollmentRequest* request,
                                             v1::FinishEnrollmentResponse* response) override;
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* OpenChildSession(grpc::CallbackServerContext* context,
                                             const v1::OpenChildSessionRequest* request,
                                             v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* EndSession(grpc::CallbackServerContext* context,
                                       const v1::EndSessionRequest* request,
                                       v1::EndSessionResponse* response) override;
  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context,
                                   const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override;

 private:
  // Runs `work` on the enrolment thread and finishes `reactor` with what it returns; refuses at once
  // when the queue is full.
  void Enqueue(grpc::ServerUnaryReactor* reactor, absl::string_view method, std::string peer,
               std::function<absl::Status()> work);

  GateCore* const core_;
  Worker enrollments_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GATE_SERVICE_H_
