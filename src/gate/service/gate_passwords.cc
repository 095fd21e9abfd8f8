// GateCore's administration of passwords.
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

absl::StatusOr<v1::SetPasswordResponse> GateCore::SetPassword(const v1::SetPasswordRequest& request,
                                                              absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().FindSubject(request.subject()).status());
  std::string hash;
  if (!request.password().empty()) {
    if (!passwords_) {
      return absl::FailedPreconditionError("the config has no [factors.password]");
    }
    FOREKEY_ASSIGN_OR_RETURN(hash, passwords_->Hash(Secret::CopyOf(request.password())));
  }
  FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "SetPassword", request.subject(),
                                      hash.empty() ? "password taken away" : "password set"));
  FOREKEY_RETURN_IF_ERROR(
      credentials_->SetPasswordHash(request.subject(), hash, clock_->WallNow()));
  return v1::SetPasswordResponse();
}

}  // namespace forekey
