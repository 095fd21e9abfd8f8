// SPDX-License-Identifier: Apache-2.0
// Cards at the level of APDUs, for the PIV driver's unit tests: a small PIV application with just
// what the tests look at, readers that it can be taken out of, and faults at chosen commands. The
// real thing, behind pcscd, is simulators/piv.
#ifndef FOREKEY_TESTS_UNIT_HW_FAKE_SMARTCARDS_H_
#define FOREKEY_TESTS_UNIT_HW_FAKE_SMARTCARDS_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "hw/piv/card_channel.h"
#include "src/base/bytes.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"

namespace forekey {

inline absl::Status CardWasReset() {
  return Interrupted(Interruption::kCardReset,
                     DeviceFailure(DeviceError::kBusy, "another program reset it"));
}
inline absl::Status ServiceWasLost() {
  return Interrupted(Interruption::kServiceLost,
                     DeviceFailure(DeviceError::kNotSetUp, "pcscd ended"));
}
inline absl::Status CardWasRemoved() {
  return DeviceFailure(DeviceError::kGone, "the card was removed");
}

class FakeCard {
 public:
  // Configuration, set before use.
  bool has_piv = true;
  bool is_yubikey = true;
  std::string version{"\x05\x07\x04", 3};
  uint32_t serial = 1234567;
  std::string pin = "123456";
  int max_tries = 3;
  bool has_lock = true;     // VERIFY with P1 = FF
  bool ignores_p1 = false;  // takes it for a plain VERIFY
  bool touched = true;
  std::string chuid;
  std::string global_pin_discovery;  // a discovery object, if any
  bool pin_protects_management_key = false;
  std::map<uint32_t, std::string> objects;  // content of 53
  std::function<std::string(const PublicKey&)>
      attest;  // makes the certificate; empty: no such command
  std::string atr = "\x3B\x80\x01";
  bool refuses_extended = false;
  uint16_t answer_to_empty_verify = 0;  // instead of the tries; 0: 63CX
  uint16_t unknown_object = 0x6A82;     // what an object that is not there gives

  // State
  struct Key {
    SoftwareKey key;
    uint8_t pin_policy;
    uint8_t touch_policy;
    bool generated;
  };
  std::map<uint8_t, Key> keys;
  int tries = 3;
  bool verified = false;
  bool managed = false;
  int pins_sent = 0;
  int commands = 0;
  int resets = 0;
  int signatures = 0;
  int objects_put = 0;
  // Faults: what the command with that number (from 0) gives, before or after the card has done it.
  std::map<int, absl::Status> fault_before;
  std::map<int, absl::Status> fault_after;
  std::function<void(absl::string_view)> on_command;

  void Reset() {
    ++resets;
    verified = managed = selected_ = false;
    chain_.clear();
    rest_.clear();
  }

  absl::StatusOr<std::string> Transmit(absl::string_view command) {
    const int number = commands++;
    if (on_command) on_command(command);
    if (auto fault = fault_before.find(number); fault != fault_before.end()) {
      if (InterruptionOf(fault->second) != Interruption::kNone) Reset();
      return fault->second;
    }
    const bool select = command[1] == '\xA4';
    std::string answer = select || selected_ ? Answer(command) : Sw(0x6D00);
    if (select && answer.size() > 2) selected_ = true;
    if (auto fault = fault_after.find(number); fault != fault_after.end()) {
      if (InterruptionOf(fault->second) != Interruption::kNone) Reset();
      return fault->second;
    }
    return answer;
  }

 private:
  static std::string Sw(uint16_t status) { return ByteWriter().U16(status).bytes(); }
  static std::string Tlv1(uint8_t tag, absl::string_view value) {
    ByteWriter writer;
    writer.U8(tag);
    if (value.size() > 127)
      writer.U8(0x82).U16(static_cast<uint16_t>(value.size()));
    else
      writer.U8(static_cast<uint8_t>(value.size()));
    return std::move(writer.Raw(value)).bytes();
  }
  std::string Long(std::string answer) {
    rest_ = std::move(answer);
    return More();
  }
  std::string More() {
    const std::string part = rest_.substr(0, 256);
    rest_.erase(0, part.size());
    if (rest_.empty()) return part + Sw(0x9000);
    return part + Sw(0x6100 | (rest_.size() > 255 ? 0 : rest_.size()));
  }

  bool selected_ = false;  // the PIV application: a reset forgets it

  std::string Answer(absl::string_view command) {
    ByteReader reader(command);
    const uint8_t cla = reader.U8(), ins = reader.U8(), p1 = reader.U8(), p2 = reader.U8();
    std::string data;
    if (reader.remaining() > 1) {
      uint16_t size = reader.U8();
      if (size == 0) {
        if (refuses_extended) return Sw(0x6700);
        size = reader.U16();
      }
      data = std::string(reader.Raw(size));
    }
    if (!reader.ok()) return Sw(0x6700);
    if (ins == 0xC0) return More();
    chain_ += data;
    if (cla == 0x10) return Sw(0x9000);
    data = std::exchange(chain_, "");
    switch (ins) {
      case 0xA4:
        return has_piv && absl::StartsWith(data, absl::string_view("\xA0\x00\x00\x03\x08", 5))
                   ? Tlv1(0x61, "") + Sw(0x9000)
                   : Sw(0x6A82);
      case 0xFD:
        return is_yubikey ? version + Sw(0x9000) : Sw(0x6D00);
      case 0xF8:
        return is_yubikey && version[0] >= 5 ? ByteWriter().U32(serial).bytes() + Sw(0x9000)
                                             : Sw(0x6D00);
      case 0x20:
        return Verify(p1, data);
      case 0xCB:
        return GetData(data);
      case 0xDB:
        return PutData(data);
      case 0x87:
        return p2 == 0x9B ? Manage(data) : Sign(p2, data);
      case 0x47:
        return Generate(p2, data);
      case 0xF7:
        return is_yubikey && (version[0] > 5 || version[1] >= 3) ? Metadata(p2) : Sw(0x6D00);
      case 0xF9:
        if (!attest) return Sw(0x6D00);
        if (keys.count(p1) == 0 || !keys.at(p1).generated) return Sw(0x6A80);
        return Long(attest(keys.at(p1).key.public_key()));
      case 0xF6:
        if (!managed) return Sw(0x6982);
        return Sw(keys.erase(p2) == 1 ? 0x9000 : 0x6A88);
      default:
        return Sw(0x6D00);
    }
  }

  std::string Verify(uint8_t p1, const std::string& data) {
    if (p1 == 0xFF && !ignores_p1) {
      if (!has_lock) return Sw(0x6A86);
      verified = false;
      return Sw(0x9000);
    }
    if (data.empty()) {
      if (answer_to_empty_verify != 0) return Sw(answer_to_empty_verify);
      if (verified) return Sw(0x9000);
      return tries == 0 ? Sw(0x6983) : Sw(static_cast<uint16_t>(0x63C0 | tries));
    }
    ++pins_sent;
    if (tries == 0) return Sw(0x6983);
    std::string padded = pin;
    padded.resize(8, '\xFF');
    verified = data == padded;
    tries = verified ? max_tries : tries - 1;
    return verified ? Sw(0x9000) : Sw(static_cast<uint16_t>(0x63C0 | tries));
  }

  std::string GetData(const std::string& data) {
    uint32_t tag = 0;
    for (char c : data.substr(2)) tag = tag << 8 | static_cast<uint8_t>(c);
    if (tag == 0x7E)
      return global_pin_discovery.empty() ? Sw(0x6A82) : global_pin_discovery + Sw(0x9000);
    if (tag == 0x5FC109 && !verified) return Sw(0x6982);
    auto object = objects.find(tag);
    if (object == objects.end()) return Sw(unknown_object);
    return Long(Tlv1(0x53, object->second));
  }

  // 5C tag, 53 content: below 64 KiB.
  std::string PutData(absl::string_view data) {
    if (!managed) return Sw(0x6982);
    uint32_t tag = 0;
    for (char c : data.substr(2, static_cast<uint8_t>(data[1])))
      tag = tag << 8 | static_cast<uint8_t>(c);
    ByteReader reader(data.substr(2 + static_cast<uint8_t>(data[1])));
    if (reader.U8() != 0x53) return Sw(0x6A80);
    size_t size = reader.U8();
    if (size == 0x81) size = reader.U8();
    if (size == 0x82) size = reader.U16();
    const std::string content(reader.Raw(size));
    if (!reader.Finished()) return Sw(0x6A80);
    ++objects_put;
    objects.erase(tag);
    if (!content.empty()) objects[tag] = content;
    return Sw(0x9000);
  }

  static std::string Aes(absl::string_view block, bool encrypt) {
    std::string key;
    for (int i = 0; i < 3; ++i) key.append("\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
    std::string out(32, '\0');
    int size = 0;
    EVP_CipherInit_ex(context.get(), EVP_aes_192_ecb(), nullptr, U8(key), nullptr, encrypt);
    EVP_CIPHER_CTX_set_padding(context.get(), 0);
    EVP_CipherUpdate(context.get(), U8(out), &size, U8(block), static_cast<int>(block.size()));
    return out.substr(0, static_cast<size_t>(size));
  }

  std::string Manage(const std::string& data) {
    const std::string witness = "a witness of 16b";
    if (data == std::string("\x7C\x02\x80\x00", 4)) {
      return Tlv1(0x7C, Tlv1(0x80, Aes(witness, true))) + Sw(0x9000);
    }
    if (data.substr(4, 16) != witness) return Sw(0x6982);
    managed = true;
    return Tlv1(0x7C, Tlv1(0x82, Aes(data.substr(22, 16), true))) + Sw(0x9000);
  }

  std::string Sign(uint8_t slot, const std::string& data) {
    auto key = keys.find(slot);
    if (key == keys.end()) return Sw(0x6A88);
    if (key->second.pin_policy != 1 && !verified) return Sw(0x6982);
    if (key->second.touch_policy > 1 && !touched) return Sw(0x6982);
    if (key->second.pin_policy == 3) verified = false;
    ++signatures;
    const size_t digest_size = 32;
    const std::string digest = data.substr(data.size() - digest_size);
    EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key->second.key.evp(), nullptr));
    size_t size = 256;
    std::string signature(size, '\0');
    EVP_PKEY_sign_init(context.get());
    EVP_PKEY_sign(context.get(), U8(signature), &size, U8(digest), digest.size());
    signature.resize(size);
    return Tlv1(0x7C, Tlv1(0x82, signature)) + Sw(0x9000);
  }

  static std::string Point(const PublicKey& key) {
    return key.spki().substr(key.spki().size() - 65);
  }

  std::string Generate(uint8_t slot, const std::string& data) {
    if (!managed) return Sw(0x6982);
    uint8_t pin_policy = 2, touch_policy = 1;
    if (data.size() >= 11) {
      pin_policy = static_cast<uint8_t>(data[7]);
      touch_policy = static_cast<uint8_t>(data[10]);
    }
    keys.erase(slot);
    auto made = keys.emplace(
        slot, Key{SoftwareKey::Generate(Algorithm::kEs256), pin_policy, touch_policy, true});
    const std::string point = Tlv1(0x86, Point(made.first->second.key.public_key()));
    return std::string("\x7F\x49", 2) + ByteWriter().Len1(point).bytes() + Sw(0x9000);
  }

  std::string Metadata(uint8_t slot) {
    if (slot == 0x9B)
      return std::string("\x01\x01\x0A\x02\x02\x00\x01\x05\x01\x01", 10) + Sw(0x9000);
    if (slot == 0x81)
      return std::string("\x01\x01\xFF\x05\x01\x01\x06\x02\x03\x03", 10) + Sw(0x9000);
    auto key = keys.find(slot);
    if (key == keys.end()) return Sw(0x6A88);
    return std::string("\x01\x01\x11\x02\x02", 5) + static_cast<char>(key->second.pin_policy) +
           static_cast<char>(key->second.touch_policy) + "\x03\x01" +
           (key->second.generated ? "\x01" : "\x02") +
           Tlv1(0x04, Tlv1(0x86, Point(key->second.key.public_key()))) + Sw(0x9000);
  }

  std::string chain_;
  std::string rest_;
};

class FakeSmartcards : public SmartcardService {
 public:
  std::map<std::string, std::shared_ptr<FakeCard>> readers;  // null: no card in it
  std::vector<absl::Status> open_faults;  // what the next openings give, in order
  absl::Status readers_fault;
  std::function<void()> on_wait;
  int opened = 0;
  int open_now = 0;

  absl::StatusOr<std::vector<CardReader>> Readers() override {
    if (!readers_fault.ok()) return readers_fault;
    std::vector<CardReader> result;
    for (const auto& [name, card] : readers) result.push_back({name, card != nullptr, false});
    return result;
  }
  absl::StatusOr<std::unique_ptr<CardChannel>> Open(const std::string& reader,
                                                    const CardPatience&) override {
    ++opened;
    if (!open_faults.empty()) {
      absl::Status fault = open_faults.front();
      open_faults.erase(open_faults.begin());
      if (!fault.ok()) return fault;
    }
    auto found = readers.find(reader);
    if (found == readers.end() || found->second == nullptr) return CardWasRemoved();
    return std::make_unique<Channel>(this, found->second);
  }
  void AwaitChange(absl::Duration) override {
    if (on_wait) on_wait();
  }

 private:
  class Channel : public CardChannel {
   public:
    Channel(FakeSmartcards* service, std::shared_ptr<FakeCard> card)
        : service_(service), card_(std::move(card)) {
      ++service_->open_now;
    }
    ~Channel() override {
      if (reset_) card_->Reset();
      --service_->open_now;
    }
    absl::StatusOr<std::string> Transmit(absl::string_view command) override {
      return card_->Transmit(command);
    }
    void ResetWhenDone() override { reset_ = true; }
    const std::string& atr() const override { return card_->atr; }
    bool is_t0() const override { return false; }

   private:
    FakeSmartcards* const service_;
    const std::shared_ptr<FakeCard> card_;
    bool reset_ = false;
  };
};

}  // namespace forekey

#endif  // FOREKEY_TESTS_UNIT_HW_FAKE_SMARTCARDS_H_
