// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_doctor.h"

#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/cli/gate/gate_check.h"
#include "src/cli/gate/gate_registry.h"
#include "src/cli/terminal/plural.h"
#include "src/cli/terminal/time_text.h"
#include "src/crypto/certificate.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/token/live_trust.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

using Level = Finding::Level;

constexpr absl::Duration kSoon = absl::Hours(24 * 30);
constexpr int64_t kMebi = 1 << 20;
constexpr int64_t kLeastFree = 64 * kMebi, kLittleFree = 512 * kMebi;
// Beside the two of each connection: files, the registry, sockets.
constexpr uint64_t kOwnDescriptors = 256;

void CheckFile(const ConfigCheck& check, const std::string& path, std::vector<Finding>& findings) {
  for (const std::string& mistake : check.mistakes) {
    findings.push_back(
        {Level::kBad, "config", mistake, "a gate does not start with it",
         absl::StrCat("edit ", path, ", then: forekey-gate check-config --config ", path)});
  }
  for (const std::string& warning : check.warnings) {
    findings.push_back(
        {Level::kNote,
         absl::StrContains(warning, "nobody can enrol") ? "nobody-can-enrol" : "config", warning,
         "what most gates need is not there", absl::StrCat("edit ", path, " (docs/CONFIG.md)")});
  }
  if (check.mistakes.empty()) {
    findings.push_back({Level::kGood, "config", absl::StrCat(path, " has no mistakes"), "", ""});
  }
}

std::string HostOf(absl::string_view address) {
  absl::string_view host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

bool IsForHost(const Certificate& leaf, const std::string& host) {
  return X509_check_host(leaf.x509(), host.c_str(), host.size(), 0, nullptr) == 1 ||
         X509_check_ip_asc(leaf.x509(), host.c_str(), 0) == 1;
}

void CheckCertificate(const GateConfig& config, absl::Time now, std::vector<Finding>& findings) {
  const absl::StatusOr<std::string> pem = ReadFile(config.tls.certificate);
  if (!pem.ok()) return;  // a mistake that was told
  const auto chain = Certificate::ParseAll(*pem);
  if (!chain.ok()) return;
  const Certificate& leaf = chain->front();
  const std::string end = LocalTimeText(leaf.not_after());
  constexpr char kRenew[] =
      "put a new one in its place (the gate reads it by itself), or: forekey-gate tls renew";
  if (leaf.not_after() <= now) {
    findings.push_back({Level::kBad, "certificate-expired",
                        absl::StrCat("the TLS certificate ended on ", end),
                        "no client that looks at it connects any more", kRenew});
  } else if (leaf.not_after() < now + kSoon) {
    findings.push_back({Level::kNote, "certificate-ends-soon",
                        absl::StrCat("the TLS certificate ends on ", end),
                        "then no client connects any more", kRenew});
  } else {
    findings.push_back({Level::kGood, "certificate",
                        absl::StrCat("the TLS certificate is good until ", end), "", ""});
  }
  const std::string host = HostOf(config.AdvertisedAddress());
  const bool any = host == "::" || host == "0.0.0.0";
  if (any) {
    findings.push_back({Level::kNote, "advertises-no-host",
                        absl::StrCat("invites name ", config.AdvertisedAddress()),
                        "no workstation can connect to that",
                        "set [listen] advertise = \"NAME:PORT\""});
  } else if (!IsForHost(leaf, host)) {
    findings.push_back({Level::kBad, "certificate-other-name",
                        absl::StrCat("invites name ", host, ", and the certificate is not for it"),
                        "agents refuse to connect",
                        "a certificate with that name, or another [listen] advertise"});
  }
  if (config.tls.ca.empty()) return;
  const auto roots = Certificate::ParseAll(ReadFile(config.tls.ca).value_or(""));
  if (!roots.ok()) return;
  TrustAnchors anchors;
  for (const Certificate& root : *roots) anchors.Add(root);
  PathOptions options;
  options.time = leaf.not_before();  // its dates are told above
  options.leaf_may_be_anchor = true;
  options.understood_critical = {"2.5.29.37", "2.5.29.17"};
  const std::vector<Certificate> between(chain->begin() + 1, chain->end());
  if (const auto path = VerifyPath(leaf, between, anchors, options); !path.ok()) {
    findings.push_back(
        {Level::kBad, "certificate-not-by-ca",
         absl::StrCat("[tls] ca does not vouch for the TLS certificate: ", path.status().message()),
         "who enrolled by this CA can't connect",
         "the CA that issued it in [tls] ca, "
         "or the certificate by the old CA"});
  }
}

// The process that serves the admin socket; nullopt where none does.
std::optional<pid_t> RunningGate(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  std::optional<pid_t> pid;
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
    pid = peer.pid;
  }
  close(fd);
  return pid;
}

// "Max open files  1024  524288  files": the first number; nullopt where it can't be read.
std::optional<uint64_t> DescriptorsOf(pid_t pid) {
  const auto limits = ReadFile(absl::StrCat("/proc/", pid, "/limits"));
  if (!limits.ok()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*limits, '\n')) {
    if (!absl::StartsWith(line, "Max open files")) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t soft = 0;
    if (words.size() > 3 && absl::SimpleAtoi(words[3], &soft)) return soft;
  }
  return std::nullopt;
}

void CheckRunning(const GateConfig& config, std::vector<Finding>& findings) {
  const std::optional<pid_t> pid = RunningGate(config.state.AdminSocketPath());
  if (!pid) {
    findings.push_back({Level::kNote, "not-running", "no gate runs with this configuration",
                        "nobody can call",
                        "sudo systemctl start forekey-gate    (or: forekey-gate "
                        "serve --config FILE)"});
    const absl::Status free =
        ResolveListenAddress(config.listen.address, /*try_bind=*/true).status();
    if (!free.ok()) {
      findings.push_back({Level::kBad, "address-taken", std::string(free.message()),
                          "the gate can't start",
                          "ss -ltnp    (who has it), or another [listen] "
                          "address"});
    }
    return;
  }
  findings.push_back(
      {Level::kGood, "running", absl::StrCat("the gate runs (process ", *pid, ")"), "", ""});
  const std::optional<uint64_t> limit = DescriptorsOf(*pid);
  const uint64_t wanted = 2 * config.connections.total + kOwnDescriptors;
  if (limit && *limit < wanted) {
    findings.push_back({Level::kBad, "few-descriptors",
                        absl::StrCat("the gate may open ", *limit,
                                     " files, and [connections] total "
                                     "is ",
                                     config.connections.total),
                        "with many connections it refuses new ones",
                        absl::StrCat("LimitNOFILE=", wanted, " in its unit, or a smaller total")});
  }
}

void CheckDisk(const GateConfig& config, const GateDoctorOptions& options,
               std::vector<Finding>& findings) {
  std::vector<std::string> folders = {config.state.directory};
  const std::string audit = fs::path(config.AuditPath()).parent_path().string();
  if (config.audit.file != "stderr" && audit != config.state.directory) folders.push_back(audit);
  for (const std::string& folder : folders) {
    const int64_t free = options.free_bytes(folder);
    if (free < 0 || free >= kLittleFree) continue;
    findings.push_back({free < kLeastFree ? Level::kBad : Level::kNote, "disk-full",
                        absl::StrCat(free / kMebi, " MiB are free where ", folder, " is"),
                        config.audit.options.fail_closed
                            ? "a gate that can't write its audit log admits nobody"
                            : "decisions are no longer written to the audit log",
                        absl::StrCat("du -h ", folder, "    (rotate and archive the audit log)")});
  }
}

void CheckRegistry(const GateConfig& config, std::vector<Finding>& findings) {
  const auto registry = OpenRegistryToRead(config);
  if (registry.ok() && *registry == nullptr) {
    findings.push_back({Level::kNote, "no-registry",
                        absl::StrCat("there is no registry yet: ", config.state.RegistryPath()),
                        "nobody is enrolled", "forekey-gate invite --subject NAME"});
    return;
  }
  const absl::Status counted = registry.ok() ? (*registry)->Count().status() : registry.status();
  if (!counted.ok()) {
    findings.push_back({Level::kBad, "registry", std::string(counted.message()),
                        "the gate can't start, or knows nobody",
                        config.state.registry.empty()
                            ? "run this as the gate's user or root; where the file is damaged: "
                              "forekey-gate restore --from BACKUP"
                            : "pg_isready    (is the database there, and may this user use it?)"});
    return;
  }
  const auto credentials = (*registry)->ListCredentials("");
  uint64_t live = 0;
  if (credentials.ok()) {
    for (const CredentialRecord& one : *credentials) live += one.revoked_at ? 0 : 1;
  }
  findings.push_back(
      {live == 0 ? Level::kNote : Level::kGood, live == 0 ? "nobody-enrolled" : "registry",
       absl::StrCat("the registry can be read: ", Plural(live, "credential"), " not revoked"),
       live == 0 ? "nobody can call" : "", live == 0 ? "forekey-gate invite --subject NAME" : ""});
  const std::string keys = config.state.IdentityDirectory() + "/keys";
  struct stat info;
  if (live > 0 && stat(keys.c_str(), &info) != 0) {
    findings.push_back({Level::kBad, "identity-missing", absl::StrCat(keys, " is not there"),
                        "agents are bound to this identity: with a new one all have to enrol again",
                        "put it back from the backup before the gate starts"});
  }
}

// Audiences must be unique: enrolments of one gate would be good at the other.
void CheckNames(const GateConfig& config, const std::string& path, std::vector<Finding>& findings) {
  std::error_code error;
  const fs::path folder = fs::absolute(path, error).parent_path();
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".toml" || fs::equivalent(entry->path(), path, error))
      continue;
    absl::Status elsewhere;
    const auto other = GateConfig::LoadOnly(entry->path().string(), {"audience"}, &elsewhere);
    if (!other.ok() || other->audience != config.audience) continue;
    findings.push_back(
        {Level::kBad, "audience-shared",
         absl::StrCat(entry->path().string(), " has the audience ", config.audience, ", too"),
         "a gate's name is under everything that is signed: two gates that share one "
         "take each other's proofs",
         "another audience for one of them (its credentials have to enrol again)"});
  }
}

void CheckMetadata(const GateConfig& config, std::vector<Finding>& findings) {
  std::string folder = (fs::temp_directory_path() / "forekey-doctor-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return;
  const TokenEnvironment environment{config.audience, folder, &Clock::System()};
  for (const auto& section : config.tokens.sections()) {
    if (!section->Enrols()) continue;
    const auto reading = section->Trust(environment).read();
    if (!reading.ok()) continue;  // a mistake that was told
    const bool over = absl::StrContains(reading->detail, "which is over");
    findings.push_back(
        {over ? Level::kNote : Level::kGood, over ? "metadata-over" : "trust",
         absl::StrCat(TokenKindName(section->kind()), " is trusted by ", reading->detail),
         over ? "models that were reported as compromised since are not known" : "",
         over ? "forekey trust import-mds NEW.jwt --root ROOT.pem" : ""});
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

}  // namespace

GateDoctorOptions GateDoctorOptions::This() {
  GateDoctorOptions options;
  options.now = absl::Now();
  options.free_bytes = [](const std::string& folder) -> int64_t {
    struct statvfs info = {};
    if (statvfs(folder.c_str(), &info) != 0) return -1;
    return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  };
  options.clock_is_synchronised = [] {
    timex status = {};
    return adjtimex(&status) != TIME_ERROR;
  };
  return options;
}

std::vector<Finding> DiagnoseGateMachine(const GateDoctorOptions& options) {
  std::vector<Finding> findings;
  if (!options.clock_is_synchronised()) {
    findings.push_back({Level::kNote, "clock-not-synchronised",
                        "nothing keeps this machine's clock right, says the kernel",
                        "certificates, revocation lists and ID tokens are judged by it",
                        "sudo timedatectl set-ntp true"});
  }
  const ConfigCheck check = CheckGateConfig(options.config_file);
  CheckFile(check, options.config_file, findings);
  if (check.config == nullptr) return findings;
  const GateConfig& config = *check.config;
  CheckCertificate(config, options.now, findings);
  CheckMetadata(config, findings);
  CheckRegistry(config, findings);
  CheckDisk(config, options, findings);
  CheckNames(config, options.config_file, findings);
  CheckRunning(config, findings);
  return findings;
}

}  // namespace forekey
