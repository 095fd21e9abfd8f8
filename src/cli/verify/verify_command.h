// SPDX-License-Identifier: Apache-2.0
// `forekey verify attestation --kind K ...`: checks evidence offline, for an administrator who asks
// why a machine was refused. One VerifyKind a token kind, each in a file of its own; what they
// share (--trust, --intermediates, --firmware, --at, --json, printing, exit status) is here.
//
// Exit status: 0 the evidence is valid, 1 it is refused, 2 it could not be judged (a missing file,
// a bad flag, an unreadable trust folder). Evidence that does not parse is refused evidence.
#ifndef FOREKEY_SRC_CLI_VERIFY_VERIFY_COMMAND_H_
#define FOREKEY_SRC_CLI_VERIFY_VERIFY_COMMAND_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/crypto/revocation_list.h"
#include "src/wire/firmware_list.h"

namespace forekey {

inline constexpr int kExitOk = 0;
inline constexpr int kExitRefused = 1;
inline constexpr int kExitNotRun = 2;

// The answer to "is this evidence good?".
struct VerifyReport {
  bool valid = false;
  std::string reason;                                // ReasonName; empty when valid
  std::string detail;                                // for people; empty when valid
  nlohmann::json proved = nlohmann::json::object();  // what was proved, also before a refusal

  static VerifyReport Valid(nlohmann::json proved);
  // `refusal` must be a refusal (ReasonOf() has a value).
  static VerifyReport Refused(const absl::Status& refusal,
                              nlohmann::json proved = nlohmann::json::object());

  // {"verdict": "valid"|"refused", "reason": "", "detail": "", "proved": {}}
  nlohmann::json ToJson() const;
  // One fact a line, for people.
  std::string ToText() const;
  int ExitStatus() const { return valid ? kExitOk : kExitRefused; }
};

// What every kind takes. Paths are as the user gave them.
struct VerifyInputs {
  std::string trust;                       // --trust DIR
  std::vector<std::string> intermediates;  // --intermediates F, repeated: DER or PEM bundles
  absl::Time at;                           // --at, else now
  FirmwareList firmware;                   // --firmware FILE; empty asks nothing
};

class VerifyKind {
 public:
  virtual ~VerifyKind() = default;
  virtual absl::string_view name() const = 0;  // the value of --kind
  // What it checks, and examples: the text of `--help --kind <name>`.
  virtual std::string Help() const = 0;
  // Adds the kind's own options; the values live in this object. The shared ones are there already.
  virtual void AddOptions(CLI::App& command) = 0;
  // An error is "could not be run" (exit status 2); a refusal is returned as a VerifyReport.
  virtual absl::StatusOr<VerifyReport> Run(const VerifyInputs& inputs) = 0;
};

// To add a kind: write its file and name its maker here and in the list in verify_command.cc.
std::unique_ptr<VerifyKind> NewVerifyTpm();       // verify_tpm.cc
std::unique_ptr<VerifyKind> NewVerifyWebAuthn();  // verify_webauthn.cc
std::unique_ptr<VerifyKind> NewVerifyPiv();       // verify_piv.cc
// The kinds of `verify assertion`, which takes --kind, --json and the kind's own options alone.
std::unique_ptr<VerifyKind> NewVerifyWebAuthnAssertion();  // verify_webauthn.cc

// Adds `verify attestation` and `verify assertion` to the program. The kind's options depend on
// --kind, so the words of the command line are looked at for it before they are parsed. The
// command's exit status is written to *exit_status, which must outlive the parse, as `out` and
// `err` must.
void AddVerifyCommand(CLI::App& app, const std::vector<std::string>& words, std::ostream& out,
                      std::ostream& err, int* exit_status);

// ---- For the kinds ----

// Turns a status into a report when it is a refusal; hands back any other error (exit status 2).
absl::StatusOr<VerifyReport> RefusedOr(const absl::Status& status,
                                       nlohmann::json proved = nlohmann::json::object());
// The time that --at names; now when it is empty. InvalidArgument for anything but RFC 3339.
absl::StatusOr<absl::Time> ParseAt(const std::string& at);
// A file of evidence, at most 1 MiB. The error names the option.
absl::StatusOr<std::string> ReadEvidenceFile(absl::string_view option, const std::string& path);
// The trust folder: an error when it can't be read. Files that were skipped are named in `skipped`,
// and so is a folder that holds no certificate at all: nothing is trusted then.
absl::StatusOr<TrustAnchors> LoadTrust(const std::string& directory,
                                       std::vector<std::string>* skipped);
// All --intermediates. One that does not parse is named in `skipped` and left out, as a verifier
// leaves out intermediates that don't help; a file that can't be read is an error.
absl::StatusOr<std::vector<Certificate>> LoadIntermediates(const std::vector<std::string>& paths,
                                                           std::vector<std::string>* skipped);
// All files of a repeatable option, one revocation list each. A file that can't be read is an
// error; a list that can't be used is refused (kCrlInvalid).
absl::StatusOr<std::vector<RevocationList>> ReadRevocationLists(
    absl::string_view option, const std::vector<std::string>& paths);
// Hex with or without "0x", ':' or spaces. InvalidArgument names the option.
absl::StatusOr<std::string> ParseHex(absl::string_view option, absl::string_view hex);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_VERIFY_COMMAND_H_
