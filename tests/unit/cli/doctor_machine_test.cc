// SPDX-License-Identifier: Apache-2.0
// Each finding of `forekey doctor` about the machine, in a machine that is broken that way.
#include "src/cli/client/doctor_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <set>

#include "src/base/file.h"
#include "src/cli/client/doctor.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using Level = Finding::Level;
using ::testing::HasSubstr;

class DoctorMachineTest : public ::testing::Test {
 protected:
  DoctorMachineTest() {
    EXPECT_NE(mkdtemp(machine_.root.data()), nullptr);
    machine_.environment = [this](const char* name) { return environment_[name]; };
    machine_.may_open = [this](const std::string& path) {
      return !closed_.contains(path.substr(machine_.root.size()));
    };
    machine_.clock_is_synchronised = [this] { return clock_; };
  }
  ~DoctorMachineTest() override { fs::remove_all(machine_.root); }

  void Make(const std::string& path, const std::string& content = "") {
    fs::create_directories(fs::path(machine_.root + path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(machine_.root + path, content).ok());
  }
  void MakeSecurityKey() {
    Make("/dev/hidraw3");
    Make("/sys/class/hidraw/hidraw3/device/report_descriptor", "\x06\xD0\xF1\x09\x01");
    Make("/dev/hidraw0");  // a mouse
    Make("/sys/class/hidraw/hidraw0/device/report_descriptor", "\x05\x01\x09\x02");
  }
  std::vector<Finding> Check(void (*check)(const DoctorMachine&, std::vector<Finding>&)) {
    std::vector<Finding> findings;
    check(machine_, findings);
    return findings;
  }
  // The only finding: with its id and level; what is not good says why, and how to mend it.
  void ExpectOne(void (*check)(const DoctorMachine&, std::vector<Finding>&), const std::string& id,
                 Level level) {
    const auto findings = Check(check);
    ASSERT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].id, id);
    EXPECT_EQ(findings[0].level, level) << id;
    EXPECT_EQ(findings[0].why.empty(), level == Level::kGood) << id;
    EXPECT_EQ(findings[0].mend.empty(), level == Level::kGood) << id;
  }

  DoctorMachine machine_{.root = "/tmp/forekey-doctor-XXXXXX"};
  std::map<std::string, std::string> environment_;
  std::set<std::string> closed_;
  bool clock_ = true;
};

TEST_F(DoctorMachineTest, TheTpmIsNotThereOrClosedOrWithoutItsManager) {
  ExpectOne(CheckTpm, "tpm-none", Level::kNote);
  Make("/dev/tpm0");
  ExpectOne(CheckTpm, "tpm-no-resource-manager", Level::kBad);
  Make("/dev/tpmrm0");
  ExpectOne(CheckTpm, "tpm-access", Level::kGood);
  closed_.insert("/dev/tpmrm0");
  ExpectOne(CheckTpm, "tpm-no-access", Level::kBad);
  EXPECT_THAT(Check(CheckTpm)[0].mend, HasSubstr("adduser $USER tss"));
  Make("/.dockerenv");
  EXPECT_THAT(Check(CheckTpm)[0].mend, HasSubstr("docker run --device"));
}

TEST_F(DoctorMachineTest, TheSecurityKeyIsClosedForWantOfRulesOrOfAGroup) {
  ExpectOne(CheckSecurityKeys, "fido2-none", Level::kNote);
  MakeSecurityKey();
  ExpectOne(CheckSecurityKeys, "fido2-access", Level::kGood);
  closed_.insert("/dev/hidraw3");
  ExpectOne(CheckSecurityKeys, "fido2-no-udev-rules", Level::kBad);
  EXPECT_THAT(Check(CheckSecurityKeys)[0].mend, HasSubstr("udevadm trigger"));
  Make("/usr/lib/udev/rules.d/70-forekey.rules");
  ExpectOne(CheckSecurityKeys, "fido2-no-access", Level::kBad);
  EXPECT_THAT(Check(CheckSecurityKeys)[0].mend, HasSubstr("adduser $USER forekey"));
}

TEST_F(DoctorMachineTest, TheSmartcardDaemonIsNotThereOrSomebodyHoldsTheReader) {
  ExpectOne(CheckSmartcards, "pcscd-not-running", Level::kNote);
  EXPECT_THAT(Check(CheckSmartcards)[0].mend, HasSubstr("apt install pcscd"));
  Make("/usr/sbin/pcscd");
  EXPECT_THAT(Check(CheckSmartcards)[0].mend, HasSubstr("systemctl enable --now pcscd.socket"));
  Make("/run/pcscd/pcscd.comm");
  ExpectOne(CheckSmartcards, "pcscd", Level::kGood);
  environment_["PCSCLITE_CSOCK_NAME"] = "/gone.sock";
  ExpectOne(CheckSmartcards, "pcscd-socket-missing", Level::kBad);
  environment_.clear();
  Make("/proc/4711/comm", "scdaemon\n");
  const auto findings = Check(CheckSmartcards);
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].id, "scdaemon-holds-reader");
  EXPECT_THAT(findings[1].mend, HasSubstr("gpgconf --kill scdaemon"));
}

TEST_F(DoctorMachineTest, AUnitWhoseProgramIsGone) {
  EXPECT_TRUE(Check(CheckUnits).empty());
  Make("/usr/lib/systemd/user/forekey-agent.service",
       "[Service]\nExecStart=/opt/x/forekey-agent\n");
  ExpectOne(CheckUnits, "unit-program-missing", Level::kBad);
  Make("/opt/x/forekey-agent");
  EXPECT_TRUE(Check(CheckUnits).empty());
}

TEST_F(DoctorMachineTest, AClockThatNobodyKeeps) {
  ExpectOne(CheckClock, "clock", Level::kGood);
  clock_ = false;
  ExpectOne(CheckClock, "clock-not-synchronised", Level::kNote);
}

TEST_F(DoctorMachineTest, NoAgentIsToldAndWhatTheEnvironmentHasToDoWithIt) {
  environment_["FOREKEY_AGENT_SOCKET"] = machine_.root + "/none.sock";
  DoctorOptions options;
  options.machine = machine_;
  options.socket = machine_.root + "/none.sock";
  std::map<std::string, Finding> found;
  for (const Finding& one : Diagnose(options)) found[one.id] = one;
  EXPECT_EQ(found["agent-not-running"].level, Level::kBad);
  EXPECT_THAT(found["agent-not-running"].mend, HasSubstr("forekey-agent.socket"));
  EXPECT_EQ(found["agent-socket-variable"].level, Level::kBad);
  environment_.clear();
  found.clear();
  for (const Finding& one : Diagnose(options)) found[one.id] = one;
  EXPECT_EQ(found["no-runtime-dir"].level, Level::kNote);
}

TEST(DoctorAgentTest, AnOldAgentDevicesWithProblemsAndNone) {
  std::vector<Finding> findings;
  v1::GetStatusResponse status;
  status.set_version("0.0.0");
  AddAgentFindings(status, "/a.sock", findings);
  v1::ListDevicesResponse devices;
  devices.add_problems("tpm: has no lockoutAuth");
  devices.add_problems("fido2: the PIN is blocked");
  AddDeviceFindings(devices, findings);
  std::map<std::string, Finding> found;
  for (const Finding& one : findings) found[one.id] = one;
  EXPECT_EQ(found["agent-version"].level, Level::kNote);
  EXPECT_THAT(found["tpm-lockout-open"].mend, HasSubstr("tpm2_changeauth -c lockout"));
  EXPECT_THAT(found["device-problem"].seen, HasSubstr("PIN is blocked"));
  EXPECT_EQ(found["no-device"].level, Level::kBad);
}

TEST(DoctorAgentTest, FirmwareThatIsKnownToBeWeakIsNoted) {
  v1::ListDevicesResponse devices;
  v1::Device* device = devices.add_devices();
  device->set_uri("tpm:");
  device->set_kind(v1::TOKEN_KIND_TPM);
  device->set_maker("IFX");
  device->set_firmware("5.61.0.0");
  const auto noted = [&] {
    std::vector<Finding> findings;
    AddDeviceFindings(devices, findings);
    for (const Finding& one : findings) {
      if (one.id == "weak-firmware") return std::optional<Finding>(one);
    }
    return std::optional<Finding>();
  };
  ASSERT_TRUE(noted().has_value());
  EXPECT_EQ(noted()->level, Level::kNote);
  EXPECT_THAT(noted()->seen, HasSubstr("5.61.0.0: CVE-2017-15361"));
  EXPECT_THAT(noted()->mend, HasSubstr("update the TPM's firmware"));
  for (const char* good : {"5.62.0.0", "", "what"}) {
    device->set_firmware(good);
    EXPECT_FALSE(noted().has_value()) << good;
  }
  device->set_kind(v1::TOKEN_KIND_PIV);
  device->set_maker("yubikey");
  device->set_firmware("4.3.1");
  EXPECT_THAT(noted()->seen, HasSubstr("YSA-2017-01"));
}

TEST(DoctorGateTest, EachTroubleWithAGateHasAnIdAndAWayOut) {
  std::set<std::string> ids;
  for (int trouble = v1::GATE_TROUBLE_NO_ADDRESS;
       trouble <= v1::GATE_TROUBLE_CERTIFICATE_FOR_OTHER_NAME; ++trouble) {
    const Finding found =
        GateFinding("a.test", "a.test:1", static_cast<v1::GateTrouble>(trouble), "what is wrong");
    EXPECT_EQ(found.level, Level::kBad) << found.id;
    EXPECT_NE(found.why, "");
    EXPECT_NE(found.mend, "");
    EXPECT_THAT(found.seen, HasSubstr("what is wrong"));
    ids.insert(found.id);
  }
  EXPECT_EQ(ids.size(), 8u);
  EXPECT_EQ(GateFinding("a.test", "a.test:1", v1::GATE_TROUBLE_UNSPECIFIED, "").level,
            Level::kGood);
}

}  // namespace
}  // namespace forekey
