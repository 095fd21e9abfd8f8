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
#include "src/gate/call/ticket_keys.h"
#include "src/gate/factor/gate_factors.h"
#include "src/gate/session/identity.h"
#include "src/gate/session/session_policy.h"
#include "src/store/registry.h"
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

  // Without this, no session is resumed, nor has a ticket. Before the first call; borrowed.
  void TakeTickets(TicketKeys& tickets, Registry& registry) {
    tickets_ = &tickets;
    registry_ = &registry;
  }

  // `call`: a resumption proof. What was resumed before, with its children, is ended where this
  // process has it. Refuses, besides what Open() refuses with: kSessionEnded (it was ended, or its
  // subject was disabled, or a further factor changed), kTicketReplayed (it was resumed before:
  // then all that came of the same opening is ended), kTicketExpired, kStoreUnavailable,
  // kReplayStoreFull.
  absl::StatusOr<OpenedSession> Resume(const VerifiedCall& call,
                                       const v1::ResumeSessionRequest& request);
  // A ticket of a session as it is now; empty where it can't be resumed.
  std::string TicketFor(const Session& session) const;

  // `call`: a session proof of OpenChildSession. Besides: kChildNotAllowed for a child,
  // kChannelBindingUnknown for a binding that this gate does not accept. A child's factors keep
  // their proved_at and it ends no later than its parent.
  absl::StatusOr<OpenedSession> OpenChild(const VerifiedCall& call,
                                          const v1::OpenChildSessionRequest& request);

  // `call`: a session proof of EndSession. Ends that session and its children, and all that was
  // resumed from the same opening: EndHere() in this process, asking nobody; End() durably, where
  // sessions are resumed. `ended_here`: what EndHere() said, which comes first: whether there was
  // any. An error of the registry leaves them ended in this process.
  bool EndHere(const VerifiedCall& call);
  absl::Status End(const VerifiedCall& call, bool ended_here);

 private:
  struct Exchange;
  // `resumed`: it is held (SessionTable::Hold), to be settled once the registry agreed.
  absl::StatusOr<OpenedSession> Establish(const Exchange& exchange, Session::Parts parts,
                                          bool resumed = false);

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
  // Null where no session is resumed. Asked for before any further factor is proved.
  absl::StatusOr<std::shared_ptr<SessionLineage>> NewLineage(const DeviceCall& device) const;
  // After the session that takes its place is in the table, where revocations find it, and before
  // anything is given up for that one.
  absl::Status TakeOver(const SessionTicket& ticket, absl::string_view subject);
  // `idle`: of the session that ends, for which its tickets are good.
  absl::Status EndDurably(const SessionLineage& lineage, absl::string_view subject,
                          absl::Duration idle);

  SessionTable& sessions_;
  std::string audience_;
  const GateFactors* factors_ = nullptr;
  TicketKeys* tickets_ = nullptr;
  Registry* registry_ = nullptr;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_SESSION_OPENER_H_
