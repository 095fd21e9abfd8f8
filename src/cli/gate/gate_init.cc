// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_init.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/gate/call/certificates.h"
#include "src/gate/config/config.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/grpc/tls_keys.h"
#include "src/gate/token/tpm_config.h"
#include "src/verify/jwk_set.h"

namespace forekey {
namespace {

constexpr absl::Duration kCertificateLifetime = absl::Hours(24 * 365);

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

std::string ConfigText(const GateInitOptions& options, const std::string& advertise) {
  std::string text = absl::StrCat(
      "# A gate's configuration: every key is in docs/CONFIG.md. Relative paths are taken from "
      "here.\n"
      "audience = ",
      Quoted(options.audience), "   # the gate's own name: enrolments are bound to it\n\n",
      "[listen]\naddress = ", Quoted(options.listen), "\n", "advertise = ", Quoted(advertise),
      "   # what invites name\n\n", "[tls]\n",
      "certificate = \"tls/certificate.pem\"   # self-signed by `forekey-gate init`: for "
      "development\n",
      "private_key = \"tls/key.pem\"\n",
      "ca = \"tls/certificate.pem\"            # goes into invites, so that clients trust it\n\n",
      "[state]\ndirectory = \"state\"\n");
  if (!options.tpm_trust.empty() || !options.tpm_simulator_trust.empty()) {
    absl::StrAppend(&text, "\n[attestation.tpm]\n");
    if (!options.tpm_trust.empty())
      absl::StrAppend(&text, "trust = ", Quoted(options.tpm_trust), "\n");
    if (!options.tpm_simulator_trust.empty()) {
      absl::StrAppend(&text,
                      "insecure_simulators = true   # never in production\nsimulator_trust = ",
                      Quoted(options.tpm_simulator_trust), "\n");
    }
  }
  return text;
}

absl::Status CheckFolder(absl::string_view key, const std::string& folder) {
  if (folder.empty()) return absl::OkStatus();
  std::vector<std::string> skipped;
  absl::StatusOr<TrustAnchors> anchors = TrustAnchors::FromDirectory(folder, &skipped);
  if (!anchors.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", anchors.status().message()));
  }
  if (!skipped.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", absl::StrJoin(skipped, "; ")));
  }
  if (anchors->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", folder, " holds no certificate"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> InitGate(const GateInitOptions& options) {
  const std::string config_path = options.directory + "/gate.toml";
  if (access(config_path.c_str(), F_OK) == 0) {
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
  FOREKEY_ASSIGN_OR_RETURN(SelfSignedCertificate certificate,
                           MakeSelfSignedCertificate(hosts, absl::Now(), kCertificateLifetime));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(options.directory));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(options.directory + "/tls"));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(options.directory + "/state"));
  FOREKEY_RETURN_IF_ERROR(
      WriteFileAtomically(options.directory + "/tls/key.pem", certificate.key_pem, 0600));
  FOREKEY_RETURN_IF_ERROR(
      WriteFileAtomically(options.directory + "/tls/certificate.pem", certificate.certificate_pem));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(config_path, text));
  return config_path;
}

namespace {

// Files alone: whether keys can be fetched is what `providers --refresh` says.
absl::Status CheckProvider(const OidcProviderConfig& provider) {
  const auto named = [&](const char* key, const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat("factors.oidc.provider.", key, " of ",
                                                   provider.token.issuer, ": ", status.message()));
  };
  if (!provider.jwks_file.empty()) {
    const absl::StatusOr<std::string> text = ReadFile(provider.jwks_file, kMaxJwkSetSize);
    const absl::Status keys = text.ok() ? JwkSet::Parse(*text).status() : text.status();
    if (!keys.ok()) return named("jwks_file", keys);
  }
  if (!provider.ca.empty()) {
    if (absl::Status ca = ReadFile(provider.ca, kMaxJwkSetSize).status(); !ca.ok())
      return named("ca", ca);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGateConfig(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(GateConfig config, GateConfig::Load(path));
  std::vector<std::string> errors;
  auto note = [&errors](const absl::Status& status) {
    if (!status.ok()) errors.emplace_back(status.message());
  };
  absl::Status pair = ReadTlsKeyPair(config.tls.certificate, config.tls.private_key).status();
  note(pair);
  if (pair.ok()) {
    note(AcceptedCertificates::New(
             {.own_files = {config.tls.certificate}, .folder = config.tls.accepted_certificates},
             Clock::System())
             .status());
  }
  const TpmConfig& tpm = config.tokens.Get<TpmConfig>();
  note(CheckFolder("attestation.tpm.trust", tpm.trust));
  note(CheckFolder("attestation.tpm.simulator_trust", tpm.simulator_trust));
  for (const OidcProviderConfig& provider : config.factors.Get<OidcSection>().config.providers)
    note(CheckProvider(provider));
  note(ResolveListenAddress(config.listen.address, /*try_bind=*/false).status());
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
}

}  // namespace forekey
