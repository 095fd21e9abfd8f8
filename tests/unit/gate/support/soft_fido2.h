// SPDX-License-Identifier: Apache-2.0
// A FIDO2 key in software, enrolled straight into the registry or by its registration: what the
// gate's tests sign WebAuthn assertions with. Every field can be wrong on purpose.
#ifndef FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_FIDO2_H_
#define FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_FIDO2_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"
#include "tests/support/webauthn_maker.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {

struct SoftAssertion {
  std::string signature;
  std::string authenticator_data;
  std::string client_data_json;
};

// What an assertion says, before it is signed.
struct SoftAssertionDraft {
  std::string type = "webauthn.get";
  std::string challenge;  // raw
  std::string origin = absl::StrCat("forekey://", kAudience);
  std::string rp_id{kAudience};
  uint8_t flags = 0x01;
  uint32_t sign_count = 1;
  std::string more_json;
  std::string after;  // extensions, or bytes that must not be there

  SoftAssertion SignWithKey(const SoftwareKey& key) const {
    TestToken token;
    token.rp_id = rp_id;
    token.flags = flags & ~0x40;  // AttestedCredentialData is for `after` to bring
    token.sign_count = sign_count;
    token.after = after;
    SoftAssertion made;
    made.authenticator_data = token.AuthData();
    made.authenticator_data[32] = static_cast<char>(flags);
    made.client_data_json = ClientJson(type, challenge, origin, more_json);
    made.signature = key.Sign(absl::StrCat(made.authenticator_data, Sha256(made.client_data_json)));
    return made;
  }
};

inline SoftAssertionDraft AssertionOver(absl::string_view statement, uint32_t sign_count = 1) {
  SoftAssertionDraft draft;
  draft.challenge = Sha256(statement);
  draft.sign_count = sign_count;
  return draft;
}

// The draft's proof with these assertions, by credential id.
inline std::string SerializeWith(const DeviceProofDraft& draft,
                                 const std::map<std::string, SoftAssertion>& assertions) {
  DeviceProofView view;
  view.challenge = draft.challenge;
  view.channel_binding = draft.channel_binding;
  view.key_share = draft.key_share;
  view.request_digest = draft.request_digest;
  for (const auto& [id, assertion] : assertions) {
    view.assertions.push_back(AssertionView{id, assertion.signature, assertion.authenticator_data,
                                            assertion.client_data_json});
  }
  return SerializePrefix(view);
}

// A credential of a FIDO2 key in the registry, as an enrolment leaves it.
inline Token EnrollSoftFido2(Registry& registry, const std::string& subject, absl::Time now,
                             Algorithm algorithm = Algorithm::kEs256, uint32_t sign_count = 0,
                             bool backup_eligible = false, absl::string_view format = "packed") {
  const Token token = MakeToken(subject, algorithm);
  InviteRecord invite;
  invite.public_key = RandomBytes(32);
  invite.id = Sha256(invite.public_key);
  invite.subject = subject;
  invite.created_at = now;
  invite.expires_at = now + absl::Hours(1);
  EXPECT_TRUE(registry.AddInvite(invite).ok());
  Registry::Enrollment enrollment;
  enrollment.invite_id = invite.id;
  enrollment.now = now;
  CredentialRecord& record = enrollment.credential;
  record.id = token.id;
  record.subject = subject;
  record.kind = v1::TOKEN_KIND_FIDO2;
  record.algorithm = static_cast<int>(algorithm);
  record.spki = token.key->public_key().spki();
  record.factors = {"fido2"};
  record.proved_json = absl::StrCat(R"({"flags":{"be":)", backup_eligible ? "true" : "false",
                                    R"(},"format":")", format, "\"}");
  record.rp_id = std::string(kAudience);
  record.origin = absl::StrCat("forekey://", kAudience);
  record.sign_count = sign_count;
  record.enrolled_at = now;
  const absl::Status enrolled = registry.Enroll(enrollment);
  EXPECT_TRUE(enrolled.ok()) << enrolled;
  return token;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_GATE_SUPPORT_SOFT_FIDO2_H_
