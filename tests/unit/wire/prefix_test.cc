// SPDX-License-Identifier: Apache-2.0
#include "src/wire/prefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "forekey/v1/prefix.pb.h"
#include "src/base/bytes.h"
#include "src/wire/statement.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;
using testing::ToHex;

v1::Prefix Device(int assertions = 1) {
  v1::Prefix prefix;
  v1::DeviceProof* device = prefix.mutable_device();
  device->set_challenge(std::string(64, 'C'));
  device->set_channel_binding(std::string(32, 'B'));
  for (int i = 0; i < assertions; ++i) {
    v1::Assertion* assertion = device->add_assertions();
    assertion->set_credential_id(std::string(32, static_cast<char>('1' + i)));
    assertion->set_signature("signature");
  }
  return prefix;
}

v1::Prefix Session() {
  v1::Prefix prefix;
  v1::SessionProof* session = prefix.mutable_session();
  session->set_session_id(std::string(16, 'I'));
  session->set_sequence(7);
  session->set_age_s(9);
  session->set_mac(std::string(16, 'M'));
  return prefix;
}

std::string Field(int number, absl::string_view bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) out.push_back(static_cast<char>(size | 0x80));
  out.push_back(static_cast<char>(size));
  return absl::StrCat(out, bytes);
}

std::string Reserialize(const Prefix& prefix) {
  return prefix.device() != nullptr ? SerializePrefix(*prefix.device())
                                    : SerializePrefix(*prefix.session());
}

TEST(PrefixKindTest, TheFirstByteSaysWhetherItIsOfASession) {
  EXPECT_TRUE(Prefix::IsOfSession(Session().SerializeAsString()));
  EXPECT_FALSE(Prefix::IsOfSession(Device().SerializeAsString()));
  EXPECT_FALSE(Prefix::IsOfSession(""));
}

auto Malformed() { return RefusedWith(Reason::kPrefixMalformed); }
absl::Status ParseStatus(absl::string_view bytes) { return Prefix::Parse(bytes).status(); }
absl::Status ParseStatus(const v1::Prefix& prefix) {
  return ParseStatus(prefix.SerializeAsString());
}

std::string RandomString(std::mt19937& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

v1::Prefix RandomPrefix(std::mt19937& random) {
  v1::Prefix prefix;
  if (random() % 2 == 0) {
    v1::SessionProof* session = prefix.mutable_session();
    session->set_session_id(RandomString(random, 16));
    session->set_sequence((uint64_t{random()} << 32 | random()) >> random() % 64 | 1);
    session->set_age_s(random() >> random() % 32);
    session->set_mac(RandomString(random, 16));
    if (random() % 2 == 0) session->set_request_digest(RandomString(random, 32));
    return prefix;
  }
  v1::DeviceProof* device = prefix.mutable_device();
  device->set_challenge(RandomString(random, 64));
  device->set_channel_binding(RandomString(random, 32));
  if (random() % 2 == 0) device->set_key_share(RandomString(random, 32));
  if (random() % 2 == 0) device->set_request_digest(RandomString(random, 32));
  std::vector<std::string> ids(1 + random() % 3);
  for (std::string& id : ids) id = RandomString(random, 32);
  std::sort(ids.begin(), ids.end(), [](absl::string_view a, absl::string_view b) { return a < b; });
  for (const std::string& id : ids) {
    v1::Assertion* assertion = device->add_assertions();
    assertion->set_credential_id(id);
    assertion->set_signature(RandomString(random, 1 + random() % 128));
    if (random() % 2 == 0) continue;
    assertion->set_authenticator_data(RandomString(random, 1 + random() % 200));
    assertion->set_client_data_json(RandomString(random, 1 + random() % 200));
  }
  return prefix;
}

void ExpectSame(const Prefix& view, const v1::Prefix& prefix) {
  ASSERT_EQ(view.session() != nullptr, prefix.has_session());
  ASSERT_EQ(view.device() != nullptr, prefix.has_device());
  if (const SessionProofView* session = view.session()) {
    EXPECT_EQ(session->session_id, prefix.session().session_id());
    EXPECT_EQ(session->sequence, prefix.session().sequence());
    EXPECT_EQ(session->age_s, prefix.session().age_s());
    EXPECT_EQ(session->mac, prefix.session().mac());
    EXPECT_EQ(session->request_digest, prefix.session().request_digest());
    return;
  }
  const v1::DeviceProof& device = prefix.device();
  EXPECT_EQ(view.device()->challenge, device.challenge());
  EXPECT_EQ(view.device()->channel_binding, device.channel_binding());
  EXPECT_EQ(view.device()->key_share, device.key_share());
  EXPECT_EQ(view.device()->request_digest, device.request_digest());
  ASSERT_EQ(view.device()->assertions.size(), static_cast<size_t>(device.assertions_size()));
  for (int i = 0; i < device.assertions_size(); ++i) {
    EXPECT_EQ(view.device()->assertions[i].credential_id, device.assertions(i).credential_id());
    EXPECT_EQ(view.device()->assertions[i].signature, device.assertions(i).signature());
    EXPECT_EQ(view.device()->assertions[i].authenticator_data,
              device.assertions(i).authenticator_data());
    EXPECT_EQ(view.device()->assertions[i].client_data_json,
              device.assertions(i).client_data_json());
  }
}

TEST(PrefixTest, ReadsWhatProtobufWritesAndWritesTheSame) {
  std::mt19937 random(20240607);
  for (int i = 0; i < 5000; ++i) {
    const v1::Prefix prefix = RandomPrefix(random);
    const std::string bytes = prefix.SerializeAsString();
    auto parsed = Prefix::Parse(bytes);
    ASSERT_THAT(parsed, IsOk()) << prefix.DebugString();
    ExpectSame(*parsed, prefix);
    ASSERT_EQ(ToHex(Reserialize(*parsed)), ToHex(bytes));
  }
}

// Whatever a stranger does to the bytes: what is still accepted is the one encoding of what was
// read, and protobuf reads the same out of it.
TEST(PrefixTest, AcceptsOneEncodingAlone) {
  std::mt19937 random(20240608);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = RandomPrefix(random).SerializeAsString();
    for (int changes = 1 + random() % 3; changes > 0 && !bytes.empty(); --changes) {
      // Near the beginning of things, where tags and lengths are.
      const size_t at =
          random() % (random() % 2 == 0 ? std::min<size_t>(bytes.size(), 8) : bytes.size());
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 3);
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(random() % 64));
          break;
        case 3:
          bytes += bytes.substr(at, 1 + random() % 40);
          break;
      }
    }
    auto parsed = Prefix::Parse(bytes);
    if (!parsed.ok()) continue;
    ++accepted;
    EXPECT_EQ(ToHex(Reserialize(*parsed)), ToHex(bytes));
    v1::Prefix prefix;
    ASSERT_TRUE(prefix.ParseFromString(bytes));
    ExpectSame(*parsed, prefix);
    EXPECT_EQ(ToHex(prefix.SerializeAsString()), ToHex(bytes));
  }
  EXPECT_GT(accepted, 100);  // or nothing was tested
}

TEST(PrefixTest, RefusesEmptyTruncatedTrailingAndGarbage) {
  EXPECT_THAT(ParseStatus(""), Malformed());
  EXPECT_THAT(ParseStatus("garbage"), Malformed());
  EXPECT_THAT(ParseStatus(std::string(100, '\xff')), Malformed());
  EXPECT_THAT(ParseStatus(std::string(100, '\0')), Malformed());
  for (const v1::Prefix& prefix : {Device(3), Session()}) {
    const std::string bytes = prefix.SerializeAsString();
    ASSERT_THAT(ParseStatus(bytes), IsOk());
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(ParseStatus(bytes.substr(0, size)), Malformed()) << size;
    }
    EXPECT_THAT(ParseStatus(bytes + '\0'), Malformed());
    EXPECT_THAT(ParseStatus('\0' + bytes), Malformed());
  }
}

TEST(PrefixTest, RefusesOversizeBeforeReadingIt) {
  EXPECT_THAT(ParseStatus(std::string(2049, 'x')), RefusedWith(Reason::kPrefixOversize));
  EXPECT_THAT(ParseStatus(std::string(2048, 'x')), Malformed());
  EXPECT_THAT(ParseStatus(std::string(1 << 20, 'x')), RefusedWith(Reason::kPrefixOversize));
}

TEST(PrefixTest, TakesALargePrefixThatFits) {
  v1::Prefix prefix = Device();
  prefix.mutable_device()->mutable_assertions(0)->set_signature(std::string(512, 's'));
  prefix.mutable_device()->mutable_assertions(0)->set_authenticator_data(std::string(1024, 'a'));
  EXPECT_THAT(ParseStatus(prefix), IsOk());
}

TEST(PrefixTest, RefusesBothAndNeitherKindOfProof) {
  const std::string device = Device().SerializeAsString(), session = Session().SerializeAsString();
  EXPECT_THAT(ParseStatus(device + session), Malformed());
  EXPECT_THAT(ParseStatus(session + device), Malformed());
  EXPECT_THAT(ParseStatus(session + session), Malformed());
  EXPECT_THAT(ParseStatus(device + device), Malformed());
  EXPECT_THAT(ParseStatus(Field(1, "")), Malformed());
  EXPECT_THAT(ParseStatus(Field(2, "")), Malformed());
  EXPECT_THAT(ParseStatus(Field(3, Session().session().SerializeAsString())), Malformed());
  // The other kind's bytes under this kind's tag.
  EXPECT_THAT(ParseStatus(Field(2, Device().device().SerializeAsString())), Malformed());
  EXPECT_THAT(ParseStatus(Field(1, Session().session().SerializeAsString())), Malformed());
}

TEST(PrefixTest, RefusesEveryOtherSizeOfAField) {
  auto refused = [](v1::Prefix prefix, auto change) {
    change(prefix);
    EXPECT_THAT(ParseStatus(prefix), Malformed()) << prefix.ShortDebugString();
  };
  for (int d : {-1, 1}) {
    refused(Device(),
            [d](v1::Prefix& p) { p.mutable_device()->mutable_challenge()->resize(64 + d); });
    refused(Device(),
            [d](v1::Prefix& p) { p.mutable_device()->mutable_channel_binding()->resize(32 + d); });
    refused(Device(),
            [d](v1::Prefix& p) { p.mutable_device()->set_key_share(std::string(32 + d, 'k')); });
    refused(Device(), [d](v1::Prefix& p) {
      p.mutable_device()->set_request_digest(std::string(32 + d, 'k'));
    });
    refused(Device(), [d](v1::Prefix& p) {
      p.mutable_device()->mutable_assertions(0)->mutable_credential_id()->resize(32 + d);
    });
    refused(Session(),
            [d](v1::Prefix& p) { p.mutable_session()->mutable_session_id()->resize(16 + d); });
    refused(Session(), [d](v1::Prefix& p) { p.mutable_session()->mutable_mac()->resize(16 + d); });
    refused(Session(), [d](v1::Prefix& p) {
      p.mutable_session()->set_request_digest(std::string(32 + d, 'k'));
    });
  }
  auto assertion = [](v1::Prefix& p) { return p.mutable_device()->mutable_assertions(0); };
  refused(Device(), [&](v1::Prefix& p) { assertion(p)->set_signature(std::string(513, 's')); });
  refused(Device(),
          [&](v1::Prefix& p) { assertion(p)->set_authenticator_data(std::string(1025, 's')); });
  refused(Device(),
          [&](v1::Prefix& p) { assertion(p)->set_client_data_json(std::string(1025, 's')); });
}

TEST(PrefixTest, RefusesAbsentFieldsThatMustBeThere) {
  auto refused = [](v1::Prefix prefix, auto change) {
    change(prefix);
    EXPECT_THAT(ParseStatus(prefix), Malformed()) << prefix.ShortDebugString();
  };
  refused(Device(), [](v1::Prefix& p) { p.mutable_device()->clear_challenge(); });
  refused(Device(), [](v1::Prefix& p) { p.mutable_device()->clear_channel_binding(); });
  refused(Device(), [](v1::Prefix& p) { p.mutable_device()->clear_assertions(); });
  refused(Device(),
          [](v1::Prefix& p) { p.mutable_device()->mutable_assertions(0)->clear_credential_id(); });
  refused(Device(),
          [](v1::Prefix& p) { p.mutable_device()->mutable_assertions(0)->clear_signature(); });
  refused(Session(), [](v1::Prefix& p) { p.mutable_session()->clear_session_id(); });
  refused(Session(), [](v1::Prefix& p) { p.mutable_session()->clear_sequence(); });
  refused(Session(), [](v1::Prefix& p) { p.mutable_session()->clear_mac(); });
  v1::Prefix zero_age = Session();
  zero_age.mutable_session()->clear_age_s();
  EXPECT_THAT(ParseStatus(zero_age), IsOk());
}

TEST(PrefixTest, TakesOneToThreeAssertionsInStrictOrder) {
  for (int n = 1; n <= 3; ++n) EXPECT_THAT(ParseStatus(Device(n)), IsOk()) << n;
  EXPECT_THAT(ParseStatus(Device(4)), Malformed());
  v1::Prefix swapped = Device(2);
  swapped.mutable_device()->mutable_assertions()->SwapElements(0, 1);
  EXPECT_THAT(ParseStatus(swapped), Malformed());
  // One credential can't stand for two.
  v1::Prefix twice = Device(2);
  twice.mutable_device()->mutable_assertions(1)->set_credential_id(
      twice.device().assertions(0).credential_id());
  EXPECT_THAT(ParseStatus(twice), Malformed());
  // The order is of bytes, not of signed chars.
  v1::Prefix high = Device(2);
  high.mutable_device()->mutable_assertions(1)->set_credential_id(std::string(32, '\x80'));
  EXPECT_THAT(ParseStatus(high), IsOk());
}

// Pieces of a valid session proof, put together in other ways.
class SessionEncodingTest : public ::testing::Test {
 protected:
  static absl::Status ParseSession(absl::string_view body) { return ParseStatus(Field(2, body)); }
  const std::string id_ = Field(1, std::string(16, 'I'));
  const std::string sequence_ = "\x10\x07";
  const std::string age_ = "\x18\x09";
  const std::string mac_ = Field(4, std::string(16, 'M'));
};

TEST_F(SessionEncodingTest, FieldsComeOnceAndInOrder) {
  ASSERT_THAT(ParseSession(id_ + sequence_ + age_ + mac_), IsOk());
  EXPECT_THAT(ParseSession(sequence_ + id_ + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + mac_ + age_), Malformed());
  EXPECT_THAT(ParseSession(id_ + id_ + sequence_ + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + sequence_ + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + mac_ + mac_), Malformed());
}

TEST_F(SessionEncodingTest, UnknownFieldsAndOtherWireTypesAreRefused) {
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + mac_ + Field(6, "x")), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + mac_ + Field(15, "x")), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + mac_ + "\x38\x01"), Malformed());
  EXPECT_THAT(ParseSession(id_ + Field(2, "\x07") + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + "\x11" + std::string(8, '\x07') + age_ + mac_), Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + "\x1d" + std::string(4, '\x07') + mac_), Malformed());
  EXPECT_THAT(ParseSession("\x0b" + id_ + "\x0c" + sequence_ + age_ + mac_), Malformed());
}

TEST_F(SessionEncodingTest, NumbersAreMinimalAndInRange) {
  auto with_sequence = [&](std::string varint) {
    return ParseSession(id_ + "\x10" + varint + age_ + mac_);
  };
  auto with_age = [&](std::string varint) {
    return ParseSession(id_ + sequence_ + "\x18" + varint + mac_);
  };
  const std::string zero(1, '\0');
  EXPECT_THAT(with_sequence("\x87" + zero), Malformed());
  EXPECT_THAT(with_sequence(zero), Malformed());
  EXPECT_THAT(with_sequence("\x80" + zero), Malformed());
  EXPECT_THAT(with_sequence(std::string(9, '\xff') + "\x01"), IsOk());       // 2^64 - 1
  EXPECT_THAT(with_sequence(std::string(9, '\xff') + "\x02"), Malformed());  // past 64 bits
  EXPECT_THAT(with_sequence(std::string(9, '\xff') + "\x81\x01"), Malformed());
  EXPECT_THAT(with_sequence(std::string(12, '\xff')), Malformed());
  EXPECT_THAT(with_sequence(std::string(9, '\x80') + "\x01"), IsOk());  // 2^63
  EXPECT_THAT(with_age(zero), Malformed());                             // a default that is present
  EXPECT_THAT(with_age("\xff\xff\xff\xff\x0f"), IsOk());
  EXPECT_THAT(with_age("\x80\x80\x80\x80\x10"), Malformed());  // 2^32: protobuf would cut it to 0
  EXPECT_THAT(with_age("\x89\x80\x80\x80\x10"), Malformed());
}

TEST_F(SessionEncodingTest, LengthsAndTagsAreMinimal) {
  EXPECT_THAT(ParseSession("\x0a\x90" + std::string(1, '\0') + std::string(16, 'I') + sequence_ +
                           age_ + mac_),
              Malformed());
  EXPECT_THAT(ParseSession("\x8a" + std::string(1, '\0') + id_.substr(1) + sequence_ + age_ + mac_),
              Malformed());
  EXPECT_THAT(ParseSession(id_ + sequence_ + age_ + mac_ + Field(5, "")), Malformed());
  // Lengths past the end, up to 2^64 - 1.
  EXPECT_THAT(ParseStatus(absl::StrCat("\x12\x7f", id_)), Malformed());
  EXPECT_THAT(ParseStatus(absl::StrCat("\x12", std::string(9, '\xff'), "\x01", id_)), Malformed());
}

TEST(PrefixTest, IsWhatItReadLast) {
  const std::string id(16, 'I'), mac(16, 'M'), challenge(64, 'C'), binding(32, 'B');
  DeviceProofView device{.challenge = challenge, .channel_binding = binding};
  const std::string credential(32, 'c');
  device.assertions.push_back({.credential_id = credential, .signature = "signature"});
  Prefix prefix;
  EXPECT_EQ(prefix.device(), nullptr);
  EXPECT_EQ(prefix.session(), nullptr);
  EXPECT_EQ(prefix.resumption(), nullptr);
  const std::string of_device = SerializePrefix(device);
  ASSERT_TRUE(prefix.Read(of_device).ok());
  ASSERT_NE(prefix.device(), nullptr);
  const std::string of_session =
      SerializePrefix(SessionProofView{.session_id = id, .sequence = 300, .mac = mac});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(prefix.Read(of_session).ok());
    EXPECT_EQ(prefix.device(), nullptr);
    ASSERT_NE(prefix.session(), nullptr);
    EXPECT_EQ(prefix.session()->sequence, 300u);
  }
  ASSERT_TRUE(prefix.Read(of_device).ok());
  EXPECT_EQ(prefix.session(), nullptr);
  EXPECT_EQ(prefix.device()->assertions.size(), 1u);
}

TEST(PrefixTest, ViewsPointIntoTheBytesGiven) {
  const std::string bytes = Device(3).SerializeAsString();
  auto parsed = Prefix::Parse(bytes);
  ASSERT_THAT(parsed, IsOk());
  for (const AssertionView& assertion : parsed->device()->assertions) {
    EXPECT_GE(assertion.signature.data(), bytes.data());
    EXPECT_LE(assertion.signature.data() + assertion.signature.size(), bytes.data() + bytes.size());
  }
}

}  // namespace
}  // namespace forekey
