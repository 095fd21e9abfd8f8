// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/crypto/certificate.h"
#include "src/gate/call/certificates.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/service/rule_factors.h"
#include "src/gate/token/live_trust.h"
#include "src/store/sqlite_registry.h"
#include "src/verify/jwk_set.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfig = 1 << 20;

// Collects what is wrong, each with the place of its key.
class Checker {
 public:
  Checker(std::string path, ConfigCheck* check) : path_(std::move(path)), check_(check) {}

  void Note(absl::string_view key, const absl::Status& status) {
    if (status.ok()) return;
    // Some messages begin with their key already.
    absl::string_view what = status.message();
    absl::ConsumePrefix(&what, absl::StrCat(key, ": "));
    for (absl::string_view line : absl::StrSplit(what, '\n')) {
      check_->mistakes.push_back(absl::StrCat(ConfigPlace(path_, key), key, ": ", line));
    }
  }
  void Warn(absl::string_view key, absl::string_view what) {
    check_->warnings.push_back(absl::StrCat(ConfigPlace(path_, key), what));
  }

 private:
  const std::string path_;
  ConfigCheck* check_;
};

void CheckTls(const GateConfig& config, Checker& checker) {
  const GateConfig::Tls& tls = config.tls;
  if (tls.certificate.empty() || tls.private_key.empty()) return;  // said already
  const absl::StatusOr<TlsKeyPair> pair = ReadTlsKeyPair(tls.certificate, tls.private_key);
  // Each missing file is a mistake of its own.
  const bool certificate = access(tls.certificate.c_str(), R_OK) == 0;
  const bool key = access(tls.private_key.c_str(), R_OK) == 0;
  if (!certificate) checker.Note("tls.certificate", ReadFile(tls.certificate).status());
  if (!key) checker.Note("tls.private_key", ReadFile(tls.private_key).status());
  if (certificate && key) checker.Note("tls.certificate", pair.status());
  if (pair.ok()) {
    checker.Note(
        "tls.accepted_certificates",
        AcceptedCertificates::New(
            {.own_files = {tls.certificate}, .folder = tls.accepted_certificates}, Clock::System())
            .status());
  }
  if (tls.ca.empty()) return;
  const absl::StatusOr<std::string> ca = ReadFile(tls.ca, kMaxConfig);
  checker.Note("tls.ca", ca.ok() ? Certificate::ParseAll(*ca).status() : ca.status());
}

// `folder`: a temporary one in the place of the state folder, in which metadata keeps its number,
// so that a check changes nothing.
void CheckTrust(const GateConfig& config, const std::string& folder, Checker& checker) {
  std::error_code ignored;
  fs::copy_file(config.state.directory + "/fido-mds.json", folder + "/fido-mds.json", ignored);
  const TokenEnvironment environment{config.audience, folder, &Clock::System()};
  bool enrols = false;
  for (const auto& section : config.tokens.sections()) {
    if (!section->Enrols()) continue;
    enrols = true;
    const TrustSource source = section->Trust(environment);
    const absl::StatusOr<TrustReading> reading = source.read();
    if (!reading.ok()) {
      // "attestation.piv.trust: ...": the key that it is about.
      const absl::string_view message = reading.status().message();
      const absl::string_view key = message.substr(0, message.find(": "));
      checker.Note(absl::StartsWith(key, source.name) ? key : absl::string_view(source.name),
                   reading.status());
      continue;
    }
    for (const std::string& file : reading->left_out) checker.Warn(source.name, file);
  }
  if (!enrols) {
    checker.Warn("attestation",
                 "nobody can enrol: no [attestation.tpm], [attestation.fido2] or [attestation.piv] "
                 "says which hardware is trusted (docs/CONFIG.md)");
  }
}

// Files alone: whether keys can be fetched is what `providers --refresh` says.
void CheckProviders(const GateConfig& config, Checker& checker) {
  for (const OidcProviderConfig& provider : config.factors.Get<OidcSection>().config.providers) {
    const auto named = [&](absl::string_view key, const absl::Status& status) {
      if (status.ok()) return;
      checker.Note(absl::StrCat("factors.oidc.provider.", key, " of ", provider.token.issuer),
                   status);
    };
    if (!provider.jwks_file.empty()) {
      const absl::StatusOr<std::string> text = ReadFile(provider.jwks_file, kMaxJwkSetSize);
      named("jwks_file", text.ok() ? JwkSet::Parse(*text).status() : text.status());
    }
    if (!provider.ca.empty()) named("ca", ReadFile(provider.ca, kMaxJwkSetSize).status());
  }
}

// Whether each factor that a rule asks for can be proved here; the registry is an empty one.
void CheckRules(const GateConfig& config, const std::string& folder, ConfigCheck& check) {
  const auto registry = SqliteRegistry::Open(folder + "/registry.sqlite");
  if (!registry.ok()) return check.mistakes.emplace_back(registry.status().message()), void();
  const GateFactors factors(config.factors,
                            FactorEnvironment{registry->get(), &Clock::System(), nullptr});
  const absl::Status rules = CheckRuleFactors(config.rules, config.file, factors, config.tokens);
  if (!rules.ok()) check.mistakes.emplace_back(rules.message());
}

void CheckPlaces(const GateConfig& config, Checker& checker) {
  checker.Note("listen.address",
               ResolveListenAddress(config.listen.address, /*try_bind=*/false).status());
  struct stat info;
  const std::string& state = config.state.directory;
  if (!state.empty() && stat(state.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) {
      checker.Note("state.directory", absl::FailedPreconditionError(state + " is not a folder"));
    } else if ((info.st_mode & 077) != 0) {
      checker.Note("state.directory", absl::FailedPreconditionError(absl::StrCat(
                                          state, " is open to others: run chmod 700 ", state)));
    }
  }
  const auto folder_of = [&](absl::string_view key, const std::string& file) {
    const std::string folder = fs::path(file).parent_path().string();
    if (file.empty() || file == "stderr" || folder.empty() || folder == state) return;
    if (stat(folder.c_str(), &info) != 0) {
      checker.Note(key, absl::NotFoundError(absl::StrCat("there is no folder ", folder)));
    }
  };
  folder_of("audit.file", config.audit.file);
  folder_of("audit.heads_file", config.audit.options.heads_file);
}

}  // namespace

std::string ConfigPlace(const std::string& path, absl::string_view key) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxConfig);
  if (!text.ok()) return absl::StrCat(path, ": ");
  ConfigReader reader(*text, path);
  ConfigTable table = reader.Root();
  std::vector<std::string> words = absl::StrSplit(key.substr(0, key.find(' ')), '.');
  int line = 0;
  for (size_t i = 0; i < words.size() && table.Has(words[i]); ++i) {
    line = table.LineOf(words[i]);
    if (i + 1 < words.size()) table = table.Table(words[i]);
  }
  return line > 0 ? absl::StrCat(path, ":", line, ": ") : absl::StrCat(path, ": ");
}

ConfigCheck CheckGateConfig(const std::string& path) {
  ConfigCheck check;
  absl::Status mistakes;
  // What stands in a table with a mistake is looked at, too: a person mends everything at once.
  absl::StatusOr<GateConfig> config = GateConfig::LoadOnly(path, {}, &mistakes);
  const absl::Status read = config.ok() ? mistakes : config.status();
  if (config.ok()) check.config = std::make_unique<GateConfig>(*std::move(config));
  for (absl::string_view line : absl::StrSplit(read.message(), '\n', absl::SkipEmpty())) {
    check.mistakes.emplace_back(line);
  }
  if (check.config == nullptr) return check;
  Checker checker(path, &check);
  CheckTls(*check.config, checker);
  CheckProviders(*check.config, checker);
  CheckPlaces(*check.config, checker);
  std::string folder = (fs::temp_directory_path() / "forekey-check-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    check.mistakes.push_back(absl::StrCat("can't make ", folder, ": ", strerror(errno)));
    return check;
  }
  std::error_code ignored;
  absl::Cleanup remove = [&] { fs::remove_all(folder, ignored); };
  CheckTrust(*check.config, folder, checker);
  CheckRules(*check.config, folder, check);
  return check;
}

}  // namespace forekey
