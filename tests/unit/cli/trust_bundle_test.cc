// SPDX-License-Identifier: Apache-2.0
// Laws guarded: nothing is applied that the given key has not signed, nothing older than what was
// applied, and no file outside of the folders of trust.
#include "src/cli/verify/trust_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/trust_folder.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/verify_command.h"
#include "src/verify/emptied_trust.h"
#include "src/verify/firmware_folder.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using What = AppliedTrustBundle::What;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsError;
using testing::IsOk;
using testing::TestCa;

class TrustBundleTest : public ::testing::Test {
 protected:
  TrustBundleTest() : key_(SoftwareKey::Generate(Algorithm::kEdDsa)) {
    folder_ = ::testing::TempDir() + "/bundle.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~TrustBundleTest() override { fs::remove_all(folder_); }

  static TrustBundle Bundle(uint64_t number, std::map<std::string, std::string> files) {
    return {.number = number,
            .name = "example.org",
            .made = "2026-01-01T00:00:00Z",
            .files = std::move(files)};
  }
  absl::StatusOr<AppliedTrustBundle::What> Apply(const TrustBundle& bundle) {
    auto verified = VerifyTrustBundle(SignTrustBundle(bundle.Serialize(), key_), key_.public_key());
    if (!verified.ok()) return verified.status();
    auto applied = ApplyTrustBundle(*verified, Path("gate"));
    if (!applied.ok()) return applied.status();
    emptied_ = applied->emptied;
    changes_ = applied->changes;
    return applied->what;
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"trust", "bundle"});
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

  SoftwareKey key_;
  std::string folder_;
  std::vector<std::string> emptied_;
  TrustBundleChanges changes_;
  std::ostringstream out_, err_;
};

TEST_F(TrustBundleTest, RefusesAnotherKeyAndAnyChange) {
  const std::string file = SignTrustBundle(Bundle(1, {{"tpm/a.pem", "A"}}).Serialize(), key_);
  EXPECT_THAT(VerifyTrustBundle(file, key_.public_key()), IsOk());
  const SoftwareKey other = SoftwareKey::Generate(Algorithm::kEdDsa);
  EXPECT_THAT(VerifyTrustBundle(file, other.public_key()),
              IsError(absl::StatusCode::kPermissionDenied, "another key"));
  // Another payload under the same signature.
  nlohmann::json changed = nlohmann::json::parse(file);
  changed["payload"] = absl::Base64Escape(Bundle(2, {{"tpm/a.pem", "B"}}).Serialize());
  EXPECT_THAT(VerifyTrustBundle(changed.dump(), key_.public_key()),
              IsError(absl::StatusCode::kPermissionDenied, "changed"));
  // A signature over the payload without the label is one for something else.
  const std::string payload = Bundle(1, {{"tpm/a.pem", "A"}}).Serialize();
  changed["payload"] = absl::Base64Escape(payload);
  changed["signature"] = absl::Base64Escape(key_.Sign(payload));
  EXPECT_THAT(VerifyTrustBundle(changed.dump(), key_.public_key()),
              IsError(absl::StatusCode::kPermissionDenied, "changed"));
  EXPECT_THAT(VerifyTrustBundle("{}", key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "no trust bundle"));
  EXPECT_THAT(VerifyTrustBundle(file + "x", key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "no trust bundle"));
}

TEST_F(TrustBundleTest, RefusesARollback) {
  EXPECT_EQ(*Apply(Bundle(7, {{"tpm/a.pem", "A"}, {"tpm/b.pem", "B"}})), What::kApplied);
  EXPECT_EQ(*Apply(Bundle(7, {{"tpm/a.pem", "A"}, {"tpm/b.pem", "B"}})), What::kAlready);
  EXPECT_THAT(Apply(Bundle(6, {{"tpm/a.pem", "A"}})),
              IsError(absl::StatusCode::kFailedPrecondition, "7 was applied already"));
  EXPECT_THAT(Apply(Bundle(7, {{"tpm/a.pem", "A"}})),
              IsError(absl::StatusCode::kFailedPrecondition, "another bundle of number 7"));
  EXPECT_EQ(ReadFile(Path("gate/tpm/b.pem")).value_or(""), "B");
  // The next one takes away what it has not.
  std::ofstream(Path("gate/tpm/own.pem")) << "the administrator's own";
  EXPECT_EQ(*Apply(Bundle(8, {{"tpm/a.pem", "A2"}, {"fido-mds.jwt", "M"}})), What::kApplied);
  EXPECT_EQ(ReadFile(Path("gate/tpm/a.pem")).value_or(""), "A2");
  EXPECT_FALSE(fs::exists(Path("gate/tpm/b.pem")));
  EXPECT_TRUE(fs::exists(Path("gate/fido-mds.jwt")));
  EXPECT_TRUE(fs::exists(Path("gate/tpm/own.pem")));
  // Without its memory a rollback can't be told: that is no way to go on.
  std::ofstream(Path("gate/bundle.json")) << "{}";
  EXPECT_THAT(Apply(Bundle(9, {{"tpm/a.pem", "A"}})),
              IsError(absl::StatusCode::kDataLoss, "damaged"));
}

TEST_F(TrustBundleTest, ReadsNothingOfAnEnvelopeThatIsNone) {
  // What nobody has signed for is not built: this would be a thousand members, or a deep tree.
  std::string many = R"({"forekey_trust_bundle": 1)";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&many, ", \"", i, "\": 1");
  EXPECT_THAT(VerifyTrustBundle(many + "}", key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "another version, or something else"));
  EXPECT_THAT(VerifyTrustBundle(R"({"forekey_trust_bundle": [[1]]})", key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "another version, or something else"));
  // Commas and quotes within a text are its own.
  nlohmann::json file =
      nlohmann::json::parse(SignTrustBundle(Bundle(1, {{"tpm/a.pem", "A"}}).Serialize(), key_));
  file["key"] = R"(,,,,,\",,{[)";
  EXPECT_THAT(VerifyTrustBundle(file.dump(), key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "its key is not there"));
  // What ends with a backslash is read to there, and no further.
  EXPECT_THAT(VerifyTrustBundle(R"({"key": "\)", key_.public_key()),
              IsError(absl::StatusCode::kInvalidArgument, "no trust bundle"));
}

// A folder in the place of a file can't be written over, nor unlinked, not even by root.
TEST_F(TrustBundleTest, WhatAnApplyLeftThatDidNotFinishIsRemovedByTheNext) {
  EXPECT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}})), What::kApplied);
  fs::create_directories(Path("gate/tpm/z.pem/in the way"));
  const TrustBundle leaked = Bundle(2, {{"tpm/leaked.pem", "L"}, {"tpm/z.pem", "Z"}});
  EXPECT_FALSE(Apply(leaked).ok());
  ASSERT_TRUE(fs::exists(Path("gate/tpm/leaked.pem")));
  fs::remove_all(Path("gate/tpm/z.pem"));
  // The number is the old one's still: the same bundle may come again, and so may a third.
  EXPECT_EQ(*Apply(Bundle(3, {{"tpm/a.pem", "A"}})), What::kApplied);
  EXPECT_FALSE(fs::exists(Path("gate/tpm/leaked.pem")));
  EXPECT_EQ(ReadFile(Path("gate/tpm/a.pem")).value_or(""), "A");
  // An old one that can't be removed.
  fs::rename(Path("gate/tpm/a.pem"), Path("kept"));
  fs::create_directory(Path("gate/tpm/a.pem"));
  EXPECT_FALSE(Apply(Bundle(4, {{"tpm/b.pem", "B"}})).ok());
  fs::remove(Path("gate/tpm/a.pem"));
  fs::rename(Path("kept"), Path("gate/tpm/a.pem"));
  EXPECT_EQ(*Apply(Bundle(4, {{"tpm/b.pem", "B"}})), What::kApplied);
  EXPECT_FALSE(fs::exists(Path("gate/tpm/a.pem")));
}

// A list that never came is not one that is gone: gates start.
TEST_F(TrustBundleTest, AFirstListInAnApplyThatDidNotFinishKeepsNoGateFromStarting) {
  const std::string list = "forekey-firmware-list 1\npiv yubikey least 5.7\n";
  EXPECT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}})), What::kApplied);
  // A link to nothing has the place of a folder: what comes before the list can't be written.
  fs::create_symlink("nothing", Path("gate/fido2"));
  const TrustBundle first =
      Bundle(2, {{"tpm/a.pem", "A"}, {"fido2/f.pem", "F"}, {"firmware.list", list}});
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(Apply(first).ok());
    const auto read = ReadFirmwareFolder(Path("gate"));
    ASSERT_THAT(read.status(), IsOk()) << i;
    EXPECT_FALSE(read->has_value());
  }
  fs::remove(Path("gate/fido2"));
  EXPECT_EQ(*Apply(first), What::kApplied);
  EXPECT_TRUE(ReadFirmwareFolder(Path("gate"))->has_value());
  fs::remove(Path("gate/firmware.list"));
  EXPECT_THAT(ReadFirmwareFolder(Path("gate")).status(),
              IsError(absl::StatusCode::kFailedPrecondition, "is gone"));
  // The one that takes it away did not finish either.
  EXPECT_EQ(*Apply(first), What::kRepaired);
  fs::create_directories(Path("gate/piv/b.pem/in the way"));
  const TrustBundle second = Bundle(3, {{"tpm/a.pem", "A"}, {"piv/b.pem", "B"}});
  EXPECT_FALSE(Apply(second).ok());
  EXPECT_TRUE(ReadFirmwareFolder(Path("gate"))->has_value()) << "it is there still";
  fs::remove(Path("gate/firmware.list"));
  EXPECT_THAT(ReadFirmwareFolder(Path("gate")).status(), IsOk());
}

// A disk that is full must not make a gate take a folder that was emptied for a mistake.
TEST_F(TrustBundleTest, AnApplyThatFailedLeavesTheMarkOfAnEmptiedFolderGood) {
  const std::string folder = Path("gate/piv");
  // A folder has the place of the file: it can't be written, not even by root.
  fs::create_directories(folder + "/b.pem/in the way");
  std::ofstream(folder + "/.emptied") << "";
  const auto emptied = fs::last_write_time(folder) - std::chrono::hours(1);
  fs::last_write_time(folder + "/.emptied", emptied);
  fs::last_write_time(folder, emptied);
  EXPECT_FALSE(Apply(Bundle(1, {{"piv/b.pem", "B"}})).ok());
  EXPECT_EQ(EmptiedMarkIn(folder), EmptiedMark::kGood);
}

TEST_F(TrustBundleTest, AppliedAlreadyIsWhatTheFilesSay) {
  const TrustBundle bundle = Bundle(5, {{"tpm/a.pem", "A"}, {"piv/b.pem", "B"}});
  EXPECT_EQ(*Apply(bundle), What::kApplied);
  std::ofstream(Path("gate/tpm/a.pem")) << "garbage";
  fs::remove(Path("gate/piv/b.pem"));
  EXPECT_EQ(*Apply(bundle), What::kRepaired);
  EXPECT_EQ(ReadFile(Path("gate/tpm/a.pem")).value_or(""), "A");
  EXPECT_EQ(ReadFile(Path("gate/piv/b.pem")).value_or(""), "B");
  EXPECT_EQ(*Apply(bundle), What::kAlready);
}

TEST_F(TrustBundleTest, TwoAtOnceDoNotRollBack) {
  ASSERT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}})), What::kApplied);
  // Whoever applies number 2 waits while another holds the folder, and then sees number 3.
  absl::StatusOr<AppliedTrustBundle::What> second = absl::UnknownError("not yet");
  std::thread waiting;
  {
    auto held = LockedTrustFolder::Lock(Path("gate"));
    ASSERT_THAT(held.status(), IsOk());
    waiting = std::thread([&] { second = Apply(Bundle(2, {{"tpm/a.pem", "A2"}})); });
    auto applied = nlohmann::json::parse(*ReadFile(Path("gate/bundle.json")));
    applied["number"] = 3;
    EXPECT_THAT(held->Write("bundle.json", applied.dump()), IsOk());
  }
  waiting.join();
  EXPECT_THAT(second.status(), IsError(absl::StatusCode::kFailedPrecondition, "3 was applied"));
  EXPECT_EQ(ReadFile(Path("gate/tpm/a.pem")).value_or(""), "A");
}

TEST_F(TrustBundleTest, MarksAFolderThatItEmptied) {
  EXPECT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}, {"piv/b.pem", "B"}})), What::kApplied);
  EXPECT_EQ(*Apply(Bundle(2, {{"tpm/a.pem", "A"}})), What::kApplied);
  EXPECT_THAT(emptied_, ElementsAre("piv"));
  EXPECT_TRUE(fs::exists(Path("gate/piv/.emptied")));
  EXPECT_EQ(*Apply(Bundle(3, {{"tpm/a.pem", "A"}, {"piv/b.pem", "B"}})), What::kApplied);
  EXPECT_FALSE(fs::exists(Path("gate/piv/.emptied")));
  // What an administrator put there besides stays, and so the folder is not empty.
  const TestCa own = TestCa::New("Their own");
  std::ofstream(Path("gate/piv/own.der"), std::ios::binary) << testing::MakeDer(own.CaSpec(own));
  EXPECT_EQ(*Apply(Bundle(4, {{"tpm/a.pem", "A"}})), What::kApplied);
  EXPECT_THAT(emptied_, ElementsAre());
  EXPECT_FALSE(fs::exists(Path("gate/piv/.emptied")));
}

TEST_F(TrustBundleTest, CreateTakesCertificatesAlone) {
  const TestCa ca = TestCa::New("A Root");
  const std::string der = testing::MakeDer(ca.CaSpec(ca));
  const std::string pem = TrustPem(*Certificate::ParseDer(der));
  const std::vector<std::string> create = {"create", "--from", Path("trust"),
                                           "--name", "\xFF",   "--number",
                                           "1",      "--out",  Path("payload")};
  fs::create_directories(Path("trust/tpm"));
  fs::create_directories(Path("trust/piv"));
  std::ofstream(Path("trust/tpm/a.cer"), std::ios::binary) << der;
  std::ofstream(Path("trust/tpm/a.pem")) << pem << "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"
                                         << "-----END PRIVATE KEY-----\n";
  std::ofstream(Path("trust/piv/A Root.crt")) << pem;
  EXPECT_EQ(Run(create), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("3 files (tpm 2, fido2 0, piv 1)"));
  const auto bundle = TrustBundle::Parse(*ReadFile(Path("payload")));
  ASSERT_THAT(bundle.status(), IsOk());
  ASSERT_EQ(bundle->files.size(), 3u);
  for (const char* name : {"tpm/a.pem", "tpm/a-2.pem", "piv/A-Root.pem"}) {
    ASSERT_EQ(bundle->files.count(name), 1u) << name;
    EXPECT_EQ(bundle->files.at(name), pem);
  }
  // What is no certificate is named, and so is a kind that can't be read.
  std::ofstream(Path("trust/piv/notes.txt")) << "hello";
  EXPECT_EQ(Run(create), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("piv/notes.txt is no certificate"));
  fs::remove_all(Path("trust/piv"));
  std::ofstream(Path("trust/piv")) << "a file, and no folder";
  EXPECT_EQ(Run(create), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("trust/piv"));
}

TEST_F(TrustBundleTest, SignsNothingThatNoGateTakes) {
  EXPECT_EQ(Run({"key", "--out", Path("key.pem")}), kExitOk) << err_.str();
  // In base64 it is more than there may be: that is told before anything else is looked at.
  std::ofstream(Path("payload")) << "{}";
  fs::resize_file(Path("payload"), kMaxTrustBundle / 4 * 3 + 1);
  EXPECT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
            kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("64 MiB"));
  EXPECT_FALSE(fs::exists(Path("bundle")));
}

TEST_F(TrustBundleTest, WhatCanNotBeDoneIsNoRefusal) {
  EXPECT_EQ(Run({"key", "--out", Path("key.pem")}), kExitOk) << err_.str();
  std::ofstream(Path("payload")) << Bundle(1, {{"tpm/a.pem", "A"}}).Serialize();
  ASSERT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
            kExitOk);
  const auto apply = [&] {
    return Run({"apply", Path("bundle"), "--key", Path("key.pem.pub"), "--to", Path("gate")});
  };
  std::ofstream(Path("gate")) << "a file in the folder's place";
  EXPECT_EQ(apply(), kExitNotRun);
  fs::remove(Path("gate"));
  EXPECT_EQ(apply(), kExitOk) << err_.str();
  // A key that others may read is a FailedPrecondition, and no rollback.
  fs::permissions(Path("key.pem"), fs::perms::others_read, fs::perm_options::add);
  EXPECT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
            kExitNotRun);
  std::ofstream(Path("gate/bundle.json")) << R"({"number": 2, "sha256": "", "files": []})";
  EXPECT_EQ(apply(), kExitRefused);
}

TEST_F(TrustBundleTest, HasNoFileOutsideOfTheFoldersOfTrust) {
  for (const char* name : {"../a.pem", "tpm/../a.pem", "/etc/a.pem", "tpm/.a.pem", "tpm/a.sh",
                           "a.pem", "tpm/b/a.pem", "gate.toml", "other/a.pem", "tpm/"}) {
    EXPECT_THAT(TrustBundle::Parse(Bundle(1, {{name, "A"}}).Serialize()),
                IsError(absl::StatusCode::kInvalidArgument, "no trust"))
        << name;
  }
  EXPECT_THAT(TrustBundle::Parse(Bundle(0, {{"tpm/a.pem", "A"}}).Serialize()),
              IsError(absl::StatusCode::kInvalidArgument, ""));
  EXPECT_THAT(TrustBundle::Parse("{\"number\": 1}"),
              IsError(absl::StatusCode::kInvalidArgument, "it has no name"));
}

constexpr char kList[] = "forekey-firmware-list 1\ntpm IFX weak 5.0-5.61 : ROCA\n";

TEST_F(TrustBundleTest, AListThatNoGateUnderstandsMakesNoBundle) {
  EXPECT_THAT(TrustBundle::Parse(Bundle(1, {{"firmware.list", kList}}).Serialize()), IsOk());
  for (const char* list :
       {"", "forekey-firmware-list 2\n", "forekey-firmware-list 1\ntpm IFX weakest 5.0\n"}) {
    EXPECT_THAT(TrustBundle::Parse(Bundle(1, {{"firmware.list", list}}).Serialize()),
                IsError(absl::StatusCode::kInvalidArgument, "no trust bundle"))
        << list;
  }
}

TEST_F(TrustBundleTest, AListIsAppliedAndRolledBackByNobody) {
  const std::string newer = absl::StrCat(kList, "tpm IFX least 5.62\n");
  EXPECT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}, {"firmware.list", kList}})), What::kApplied);
  EXPECT_EQ(ReadFile(Path("gate/firmware.list")).value_or(""), kList);
  EXPECT_EQ(*Apply(Bundle(2, {{"tpm/a.pem", "A"}, {"firmware.list", newer}})), What::kApplied);
  EXPECT_THAT(changes_.firmware_added, ElementsAre("tpm IFX least 5.62"));
  EXPECT_THAT(changes_.firmware_removed, ElementsAre());
  for (const auto& files : {std::map<std::string, std::string>{{"tpm/a.pem", "A"}},
                            {{"tpm/a.pem", "A"}, {"firmware.list", kList}}}) {
    EXPECT_THAT(Apply(Bundle(1, files)), IsError(absl::StatusCode::kFailedPrecondition, ""));
    EXPECT_THAT(Apply(Bundle(2, files)), IsError(absl::StatusCode::kFailedPrecondition, ""));
  }
  EXPECT_EQ(ReadFile(Path("gate/firmware.list")).value_or(""), newer);
  // What somebody changed by hand is put right.
  std::ofstream(Path("gate/firmware.list")) << "forekey-firmware-list 1\n";
  EXPECT_EQ(*Apply(Bundle(2, {{"tpm/a.pem", "A"}, {"firmware.list", newer}})), What::kRepaired);
  EXPECT_EQ(ReadFile(Path("gate/firmware.list")).value_or(""), newer);
}

TEST_F(TrustBundleTest, ABundleWithoutTheListSaysSoBeforeAndWhileItTakesItAway) {
  EXPECT_EQ(Run({"key", "--out", Path("key.pem")}), kExitOk) << err_.str();
  const auto bundle = [&](uint64_t number, std::map<std::string, std::string> files) {
    std::ofstream(Path("payload")) << Bundle(number, std::move(files)).Serialize();
    EXPECT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
              kExitOk)
        << err_.str();
  };
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.end(), {Path("bundle"), "--key", Path("key.pem.pub"), "--to", Path("gate")});
    return Run(words);
  };
  bundle(1, {{"tpm/a.pem", "A"}, {"firmware.list", kList}});
  EXPECT_EQ(run({"diff"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("number 1; none was applied before"));
  EXPECT_THAT(out_.str(), HasSubstr("+ firmware: tpm IFX weak 5.0-5.61 : ROCA\n"));
  EXPECT_FALSE(fs::exists(Path("gate"))) << "it changes nothing";
  EXPECT_EQ(run({"apply"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("+ firmware: tpm IFX weak 5.0-5.61 : ROCA\n"));
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(run({"diff"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("no file changes"));

  bundle(2, {{"tpm/a.pem", "A"}});
  for (const char* command : {"diff", "apply"}) {
    EXPECT_EQ(run({command}), kExitOk) << err_.str();
    EXPECT_THAT(out_.str(), HasSubstr("- firmware: tpm IFX weak 5.0-5.61 : ROCA\n"));
    EXPECT_THAT(err_.str(), HasSubstr("this bundle has no list of firmware"));
  }
  EXPECT_FALSE(fs::exists(Path("gate/firmware.list")));
  bundle(1, {{"tpm/a.pem", "A"}, {"firmware.list", kList}});
  EXPECT_EQ(run({"diff"}), kExitRefused) << "as apply would";
  EXPECT_EQ(run({"diff", "--json"}), kExitRefused);
  bundle(3, {{"tpm/a.pem", "A"}, {"firmware.list", kList}});
  EXPECT_EQ(run({"diff", "--json"}), kExitOk);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["number_before"], 2);
  EXPECT_EQ(json["firmware_added"].size(), 1u);
  EXPECT_EQ(json["loses_firmware_list"], false);
  EXPECT_EQ(Run({"verify", Path("bundle"), "--key", Path("key.pem.pub")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("  firmware: tpm IFX weak 5.0-5.61 : ROCA\n"));
}

TEST_F(TrustBundleTest, AnAdministratorsOwnListIsLeftAloneByABundleWithoutOne) {
  fs::create_directories(Path("gate"));
  std::ofstream(Path("gate/firmware.list")) << kList;
  EXPECT_EQ(*Apply(Bundle(1, {{"tpm/a.pem", "A"}})), What::kApplied);
  EXPECT_EQ(ReadFile(Path("gate/firmware.list")).value_or(""), kList);
  EXPECT_FALSE(changes_.loses_firmware_list);
}

TEST_F(TrustBundleTest, CreateTakesTheFoldersListOrTheOneThatIsNamed) {
  const TestCa ca = TestCa::New("A Root");
  fs::create_directories(Path("trust/tpm"));
  std::ofstream(Path("trust/tpm/a.cer"), std::ios::binary) << testing::MakeDer(ca.CaSpec(ca));
  const auto create = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"create", "--from", Path("trust"), "--name", "x", "--number", "1",
                               "--out", Path("payload")});
    return Run(more);
  };
  const auto made = [&] {
    auto bundle = TrustBundle::Parse(*ReadFile(Path("payload")));
    return bundle.ok() ? bundle->files["firmware.list"] : "none";
  };
  EXPECT_EQ(create({}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("no list of firmware"));
  std::ofstream(Path("trust/firmware.list")) << kList;
  EXPECT_EQ(create({}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1 lines on firmware"));
  EXPECT_EQ(made(), kList);
  std::ofstream(Path("other.list")) << "forekey-firmware-list 1\n# nothing yet\n";
  EXPECT_EQ(create({"--firmware", Path("other.list")}), kExitOk) << err_.str();
  EXPECT_THAT(made(), HasSubstr("# nothing yet"));
  EXPECT_EQ(create({"--firmware", Path("none.list")}), kExitNotRun);
  std::ofstream(Path("trust/firmware.list")) << "tpm IFX weak 5.0\n";
  EXPECT_EQ(create({}), kExitNotRun);
  EXPECT_THAT(err_.str(), HasSubstr("firmware.list: the list of firmware is not understood"));
}

TEST_F(TrustBundleTest, TheCommandsWorkFromKeyToGate) {
  const TestCa ca = TestCa::New("A TPM Root");
  std::ofstream(Path("root.der"), std::ios::binary) << testing::MakeDer(ca.CaSpec(ca));
  int status = -1;
  CLI::App app;
  AddTrustCommand(app, out_, err_, &status);
  app.parse(absl::StrCat("trust import ", Path("root.der"), " --into ", Path("trust"),
                         " --at 2026-01-01T00:00:00Z"));
  ASSERT_EQ(status, kExitOk) << err_.str();

  EXPECT_EQ(Run({"key", "--out", Path("key.pem")}), kExitOk) << err_.str();
  EXPECT_EQ(Run({"key", "--out", Path("key.pem")}), kExitNotRun);  // never over a key
  EXPECT_EQ(Run({"create", "--from", Path("trust"), "--name", "example.org", "--number", "3",
                 "--out", Path("payload")}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Run({"verify", Path("bundle"), "--key", Path("key.pem.pub")}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("number 3 of example.org"));
  const std::vector<std::string> apply = {"apply", Path("bundle"), "--key", Path("key.pem.pub"),
                                          "--to",  Path("gate")};
  EXPECT_EQ(Run(apply), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("applied number 3"));
  EXPECT_EQ(Run(apply), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("was applied already"));
  std::vector<std::string> skipped;
  const auto anchors = TrustAnchors::FromDirectory(Path("gate/tpm"), &skipped);
  ASSERT_TRUE(anchors.ok());
  EXPECT_EQ(anchors->anchors().size(), 1u);

  EXPECT_EQ(Run({"key", "--out", Path("other.pem")}), kExitOk);
  EXPECT_EQ(Run({"verify", Path("bundle"), "--key", Path("other.pem.pub")}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("another key"));
}

// Some terminals take U+009B for the beginning of a command.
TEST_F(TrustBundleTest, WhatABundleSaysReachesATerminalAsAscii) {
  TrustBundle bundle = Bundle(1, {});
  bundle.made = "2026\xc2\x9b";
  std::ofstream(Path("payload"), std::ios::binary) << bundle.Serialize();
  ASSERT_EQ(Run({"key", "--out", Path("key.pem")}), kExitOk) << err_.str();
  ASSERT_EQ(Run({"sign", Path("payload"), "--key", Path("key.pem"), "--out", Path("bundle")}),
            kExitOk)
      << err_.str();
  ASSERT_EQ(Run({"verify", Path("bundle"), "--key", Path("key.pem.pub"), "--json"}), kExitOk)
      << err_.str();
  EXPECT_EQ(nlohmann::json::parse(out_.str())["made"], bundle.made);
  EXPECT_THAT(out_.str(), ::testing::Not(HasSubstr("\x9b")));
}

}  // namespace
}  // namespace forekey
