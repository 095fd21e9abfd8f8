// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/manufacture.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "simulators/process.h"
#include "simulators/tpm/certificate_authority.h"
#include "simulators/tpm/swtpm_process.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr uint32_t kP256CertificateIndex = 0x01c0000a;
constexpr uint32_t kIntermediateIndex = 0x01c00100;

struct Paths {
  explicit Paths(const std::string& directory)
      : swtpm(directory + "/swtpm"),
        ca(directory + "/ca"),
        trust(directory + "/trust"),
        log(directory + "/manufacture.log"),
        setup_config(ca + "/swtpm_setup.conf"),
        ca_config(ca + "/swtpm-localca.conf"),
        ca_options(ca + "/swtpm-localca.options") {}
  std::string swtpm, ca, trust, log, setup_config, ca_config, ca_options;
};

absl::Status WriteConfigs(const Paths& paths) {
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(
      paths.setup_config, absl::StrCat("create_certs_tool = /usr/bin/swtpm_localca\n",
                                       "create_certs_tool_config = ", paths.ca_config, "\n",
                                       "create_certs_tool_options = ", paths.ca_options, "\n",
                                       "active_pcr_banks = sha256\n")));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(
      paths.ca_options,
      "--platform-manufacturer Forekey\n--platform-version 1.0\n--platform-model Simulator\n"));
  return WriteFileAtomically(
      paths.ca_config,
      absl::StrCat("statedir = ", paths.ca, "\n", "signingkey = ", paths.ca, "/signkey.pem\n",
                   "issuercert = ", paths.ca, "/issuercert.pem\n", "certserial = ", paths.ca,
                   "/certserial\n"));
}

absl::Status RunSetup(const Paths& paths, const ManufactureOptions& options) {
  SpawnOptions setup;
  setup.argv = {"swtpm_setup", "--tpm2",    "--config",   paths.setup_config,
                "--tpm-state", paths.swtpm, "--createek", "--lock-nvram",
                "--overwrite", "--logfile", paths.log};
  if (options.ek_certificates) {
    setup.argv.push_back("--create-ek-cert");
    setup.argv.push_back("--create-platform-cert");
  }
  return RunTool(setup).status();
}

// swtpm_setup certifies no P-256 EK, which most real machines have.
absl::Status AddP256Certificate(const std::string& directory, const Paths& paths, RawTpm tpm) {
  RawTpm::Point point;
  FOREKEY_ASSIGN_OR_RETURN(uint32_t handle, tpm.LoadP256EndorsementKey(&point));
  FOREKEY_RETURN_IF_ERROR(tpm.Flush(handle));
  SpawnOptions sign;
  sign.argv = {"swtpm_localca",
               "--type",
               "ek",
               "--ek",
               absl::StrCat("x=", absl::BytesToHexString(point.x),
                            ",y=", absl::BytesToHexString(point.y), ",id=secp256r1"),
               "--dir",
               directory,
               "--vmid",
               "forekey-sim",
               "--tpm2",
               "--tpm-spec-family",
               "2.0",
               "--tpm-spec-level",
               "0",
               "--tpm-spec-revision",
               "164",
               "--tpm-manufacturer",
               "id:00001014",
               "--tpm-model",
               "swtpm",
               "--tpm-version",
               "id:20191023",
               "--configfile",
               paths.ca_config,
               "--optsfile",
               paths.ca_options,
               "--logfile",
               paths.log};
  FOREKEY_RETURN_IF_ERROR(RunTool(sign).status());
  FOREKEY_ASSIGN_OR_RETURN(std::string certificate, ReadFile(directory + "/ek.cert", 8192));
  std::error_code ignored;
  std::filesystem::remove(directory + "/ek.cert", ignored);
  return tpm.WriteNv(kP256CertificateIndex, certificate);
}

absl::Status FillNv(const std::string& directory, const Paths& paths,
                    const CertificateAuthority& authority) {
  FOREKEY_ASSIGN_OR_RETURN(auto swtpm, SwtpmProcess::Start(directory));
  FOREKEY_RETURN_IF_ERROR(AddP256Certificate(directory, paths, swtpm->raw()));
  if (!authority.intermediate_der.empty()) {
    FOREKEY_RETURN_IF_ERROR(swtpm->raw().WriteNv(kIntermediateIndex, authority.intermediate_der));
  }
  return swtpm->Stop();
}

}  // namespace

absl::Status ManufactureTpm(const std::string& directory, const ManufactureOptions& options) {
  if (std::filesystem::exists(directory + "/made")) return absl::OkStatus();
  const Paths paths(directory);
  for (const std::string& path : {directory, paths.swtpm, paths.ca, paths.trust}) {
    FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(path));
  }
  FOREKEY_ASSIGN_OR_RETURN(CertificateAuthority authority,
                           MakeCertificateAuthority(options.intermediate));
  FOREKEY_RETURN_IF_ERROR(
      WriteFileAtomically(paths.ca + "/signkey.pem", authority.signing_key_pem.view(), 0600));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(paths.ca + "/issuercert.pem", authority.issuer_pem));
  FOREKEY_RETURN_IF_ERROR(
      WriteFileAtomically(paths.trust + "/forekey-sim-tpm-root.pem", authority.root_pem));
  FOREKEY_RETURN_IF_ERROR(WriteConfigs(paths));
  FOREKEY_RETURN_IF_ERROR(RunSetup(paths, options));
  if (options.ek_certificates) FOREKEY_RETURN_IF_ERROR(FillNv(directory, paths, authority));
  return WriteFileAtomically(directory + "/made", "forekey-sim tpm 1\n");
}

}  // namespace forekey
