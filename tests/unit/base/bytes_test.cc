// SPDX-License-Identifier: Apache-2.0
#include "src/base/bytes.h"

#include <gtest/gtest.h>

#include "absl/strings/string_view.h"

namespace forekey {
namespace {

TEST(ByteWriterTest, WritesBigEndianAndLengths) {
  ByteWriter writer;
  writer.U8(1).U16(0x0203).U32(0x04050607).U64(0x08090a0b0c0d0e0f).Len1("ab").Len2("c").Raw("d");
  const std::string want("\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf\2ab\0\1cd", 22);
  EXPECT_EQ(writer.bytes(), want);
  EXPECT_EQ(std::move(writer).bytes(), want);
}

TEST(ByteReaderTest, ReadsWhatTheWriterWrote) {
  const std::string bytes = ByteWriter()
                                .U8(0xff)
                                .U16(0xfffe)
                                .U32(0xfffefdfc)
                                .U64(~uint64_t{1})
                                .Len1("ab")
                                .Len2("")
                                .bytes();
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U8(), 0xff);
  EXPECT_EQ(reader.U16(), 0xfffe);
  EXPECT_EQ(reader.U32(), 0xfffefdfcu);
  EXPECT_EQ(reader.U64(), ~uint64_t{1});
  EXPECT_EQ(reader.Len1(), "ab");
  EXPECT_EQ(reader.Len2(), "");
  EXPECT_TRUE(reader.Finished());
}

TEST(ByteReaderTest, LeftOverBytesAreNotFinished) {
  ByteReader reader("ab");
  reader.U8();
  EXPECT_TRUE(reader.ok());
  EXPECT_FALSE(reader.Finished());
  EXPECT_EQ(reader.Rest(), "b");
  EXPECT_TRUE(reader.Finished());
}

// A read past the end must not be made good by a shorter one after it.
TEST(ByteReaderTest, AfterOneReadPastTheEndEverythingFails) {
  for (size_t size = 0; size < 8; ++size) {
    const std::string bytes(size, '\xff');
    ByteReader reader(bytes);
    EXPECT_EQ(reader.U64(), 0u);
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.U8(), 0u);
    EXPECT_EQ(reader.Raw(0), "");
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_FALSE(reader.Finished());
  }
}

TEST(ByteReaderTest, LengthsPastTheEndFail) {
  ByteReader one(
      "\x05"
      "abc");
  EXPECT_EQ(one.Len1(), "");
  EXPECT_FALSE(one.ok());
  ByteReader two(
      absl::string_view("\xff\xff"
                        "abc",
                        5));
  EXPECT_EQ(two.Len2(), "");
  EXPECT_FALSE(two.Finished());
  ByteReader huge("abc");
  EXPECT_EQ(huge.Raw(~size_t{0}), "");
  EXPECT_FALSE(huge.ok());
}

}  // namespace
}  // namespace forekey
