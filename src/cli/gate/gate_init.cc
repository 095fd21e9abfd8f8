// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_init.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/owned_file.h"
#include "src/base/public_directory.h"
#include "src/base/status.h"
#include "src/cli/gate/gate_tls.h"
#include "src/gate/config/config.h"
#include "src/gate/grpc/self_signed.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kCertificateLifetime = absl::Hours(24 * 365);
constexpr size_t kMaxEmptyConfig = 1 << 16;
constexpr absl::Duration kCaLifetime = absl::Hours(24 * 365 * 20);

// TOML's basic strings: what came from a command line must not become another key.
std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      absl::StrAppend(&quoted, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
      continue;
    }
    quoted.push_back(c);
  }
  return quoted + "\"";
}

// A folder that stands in the configuration, which is read from another folder than the one that
// the person is in.
std::string Placed(const std::string& folder) {
  std::error_code ignored;
  return Quoted(fs::absolute(folder, ignored).lexically_normal().string());
}

// [attestation.KIND] where the options trust something of that kind.
void AddTrust(const GateInitOptions::Trust& trust, absl::string_view kind, std::string& text) {
  if (trust.vendors.empty() && trust.simulators.empty() && trust.mds.empty()) return;
  absl::StrAppend(&text, "\n[attestation.", kind, "]\n");
  if (!trust.vendors.empty()) absl::StrAppend(&text, "trust = ", Placed(trust.vendors), "\n");
  if (!trust.mds.empty()) {
    absl::StrAppend(&text, "mds = ", Placed(trust.mds), "\nmds_root = ", Placed(trust.mds_root),
                    "\n");
  }
  if (!trust.simulators.empty()) {
    absl::StrAppend(&text, "insecure_simulators = true   # never in production\nsimulator_trust = ",
                    Placed(trust.simulators), "\n");
  }
}

std::string ConfigText(const GateInitOptions& options, const std::string& advertise) {
  std::string text = absl::StrCat(
      "# A gate's configuration: every key is in docs/CONFIG.md. Relative paths are taken from "
      "here.\n"
      "audience = ",
      Quoted(options.audience), "   # the gate's own name: enrolments are bound to it\n\n",
      "[listen]\naddress = ", Quoted(options.listen), "\n", "advertise = ", Quoted(advertise),
      "   # what invites name\n\n", "[tls]\n",
      "certificate = \"tls/certificate.pem\"   # by the CA below: forekey-gate tls renew\n",
      "private_key = \"tls/key.pem\"\n",
      "ca = \"tls/ca.pem\"            # of this gate alone; invites bring it to the agents\n\n",
      "[state]\ndirectory = ", options.state.empty() ? "\"state\"" : Placed(options.state), "\n");
  AddTrust(options.tpm, "tpm", text);
  AddTrust(options.fido2, "fido2", text);
  AddTrust(options.piv, "piv", text);
  return text;
}

// Who the gate will run as: everything that it must own is given to that user.
absl::StatusOr<FileOwner> FindOwner(const std::string& user) {
  if (user.empty()) return FileOwner();
  errno = 0;
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        "there is no user ", user,
        ": run systemd-sysusers, which makes it where Forekey's packages are installed"));
  }
  if (geteuid() != 0 && geteuid() != entry->pw_uid) {
    return absl::PermissionDeniedError(
        absl::StrCat("giving files to ", user, " takes root: run it with sudo"));
  }
  return FileOwner{entry->pw_uid, entry->pw_gid};
}

// One that only the gate may enter; what is there already keeps its owner and has to be right.
absl::Status MakeOwned(const std::string& path, const FileOwner& owner) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && owner.uid == info.st_uid) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(path));
  return owner.uid == FileOwner().uid ? absl::OkStatus() : GiveFolder(path, owner);
}

// The configuration's own folder. Where the gate runs as somebody else it holds nothing secret, and
// the gate must be able to read it.
absl::Status MakeConfigFolder(const std::string& path, const FileOwner& owner) {
  if (owner.uid == FileOwner().uid) return EnsurePrivateDirectory(path);
  return MakePublicDirectory(path);
}

// True for a file that says nothing: comments alone, as a package leaves it for `init` to replace.
bool SaysNothing(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxEmptyConfig);
  if (!text.ok()) return false;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!line.empty() && line[0] != '#') return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> InitGate(const GateInitOptions& options) {
  const std::string config_path = options.directory + "/gate.toml";
  if (access(config_path.c_str(), F_OK) == 0 && !SaysNothing(config_path)) {
    return absl::AlreadyExistsError(
        absl::StrCat(config_path, " is there already: nothing was changed"));
  }
  std::vector<std::string> hosts = options.hosts;
  if (hosts.empty()) hosts = {"localhost", "127.0.0.1", "::1"};
  std::string advertise = options.advertise;
  if (advertise.empty()) {
    const size_t colon = options.listen.rfind(':');
    advertise = absl::StrCat(hosts.front(),
                             colon == std::string::npos ? ":7443" : options.listen.substr(colon));
  }
  const std::string text = ConfigText(options, advertise);
  // The whole text is tried before anything is written.
  FOREKEY_RETURN_IF_ERROR(GateConfig::Parse(text, config_path, options.directory).status());
  const absl::Time now = absl::Now();
  FOREKEY_ASSIGN_OR_RETURN(
      const SelfSignedCertificate ca,
      MakeGateCa(absl::StrCat("CA of the gate ", options.audience), now, kCaLifetime));
  FOREKEY_ASSIGN_OR_RETURN(const SelfSignedCertificate certificate,
                           IssueGateCertificate(ca, hosts, now, kCertificateLifetime));
  FOREKEY_ASSIGN_OR_RETURN(const FileOwner owner, FindOwner(options.user));
  const std::string tls = options.directory + "/tls";
  FOREKEY_RETURN_IF_ERROR(MakeConfigFolder(options.directory, owner));
  FOREKEY_RETURN_IF_ERROR(MakeOwned(tls, owner));
  FOREKEY_RETURN_IF_ERROR(
      MakeOwned(options.state.empty() ? options.directory + "/state" : options.state, owner));
  const struct {
    std::string path;
    const std::string& content;
    mode_t mode;
  } files[] = {{tls + "/ca.pem", ca.certificate_pem, 0644},
               {CaKeyPath(tls + "/ca.pem"), ca.key_pem, 0600},
               {tls + "/certificate.pem", certificate.certificate_pem, 0644},
               {tls + "/key.pem", certificate.key_pem, 0600}};
  for (const auto& file : files) {
    FOREKEY_RETURN_IF_ERROR(WriteOwnedFileAtomically(file.path, file.content, file.mode, owner));
  }
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(config_path, text));
  return config_path;
}

}  // namespace forekey
