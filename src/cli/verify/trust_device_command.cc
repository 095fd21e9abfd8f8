// SPDX-License-Identifier: Apache-2.0
// `forekey trust for-device`: which CA a token here needs, and whether it is there.
#include <openssl/x509v3.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/verify/trust_device_firmware.h"
#include "src/cli/verify/trust_sources.h"
#include "src/cli/verify/trust_subcommands.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

constexpr char kForDeviceHelp[] =
    "Says which CA the hardware of a token here is vouched for by, and whether a gate's folder of\n"
    "trust has it, and what is known of its firmware: by the folder's list (firmware.list) and by\n"
    "Forekey itself. The version is the token's own word; gates go by what it attests.\n"
    "Asks the agent; makes nothing, and asks nobody for a PIN or a touch.\n\n"
    "  forekey trust for-device --trust /etc/forekey/trust\n"
    "  forekey trust for-device --device tpm: --trust ./tpm-roots --json\n";

constexpr size_t kLongestChain = 8;

struct ForDeviceArgs {
  std::string device, trust, socket;
  bool json = false;
};

struct Anchor {
  Certificate certificate;
  std::string file;
};

struct Need {
  std::vector<Certificate> chain;  // of the token's own, its certificate first
  std::optional<Anchor> found;
  std::vector<std::string> addresses;  // where the last one of the chain says its issuer's lies
};

// DIR/KIND, as `forekey trust import` has it, or a folder of that kind alone.
std::string FolderOf(const std::string& trust, const std::string& kind) {
  const std::filesystem::path below = std::filesystem::path(trust) / kind;
  std::error_code error;
  return std::filesystem::is_directory(below, error) ? below.string() : trust;
}

absl::StatusOr<std::vector<Anchor>> ReadAnchors(const std::string& folder) {
  std::vector<Anchor> anchors;
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<SourceFile> files, ReadTrustSource(folder));
  for (const SourceFile& file : files) {
    for (auto& certificate : Certificate::ParseEach(file.bytes)) {
      if (certificate.ok()) anchors.push_back({*std::move(certificate), file.name});
    }
  }
  return anchors;
}

bool IsIssuedBy(const Certificate& one, const Certificate& issuer) {
  return one.IsIssuedByNameOf(issuer) && issuer.key() != nullptr && one.IsSignedBy(issuer.key());
}

// authorityInfoAccess, caIssuers (RFC 5280 section 4.2.2.1). The token's own word, for people.
std::vector<std::string> IssuerAddresses(const Certificate& certificate) {
  std::vector<std::string> addresses;
  const std::unique_ptr<AUTHORITY_INFO_ACCESS, decltype(&AUTHORITY_INFO_ACCESS_free)> access(
      static_cast<AUTHORITY_INFO_ACCESS*>(
          X509_get_ext_d2i(certificate.x509(), NID_info_access, nullptr, nullptr)),
      AUTHORITY_INFO_ACCESS_free);
  for (int i = 0; access != nullptr && i < sk_ACCESS_DESCRIPTION_num(access.get()); ++i) {
    const ACCESS_DESCRIPTION* one = sk_ACCESS_DESCRIPTION_value(access.get(), i);
    if (OBJ_obj2nid(one->method) != NID_ad_ca_issuers || one->location->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = one->location->d.uniformResourceIdentifier;
    addresses.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                           static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  return addresses;
}

absl::StatusOr<Need> FindNeed(const DeviceHardware& hardware, const std::vector<Anchor>& anchors) {
  std::vector<Certificate> own;
  for (const std::string& der : hardware.certificates) {
    absl::StatusOr<Certificate> parsed = Certificate::ParseDer(der);
    if (!parsed.ok()) {
      return absl::DataLossError(
          absl::StrCat("a certificate of the device is damaged: ", parsed.status().message()));
    }
    own.push_back(*std::move(parsed));
  }
  Need need;
  need.chain.push_back(own.front());
  while (need.chain.size() < kLongestChain) {
    const Certificate& last = need.chain.back();
    const auto anchor = std::find_if(anchors.begin(), anchors.end(), [&last](const Anchor& one) {
      return one.certificate.der() == last.der() || IsIssuedBy(last, one.certificate);
    });
    if (anchor != anchors.end()) {
      need.found = *anchor;
      return need;
    }
    const auto next = std::find_if(own.begin(), own.end(), [&](const Certificate& one) {
      const auto same = [&one](const Certificate& known) { return known.der() == one.der(); };
      return IsIssuedBy(last, one) && std::none_of(need.chain.begin(), need.chain.end(), same);
    });
    if (next == own.end()) break;
    need.chain.push_back(*next);
  }
  need.addresses = IssuerAddresses(need.chain.back());
  return need;
}

const char* SourceFor(const std::string& kind) {
  return kind == "tpm" ? "forekey trust fetch microsoft-tpm has nearly all TPM vendors'"
                       : "forekey trust fetch yubico has Yubico's";
}

nlohmann::json NeedJson(const DeviceHardware& hardware, const std::string& folder,
                        const Need& need) {
  nlohmann::json chain = nlohmann::json::array();
  for (const Certificate& one : need.chain) {
    chain.push_back({{"subject", one.SubjectText()},
                     {"issuer", one.IssuerText()},
                     {"sha256", absl::BytesToHexString(one.Fingerprint())}});
  }
  const Certificate& last = need.chain.back();
  nlohmann::json json = {
      {"device", hardware.uri},
      {"kind", hardware.kind},
      {"chain", chain},
      {"needs", last.IssuerText()},
      {"needs_key_id", absl::BytesToHexString(last.AuthorityKeyId().value_or(""))},
      {"trust", folder},
      {"there", need.found.has_value()},
      {"addresses", need.addresses}};
  if (need.found.has_value()) {
    json["anchor"] = {{"subject", need.found->certificate.SubjectText()},
                      {"file", need.found->file}};
  }
  return json;
}

void PrintNeed(const DeviceHardware& hardware, const std::string& folder, const Need& need,
               std::ostream& out) {
  out << Shown(hardware.uri) << " shows\n";
  for (const Certificate& one : need.chain) {
    out << "  " << Shown(one.SubjectText()) << ", by " << Shown(one.IssuerText()) << "\n";
  }
  if (need.found.has_value()) {
    out << "there: " << Shown(need.found->certificate.SubjectText()) << " ("
        << Shown(need.found->file) << " in " << folder << ")\n";
    return;
  }
  const Certificate& last = need.chain.back();
  out << "missing in " << folder << ": " << Shown(last.IssuerText());
  if (const auto id = last.AuthorityKeyId(); id.has_value()) {
    out << ", whose key has the identifier " << absl::BytesToHexString(*id);
  }
  out << "\n" << SourceFor(hardware.kind) << "\n";
  for (const std::string& address : need.addresses) {
    out << "the device says that it lies at " << Shown(address)
        << " (ask its vendor whether that is so)\n";
  }
}

void PrintFirmware(const DeviceHardware& hardware, const DeviceFirmware& firmware,
                   std::ostream& out) {
  if (!firmware.version.empty()) {
    out << Shown(hardware.uri) << " says that its firmware is " << firmware.version << "\n";
  }
  for (const std::string& note : firmware.notes) out << "  " << Shown(note) << "\n";
}

absl::StatusOr<int> LookForDevice(const ForDeviceArgs& args, const ReadHardware& read,
                                  std::ostream& out) {
  FOREKEY_ASSIGN_OR_RETURN(const DeviceHardware hardware, read(args.device, args.socket));
  FOREKEY_ASSIGN_OR_RETURN(const DeviceFirmware firmware,
                           JudgeDeviceFirmware(hardware, args.trust));
  if (!args.json) PrintFirmware(hardware, firmware, out);
  if (hardware.certificates.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        hardware.uri,
        hardware.kind == "fido2"
            ? " shows its certificate at an enrolment alone; forekey trust fetch yubico has "
              "Yubico's CAs, and forekey trust import-mds those of all that FIDO certified"
            : " shows no certificate: a gate takes it by its key alone (TPM), or by the CA that "
              "issued its certificates (smartcard)"));
  }
  const std::string folder = FolderOf(args.trust, hardware.kind);
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Anchor> anchors, ReadAnchors(folder));
  FOREKEY_ASSIGN_OR_RETURN(const Need need, FindNeed(hardware, anchors));
  if (args.json) {
    nlohmann::json json = NeedJson(hardware, folder, need);
    json["firmware"] = firmware.ToJson();
    out << json.dump(2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace)
        << "\n";
  } else {
    PrintNeed(hardware, folder, need, out);
  }
  return need.found.has_value() && !firmware.refused ? kExitOk : kExitRefused;
}

}  // namespace

void AddTrustForDevice(CLI::App& trust, const TrustTerminal& terminal,
                       const ReadHardware& hardware) {
  auto args = std::make_shared<ForDeviceArgs>();
  CLI::App* command = trust.add_subcommand("for-device", kForDeviceHelp);
  command->add_option("--device", args->device,
                      "URI of the device, as forekey devices prints it (default: the only one)");
  command
      ->add_option("--trust", args->trust,
                   "The folder of trust, as forekey trust import fills it, or one of that kind of "
                   "token alone")
      ->type_name("DIR")
      ->required();
  command->add_option("--socket", args->socket,
                      "The agent's socket (default: $FOREKEY_AGENT_SOCKET, else "
                      "$XDG_RUNTIME_DIR/forekey/agent.sock)");
  command->add_flag("--json", args->json,
                    "Print one object: device, chain, needs, there, anchor, firmware");
  command->callback([args, terminal, hardware] {
    const absl::StatusOr<int> status = LookForDevice(*args, hardware, terminal.out);
    if (!status.ok()) {
      terminal.err << "forekey trust for-device: " << Shown(status.status().message()) << "\n";
    }
    *terminal.exit_status = status.value_or(kExitNotRun);
  });
}

}  // namespace forekey
