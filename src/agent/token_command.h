// SPDX-License-Identifier: Apache-2.0
// The command that gives ID tokens for one gate, as the user configured it (docs/AGENT.md, "ID
// tokens").
//
// Threats that are answered here, each with its test in tests/unit/agent/token_command_test.cc:
//   a program on the agent's socket has a command run   -> the command comes from a file of the
//   user's alone a gate asks for a token that is meant for another    -> issuer and client come
//   from that file, and a
//                                                           token that says otherwise is not sent
//   words of the environment become a shell's            -> no shell: an argument list
//   a command that hangs, floods or leaves children       -> time and output are bounded, its group
//   is ended
#ifndef FOREKEY_SRC_AGENT_TOKEN_COMMAND_H_
#define FOREKEY_SRC_AGENT_TOKEN_COMMAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/secret.h"

namespace forekey {

struct CallControl;

struct TokenCommand {
  std::vector<std::string>
      argv;  // the program (looked for in PATH unless it has a slash), its arguments
  std::string issuer;
  std::string client_id;
  absl::Duration timeout = absl::Minutes(2);

  // {"command": [...], "issuer": "...", "client_id": "...", "timeout_s": 120}. InvalidArgument
  // naming the member; a member that is not known is a mistake.
  static absl::StatusOr<TokenCommand> Parse(absl::string_view json);

  // Runs it and gives what it wrote to its standard output, an ID token, without white space around
  // it. `said` is told each line of its standard error as soon as it is there, one without an end
  // when nothing follows it; never what it wrote to its standard output. Its environment is the
  // agent's, with FOREKEY_GATE, FOREKEY_OIDC_ISSUER, FOREKEY_OIDC_CLIENT_ID and FOREKEY_OIDC_NONCE.
  // Blocks. Errors say what the command said on its standard error (at most 2 KiB):
  // FailedPrecondition where it failed, was too slow, or wrote no token; kIdTokenIssuer,
  // kIdTokenAudience, kIdTokenNonce where the token is another one than asked for (one without a
  // nonce is passed on: the gate decides); Cancelled.
  using Said = std::function<void(absl::string_view line)>;
  absl::StatusOr<Secret> Run(absl::string_view gate, absl::string_view nonce,
                             const CallControl& call, const Said& said = nullptr) const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_TOKEN_COMMAND_H_
