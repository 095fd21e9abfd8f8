// SPDX-License-Identifier: Apache-2.0
// `forekey trust bundle`: one signed file with an organisation's trust, made in one place and
// applied at every gate.
#include <openssl/pem.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/base/unseen_files.h"
#include "src/cli/verify/trust_bundle.h"
#include "src/cli/verify/trust_bundle_view.h"
#include "src/cli/verify/trust_candidate.h"
#include "src/cli/verify/trust_subcommands.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/openssl.h"
#include "src/verify/fido_metadata.h"
#include "src/verify/firmware_folder.h"

namespace forekey {
namespace {

constexpr size_t kSeedSize = 32;
constexpr size_t kMaxKeyFile = 1 << 14;
constexpr size_t kMaxStem = 150;

constexpr char kBundleFooter[] =
    "Example, at the one place that decides:\n"
    "  forekey trust bundle key --out trust-key.pem          (keep it; give trust-key.pem.pub to "
    "gates)\n"
    "  forekey trust import TrustedTpm.cab --into trust\n"
    "  forekey trust bundle create --from trust --name example.org --number 1 --out trust.payload\n"
    "  forekey trust bundle sign trust.payload --key trust-key.pem --out trust.bundle\n"
    "The list of firmware is text; its form is in docs/TRUST.md:\n"
    "  forekey-firmware-list 1\n"
    "  tpm IFX weak 5.0-5.61 : CVE-2017-15361 (ROCA)\n"
    "  piv yubikey least 5.7.0\n"
    "and at every gate, whose `trust` keys name /etc/forekey/trust/tpm and so on:\n"
    "  forekey trust bundle apply trust.bundle --key trust-key.pem.pub --to /etc/forekey/trust\n"
    "Exit status: 0 done, 1 refused (another key, an older number), 2 could not be run.";

struct BundleArgs {
  std::string file, key, out, directory, name, mds, mds_root, firmware;
  uint64_t number = 0;
  bool json = false;
};

absl::StatusOr<std::string> PemOf(EVP_PKEY* key, bool secret) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  const int written =
      secret ? PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr)
             : PEM_write_bio_PUBKEY(memory.get(), key);
  if (written != 1) return OpenSslError("PEM_write_bio");
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<SoftwareKey> ReadSigningKey(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(std::string text, ReadPrivateFile(path, kMaxKeyFile));
  const Secret pem(std::move(text));
  const BioPtr memory(BIO_new_mem_buf(pem.view().data(), static_cast<int>(pem.size())));
  // No password is asked for: an empty one is tried.
  const EvpPkeyPtr key(
      PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, const_cast<char*>("")));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    OpenSslError("PEM_read_bio_PrivateKey").IgnoreError();
    return absl::InvalidArgumentError(absl::StrCat(path, " is no Ed25519 key without a password"));
  }
  std::string seed(kSeedSize, '\0');
  size_t size = seed.size();
  if (EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<uint8_t*>(seed.data()), &size) !=
      1) {
    return OpenSslError("EVP_PKEY_get_raw_private_key");
  }
  absl::StatusOr<SoftwareKey> signing = SoftwareKey::Ed25519FromSeed(seed);
  Wipe(seed);
  return signing;
}

absl::StatusOr<PublicKey> ReadVerifyingKey(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, kMaxKeyFile));
  const BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const EvpPkeyPtr key(PEM_read_bio_PUBKEY(memory.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    OpenSslError("PEM_read_bio_PUBKEY").IgnoreError();
    return absl::InvalidArgumentError(absl::StrCat(path, " is no public Ed25519 key (PEM)"));
  }
  return PublicKey::FromEvp(key.get());
}

absl::Status MakeKey(const BundleArgs& args, const TrustTerminal& terminal) {
  if (ReadFile(args.out, 1).status().code() != absl::StatusCode::kNotFound) {
    return absl::AlreadyExistsError(absl::StrCat(args.out, " is there already"));
  }
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEdDsa);
  FOREKEY_ASSIGN_OR_RETURN(std::string text, PemOf(key.evp(), /*secret=*/true));
  const Secret pem(std::move(text));
  FOREKEY_ASSIGN_OR_RETURN(const std::string open, PemOf(key.evp(), /*secret=*/false));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(args.out, pem.view(), 0600));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(args.out + ".pub", open, 0644));
  terminal.out << "made " << Shown(args.out) << " (keep it), and " << Shown(args.out)
               << ".pub (for gates)\n";
  return absl::OkStatus();
}

// What is not good by itself would be found out at every gate at once.
absl::Status AddMetadata(const BundleArgs& args, TrustBundle& bundle) {
  if (args.mds.empty()) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const std::string blob, ReadFile(args.mds, kMaxMetadataBlobSize));
  FOREKEY_ASSIGN_OR_RETURN(const std::string root, ReadEvidenceFile("--mds-root", args.mds_root));
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<Certificate> roots, Certificate::ParseAll(root));
  MetadataOptions options;
  options.time = absl::Now();
  std::string& pem = bundle.files["fido-mds-root.pem"];
  for (const Certificate& certificate : roots) {
    options.roots.Add(certificate);
    absl::StrAppend(&pem, TrustPem(certificate));
  }
  FOREKEY_RETURN_IF_ERROR(FidoMetadata::Parse(blob, options).status());
  bundle.files["fido-mds.jwt"] = blob;
  return absl::OkStatus();
}

// As it was written, comments included: --firmware, else the one of the folder. Returns what there
// is, for people.
absl::StatusOr<std::string> AddFirmware(const BundleArgs& args, TrustBundle& bundle) {
  const std::string path =
      args.firmware.empty() ? absl::StrCat(args.directory, "/", kFirmwareListFile) : args.firmware;
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFirmwareList);
  if (args.firmware.empty() && absl::IsNotFound(text.status())) return "no list of firmware";
  FOREKEY_RETURN_IF_ERROR(text.status());
  const absl::StatusOr<FirmwareList> list = FirmwareList::Parse(*text);
  if (!list.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", list.status().message()));
  }
  bundle.files[kFirmwareListFile] = *std::move(text);
  return absl::StrCat(list->entries().size(), " lines on firmware");
}

// "piv/NAME.pem" for the file NAME.crt, "piv/NAME-2.pem" where that one is taken.
std::string BundleName(absl::string_view kind, absl::string_view file, const TrustBundle& bundle) {
  std::string stem(file.substr(0, file.rfind('.')));
  stem.resize(std::min(stem.size(), kMaxStem));
  for (char& c : stem) {
    const bool plain =
        absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
    if (!plain) c = '-';
  }
  std::string name = absl::StrCat(kind, "/", stem, ".pem");
  for (int i = 2; bundle.files.count(name) > 0; ++i) {
    name = absl::StrCat(kind, "/", stem, "-", i, ".pem");
  }
  return name;
}

// The certificates of DIR/KIND, and nothing else that its files hold. Returns how many files.
absl::StatusOr<size_t> AddKind(const std::string& directory, absl::string_view kind,
                               TrustBundle& bundle) {
  const std::string folder = absl::StrCat(directory, "/", kind);
  const absl::StatusOr<std::vector<std::string>> files = ListFilesAndUnseen(folder);
  if (absl::IsNotFound(files.status())) return 0;
  FOREKEY_RETURN_IF_ERROR(files.status());
  for (const std::string& file : *files) {
    const std::string path = absl::StrCat(folder, "/", file);
    FOREKEY_ASSIGN_OR_RETURN(const std::string bytes, ReadEvidenceFile("--from", path));
    const absl::StatusOr<std::vector<Certificate>> certificates = Certificate::ParseAll(bytes);
    if (!certificates.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is no certificate: ", certificates.status().message()));
    }
    std::string& pem = bundle.files[BundleName(kind, file, bundle)];
    for (const Certificate& certificate : *certificates) {
      absl::StrAppend(&pem, TrustPem(certificate));
    }
  }
  return files->size();
}

absl::Status TooLarge() {
  return absl::ResourceExhaustedError(absl::StrCat(
      "it would have more than the ", kMaxTrustBundle >> 20, " MiB that a gate takes"));
}

absl::Status Create(const BundleArgs& args, const TrustTerminal& terminal) {
  TrustBundle bundle;
  bundle.number = args.number;
  bundle.name = args.name;
  bundle.made = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  std::vector<std::string> counts;
  for (TrustKind kind : {TrustKind::kTpm, TrustKind::kFido2, TrustKind::kPiv}) {
    FOREKEY_ASSIGN_OR_RETURN(const size_t count,
                             AddKind(args.directory, TrustKindName(kind), bundle));
    counts.push_back(absl::StrCat(TrustKindName(kind), " ", count));
  }
  FOREKEY_RETURN_IF_ERROR(AddMetadata(args, bundle));
  const bool is_empty = bundle.files.empty();
  FOREKEY_ASSIGN_OR_RETURN(const std::string firmware, AddFirmware(args, bundle));
  if (is_empty) {
    return absl::NotFoundError(
        absl::StrCat(args.directory, " has no tpm, fido2 or piv with certificates in it"));
  }
  const std::string payload = bundle.Serialize();
  if (payload.size() > kMaxTrustBundle / 4 * 3) return TooLarge();  // in base64, signed
  FOREKEY_RETURN_IF_ERROR(TrustBundle::Parse(payload).status());
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(args.out, payload, 0644));
  terminal.out << "made " << Shown(args.out) << ": number " << bundle.number << ", "
               << bundle.files.size() << " files (" << absl::StrJoin(counts, ", ")
               << (args.mds.empty() ? "" : ", FIDO metadata") << "), " << firmware
               << "; not signed yet\n";
  WarnOfDoubtfulFirmware(bundle, terminal.err);
  return absl::OkStatus();
}

absl::Status Sign(const BundleArgs& args, const TrustTerminal& terminal) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string payload, ReadFile(args.file, kMaxTrustBundle));
  if (payload.size() > kMaxTrustBundle / 4 * 3) return TooLarge();  // in base64
  FOREKEY_ASSIGN_OR_RETURN(const TrustBundle bundle, TrustBundle::Parse(payload));
  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, ReadSigningKey(args.key));
  const std::string file = SignTrustBundle(payload, key);
  if (file.size() > kMaxTrustBundle) return TooLarge();
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(args.out, file, 0644));
  terminal.out << "signed number " << bundle.number << " of " << Shown(bundle.name) << ": "
               << Shown(args.out) << "\n";
  return absl::OkStatus();
}

absl::StatusOr<VerifiedTrustBundle> Verified(const BundleArgs& args) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string file, ReadFile(args.file, kMaxTrustBundle));
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, ReadVerifyingKey(args.key));
  return VerifyTrustBundle(file, key);
}

absl::Status Verify(const BundleArgs& args, const TrustTerminal& terminal) {
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedTrustBundle verified, Verified(args));
  PrintTrustBundle(verified, args.json, terminal.out);
  return absl::OkStatus();
}

absl::Status Diff(const BundleArgs& args, const TrustTerminal& terminal) {
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedTrustBundle verified, Verified(args));
  FOREKEY_ASSIGN_OR_RETURN(const TrustBundleChanges changes,
                           CompareTrustBundle(verified, args.directory));
  PrintTrustBundleChanges(verified, changes, args.json, terminal.out);
  WarnOfDoubtfulFirmware(verified.bundle(), terminal.err);
  WarnOfLostFirmwareList(changes, terminal.err);
  return absl::OkStatus();
}

absl::Status Apply(const BundleArgs& args, const TrustTerminal& terminal) {
  using What = AppliedTrustBundle::What;
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedTrustBundle verified, Verified(args));
  FOREKEY_ASSIGN_OR_RETURN(const AppliedTrustBundle applied,
                           ApplyTrustBundle(verified, args.directory));
  terminal.out << (applied.what == What::kApplied   ? "applied"
                   : applied.what == What::kAlready ? "was applied already:"
                                                    : "files were not as applied, put right:")
               << " number " << verified.bundle().number << " of " << Shown(verified.bundle().name)
               << ", in " << Shown(args.directory) << "\n";
  PrintFirmwareChanges(applied.changes, terminal.out);
  WarnOfLostFirmwareList(applied.changes, terminal.err);
  for (const std::string& kind : applied.emptied) {
    terminal.err << Shown(EmptiedTrustWarning(args.directory, kind)) << std::endl;
  }
  return absl::OkStatus();
}

using Action = absl::Status (*)(const BundleArgs&, const TrustTerminal&);

CLI::App* Add(CLI::App& bundle, const std::string& name, const std::string& help, Action action,
              const std::shared_ptr<BundleArgs>& args, const TrustTerminal& terminal) {
  CLI::App* command = bundle.add_subcommand(name, help);
  command->callback([name, action, args, terminal] {
    const absl::Status status = action(*args, terminal);
    *terminal.exit_status = status.ok()                    ? kExitOk
                            : IsTrustBundleRefusal(status) ? kExitRefused
                                                           : kExitNotRun;
    if (!status.ok()) {
      terminal.err << "forekey trust bundle " << name << ": " << Shown(status.message()) << "\n";
    }
  });
  return command;
}

void AddCreate(CLI::App& bundle, const std::shared_ptr<BundleArgs>& args,
               const TrustTerminal& terminal) {
  CLI::App* create = Add(bundle, "create", "Collect a folder of trust into one file, to be signed",
                         Create, args, terminal);
  create->add_option("--from", args->directory, "The folder, as `forekey trust import` makes it")
      ->type_name("DIR")
      ->required();
  create->add_option("--number", args->number, "Greater than that of the bundle before")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 53))
      ->required();
  create->add_option("--name", args->name, "Whose trust it is")->required();
  CLI::Option* mds =
      create->add_option("--mds", args->mds, "FIDO metadata (an MDS3 BLOB), verified first")
          ->type_name("FILE");
  CLI::Option* root =
      create->add_option("--mds-root", args->mds_root, "The root that its signer chains to")
          ->type_name("FILE");
  mds->needs(root);
  root->needs(mds);
  create
      ->add_option("--firmware", args->firmware,
                   "The list of weak firmware and least versions, verified first (default: "
                   "firmware.list in the folder, where there is one)")
      ->type_name("FILE");
  create->add_option("--out", args->out, "The file")->type_name("FILE")->required();
}

}  // namespace

void AddTrustBundle(CLI::App& trust, const TrustTerminal& terminal) {
  auto args = std::make_shared<BundleArgs>();
  CLI::App* bundle = trust.add_subcommand(
      "bundle", "One signed file with an organisation's trust, for all of its gates");
  bundle->require_subcommand(1);
  bundle->footer(kBundleFooter);

  CLI::App* key = Add(*bundle, "key", "Make the key that signs bundles", MakeKey, args, terminal);
  key->add_option("--out", args->out, "The file; the public key goes into FILE.pub")
      ->type_name("FILE")
      ->required();

  AddCreate(*bundle, args, terminal);

  CLI::App* sign = Add(*bundle, "sign", "Sign what `create` made", Sign, args, terminal);
  sign->add_option("file", args->file, "What `create` made")->type_name("FILE")->required();
  sign->add_option("--key", args->key, "The key that `key` made")->type_name("FILE")->required();
  sign->add_option("--out", args->out, "The signed file")->type_name("FILE")->required();

  CLI::App* verify =
      Add(*bundle, "verify", "Verify a bundle, and say what is in it", Verify, args, terminal);
  verify->add_flag("--json", args->json,
                   "Print one object: number, name, made, sha256, files, firmware");
  CLI::App* diff =
      Add(*bundle, "diff",
          "Verify a bundle, and say what apply would change: files, and lines on firmware", Diff,
          args, terminal);
  diff->add_option("--to", args->directory, "The folder that a gate trusts")
      ->type_name("DIR")
      ->required();
  diff->add_flag("--json", args->json,
                 "Print one object: number, number_before, added, changed, removed, "
                 "firmware_added, firmware_removed, loses_firmware_list");
  CLI::App* apply =
      Add(*bundle, "apply", "Verify a bundle, and put it into the folder that a gate trusts", Apply,
          args, terminal);
  apply->add_option("--to", args->directory, "The folder; made if missing")
      ->type_name("DIR")
      ->required();
  for (CLI::App* command : {verify, diff, apply}) {
    command->add_option("file", args->file, "The signed file")->type_name("FILE")->required();
    command->add_option("--key", args->key, "The public key that you were given (PEM)")
        ->type_name("FILE")
        ->required();
  }
}

}  // namespace forekey
