// SPDX-License-Identifier: Apache-2.0
// What the interop tests of stock programs on the simulated PIV card share: the card, and the
// programs, run so that they find its pcscd.
#ifndef FOREKEY_TESTS_INTEROP_PIV_TOOLS_H_
#define FOREKEY_TESTS_INTEROP_PIV_TOOLS_H_

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/piv_simulator.h"
#include "simulators/process.h"

namespace forekey::piv {

inline constexpr char kOpenSc[] = "opensc-pkcs11.so";
inline constexpr char kYkcs11[] = "libykcs11.so";

inline std::string ModulePath(const std::string& name) {
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/", "/usr/lib/"}) {
    if (std::filesystem::exists(folder + name)) return folder + name;
  }
  return name;
}

class PivToolsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/forekey-pivtools-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    simulator_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Start(PivConfig::Kind kind = PivConfig::Kind::kYubiKey) {
    PivConfig card;
    card.kind = kind;
    Start(card);
  }
  void Start(const PivConfig& card) {
    PivSimulatorConfig config;
    config.card = card;
    auto simulator = PivSimulator::Start(config);
    ASSERT_TRUE(simulator.ok()) << simulator.status();
    simulator_ = *std::move(simulator);
  }
  std::string Path(const std::string& name) { return folder_ + "/" + name; }
  absl::StatusOr<std::string> Run(std::vector<std::string> argv) {
    return RunTool(
        {.argv = std::move(argv), .environment = {"PCSCLITE_CSOCK_NAME=" + simulator_->socket()}});
  }
  absl::StatusOr<std::string> Yubico(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "yubico-piv-tool");
    return Run(std::move(arguments));
  }
  absl::StatusOr<std::string> Pkcs11(const char* module, std::vector<std::string> arguments) {
    std::vector<std::string> argv = {"pkcs11-tool", "--module", ModulePath(module)};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return Run(std::move(argv));
  }
  // A key in a slot, with a certificate of a CA of the test's.
  void MakeKeyWithCertificate(const std::string& slot, const std::string& algorithm) {
    auto result =
        Yubico({"-a", "generate", "-s", slot, "-A", algorithm, "-o", Path(slot + ".pub")});
    ASSERT_TRUE(result.ok()) << result.status();
    if (!std::filesystem::exists(Path("ca.key"))) {
      result = Run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", Path("ca.key"), "-out",
                    Path("ca.pem"), "-subj", "/CN=Test CA", "-days", "30"});
      ASSERT_TRUE(result.ok()) << result.status();
    }
    result = Run({"openssl", "x509", "-new", "-force_pubkey", Path(slot + ".pub"), "-subj",
                  "/CN=Card " + slot, "-CA", Path("ca.pem"), "-CAkey", Path("ca.key"), "-days",
                  "30", "-out", Path(slot + ".pem")});
    ASSERT_TRUE(result.ok()) << result.status();
    result = Yubico({"-a", "import-certificate", "-s", slot, "-i", Path(slot + ".pem")});
    ASSERT_TRUE(result.ok()) << result.status();
  }
  int PinTries() {
    int tries = -1;
    simulator_->card().WithApplet(
        [&](PivApplet& applet) { tries = applet.state().pin_tries_left; });
    return tries;
  }

  std::string folder_;
  std::unique_ptr<PivSimulator> simulator_;
};

#define ASSERT_RAN(expression, matcher)    \
  do {                                     \
    auto ran = (expression);               \
    ASSERT_TRUE(ran.ok()) << ran.status(); \
    EXPECT_THAT(*ran, matcher);            \
  } while (false)

}  // namespace forekey::piv

#endif  // FOREKEY_TESTS_INTEROP_PIV_TOOLS_H_
