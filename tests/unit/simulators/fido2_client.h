// SPDX-License-Identifier: Apache-2.0
// A platform for tests of the simulated security key: CTAPHID over its socket and the platform's
// half of the PIN/UV auth protocols.
#ifndef FOREKEY_TESTS_UNIT_SIMULATORS_FIDO2_CLIENT_H_
#define FOREKEY_TESTS_UNIT_SIMULATORS_FIDO2_CLIENT_H_

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "simulators/fido2/fido2_simulator.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {

class TestClient {
 public:
  using Entries = std::vector<std::pair<std::string, std::string>>;

  explicit TestClient(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    if (!connected_) return;
    SendMessage({kBroadcastChannel, kHidInit, "12345678"});
    const HidMessage answer = ReadMessage();
    if (answer.payload.size() == 17)
      channel_ = ByteReader(absl::string_view(answer.payload).substr(8)).U32();
  }
  bool connected() const { return connected_; }
  uint32_t channel() const { return channel_; }

  void SendReport(absl::string_view report) {
    const std::string bytes = absl::StrCat(std::string(1, '\0'), report);
    (void)!send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void SendMessage(const HidMessage& message) {
    for (const std::string& report : ToReports(message)) SendReport(report);
  }
  // "" when the device is gone.
  std::string ReadReport() {
    std::string report(128, '\0');
    pollfd waiting{fd_.get(), POLLIN, 0};
    if (poll(&waiting, 1, 60000) != 1) return "";
    const ssize_t got = recv(fd_.get(), report.data(), report.size(), 0);
    report.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return report;
  }
  // A whole message, keepalives counted and left out. Command 0 when the device is gone.
  HidMessage ReadMessage() {
    while (true) {
      HidMessage out;
      const std::string first = ReadReport();
      if (first.size() != kReportSize) return {};
      ByteReader reader(first);
      out.channel = reader.U32();
      out.command = reader.U8() & 0x7f;
      const size_t total = reader.U16();
      out.payload = std::string(reader.Rest());
      while (out.payload.size() < total) {
        const std::string next = ReadReport();
        if (next.size() != kReportSize) return {};
        out.payload += next.substr(5);
      }
      out.payload.resize(total);
      if (out.command != kHidKeepalive) return out;
      ++keepalives_;
    }
  }
  int keepalives() const { return keepalives_; }

  void Begin(uint8_t command, const Entries& entries, uint8_t hid_command = kHidCbor) {
    const std::string body = entries.empty() ? "" : CborMap(entries);
    SendMessage(
        {channel_, hid_command, absl::StrCat(std::string(1, static_cast<char>(command)), body)});
  }
  // The status byte; the body in `body`. 0xff: no CBOR answer.
  int End() {
    const HidMessage answer = ReadMessage();
    if (answer.command != kHidCbor || answer.payload.empty()) return 0xff;
    body = answer.payload.substr(1);
    return static_cast<uint8_t>(answer.payload[0]);
  }
  int Call(uint8_t command, const Entries& entries = {}) {
    Begin(command, entries);
    return End();
  }

  static std::string Descriptor(absl::string_view id) {
    return CborMap({{CborText("id"), CborBytes(id)}, {CborText("type"), CborText("public-key")}});
  }
  static Entries MakeRequest(int algorithm = kEs256, bool rk = false,
                             absl::string_view user = "user-1") {
    Entries out = {
        {CborInt(1), CborBytes(std::string(32, 'h'))},
        {CborInt(2), CborMap({{CborText("id"), CborText("gate.example")}})},
        {CborInt(3),
         CborMap({{CborText("id"), CborBytes(user)}, {CborText("name"), CborText(user)}})},
        {CborInt(4), CborArray({CborMap({{CborText("alg"), CborInt(algorithm)},
                                         {CborText("type"), CborText("public-key")}})})}};
    if (rk) out.emplace_back(CborInt(7), CborMap({{CborText("rk"), CborBool(true)}}));
    return out;
  }
  static Entries AssertRequest(const std::vector<std::string>& ids) {
    Entries out = {{CborInt(1), CborText("gate.example")},
                   {CborInt(2), CborBytes(std::string(32, 'h'))}};
    std::vector<std::string> list;
    for (const std::string& id : ids) list.push_back(Descriptor(id));
    if (!list.empty()) out.emplace_back(CborInt(3), CborArray(list));
    return out;
  }
  std::string AuthData() const {
    const auto item = Item::Parse(body);
    const Item* data = item ? item->Find(2) : nullptr;
    return data == nullptr ? "" : std::string(data->bytes);
  }
  std::string CredentialId() const {
    const std::string data = AuthData();
    if (data.size() < 55) return "";
    return std::string(ByteReader(absl::string_view(data).substr(53)).Len2());
  }
  uint8_t Flags() const { return static_cast<uint8_t>(AuthData().at(32)); }
  uint32_t Counter() const { return ByteReader(absl::string_view(AuthData()).substr(33)).U32(); }

  // ---- PIN ----
  struct Agreement {
    std::string cose;
    PinSecret secret;
  };
  Agreement Agree(int protocol) {
    Call(kClientPin, {{CborInt(1), CborInt(protocol)}, {CborInt(2), CborInt(2)}});
    const auto item = Item::Parse(body);
    const Item* key = item->Find(1);
    const TokenKey own = *TokenKey::Generate(kEs256);
    const std::string point = own.Point();
    return {CborMap({{CborInt(1), CborInt(2)},
                     {CborInt(3), CborInt(-25)},
                     {CborInt(-1), CborInt(1)},
                     {CborInt(-2), CborBytes(point.substr(1, 32))},
                     {CborInt(-3), CborBytes(point.substr(33))}}),
            PinSecret(protocol, own.Agree(key->Find(-2)->bytes, key->Find(-3)->bytes)->view())};
  }
  static std::string PinAuth(int protocol, absl::string_view key, absl::string_view message) {
    std::string out = HmacSha256Of(key, message);
    if (protocol == 1) out.resize(16);
    return out;
  }
  // The status; the token in `token`. `permissions` 0: getPinToken of CTAP 2.0.
  int GetToken(int protocol, absl::string_view pin, int permissions) {
    const Agreement agreement = Agree(protocol);
    Entries request = {
        {CborInt(1), CborInt(protocol)},
        {CborInt(2), CborInt(permissions == 0 ? 5 : 9)},
        {CborInt(3), agreement.cose},
        {CborInt(6), CborBytes(agreement.secret.Encrypt(Sha256Of(pin).substr(0, 16)))}};
    if (permissions != 0) {
      request.emplace_back(CborInt(9), CborInt(permissions));
      request.emplace_back(CborInt(10), CborText("gate.example"));
    }
    const int status = Call(kClientPin, request);
    if (status != kOk) return status;
    const auto item = Item::Parse(body);
    token = std::string(agreement.secret.Decrypt(item->Find(2)->bytes)->view());
    return kOk;
  }
  Entries WithToken(Entries request, int protocol, int param_key) {
    request.emplace_back(CborInt(param_key),
                         CborBytes(PinAuth(protocol, token, std::string(32, 'h'))));
    request.emplace_back(CborInt(param_key + 1), CborInt(protocol));
    return request;
  }

  std::string body, token;

 private:
  UniqueFd fd_;
  bool connected_ = false;
  uint32_t channel_ = 0;
  int keepalives_ = 0;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_TESTS_UNIT_SIMULATORS_FIDO2_CLIENT_H_
