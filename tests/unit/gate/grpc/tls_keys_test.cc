// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/grpc/tls_keys.h"

namespace forekey {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TlsKeysTest : public ::testing::Test {
 protected:
  TlsKeysTest() {
    std::string name = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    certificate_ = directory_ + "/cert.pem";
    key_ = directory_ + "/key.pem";
    Write(Make());
  }
  ~TlsKeysTest() override { std::filesystem::remove_all(directory_); }

  static SelfSignedCertificate Make() {
    return *MakeSelfSignedCertificate({"localhost", "::1"}, absl::Now(), absl::Hours(1));
  }
  void Write(const SelfSignedCertificate& pair) {
    ASSERT_TRUE(WriteFileAtomically(certificate_, pair.certificate_pem).ok());
    ASSERT_TRUE(WriteFileAtomically(key_, pair.key_pem, 0600).ok());
  }
  std::string Problem() {
    return std::string(ReadTlsKeyPair(certificate_, key_).status().message());
  }

  std::string directory_, certificate_, key_;
};

TEST_F(TlsKeysTest, ErrorsNameTheFileAndWhatIsWrong) {
  EXPECT_EQ(Problem(), "");
  ASSERT_TRUE(WriteFileAtomically(key_, Make().key_pem, 0600).ok());
  EXPECT_THAT(Problem(),
              AllOf(HasSubstr(key_), HasSubstr("is not the key of"), HasSubstr(certificate_)));
  ASSERT_TRUE(WriteFileAtomically(key_, Make().key_pem, 0640).ok());
  EXPECT_THAT(Problem(), AllOf(HasSubstr(key_), HasSubstr("chmod 600")));
  ASSERT_TRUE(WriteFileAtomically(key_, "nonsense", 0600).ok());
  EXPECT_THAT(Problem(), AllOf(HasSubstr(key_), HasSubstr("no PEM private key")));
  ASSERT_TRUE(WriteFileAtomically(certificate_, "nonsense").ok());
  EXPECT_THAT(Problem(), AllOf(HasSubstr(certificate_), HasSubstr("no PEM certificate")));
  ASSERT_EQ(unlink(certificate_.c_str()), 0);
  EXPECT_THAT(Problem(), HasSubstr(certificate_));
}

TEST_F(TlsKeysTest, AnEncryptedKeyIsAnErrorAndNotAQuestionOnTheTerminal) {
  ASSERT_TRUE(
      WriteFileAtomically(key_,
                          "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                          "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
                          "-----END ENCRYPTED PRIVATE KEY-----\n",
                          0600)
          .ok());
  EXPECT_THAT(Problem(), HasSubstr("without a passphrase"));
}

// LAW: nobody sees a certificate that the gate would refuse to have been seen.
TEST_F(TlsKeysTest, APairIsPresentedOnlyOnceItsBindingIsAccepted) {
  std::vector<std::string> asked;
  absl::Status answer;
  auto keys = TlsKeys::New(certificate_, key_, [&](absl::string_view binding) {
    asked.emplace_back(binding);
    return answer;
  });
  ASSERT_TRUE(keys.ok());
  const std::string old_binding = (*keys)->current()->binding;
  EXPECT_THAT(asked, ElementsAre(old_binding));
  EXPECT_EQ((*keys)->generation(), 1u);
  EXPECT_FALSE(*(*keys)->Reload()) << "nothing changed";

  Write(Make());
  answer = absl::UnavailableError("not yet");
  EXPECT_EQ((*keys)->Reload().status(), answer);
  EXPECT_EQ((*keys)->current()->binding, old_binding);
  EXPECT_EQ((*keys)->generation(), 1u);

  answer = absl::OkStatus();
  EXPECT_TRUE(*(*keys)->Reload());
  EXPECT_EQ((*keys)->current()->binding, asked.back());
  EXPECT_NE((*keys)->current()->binding, old_binding);
  EXPECT_EQ((*keys)->generation(), 2u);
}

TEST_F(TlsKeysTest, AFailedReloadKeepsTheOldPair) {
  auto keys = TlsKeys::New(certificate_, key_, [](absl::string_view) { return absl::OkStatus(); });
  ASSERT_TRUE(keys.ok());
  const std::string binding = (*keys)->current()->binding;
  ASSERT_TRUE(WriteFileAtomically(certificate_, Make().certificate_pem).ok());
  EXPECT_FALSE((*keys)->Reload().ok());
  EXPECT_EQ((*keys)->current()->binding, binding);
}

TEST(ListenAddressTest, IsNumericOneASocket) {
  EXPECT_THAT(*ResolveListenAddress("127.0.0.1:7443", false), ElementsAre("127.0.0.1:7443"));
  EXPECT_THAT(*ResolveListenAddress("[::]:7443", false), ElementsAre("[::]:7443"));
  EXPECT_THAT(*ResolveListenAddress("[::1]:0", false), ElementsAre("[::1]:0"));
}

TEST(ListenAddressTest, ErrorsNameTheAddress) {
  for (const char* bad :
       {"", "7443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:x"}) {
    EXPECT_THAT(std::string(ResolveListenAddress(bad, false).status().message()),
                HasSubstr("is not host:port"))
        << bad;
  }
}

TEST(ListenAddressTest, TellsThatAPortIsTaken) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string text = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  EXPECT_THAT(std::string(ResolveListenAddress(text, true).status().message()),
              AllOf(HasSubstr(text), HasSubstr("in use")));
  close(fd);
  EXPECT_TRUE(ResolveListenAddress(text, true).ok());
}

}  // namespace
}  // namespace forekey
