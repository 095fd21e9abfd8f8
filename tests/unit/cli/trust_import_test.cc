// SPDX-License-Identifier: Apache-2.0
// Laws guarded: what is no CA, has ended or is weak becomes no anchor, and it is said why; a dry
// run changes nothing; what came from elsewhere, too, is not removed; a cabinet is read as it is,
// and its damages are errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/cli/verify/cabinet.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/trust_folder.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/verify_command.h"
#include "src/verify/emptied_trust.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using testing::CertificateSpec;
using ::testing::ElementsAre;
using testing::HasCode;
using ::testing::HasSubstr;
using testing::IsError;
using testing::MakeDer;
using testing::NewRsaKey;
using testing::TestCa;

std::string Little(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

struct NamedFile {
  std::string name, content;
};

// One folder, compressed by MSZIP in blocks of 32 KiB, or stored.
std::string MakeCabinet(const std::vector<NamedFile>& files, int compression) {
  std::string data, entries, blocks;
  for (const NamedFile& file : files) {
    entries += Little(file.content.size(), 4) + Little(data.size(), 4) + Little(0, 2) +
               std::string(6, '\0') + file.name + '\0';
    data += file.content;
  }
  int count = 0;
  std::string before;
  for (size_t at = 0; at < data.size(); at += 32768, ++count) {
    const std::string block = data.substr(at, 32768);
    std::string packed = block;
    if (compression == 1) {
      z_stream stream = {};
      deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
      if (!before.empty()) {
        deflateSetDictionary(&stream, U8(absl::string_view(before)),
                             static_cast<uInt>(before.size()));
      }
      packed.assign(block.size() + 1000, '\0');
      stream.next_in = const_cast<Bytef*>(U8(absl::string_view(block)));
      stream.avail_in = static_cast<uInt>(block.size());
      stream.next_out = U8(packed);
      stream.avail_out = static_cast<uInt>(packed.size());
      EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
      packed = "CK" + packed.substr(0, stream.total_out);
      deflateEnd(&stream);
    }
    blocks += Little(0, 4) + Little(packed.size(), 2) + Little(block.size(), 2) + packed;
    before = block;
  }
  const size_t files_at = 36 + 8, data_at = files_at + entries.size();
  return "MSCF" + Little(0, 4) + Little(data_at + blocks.size(), 4) + Little(0, 4) +
         Little(files_at, 4) + Little(0, 4) + Little(0x0103, 2) + Little(1, 2) +
         Little(files.size(), 2) + Little(0, 2) + Little(0, 4) + Little(data_at, 4) +
         Little(count, 2) + Little(compression, 2) + entries + blocks;
}

TEST(CabinetTest, ReadsStoredAndCompressedFiles) {
  const std::string large = std::string(50'000, 'x') + "end";
  for (int compression : {0, 1}) {
    const auto files =
        ReadCabinet(MakeCabinet({{"AMD\\RootCA\\a.cer", "one"}, {"large", large}}, compression));
    ASSERT_TRUE(files.ok()) << files.status();
    ASSERT_EQ(files->size(), 2u);
    EXPECT_EQ((*files)[0].name, "AMD/RootCA/a.cer");
    EXPECT_EQ((*files)[0].content, "one");
    EXPECT_EQ((*files)[1].content, large);
  }
}

TEST(CabinetTest, RefusesWhatIsDamagedOrUnknown) {
  const std::string good = MakeCabinet({{"a", "hello, hello, hello"}}, 1);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ReadCabinet(good.substr(0, size)).ok()) << size;
  }
  EXPECT_THAT(ReadCabinet("PK\3\4"), IsError(absl::StatusCode::kInvalidArgument, "no cabinet"));
  EXPECT_THAT(ReadCabinet(MakeCabinet({{"a", "b"}}, 3)),
              IsError(absl::StatusCode::kUnimplemented, "LZX"));
  // A file that reaches beyond its folder.
  std::string beyond = good;
  beyond[44] = 100;
  EXPECT_THAT(ReadCabinet(beyond), IsError(absl::StatusCode::kInvalidArgument, "beyond"));
}

// A cabinet of `folders` folders that all begin at the same blocks.
std::string MakeSharedCabinet(int folders, int blocks, const std::string& block, uint16_t size) {
  const size_t data_at = 36 + 8 * folders;
  std::string directory, data;
  for (int i = 0; i < folders; ++i) {
    directory += Little(data_at, 4) + Little(blocks, 2) + Little(1, 2);
  }
  for (int i = 0; i < blocks; ++i) {
    data += Little(0, 4) + Little(block.size(), 2) + Little(size, 2) + block;
  }
  return "MSCF" + Little(0, 4) + Little(data_at + data.size(), 4) + Little(0, 4) +
         Little(data_at, 4) + Little(0, 4) + Little(0x0103, 2) + Little(folders, 2) + Little(0, 2) +
         Little(0, 2) + Little(0, 4) + directory + data;
}

TEST(CabinetTest, UnpacksNoByteTwice) {
  // An empty deflate block (00 00 00 FF FF) as often as there is room for, then one byte of output.
  std::string block = "CK";
  while (block.size() < 60'000) block += std::string("\0\0\0\xFF\xFF", 5);
  block += std::string("\1\1\0\xFE\xFFx", 6);
  // One block is good. (The old reader unpacked 60 KB for each byte of 64 MiB: hours.)
  EXPECT_TRUE(ReadCabinet(MakeSharedCabinet(1, 1, block, 1)).ok());
  EXPECT_THAT(ReadCabinet(MakeSharedCabinet(1, 2, block, 1)),
              IsError(absl::StatusCode::kInvalidArgument, "a short block"));
  EXPECT_THAT(ReadCabinet(MakeSharedCabinet(2, 1, block, 1)),
              IsError(absl::StatusCode::kInvalidArgument, "share their data"));
  EXPECT_THAT(ReadCabinet(MakeSharedCabinet(1025, 0, block, 1)),
              IsError(absl::StatusCode::kResourceExhausted, "folders"));
}

TEST(CabinetTest, DoesNotLetASmallCabinetBecomeGigabytes) {
  // Many files that share the bytes of one folder.
  std::string content(1 << 20, 'x');
  std::vector<NamedFile> files = {{"first", content}};
  for (int i = 0; i < 100; ++i) files.push_back({"again", ""});
  std::string cabinet = MakeCabinet(files, 1);
  size_t at = 44 + 16 + 6;  // the second entry
  for (int i = 0; i < 100; ++i, at += 16 + 6) {
    cabinet.replace(at, 8, Little(content.size(), 4) + Little(0, 4));
  }
  EXPECT_THAT(ReadCabinet(cabinet), HasCode(absl::StatusCode::kResourceExhausted));
}

class TrustImportTest : public ::testing::Test {
 protected:
  TrustImportTest() {
    folder_ = ::testing::TempDir() + "/trust.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~TrustImportTest() override { fs::remove_all(folder_); }

  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"trust", "import"});
    words.insert(words.end(), {"--into", Path("store"), "--at", "2026-01-01T00:00:00Z"});
    out_.str("");
    err_.str("");
    int status = -1;
    CLI::App app;
    AddTrustCommand(app, out_, err_, &status);
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& error) {
      return app.exit(error, out_, err_) == 0 ? kExitOk : kExitNotRun;
    }
    return status;
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) const {
    fs::create_directories(fs::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }
  std::vector<std::string> Stored(const std::string& kind) const {
    std::vector<std::string> subjects, skipped;
    const auto anchors = TrustAnchors::FromDirectory(Path("store/" + kind), &skipped);
    if (!anchors.ok()) return subjects;
    for (const Certificate& anchor : anchors->anchors()) subjects.push_back(anchor.SubjectText());
    return subjects;
  }
  // The name of the file that has this in it; empty where none has.
  std::string StoredFile(const std::string& kind, const std::string& subject) const {
    const auto names = ListFiles(Path("store/" + kind));
    if (!names.ok()) return "";
    for (const std::string& name : *names) {
      const auto content = ReadFile(Path("store/" + kind + "/" + name));
      if (absl::StrContains(content.value_or(""), subject)) return name;
    }
    return "";
  }
  static std::string Root(const std::string& name) {
    const TestCa ca = TestCa::New(name);
    return MakeDer(ca.CaSpec(ca));
  }

  std::string folder_;
  std::ostringstream out_, err_;
};

TEST_F(TrustImportTest, PutsEachKindIntoItsFolderAndRemembersWhereItCameFrom) {
  const TestCa root = TestCa::New("Infineon OPTIGA(TM) RSA Root CA");
  const TestCa issuing = TestCa::New("Some Issuing CA");
  CertificateSpec issuing_spec = issuing.CaSpec(root);
  issuing_spec.extended_key_usage = "2.23.133.8.1";
  Write("source/Infineon/RootCA/root.cer", MakeDer(root.CaSpec(root)));
  Write("source/Infineon/IntermediateCA/issuing.cer", MakeDer(issuing_spec));
  Write("source/yubico.der", Root("Yubico PIV Root CA Serial 263751"));
  Write("source/u2f.der", Root("Yubico U2F Root CA Serial 457200631"));
  Write("source/readme.txt", "hello");
  EXPECT_EQ(Run({Path("source")}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("4 added, 0 removed, 0 there already, 1 left out"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
  EXPECT_THAT(Stored("piv"), ElementsAre(HasSubstr("Yubico PIV")));
  EXPECT_THAT(Stored("fido2"), ElementsAre(HasSubstr("U2F")));
  EXPECT_THAT(ReadFile(Path("store/origins.json")).value_or(""), HasSubstr("\"source\""));
  // The same again changes nothing.
  EXPECT_EQ(Run({Path("source")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 4 there already"));
}

TEST_F(TrustImportTest, ADryRunChangesNothing) {
  Write("a.der", Root("AMD TPM Root"));
  EXPECT_EQ(Run({Path("a.der"), "--dry-run"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("would be: 1 added"));
  EXPECT_FALSE(fs::exists(Path("store")));
}

TEST_F(TrustImportTest, SaysWhyACertificateIsLeftOut) {
  const TestCa root = TestCa::New("A TPM Root");
  CertificateSpec leaf = root.Spec("A TPM", testing::NewEcKey());
  Write("leaf.der", MakeDer(leaf));
  EXPECT_EQ(Run({Path("leaf.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("no CA's"));

  CertificateSpec ended = root.CaSpec(root);
  ended.not_after = absl::FromUnixSeconds(1'750'000'000);
  Write("ended.der", MakeDer(ended));
  EXPECT_EQ(Run({Path("ended.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("ended on 2025-06-15"));
  EXPECT_EQ(Run({Path("ended.der"), "--allow-expired"}), kExitOk);

  TestCa weak = TestCa::New("A weak TPM Root");
  weak.key = NewRsaKey(1024);
  Write("weak.der", MakeDer(weak.CaSpec(weak)));
  EXPECT_EQ(Run({Path("weak.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("weak (1024 bits)"));

  CertificateSpec broken = TestCa::New("A TPM Issuer").CaSpec(root);
  broken.md = EVP_sha1();
  Write("broken.der", MakeDer(broken));
  EXPECT_EQ(Run({Path("broken.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("weak hash (SHA1)"));

  Write("whose.der", Root("Somebody"));
  EXPECT_EQ(Run({Path("whose.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("give --kind"));
  EXPECT_EQ(Run({Path("whose.der"), "--kind", "piv"}), kExitOk);
  EXPECT_THAT(Stored("piv"), ElementsAre(HasSubstr("Somebody")));
}

TEST_F(TrustImportTest, TakesNoKeyOrHashThatIsNotKnownToBeStrong) {
  TestCa small = TestCa::New("A small TPM Root");
  small.key = EvpPkeyPtr(EVP_EC_gen("P-224"));
  Write("small.der", MakeDer(small.CaSpec(small)));
  EXPECT_EQ(Run({Path("small.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("weak (224 bits)"));

  const TestCa root = TestCa::New("A TPM Root");
  CertificateSpec weak_hash = TestCa::New("A TPM Issuer").CaSpec(root);
  weak_hash.md = EVP_sha224();
  Write("hash.der", MakeDer(weak_hash));
  EXPECT_EQ(Run({Path("hash.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("weak hash (SHA224)"));

  CertificateSpec later = root.CaSpec(root);
  later.not_before = absl::FromUnixSeconds(1'800'000'000);
  Write("later.der", MakeDer(later));
  EXPECT_EQ(Run({Path("later.der")}), kExitRefused);
  EXPECT_THAT(out_.str(), HasSubstr("begins on 2027-01-15"));
}

TEST_F(TrustImportTest, OneCertificateMayBeInTwoKinds) {
  Write("root.der", Root("Somebody"));
  EXPECT_EQ(Run({Path("root.der"), "--kind", "piv"}), kExitOk);
  EXPECT_EQ(Run({Path("root.der"), "--kind", "fido2"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("1 added"));
  EXPECT_EQ(Stored("piv").size(), 1u);
  EXPECT_EQ(Stored("fido2").size(), 1u);
  // Each is taken out by itself.
  Write("other.der", Root("PIV of another"));
  EXPECT_EQ(Run({Path("other.der"), "--kind", "piv", "--prune", "--origin", "root.der"}), kExitOk);
  EXPECT_THAT(Stored("piv"), ElementsAre(HasSubstr("another")));
  EXPECT_EQ(Stored("fido2").size(), 0u);
}

TEST_F(TrustImportTest, ReadsTheHistoryOfEarlierVersions) {
  Write("root.der", Root("A TPM Root"));
  EXPECT_EQ(Run({Path("root.der")}), kExitOk);
  // Entries were named by their fingerprint alone.
  auto history = nlohmann::json::parse(*ReadFile(Path("store/origins.json")));
  const std::string key = history.begin().key();
  ASSERT_EQ(key.substr(0, 4), "tpm/");
  Write("store/origins.json", nlohmann::json({{key.substr(4), history[key]}}).dump());
  EXPECT_EQ(Run({Path("root.der")}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 1 there already"));
}

// Two roots whose fingerprints begin with the same 48 bits, found in a minute.
std::string RootThatBeginsAlike(absl::string_view end) {
  return absl::HexStringToBytes(
      absl::StrCat("3081dd308190a003020102020101300506032b6570300e310c300a0603550403"
                   "0c0354504d301e170d3230303130313030303030305a170d3439303130313030"
                   "303030305a300e310c300a06035504030c0354504d302a300506032b65700321"
                   "0003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531"
                   "b8a3133011300f0603551d130101ff040530030101ff300506032b6570034100"
                   "0000000000000000000000000000000000000000000000000000000000000000"
                   "0000000000000000000000000000000000000000000000000000",
                   end));
}
const std::string& OneAlike() {
  static const std::string der = RootThatBeginsAlike("087e30be39f7");
  return der;
}
const std::string& OtherAlike() {
  static const std::string der = RootThatBeginsAlike("740efe423307");
  return der;
}
constexpr char kShortFile[] = "tpm/other-root-235ad6ee79a1.pem";  // as earlier versions named both

TEST_F(TrustImportTest, CertificatesWhoseFingerprintsBeginAlikeHaveAFileEach) {
  Write("list/one.der", OneAlike());
  Write("list/other.der", OtherAlike());
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk) << err_.str();
  EXPECT_EQ(Stored("tpm").size(), 2u);
  // And so one can go without the other.
  fs::remove(Path("list/other.der"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--prune"}), kExitOk) << err_.str();
  EXPECT_EQ(Stored("tpm").size(), 1u);
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 1 there already"));
}

TEST_F(TrustImportTest, FilesThatAnEarlierVersionSharedAreParted) {
  Write("list/one.der", OneAlike());
  Write("list/other.der", OtherAlike());
  EXPECT_EQ(Run({Path("list")}), kExitOk) << err_.str();
  // The one that came last had the file, and both had an entry.
  auto history = nlohmann::json::parse(*ReadFile(Path("store/origins.json")));
  for (auto& [key, entry] : history.items()) entry["file"] = kShortFile;
  fs::remove_all(Path("store/tpm"));
  Write(absl::StrCat("store/", kShortFile), TrustPem(*Certificate::ParseDer(OneAlike())));
  Write("store/origins.json", history.dump());
  EXPECT_EQ(Run({Path("list")}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 added, 0 removed, 1 there already"));
  EXPECT_EQ(Stored("tpm").size(), 2u);

  // Both were taken out by a person: neither comes back by itself, and each in a file of its own.
  fs::remove_all(Path("store/tpm"));
  Write("store/origins.json", history.dump());
  EXPECT_EQ(Run({Path("list")}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 0 there already, 2 left out"));
  EXPECT_EQ(Run({Path("list"), "--again"}), kExitOk) << err_.str();
  EXPECT_EQ(Stored("tpm").size(), 2u);
}

TEST_F(TrustImportTest, AFileOfAnEarlierVersionIsNotThereTwice) {
  Write("list/one.der", OneAlike());
  Write(absl::StrCat("store/", kShortFile), TrustPem(*Certificate::ParseDer(OneAlike())));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk) << err_.str();
  EXPECT_EQ(ListFiles(Path("store/tpm"))->size(), 1u);
  // And so it is found when it is to go.
  Write("other/two.der", Root("TPM two"));
  EXPECT_EQ(Run({Path("other"), "--origin", "list", "--prune"}), kExitOk) << err_.str();
  EXPECT_THAT(Stored("tpm"), ElementsAre(HasSubstr("TPM two")));
}

TEST_F(TrustImportTest, DoesNotBringBackWhatAPersonTookOut) {
  Write("list/one.der", Root("TPM one"));
  Write("list/two.der", Root("TPM two"));
  EXPECT_EQ(Run({Path("list")}), kExitOk);
  const auto files = ListFiles(Path("store/tpm"));
  ASSERT_TRUE(files.ok());
  ASSERT_EQ(files->size(), 2u);
  fs::remove(Path("store/tpm/" + files->front()));
  EXPECT_EQ(Run({Path("list")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 1 there already, 1 left out"));
  EXPECT_THAT(out_.str(), HasSubstr("--again takes it"));
  EXPECT_EQ(Stored("tpm").size(), 1u);
  EXPECT_EQ(Run({Path("list"), "--again"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("1 added"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
  // What something else was written over is not "there already".
  Write("store/tpm/" + files->front(), "garbage");
  EXPECT_EQ(Run({Path("list")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("1 added"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
}

TEST_F(TrustImportTest, APruneForgetsNothingThatAPersonTookOut) {
  Write("list/one.der", Root("TPM one"));
  Write("list/two.der", Root("TPM two"));
  Write("shorter/list/one.der", *ReadFile(Path("list/one.der")));
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--prune"}), kExitOk);
  fs::remove(Path("store/tpm/" + StoredFile("tpm", "TPM two")));
  EXPECT_EQ(Run({Path("shorter/list"), "--origin", "list", "--prune"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("0 added, 0 removed, 1 there already, 0 left out"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--prune"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--again takes it"));
  EXPECT_THAT(Stored("tpm"), ElementsAre(HasSubstr("TPM one")));
}

// What the import wrote before it was killed may be gone because a person took it out.
TEST_F(TrustImportTest, AKilledImportBringsBackNothingThatAPersonTookOut) {
  Write("list/one.der", Root("TPM one"));
  Write("list/two.der", Root("TPM two"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk);
  const std::string second = StoredFile("tpm", "TPM two");
  fs::remove_all(Path("store"));
  fs::create_directories(Path("store/tpm/" + second + "/in the way"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitNotRun);
  fs::remove_all(Path("store/tpm/" + second));
  fs::remove(Path("store/tpm/" + StoredFile("tpm", "TPM one")));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 added, 0 removed, 0 there already, 1 left out"));
  EXPECT_THAT(Stored("tpm"), ElementsAre(HasSubstr("TPM two")));
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--again"}), kExitOk);
  EXPECT_EQ(Stored("tpm").size(), 2u);
}

TEST_F(TrustImportTest, JsonIsAscii) {
  Write("root.der", Root("TPM \xC2\x9B"
                         "31m"));
  EXPECT_EQ(Run({Path("root.der"), "--kind", "tpm", "--json"}), kExitOk);
  EXPECT_EQ(out_.str().find('\x9b'), std::string::npos) << out_.str();
}

TEST_F(TrustImportTest, ANameThatLooksLikePemBreaksNoFolder) {
  Write("root.der", Root("TPM -----BEGIN CERTIFICATE-----"));
  EXPECT_EQ(Run({Path("root.der"), "--kind", "tpm"}), kExitOk);
  std::vector<std::string> skipped;
  const auto anchors = TrustAnchors::FromDirectory(Path("store/tpm"), &skipped);
  ASSERT_TRUE(anchors.ok()) << anchors.status();
  EXPECT_EQ(anchors->anchors().size(), 1u);
  EXPECT_THAT(skipped, ElementsAre());
  const std::string pem = *ReadFile(Path("store/tpm/" + StoredFile("tpm", "-----BEGIN")));
  EXPECT_EQ(pem.find("-----BEGIN"), 0u);
}

TEST_F(TrustImportTest, ARemovalThatFailedIsDoneTheNextTime) {
  Write("list/one.der", Root("TPM one"));
  Write("list/two.der", Root("TPM two"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk);
  fs::remove(Path("list/two.der"));
  Write("list/three.der", Root("TPM three"));
  // A folder has the place of the file: it can't be unlinked, not even by root.
  const std::string file = StoredFile("tpm", "TPM two");
  fs::rename(Path("store/tpm/" + file), Path("kept"));
  fs::create_directory(Path("store/tpm/" + file));
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--prune"}), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("can't remove"));
  fs::remove(Path("store/tpm/" + file));
  fs::rename(Path("kept"), Path("store/tpm/" + file));
  EXPECT_EQ(Stored("tpm").size(), 3u);
  EXPECT_EQ(Run({Path("list"), "--origin", "list", "--prune"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 removed"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
}

TEST_F(TrustImportTest, WhatAKilledImportWroteIsFoundByAPrune) {
  Write("list/one.der", Root("TPM one"));
  Write("list/two.der", Root("TPM two"));
  // The second file can't be written: what is noted by then is what a kill would leave.
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitOk);
  const std::string second = StoredFile("tpm", "TPM two");
  fs::remove_all(Path("store"));
  fs::create_directories(Path("store/tpm/" + second + "/in the way"));
  EXPECT_EQ(Run({Path("list"), "--origin", "list"}), kExitNotRun);
  EXPECT_NE(StoredFile("tpm", "TPM one"), "");
  Write("list2/three.der", Root("TPM three"));
  fs::remove_all(Path("store/tpm/" + second));
  EXPECT_EQ(Run({Path("list2"), "--origin", "list", "--prune"}), kExitOk) << err_.str();
  EXPECT_THAT(Stored("tpm"), ElementsAre(HasSubstr("TPM three")));
}

TEST_F(TrustImportTest, SaysAndMarksThatAFolderWasEmptied) {
  Write("piv.der", Root("PIV one"));
  Write("tpm.der", Root("TPM one"));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  EXPECT_EQ(Run({Path("tpm.der"), "--origin", "list", "--prune"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("enrols no piv tokens"));
  EXPECT_TRUE(fs::exists(Path("store/piv/.emptied")));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  EXPECT_FALSE(fs::exists(Path("store/piv/.emptied"))) << "the next time may be a mistake";
}

// A prune that is killed between the removal and the mark would leave the gate with what it read
// before, and a second one would find nothing to do.
TEST_F(TrustImportTest, APruneThatStoppedBeforeTheMarkIsEndedByTheNext) {
  Write("piv.der", Root("PIV one"));
  Write("tpm.der", Root("TPM one"));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  // A folder has the place of the mark: it can't be written, not even by root.
  fs::create_directories(Path("store/piv/.emptied/in the way"));
  EXPECT_EQ(Run({Path("tpm.der"), "--origin", "list", "--prune"}), kExitNotRun);
  EXPECT_THAT(Stored("piv"), ElementsAre());
  fs::remove_all(Path("store/piv/.emptied"));
  EXPECT_EQ(Run({Path("tpm.der"), "--origin", "list", "--prune"}), kExitOk) << err_.str();
  EXPECT_THAT(err_.str(), HasSubstr("enrols no piv tokens"));
  EXPECT_TRUE(fs::exists(Path("store/piv/.emptied")));
  // No person took it out: where the source has it again, it comes.
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  fs::create_directories(Path("store/piv/.emptied/in the way"));
  EXPECT_EQ(Run({Path("tpm.der"), "--origin", "list", "--prune"}), kExitNotRun);
  fs::remove_all(Path("store/piv/.emptied"));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 added"));
  fs::remove(Path("store/piv/" + StoredFile("piv", "PIV one")));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--again takes it"));
}

TEST_F(TrustImportTest, AFolderWithoutACertificateIsEmptyWhateverElseLiesInIt) {
  Write("piv.der", Root("PIV one"));
  Write("tpm.der", Root("TPM one"));
  EXPECT_EQ(Run({Path("piv.der"), "--origin", "list"}), kExitOk);
  Write("store/piv/README", "roots of our cards");
  EXPECT_EQ(Run({Path("tpm.der"), "--origin", "list", "--prune"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("enrols no piv tokens"));
  EXPECT_TRUE(fs::exists(Path("store/piv/.emptied")));
}

TEST_F(TrustImportTest, AFailedImportLeavesTheMarkOfAnEmptiedFolderGood) {
  const std::string folder = Path("store/piv");
  Write("store/piv/.emptied", "");
  const auto emptied = fs::last_write_time(folder) - std::chrono::hours(1);
  fs::last_write_time(folder + "/.emptied", emptied);
  fs::last_write_time(folder, emptied);
  auto locked = LockedTrustFolder::Lock(Path("store"));
  ASSERT_THAT(locked.status(), testing::IsOk());
  ASSERT_THAT(locked->Prepare("piv/a.pem", "A"), testing::IsOk());
  EXPECT_EQ(EmptiedMarkIn(folder), EmptiedMark::kGood) << "what a kill would leave";
  locked->DropPrepared("piv/a.pem");
  EXPECT_EQ(EmptiedMarkIn(folder), EmptiedMark::kGood);
}

// The folder of a kind may be a link to where the gate's machine has its CAs.
TEST_F(TrustImportTest, AKindsFolderMayBeOnAnotherFileSystem) {
  std::string other = "/dev/shm/trust.XXXXXX";
  ASSERT_NE(mkdtemp(other.data()), nullptr);
  fs::create_directories(Path("store"));
  fs::create_directory_symlink(other, Path("store/piv"));
  Write("piv.der", Root("PIV one"));
  EXPECT_EQ(Run({Path("piv.der")}), kExitOk) << err_.str();
  EXPECT_EQ(Stored("piv").size(), 1u);
  for (const auto& entry : fs::directory_iterator(Path("store"))) {
    EXPECT_NE(entry.path().extension(), ".new");
  }
  fs::remove_all(other);
}

TEST_F(TrustImportTest, BoundsWhatAFolderHolds) {
  for (int i = 0; i < 65; ++i) {
    Write("large/" + std::to_string(i), "");
    fs::resize_file(Path("large/" + std::to_string(i)), 1 << 20);
  }
  EXPECT_EQ(Run({Path("large")}), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("64 MiB"));
}

TEST_F(TrustImportTest, PruneRemovesWhatCameFromThereAlone) {
  const std::string one = Root("TPM one"), two = Root("TPM two"), three = Root("TPM three");
  Write("list/one.der", one);
  Write("list/two.der", two);
  Write("list/three.der", three);
  EXPECT_EQ(Run({Path("list"), "--prune"}), kExitNotRun) << "which source that is nobody said";
  EXPECT_THAT(err_.str(), HasSubstr("--origin"));
  EXPECT_EQ(Run({Path("list/one.der"), Path("list/two.der")}), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("--origin"));
  EXPECT_FALSE(fs::exists(Path("store")));
  EXPECT_EQ(Run({Path("list")}), kExitOk);
  Write("other/three.der", three);
  EXPECT_EQ(Run({Path("other")}), kExitOk);
  fs::remove(Path("list/two.der"));
  fs::remove(Path("list/three.der"));
  EXPECT_EQ(Run({Path("list"), "--prune", "--origin", "list"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("1 removed"));
  EXPECT_THAT(out_.str(), HasSubstr("TPM two"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
  // An empty source is a mistake: it removes nothing.
  Write("empty/list/readme", "nothing here");
  EXPECT_EQ(Run({Path("empty/list"), "--prune", "--origin", "list"}), kExitRefused);
  EXPECT_EQ(Stored("tpm").size(), 2u);
}

// What is there and can't be read may be any of those that came before.
TEST_F(TrustImportTest, APruneRemovesNothingWhileAFileCantBeRead) {
  const std::string one = Root("TPM one"), two = Root("TPM two");
  const auto pem = TrustPem(*Certificate::Parse(two));
  const auto prune = [&] { return Run({Path("list"), "--prune", "--origin", "list"}); };
  Write("list/one.der", one);
  Write("list/two", two);
  ASSERT_EQ(Run({Path("list")}), kExitOk);
  fs::remove(Path("list/two"));
  fs::create_symlink(Path("nothing"), Path("list/two"));
  EXPECT_EQ(prune(), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("list/two is no file that can be read"));
  EXPECT_EQ(Stored("tpm").size(), 2u);
  fs::remove(Path("list/two"));
  for (const std::string& half : {two.substr(0, two.size() / 2), pem.substr(0, pem.size() / 2),
                                  two.substr(0, 100) + std::string(two.size() - 100, '\0')}) {
    Write("list/two", half);
    EXPECT_EQ(prune(), kExitRefused);
    EXPECT_THAT(err_.str(), HasSubstr("two looks like a certificate and can't be read"));
    EXPECT_EQ(Stored("tpm").size(), 2u) << half.size();
  }
  fs::remove(Path("list/two"));
  for (const std::string& half : {std::string(), pem.substr(0, 20), std::string(500, '\0')}) {
    Write("list/two.PEM", half);
    EXPECT_EQ(prune(), kExitRefused) << half.size();
  }
  EXPECT_EQ(Stored("tpm").size(), 2u);
  fs::remove(Path("list/two.PEM"));
  Write("list/readme", "nothing here");
  EXPECT_EQ(prune(), kExitOk) << err_.str();
  EXPECT_EQ(Stored("tpm").size(), 1u);
}

TEST_F(TrustImportTest, ReadsACabinet) {
  Write("TrustedTpm.cab",
        MakeCabinet({{"Atmel\\RootCA\\root.cer", Root("Root of somebody")}, {"version.txt", "1"}},
                    1));
  EXPECT_EQ(Run({Path("TrustedTpm.cab")}), kExitOk) << err_.str();
  EXPECT_THAT(Stored("tpm"), ElementsAre(HasSubstr("Root of somebody")));
  EXPECT_THAT(out_.str(), HasSubstr("atmel"));
}

TEST_F(TrustImportTest, DoesNotGoOnWithADamagedHistory) {
  Write("store/origins.json", "{\"x\": {\"file\": \"../../etc/passwd\", \"origins\": {}}}");
  Write("a.der", Root("TPM"));
  EXPECT_EQ(Run({Path("a.der")}), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("damaged"));
  for (const char* entry : {R"({"file": "tpm/a.pem", "origins": {}, "subject": 1})",
                            R"({"file": "tpm/a.pem", "origins": {}, "pending": "yes"})",
                            R"({"file": "tpm/.a.pem", "origins": {}})",
                            R"({"file": 5, "origins": {}})", R"({"origins": {}})", "[]"}) {
    Write("store/origins.json", absl::StrCat("{\"tpm/x\": ", entry, "}"));
    EXPECT_EQ(Run({Path("a.der"), "--prune", "--origin", "x"}), kExitNotRun) << entry;
    EXPECT_THAT(err_.str(), HasSubstr("damaged"));
  }
}

}  // namespace
}  // namespace forekey
