// SPDX-License-Identifier: Apache-2.0
// Opens and ends sessions, for calls that are verified already (docs/PROTOCOL.md, "Sessions").
#ifndef FOREKEY_SRC_GATE_SESSION_SESSION_OPENER_H_
#define FOREKEY_SRC_GATE_SESSION_SESSION_OPENER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/clock.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/call/certificates.h"
#include "src/gate/factor/gate_factors.h"
#include "src/gate/session/identity.h"
#include "src/gate/session/session_policy.h"
#include "src/store/session_table.h"
#include "src/wire/sealed_factors.h"

namespace forekey {

// What was opened, besides what the client is told.
struct OpenedSession {
  v1::OpenSessionResponse response;
  std::shared_ptr<const Session> session;
  std::string remark;  // for the audit log: whose ID token it was
};

// Everything is borrowed and must outlive this. Safe from any thread.
class SessionOpener {
 public:
  SessionOpener(const SessionPolicy& policy, const Clock& clock, const GateIdentities& identities,
                const AcceptedCertificates& certificates, SessionTable& sessions);

  // `call`: a device proof of OpenSession. Refuses with kRequestDigestMismatch (the request is not
  // the one under the statement), kRequestMalformed (also for further factors),
  // kGateIdentityUnknown, kKeyShareInvalid, kPrefixWrongKind (a call of another method), and what
  // SessionTable::Insert refuses with.
  absl::StatusOr<OpenedSession> Open(const VerifiedCall& call,
                                     const v1::OpenSessionRequest& request);

  // Without this, further factors are refused. Before the first call; borrowed.
  void TakeFactors(absl::string_view audience, const GateFactors& factors) {
    audience_ = std::string(audience);
    factors_ = &factors;
  }

  // `call`: a session proof of OpenChildSession. Besides: kChildNotAllowed for a child,
  // kChannelBindingUnknown for a binding that this gate does not accept. A child's factors keep
  // their proved_at and it ends no later than its parent.
  absl::StatusOr<OpenedSession> OpenChild(const VerifiedCall& call,
                                          const v1::OpenChildSessionRequest& request);

  // `call`: a session proof of EndSession. Ends that session and its children.
  absl::Status End(const VerifiedCall& call);

 private:
  struct Exchange;
  absl::StatusOr<OpenedSession> Establish(const Exchange& exchange, Session::Parts parts);

  const SessionPolicy policy_;
  const Clock& clock_;
  const GateIdentities& identities_;
  const AcceptedCertificates& certificates_;
  // What was proved goes into `parts`; for the audit log: whose ID token it was.
  absl::StatusOr<std::string> AddFurtherFactors(const DeviceCall& device,
                                                const v1::OpenSessionPayload& payload,
                                                Session::Parts& parts);
  absl::StatusOr<std::string> ProveFurther(const DeviceCall& device,
                                           absl::Span<const std::string> ids,
                                           const FurtherFactors& sealed, Session::Parts& parts);

  SessionTable& sessions_;
  std::string audience_;
  const GateFactors* factors_ = nullptr;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_SESSION_OPENER_H_
