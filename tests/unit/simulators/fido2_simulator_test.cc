// SPDX-License-Identifier: Apache-2.0
// The laws of CTAP that the simulated security key keeps, and each way in which it breaks one.
#include "simulators/fido2/fido2_simulator.h"

#include <stdlib.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/simulators/fido2_client.h"

namespace forekey::fido2sim {
namespace {

namespace fs = std::filesystem;

class Fido2SimulatorTest : public testing::Test {
 protected:
  void Start(Config config = {}, std::string state = "") {
    SimulatorOptions options;
    options.config = config;
    options.state_directory = state;
    token_.reset();
    auto started = Fido2Simulator::Start(std::move(options));
    ASSERT_TRUE(started.ok()) << started.status();
    token_ = *std::move(started);
  }
  static Config Touched() {
    Config config;
    config.auto_touch = true;
    return config;
  }
  TestClient Open() { return TestClient(token_->socket_path()); }
  // The control socket's answer to a line.
  std::string Request(const std::string& line) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    token_->control_path().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const std::string request = line + "\n";
    EXPECT_EQ(write(fd.get(), request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    std::string answer;
    for (char c; read(fd.get(), &c, 1) == 1 && c != '\n';) answer += c;
    return answer;
  }
  // A registered credential's id.
  std::string Register(TestClient& client, bool rk = false, absl::string_view user = "user-1") {
    EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest(kEs256, rk, user)), kOk);
    return client.CredentialId();
  }
  bool Verifies(const TestClient& client, const std::string& id) {
    const auto item = Item::Parse(client.body);
    bool good = false;
    token_->WithAuthenticator([&](Authenticator& authenticator) {
      const Credential* credential = authenticator.state().Find(id);
      const TokenKey key = *TokenKey::FromDer(credential->algorithm, credential->key.view());
      EVP_MD_CTX* context = EVP_MD_CTX_new();
      const EVP_MD* md = credential->algorithm == kEdDsa   ? nullptr
                         : credential->algorithm == kEs384 ? EVP_sha384()
                                                           : EVP_sha256();
      EVP_DigestVerifyInit(context, nullptr, md, nullptr, key.evp());
      const std::string message = client.AuthData() + std::string(32, 'h');
      const absl::string_view signature = item->Find(3)->bytes;
      good = EVP_DigestVerify(context, U8(signature), signature.size(), U8(message),
                              message.size()) == 1;
      EVP_MD_CTX_free(context);
    });
    return good;
  }
  std::unique_ptr<Fido2Simulator> token_;
};

TEST_F(Fido2SimulatorTest, EveryAlgorithmRegistersAndSigns) {
  Start(Touched());
  TestClient client = Open();
  for (int algorithm : {kEs256, kEdDsa, kEs384, kRs256}) {
    ASSERT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest(algorithm)), kOk) << algorithm;
    EXPECT_EQ(client.Flags(), 0x41);
    const std::string id = client.CredentialId();
    ASSERT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({id})), kOk) << algorithm;
    EXPECT_EQ(client.Flags(), 0x01);
    EXPECT_TRUE(Verifies(client, id)) << algorithm;
  }
  EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest(-47)), kUnsupportedAlgorithm);
}

TEST_F(Fido2SimulatorTest, ATouchIsAnEventThatKeepalivesAskFor) {
  Start();
  TestClient client = Open();
  EXPECT_FALSE(token_->Touch());
  client.Begin(kMakeCredential, TestClient::MakeRequest());
  ASSERT_TRUE(token_->TouchWhenAsked());
  EXPECT_EQ(client.End(), kOk);
  EXPECT_GE(client.keepalives(), 1);
}

TEST_F(Fido2SimulatorTest, AWaitEndsByTimeOutRefusalOrCancel) {
  Config config;
  config.touch_timeout = absl::Milliseconds(20);
  Start(config);
  TestClient client = Open();
  EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest()), kUserActionTimeout);
  token_->Misbehave({Misbehaviour::kDenied});
  EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest()), kOperationDenied);
  Start();
  TestClient second = Open();
  second.Begin(kMakeCredential, TestClient::MakeRequest());
  ASSERT_TRUE(token_->WaitUntilAsked());
  second.SendMessage({second.channel(), kHidCancel, ""});
  EXPECT_EQ(second.End(), kKeepaliveCancel);
}

TEST_F(Fido2SimulatorTest, OtherChannelsHearThatItIsBusy) {
  Start();
  TestClient first = Open(), second = Open();
  EXPECT_NE(first.channel(), second.channel());
  first.Begin(kMakeCredential, TestClient::MakeRequest());
  ASSERT_TRUE(token_->WaitUntilAsked());
  second.Begin(kGetInfo, {});
  HidMessage answer = second.ReadMessage();
  EXPECT_EQ(answer.command, kHidError);
  EXPECT_EQ(answer.payload, std::string(1, static_cast<char>(kHidChannelBusy)));
  second.SendMessage({second.channel(), kHidCancel, ""});  // not its command: nothing happens
  ASSERT_TRUE(token_->Touch());
  EXPECT_EQ(first.End(), kOk);
  EXPECT_EQ(second.Call(kGetInfo), kOk);
}

TEST_F(Fido2SimulatorTest, FramesOutOfOrderAreErrors) {
  Start();
  TestClient client = Open();
  const std::string payload(200, 'p');
  client.SendMessage({client.channel(), kHidPing, payload});
  EXPECT_EQ(client.ReadMessage().payload, payload);
  auto expect_error = [&](HidErrorCode code) {
    const HidMessage answer = client.ReadMessage();
    EXPECT_EQ(answer.command, kHidError);
    EXPECT_EQ(answer.payload, std::string(1, static_cast<char>(code)));
  };
  auto reports = ToReports({client.channel(), kHidPing, payload});
  client.SendReport(reports[0]);
  client.SendReport(reports[2]);
  expect_error(kHidInvalidSequence);
  client.SendReport(reports[0]);
  client.SendReport(reports[0]);
  expect_error(kHidInvalidSequence);
  client.SendReport(reports[0]);  // and no more
  expect_error(kHidMessageTimeout);
  client.SendMessage({0xdead, kHidPing, "x"});
  expect_error(kHidInvalidChannel);
  client.SendMessage({client.channel(), 0x2a, "x"});
  expect_error(kHidInvalidCommand);
  reports[0][5] = reports[0][6] = '\x7f';
  client.SendReport(reports[0]);
  expect_error(kHidInvalidLength);
}

TEST_F(Fido2SimulatorTest, RequestsThatAreNotCtapAreNamed) {
  Start(Touched());
  TestClient client = Open();
  EXPECT_EQ(client.Call(0x77), kInvalidCommand);
  client.SendMessage({client.channel(), kHidCbor, "\x01\xa1\x01"});
  EXPECT_EQ(client.End(), kInvalidCbor);
  client.SendMessage({client.channel(), kHidCbor,
                      std::string("\x02\xa2\x02\x00\x01\x00", 6)});  // keys not in order
  EXPECT_EQ(client.End(), kInvalidCbor);
  client.SendMessage({client.channel(), kHidCbor, std::string("\x01\x80", 2)});
  EXPECT_EQ(client.End(), kCborUnexpectedType);
  EXPECT_EQ(client.Call(kGetAssertion, {{CborInt(1), CborText("x")}}), kMissingParameter);
  EXPECT_EQ(client.Call(kGetAssertion, {{CborInt(1), CborInt(1)}, {CborInt(2), CborBytes("x")}}),
            kCborUnexpectedType);
  EXPECT_EQ(client.Call(kGetNextAssertion), kNotAllowed);
  client.SendMessage({client.channel(), kHidCbor, std::string(2000, '\x01')});
  EXPECT_EQ(client.End(), kRequestTooLarge);
}

TEST_F(Fido2SimulatorTest, ExcludesKnownCredentialsAndProbesSilently) {
  Start(Touched());
  TestClient client = Open();
  const std::string id = Register(client);
  auto request = TestClient::MakeRequest();
  request.emplace_back(CborInt(5), CborArray({TestClient::Descriptor(id)}));
  EXPECT_EQ(client.Call(kMakeCredential, request), kCredentialExcluded);
  auto probe = TestClient::AssertRequest({id});
  probe.emplace_back(CborInt(5), CborMap({{CborText("up"), CborBool(false)}}));
  token_->SetAutoTouch(false);
  ASSERT_EQ(client.Call(kGetAssertion, probe), kOk);
  EXPECT_EQ(client.Flags(), 0);
  EXPECT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({"other"})), kNoCredentials);
}

TEST_F(Fido2SimulatorTest, DiscoverableCredentialsComeOneAfterTheOther) {
  Start(Touched());
  TestClient client = Open();
  Register(client, true, "user-1");
  Register(client, true, "user-2");
  Register(client, true, "user-2");  // replaces the one before
  ASSERT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({})), kOk);
  auto item = Item::Parse(client.body);
  EXPECT_EQ(item->Find(5)->number, 2);
  EXPECT_EQ(item->Find(4)->Find("id")->bytes, "user-2");
  ASSERT_EQ(client.Call(kGetNextAssertion), kOk);
  item = Item::Parse(client.body);
  EXPECT_EQ(item->Find(4)->Find("id")->bytes, "user-1");
  EXPECT_EQ(client.Call(kGetNextAssertion), kNotAllowed);
}

TEST_F(Fido2SimulatorTest, PinTokensOfBothProtocolsVerifyTheUser) {
  Start(Touched());
  ASSERT_TRUE(token_->SetPin("1234").ok());
  TestClient client = Open();
  EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest(kEs256, true)), kPuatRequired);
  for (int protocol : {1, 2}) {
    for (int permissions : {0, 3}) {
      ASSERT_EQ(client.GetToken(protocol, "1234", permissions), kOk) << protocol;
      ASSERT_EQ(client.Call(kMakeCredential,
                            client.WithToken(TestClient::MakeRequest(kEs256, true), protocol, 8)),
                kOk);
      EXPECT_EQ(client.Flags(), 0x45);
      const std::string id = client.CredentialId();
      ASSERT_EQ(client.Call(kGetAssertion,
                            client.WithToken(TestClient::AssertRequest({id}), protocol, 6)),
                kOk);
      EXPECT_EQ(client.Flags(), 0x05);
      client.token[0] ^= 1;
      EXPECT_EQ(client.Call(kGetAssertion,
                            client.WithToken(TestClient::AssertRequest({id}), protocol, 6)),
                kPinAuthInvalid);
    }
    ASSERT_EQ(client.GetToken(protocol, "1234", 2), kOk);  // assertions only
    EXPECT_EQ(
        client.Call(kMakeCredential, client.WithToken(TestClient::MakeRequest(), protocol, 8)),
        kPinAuthInvalid);
  }
}

TEST_F(Fido2SimulatorTest, WrongPinsStopAtThreeUntilReplugged_AndAtEightForGood) {
  Start(Touched());
  ASSERT_TRUE(token_->SetPin("1234").ok());
  const int expected[] = {kPinInvalid, kPinInvalid,     kPinAuthBlocked, kPinInvalid,
                          kPinInvalid, kPinAuthBlocked, kPinInvalid,     kPinBlocked};
  for (int i = 0; i < 8; ++i) {
    if (i % 3 == 0) {
      ASSERT_TRUE(token_->Replug().ok());
    }
    TestClient client = Open();
    EXPECT_EQ(client.GetToken(2, "9999", 3), expected[i]) << i;
    if (i == 2) {
      EXPECT_EQ(client.GetToken(2, "1234", 3), kPinAuthBlocked);
    }
  }
  ASSERT_TRUE(token_->Replug().ok());
  TestClient client = Open();
  EXPECT_EQ(client.GetToken(2, "1234", 3), kPinBlocked);
  ASSERT_EQ(client.Call(kReset), kOk);
  EXPECT_EQ(client.GetToken(2, "1234", 3), kPinNotSet);
}

TEST_F(Fido2SimulatorTest, SetsAndChangesThePin) {
  Start(Touched());
  TestClient client = Open();
  const auto padded = [](std::string pin) {
    pin.resize(64, '\0');
    return pin;
  };
  for (int protocol : {1, 2}) {
    ASSERT_TRUE(token_->SetPin("").ok());
    const auto set = [&](const std::string& pin, bool proved) {
      const auto agreement = client.Agree(protocol);
      const std::string encrypted = agreement.secret.Encrypt(padded(pin));
      const std::string proof = agreement.secret.Authenticate(proved ? encrypted : "other");
      return client.Call(kClientPin, {{CborInt(1), CborInt(protocol)},
                                      {CborInt(2), CborInt(3)},
                                      {CborInt(3), agreement.cose},
                                      {CborInt(4), CborBytes(proof)},
                                      {CborInt(5), CborBytes(encrypted)}});
    };
    const auto change = [&](const std::string& from, const std::string& to) {
      const auto agreement = client.Agree(protocol);
      const std::string encrypted = agreement.secret.Encrypt(padded(to));
      const std::string old = agreement.secret.Encrypt(Sha256Of(from).substr(0, 16));
      return client.Call(kClientPin,
                         {{CborInt(1), CborInt(protocol)},
                          {CborInt(2), CborInt(4)},
                          {CborInt(3), agreement.cose},
                          {CborInt(4), CborBytes(agreement.secret.Authenticate(encrypted + old))},
                          {CborInt(5), CborBytes(encrypted)},
                          {CborInt(6), CborBytes(old)}});
    };
    EXPECT_EQ(change("1234", "12345"), kPinNotSet);
    EXPECT_EQ(set("1234", false), kPinAuthInvalid);
    EXPECT_EQ(set("123", true), kPinPolicyViolation);
    EXPECT_EQ(set("1234", true), kOk);
    EXPECT_EQ(set("1234", true), kPinAuthInvalid);  // there is one
    EXPECT_EQ(change("4321", "12345"), kPinInvalid);
    EXPECT_EQ(change("1234", "12345"), kOk);
    EXPECT_EQ(client.GetToken(protocol, "12345", 3), kOk);
  }
}

TEST_F(Fido2SimulatorTest, BuiltInVerificationIsATouch) {
  Config config = Touched();
  config.built_in_uv = true;
  Start(config);
  TestClient client = Open();
  auto request = TestClient::MakeRequest();
  request.emplace_back(CborInt(7), CborMap({{CborText("uv"), CborBool(true)}}));
  ASSERT_EQ(client.Call(kMakeCredential, request), kOk);
  EXPECT_EQ(client.Flags(), 0x45);
  token_->Misbehave({Misbehaviour::kUvBlocked});
  EXPECT_EQ(client.Call(kMakeCredential, request), kUvBlocked);
}

TEST_F(Fido2SimulatorTest, CredProtectHidesFromWhoIsNotVerified) {
  Start(Touched());
  TestClient client = Open();
  auto request = TestClient::MakeRequest();
  request.emplace_back(CborInt(6), CborMap({{CborText("credProtect"), CborInt(3)}}));
  ASSERT_EQ(client.Call(kMakeCredential, request), kOk);
  EXPECT_EQ(client.Flags(), 0xc1);
  EXPECT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({client.CredentialId()})),
            kNoCredentials);
}

TEST_F(Fido2SimulatorTest, KeepsItsStateOverARestart) {
  std::string folder = "/tmp/forekey-fido-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::string id, root;
  uint32_t counter = 0;
  {
    Start(Touched(), folder);
    ASSERT_TRUE(token_->SetPin("1234").ok());
    TestClient client = Open();
    id = Register(client);
    counter = client.Counter();
    root = token_->root_pem();
    SimulatorOptions again;
    again.state_directory = folder;
    EXPECT_EQ(Fido2Simulator::Start(std::move(again)).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  Start(Touched(), folder);
  TestClient client = Open();
  EXPECT_EQ(token_->root_pem(), root);
  ASSERT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({id})), kOk);
  EXPECT_GT(client.Counter(), counter);
  EXPECT_EQ(client.GetToken(2, "1234", 3), kOk);
  token_.reset();
  fs::remove_all(folder);
}

TEST_F(Fido2SimulatorTest, PulledOutAndPluggedIn) {
  Start();
  TestClient client = Open();
  client.Begin(kMakeCredential, TestClient::MakeRequest());
  ASSERT_TRUE(token_->WaitUntilAsked());
  token_->Unplug();
  EXPECT_EQ(client.End(), 0xff);
  EXPECT_FALSE(fs::exists(token_->socket_path()));
  EXPECT_FALSE(Open().connected());
  ASSERT_TRUE(token_->Replug().ok());
  TestClient again = Open();
  EXPECT_EQ(again.Call(kGetInfo), kOk);
  token_->SetAutoTouch(true);
  token_->Misbehave({Misbehaviour::kGoneInMidCommand});
  EXPECT_EQ(again.Call(kMakeCredential, TestClient::MakeRequest()), 0xff);
  EXPECT_FALSE(fs::exists(token_->socket_path()));
}

TEST_F(Fido2SimulatorTest, RequestsForBusyCommandsAndTheOneThatItIsPulledOutOf) {
  Start(Touched());
  TestClient client = Open();
  EXPECT_EQ(Request("busy 2"), "ok");
  for (int i = 0; i < 2; ++i) {
    client.Begin(kGetInfo, {});
    const HidMessage answer = client.ReadMessage();
    EXPECT_EQ(answer.command, kHidError);
    EXPECT_EQ(answer.payload, std::string(1, static_cast<char>(kHidChannelBusy)));
  }
  EXPECT_EQ(client.Call(kGetInfo), kOk);
  EXPECT_EQ(Request("unplug 1"), "ok");
  EXPECT_EQ(client.Call(kGetInfo), kOk);
  EXPECT_EQ(client.Call(kGetInfo), 0xff);
  EXPECT_FALSE(fs::exists(token_->socket_path()));
  ASSERT_TRUE(token_->Replug().ok());
  EXPECT_EQ(Open().Call(kGetInfo), kOk) << "once";
  EXPECT_EQ(Request("unplug 0"), "ok");
  EXPECT_EQ(Request("busy 9"), "ok");
  EXPECT_EQ(Request("behave"), "ok");
  EXPECT_EQ(Open().Call(kGetInfo), kOk);
  for (const char* line : {"busy", "busy x", "busy -1", "unplug x", "busy 1 2"}) {
    EXPECT_EQ(Request(line).substr(0, 6), "error ") << line;
  }
}

TEST_F(Fido2SimulatorTest, MisbehavioursOfTheAuthenticator) {
  Start(Touched());
  TestClient client = Open();
  const std::string id = Register(client);
  const auto ask = [&](Misbehaviour misbehaviour) {
    token_->Misbehave({misbehaviour});
    return client.Call(kGetAssertion, TestClient::AssertRequest({id}));
  };
  for (int i = 0; i < 8; ++i)
    ASSERT_EQ(client.Call(kGetAssertion, TestClient::AssertRequest({id})), kOk);
  const uint32_t counter = client.Counter();
  ASSERT_EQ(ask(Misbehaviour::kCounterRollback), kOk);
  EXPECT_LT(client.Counter(), counter);
  EXPECT_TRUE(Verifies(client, id));
  ASSERT_EQ(ask(Misbehaviour::kWrongRpIdHash), kOk);
  EXPECT_EQ(client.AuthData().substr(0, 32), Sha256Of("another.example"));
  ASSERT_EQ(ask(Misbehaviour::kUpCleared), kOk);
  EXPECT_EQ(client.Flags(), 0x00);
  ASSERT_EQ(ask(Misbehaviour::kBackupEligible), kOk);
  EXPECT_EQ(client.Flags(), 0x19);
  ASSERT_EQ(ask(Misbehaviour::kReservedFlag), kOk);
  EXPECT_EQ(client.Flags(), 0x21);
  ASSERT_EQ(ask(Misbehaviour::kOtherKeysSignature), kOk);
  EXPECT_FALSE(Verifies(client, id));
  ASSERT_EQ(ask(Misbehaviour::kWrongClientDataHash), kOk);
  EXPECT_FALSE(Verifies(client, id));
  ASSERT_EQ(ask(Misbehaviour::kWrongCredentialId), kOk);
  EXPECT_NE(Item::Parse(client.body)->Find(1)->Find("id")->bytes, id);
  for (Misbehaviour broken : {Misbehaviour::kMalformedCbor, Misbehaviour::kTrailingCbor,
                              Misbehaviour::kDuplicateCborKey, Misbehaviour::kEmptyAnswer}) {
    ASSERT_EQ(ask(broken), kOk);
    EXPECT_FALSE(Item::Parse(client.body).has_value());
  }
  ASSERT_TRUE(token_->SetPin("1234").ok());
  token_->Misbehave({Misbehaviour::kPinBlocked});
  EXPECT_EQ(client.GetToken(2, "1234", 3), kPinBlocked);
  token_->Misbehave({Misbehaviour::kPinAuthBlocked});
  EXPECT_EQ(client.GetToken(2, "1234", 3), kPinAuthBlocked);
  token_->Misbehave({Misbehaviour::kAaguidMismatch});
  ASSERT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest()), kOk);
  EXPECT_NE(client.AuthData().substr(37, 16), Config().aaguid);
}

TEST_F(Fido2SimulatorTest, NeverTouchedRunsIntoItsTimeOut) {
  Config config = Touched();
  config.touch_timeout = absl::Milliseconds(20);
  Start(config);
  token_->Misbehave({Misbehaviour::kNeverTouched});
  TestClient client = Open();
  EXPECT_EQ(client.Call(kMakeCredential, TestClient::MakeRequest()), kUserActionTimeout);
}

TEST_F(Fido2SimulatorTest, MisbehavioursOfTheTransport) {
  Start(Touched());
  TestClient client = Open();
  token_->Misbehave({Misbehaviour::kTruncatedFrames});
  client.Begin(kGetInfo, {});
  while (client.ReadReport().size() != kReportSize / 2) {
  }
  Start(Touched());
  TestClient second = Open();
  token_->Misbehave({Misbehaviour::kWrongChannel});
  second.Begin(kGetInfo, {});
  EXPECT_EQ(second.ReadMessage().channel, second.channel() + 1);
  token_->Misbehave({Misbehaviour::kChannelBusy});
  second.Begin(kGetInfo, {});
  EXPECT_EQ(second.ReadMessage().command, kHidError);
  token_->Misbehave({Misbehaviour::kWrongSequence});
  second.Begin(kGetInfo, {});
  second.ReadReport();
  EXPECT_EQ(second.ReadReport()[4], 1);
  Start(Touched());
  TestClient third = Open();
  token_->Misbehave({Misbehaviour::kOversizedLength});
  third.Begin(kGetInfo, {});
  EXPECT_EQ(third.ReadReport().substr(5, 2), "\xff\xff");
  Start(Touched());
  TestClient fourth = Open();
  token_->Misbehave({Misbehaviour::kEndlessKeepalive});
  fourth.Begin(kGetInfo, {});
  EXPECT_EQ(fourth.ReadReport()[4], '\xbb');
  fourth.SendMessage({fourth.channel(), kHidCancel, ""});
  EXPECT_EQ(fourth.End(), kKeepaliveCancel);
}

TEST_F(Fido2SimulatorTest, U2fAsksAgainUntilItIsTouched) {
  Start();
  TestClient client = Open();
  const auto message = [&](absl::string_view apdu) {
    client.SendMessage({client.channel(), kHidMsg, std::string(apdu)});
    return client.ReadMessage().payload;
  };
  EXPECT_EQ(message(absl::string_view("\0\3\0\0\0\0\0", 7)), absl::string_view("U2F_V2\x90\0", 8));
  const std::string register_apdu = ByteWriter()
                                        .U32(0x00010000)
                                        .U8(0)
                                        .U16(64)
                                        .Raw(std::string(32, 'c'))
                                        .Raw(std::string(32, 'a'))
                                        .U16(0)
                                        .bytes();
  EXPECT_EQ(message(register_apdu), "\x69\x85");
  ASSERT_TRUE(token_->Touch());
  const std::string registered = message(register_apdu);
  ASSERT_GT(registered.size(), 132u);
  const std::string handle = registered.substr(67, 64);
  const auto authenticate = [&](uint8_t control, absl::string_view key_handle) {
    const std::string data =
        ByteWriter().Raw(std::string(32, 'c')).Raw(std::string(32, 'a')).Len1(key_handle).bytes();
    return message(ByteWriter().U16(2).U8(control).U8(0).U8(0).Len2(data).U16(0).bytes());
  };
  EXPECT_EQ(authenticate(7, handle), "\x69\x85");
  EXPECT_EQ(authenticate(7, std::string(64, 'x')), "\x6a\x80");
  EXPECT_EQ(authenticate(3, handle), "\x69\x85");
  ASSERT_TRUE(token_->Touch());
  const std::string signed_answer = authenticate(3, handle);
  EXPECT_EQ(signed_answer[0], 1);
  EXPECT_EQ(signed_answer.substr(signed_answer.size() - 2), absl::string_view("\x90\0", 2));
}

}  // namespace
}  // namespace forekey::fido2sim
