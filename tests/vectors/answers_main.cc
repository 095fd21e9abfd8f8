// SPDX-License-Identifier: Apache-2.0
// Answers `forekey-conformance vectors` (docs/CONFORMANCE.md) by the functions that the agent, the
// client library and the gate use. What takes fresh randomness (challenge, seal-factors) is not
// supported.
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/wire/id_token.h"
#include "src/wire/invite.h"
#include "src/wire/prefix.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"
#include "tests/support/hex.h"

namespace forekey {
namespace {

using nlohmann::json;
using testing::FromHex;
using testing::ToHex;
using Answer = absl::StatusOr<json>;

std::string Text(const json& v, const char* name) { return v.at(name).get<std::string>(); }
std::string Bytes(const json& v, const char* name) { return FromHex(Text(v, name)); }
uint64_t Big(const json& v, const char* name) { return std::stoull(Text(v, name)); }

// Strings that live as long as the views of them.
struct Ids {
  explicit Ids(const json& v) {
    for (const json& id : v.at("credential_ids")) ids.push_back(FromHex(id.get<std::string>()));
    views.assign(ids.begin(), ids.end());
  }
  std::vector<std::string> ids;
  std::vector<absl::string_view> views;
};

Answer Compare(const std::string& given, const std::string& right) {
  if (!ConstantTimeEqual(given, right)) return absl::PermissionDeniedError("it does not verify");
  return json::object();
}

// ---- Statements and names ----

Answer OfCredentialId(const json& v) {
  return json{{"credential_id",
               ToHex(CredentialId(Text(v, "audience"), Text(v, "subject"), Bytes(v, "spki")))}};
}

Answer OfStatement(const json& v) {
  const Ids ids(v);
  const std::string audience = Text(v, "audience"), method = Text(v, "method"),
                    challenge = Bytes(v, "challenge"), binding = Bytes(v, "channel_binding"),
                    share = Bytes(v, "key_share"), digest = Bytes(v, "request_digest");
  return json{{"statement", ToHex(BuildStatement(CallStatement{.audience = audience,
                                                               .method = method,
                                                               .challenge = challenge,
                                                               .channel_binding = binding,
                                                               .credential_ids = ids.views,
                                                               .key_share = share,
                                                               .request_digest = digest}))}};
}

Answer OfEnrollStatement(const json& v) {
  const std::string audience = Text(v, "audience"), id = Bytes(v, "enrollment_id"),
                    subject = Text(v, "subject"), spki = Bytes(v, "spki"),
                    binding = Bytes(v, "channel_binding"), challenge = Bytes(v, "challenge");
  return json{{"statement", ToHex(BuildStatement(EnrollStatement{
                                .audience = audience,
                                .enrollment_id = id,
                                .subject = subject,
                                .kind = static_cast<TokenKind>(v.at("kind").get<int>()),
                                .spki = spki,
                                .channel_binding = binding,
                                .challenge = challenge}))}};
}

Answer OfName(const json& v) {
  const std::string kind = Text(v, "kind"), text = Text(v, "text");
  const bool valid = kind == "method"     ? IsWellFormedMethod(text)
                     : kind == "audience" ? IsWellFormedAudience(text)
                                          : IsWellFormedSubject(text);
  if (!valid) return absl::InvalidArgumentError("it is not well-formed");
  return json::object();
}

Answer OfStepUp(const json& v) {
  return json{{"alternatives", StepUp::FromMessage(Text(v, "message")).alternatives()}};
}

// ---- Sessions ----

Answer OfSessionKey(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(auto client, X25519PrivateKey::FromRaw(Bytes(v, "client_private")));
  FOREKEY_ASSIGN_OR_RETURN(const Secret ephemeral, client.Agree(Bytes(v, "gate_share")));
  FOREKEY_ASSIGN_OR_RETURN(const Secret identity, client.Agree(Bytes(v, "identity")));
  const std::string parent = Bytes(v, "parent_key"), salt = Bytes(v, "salt"),
                    transcript = Bytes(v, "transcript"), share = Bytes(v, "gate_share"),
                    id = Bytes(v, "session_id");
  return json{{"session_key", ToHex(DeriveSessionKey({.ephemeral_secret = &ephemeral,
                                                      .identity_secret = &identity,
                                                      .parent_key = parent,
                                                      .salt = salt,
                                                      .transcript = transcript,
                                                      .gate_share = share,
                                                      .session_id = id})
                                        .view())}};
}

Answer CheckConfirmation(const json& v) {
  const std::string id = Bytes(v, "session_id"), share = Bytes(v, "gate_share"),
                    next = Bytes(v, "next_gate_identity"), subject = Text(v, "subject");
  return Compare(Bytes(v, "confirmation"),
                 ComputeConfirmation(Secret::CopyOf(Bytes(v, "session_key")),
                                     {.session_id = id,
                                      .gate_share = share,
                                      .idle_s = v.at("idle_s"),
                                      .absolute_s = v.at("absolute_s"),
                                      .window = v.at("window"),
                                      .next_gate_identity = next,
                                      .subject = subject}));
}

// With `mac`: whether it is the right one.
Answer OfCallMac(const json& v) {
  const std::string id = Bytes(v, "session_id"), method = Text(v, "method"),
                    binding = Bytes(v, "channel_binding"), digest = Bytes(v, "request_digest");
  const CallMacInput input{.session_id = id,
                           .sequence = Big(v, "sequence"),
                           .age_s = v.at("age_s"),
                           .method = method,
                           .channel_binding = binding,
                           .request_digest = digest};
  const HmacSha256 key(Bytes(v, "key"));
  if (!v.contains("mac")) return json{{"mac", ToHex(ComputeCallMac(key, input))}};
  if (!CallMacMatches(key, input, Bytes(v, "mac"))) {
    return absl::PermissionDeniedError("it does not verify");
  }
  return json::object();
}

// With `mac`: whether it is the right one.
Answer OfResumptionMac(const json& v) {
  const std::string audience = Text(v, "audience"), method = Text(v, "method"),
                    ticket = Bytes(v, "ticket"), challenge = Bytes(v, "challenge"),
                    binding = Bytes(v, "channel_binding"), share = Bytes(v, "key_share"),
                    digest = Bytes(v, "request_digest");
  const std::string right = ComputeResumptionMac(
      Bytes(v, "key"), BuildStatement(ResumptionStatement{audience, method, ticket, challenge,
                                                          binding, share, digest}));
  if (!v.contains("mac")) return json{{"mac", ToHex(right)}};
  return Compare(Bytes(v, "mac"), right);
}

Answer OfSealedFactors(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(auto identity, X25519PrivateKey::FromRaw(Bytes(v, "identity_private")));
  const Ids ids(v);
  const std::string audience = Text(v, "audience"), challenge = Bytes(v, "challenge");
  FOREKEY_ASSIGN_OR_RETURN(
      auto factors,
      OpenFactors(Bytes(v, "sealed"), FactorContext{audience, challenge, ids.views}, identity));
  return json{{"password", std::string(factors.password.view())},
              {"id_token", std::string(factors.id_token.view())}};
}

Answer OfIdTokenNonce(const json& v) {
  return json{{"nonce", IdTokenNonce(Text(v, "audience"), Bytes(v, "key_share"), Ids(v).views)}};
}

// ---- Prefixes ----

Answer ParsePrefix(const json& v) {
  const std::string bytes = Bytes(v, "prefix");
  FOREKEY_ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(bytes));
  if (const SessionProofView* session = prefix.session(); session != nullptr) {
    return json{{"session",
                 {{"session_id", ToHex(session->session_id)},
                  {"sequence", std::to_string(session->sequence)},
                  {"age_s", session->age_s},
                  {"mac", ToHex(session->mac)},
                  {"request_digest", ToHex(session->request_digest)}}}};
  }
  if (const ResumptionProofView* resumption = prefix.resumption(); resumption != nullptr) {
    return json{{"resumption",
                 {{"ticket", ToHex(resumption->ticket)},
                  {"challenge", ToHex(resumption->challenge)},
                  {"channel_binding", ToHex(resumption->channel_binding)},
                  {"key_share", ToHex(resumption->key_share)},
                  {"request_digest", ToHex(resumption->request_digest)},
                  {"mac", ToHex(resumption->mac)}}}};
  }
  json assertions = json::array();
  for (const AssertionView& one : prefix.device()->assertions) {
    assertions.push_back({{"credential_id", ToHex(one.credential_id)},
                          {"signature", ToHex(one.signature)},
                          {"authenticator_data", ToHex(one.authenticator_data)},
                          {"client_data_json", ToHex(one.client_data_json)}});
  }
  return json{{"device",
               {{"challenge", ToHex(prefix.device()->challenge)},
                {"channel_binding", ToHex(prefix.device()->channel_binding)},
                {"key_share", ToHex(prefix.device()->key_share)},
                {"request_digest", ToHex(prefix.device()->request_digest)},
                {"assertions", assertions}}}};
}

Answer OfSessionPrefix(const json& v) {
  const std::string id = Bytes(v, "session_id"), mac = Bytes(v, "mac"),
                    digest = Bytes(v, "request_digest");
  SessionProofView proof;
  proof.session_id = id;
  proof.sequence = Big(v, "sequence");
  proof.age_s = v.at("age_s");
  proof.mac = mac;
  proof.request_digest = digest;
  return json{{"prefix", ToHex(SerializePrefix(proof))}};
}

Answer OfResumptionPrefix(const json& v) {
  const std::string ticket = Bytes(v, "ticket"), challenge = Bytes(v, "challenge"),
                    binding = Bytes(v, "channel_binding"), share = Bytes(v, "key_share"),
                    digest = Bytes(v, "request_digest"), mac = Bytes(v, "mac");
  return json{{"prefix", ToHex(SerializePrefix(ResumptionProofView{ticket, challenge, binding,
                                                                   share, digest, mac}))}};
}

Answer OfPrefix(const json& v) {
  if (v.contains("resumption")) return OfResumptionPrefix(v.at("resumption"));
  if (v.contains("session")) return OfSessionPrefix(v.at("session"));
  const json& device = v.at("device");
  std::vector<std::string> kept;
  for (const json& one : device.at("assertions")) {
    for (const char* name :
         {"credential_id", "signature", "authenticator_data", "client_data_json"}) {
      kept.push_back(Bytes(one, name));
    }
  }
  const std::string challenge = Bytes(device, "challenge"),
                    binding = Bytes(device, "channel_binding"), share = Bytes(device, "key_share"),
                    digest = Bytes(device, "request_digest");
  DeviceProofView proof{challenge, binding, share, digest, {}};
  for (size_t i = 0; i < kept.size(); i += 4) {
    proof.assertions.push_back({kept[i], kept[i + 1], kept[i + 2], kept[i + 3]});
  }
  return json{{"prefix", ToHex(SerializePrefix(proof))}};
}

// ---- Invites and enrolment ----

Answer ParseInvite(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(const Invite invite, Invite::Parse(Text(v, "text")));
  json certificates = json::array();
  for (const std::string& one : invite.ca_certificates) certificates.push_back(ToHex(one));
  return json{{"audience", invite.audience},
              {"address", invite.address},
              {"identity_fingerprint", ToHex(invite.identity_fingerprint)},
              {"seed", ToHex(invite.seed.view())},
              {"ca_certificates", certificates}};
}

absl::StatusOr<SoftwareKey> InviteKey(const json& v) {
  Invite invite;
  invite.audience = Text(v, "audience");
  invite.seed = Secret::CopyOf(Bytes(v, "seed"));
  return invite.SigningKey();
}

Answer OfInviteKey(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, InviteKey(v));
  const std::string& spki = key.public_key().spki();  // whose last 32 bytes the raw key is
  return json{{"public_key", ToHex(spki.substr(spki.size() - 32))}};
}

Answer OfInviteSignature(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, InviteKey(v));
  return json{{"signature", ToHex(key.Sign(BuildInviteStatement(
                                Text(v, "label"), Text(v, "audience"), Bytes(v, "payload"))))}};
}

// With `confirmation`: whether it is the right one.
Answer OfEnrollmentConfirmation(const json& v) {
  FOREKEY_ASSIGN_OR_RETURN(auto client, X25519PrivateKey::FromRaw(Bytes(v, "client_private")));
  FOREKEY_ASSIGN_OR_RETURN(const Secret secret, client.Agree(Bytes(v, "identity")));
  const Secret key = DeriveEnrollmentKey(secret, Bytes(v, "challenge"), Text(v, "audience"));
  const std::string right = ComputeEnrollmentConfirmation(
      key, v.at("step"), Bytes(v, "request_payload"), Bytes(v, "response_payload"));
  if (!v.contains("confirmation")) return json{{"confirmation", ToHex(right)}};
  return Compare(Bytes(v, "confirmation"), right);
}

const std::map<std::string, std::function<Answer(const json&)>>& Operations() {
  static const auto* const operations =
      new std::map<std::string, std::function<Answer(const json&)>>{
          {"credential-id", OfCredentialId},
          {"statement", OfStatement},
          {"enroll-statement", OfEnrollStatement},
          {"check-name", OfName},
          {"step-up", OfStepUp},
          {"session-key", OfSessionKey},
          {"check-confirmation", CheckConfirmation},
          {"call-mac", OfCallMac},
          {"check-call-mac", OfCallMac},
          {"resumption-mac", OfResumptionMac},
          {"check-resumption-mac", OfResumptionMac},
          {"open-factors", OfSealedFactors},
          {"id-token-nonce", OfIdTokenNonce},
          {"parse-prefix", ParsePrefix},
          {"serialize-prefix", OfPrefix},
          {"parse-invite", ParseInvite},
          {"invite-key", OfInviteKey},
          {"invite-signature", OfInviteSignature},
          {"enrollment-confirmation", OfEnrollmentConfirmation},
          {"check-enrollment-confirmation", OfEnrollmentConfirmation},
      };
  return *operations;
}

json Answered(const json& asked) {
  json line = {{"id", asked.at("id")}};
  const auto found = Operations().find(Text(asked, "op"));
  if (found == Operations().end()) {
    line["unsupported"] = true;
    return line;
  }
  const Answer answer = found->second(asked.at("input"));
  if (answer.ok()) {
    line["output"] = *answer;
  } else {
    line["refused"] = std::string(answer.status().message());
  }
  return line;
}

}  // namespace
}  // namespace forekey

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << forekey::Answered(nlohmann::json::parse(line)).dump() << std::endl;
  }
  return 0;
}
