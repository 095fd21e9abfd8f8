// SPDX-License-Identifier: Apache-2.0
#include "src/client/device_proof.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

absl::Status CheckSize(absl::string_view name, absl::string_view bytes, size_t size,
                       bool may_be_empty) {
  if (bytes.size() == size || (may_be_empty && bytes.empty())) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the ", name, " has ", bytes.size(), " bytes instead of ", size));
}

absl::Status CheckInput(const DeviceProofInput& input, const std::vector<Signer>& sorted) {
  if (!IsWellFormedAudience(input.audience)) {
    return absl::InvalidArgumentError("the audience is not well-formed");
  }
  if (!IsWellFormedMethod(input.method)) {
    return absl::InvalidArgumentError("the method is not /package.Service/Method");
  }
  FOREKEY_RETURN_IF_ERROR(CheckSize("challenge", input.challenge, kChallengeSize, false));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("channel binding", input.channel_binding, kChannelBindingSize, false));
  FOREKEY_RETURN_IF_ERROR(CheckSize("key share", input.key_share, kKeyShareSize, true));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("request digest", input.request_digest, kRequestDigestSize, true));
  if (sorted.empty() || sorted.size() > kMaxAssertions) {
    return absl::InvalidArgumentError("a device proof takes one to three credentials");
  }
  for (size_t i = 0; i < sorted.size(); ++i) {
    FOREKEY_RETURN_IF_ERROR(
        CheckSize("credential id", sorted[i].credential_id, kCredentialIdSize, false));
    if (i > 0 && sorted[i].credential_id == sorted[i - 1].credential_id) {
      return absl::InvalidArgumentError("the same credential twice");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DeviceProof> MakeDeviceProof(const DeviceProofInput& input,
                                            std::vector<Signer> signers) {
  std::sort(signers.begin(), signers.end(),
            [](const Signer& a, const Signer& b) { return a.credential_id < b.credential_id; });
  FOREKEY_RETURN_IF_ERROR(CheckInput(input, signers));
  std::vector<absl::string_view> ids;
  for (const Signer& signer : signers) ids.push_back(signer.credential_id);

  CallStatement statement;
  statement.audience = input.audience;
  statement.method = input.method;
  statement.challenge = input.challenge;
  statement.channel_binding = input.channel_binding;
  statement.credential_ids = ids;
  statement.key_share = input.key_share;
  statement.request_digest = input.request_digest;

  DeviceProof result;
  result.statement = BuildStatement(statement);
  std::vector<SignedStatement> parts;
  parts.reserve(signers.size());
  for (const Signer& signer : signers) {
    FOREKEY_ASSIGN_OR_RETURN(SignedStatement part, signer.sign(result.statement));
    parts.push_back(std::move(part));
  }
  DeviceProofView proof;
  proof.challenge = input.challenge;
  proof.channel_binding = input.channel_binding;
  proof.key_share = input.key_share;
  proof.request_digest = input.request_digest;
  for (size_t i = 0; i < signers.size(); ++i) {
    proof.assertions.push_back({signers[i].credential_id, parts[i].signature,
                                parts[i].authenticator_data, parts[i].client_data_json});
  }
  result.prefix = SerializePrefix(proof);
  if (result.prefix.size() > kMaxPrefixSize) {
    return absl::InvalidArgumentError("the tokens' signatures do not fit into one prefix");
  }
  return result;
}

}  // namespace forekey
