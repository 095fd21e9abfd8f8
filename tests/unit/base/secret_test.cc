// SPDX-License-Identifier: Apache-2.0
#include "src/base/secret.h"

#include <gtest/gtest.h>

#include <cstring>
#include <ostream>
#include <type_traits>

namespace forekey {
namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept Comparable = requires(const T& a, const T& b) {
  a == b;
};

static_assert(!Printable<Secret>, "a secret must not find its way into a log");
static_assert(!Comparable<Secret>, "secrets are compared in constant time");
static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);

TEST(ConstantTimeEqualTest, ComparesSizesAndEveryByte) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "bbc"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "ab"));
  EXPECT_FALSE(ConstantTimeEqual("ab", "abc"));
  EXPECT_FALSE(ConstantTimeEqual("", "a"));
}

TEST(WipeTest, OverwritesTheWholeCapacity) {
  for (size_t size : {5, 100}) {
    std::string bytes(size, 's');
    bytes.resize(size / 2);  // what was longer once
    const char* memory = bytes.data();
    Wipe(bytes);
    EXPECT_TRUE(bytes.empty());
    ASSERT_EQ(bytes.data(), memory);
    for (size_t i = 0; i < size; ++i) EXPECT_EQ(static_cast<const volatile char*>(memory)[i], 0);
  }
}

// A string of up to 15 bytes lies in the object itself, and a move copies it: a PIN, say.
TEST(SecretTest, AMoveLeavesNoCopyBehind) {
  for (size_t size : {4, 15, 40}) {
    Secret first(std::string(size, 's'));
    Secret second(std::move(first));
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): what is left of it
    EXPECT_EQ(second.view(), std::string(size, 's'));
    char object[sizeof(Secret)];
    std::memcpy(object, static_cast<const void*>(&first), sizeof(object));
    EXPECT_EQ(std::string(object, sizeof(object)).find("ssss"), std::string::npos) << size;
  }
}

TEST(SecretTest, ConstructionLeavesNoCopyBehind) {
  std::string pin = "123456";
  Secret secret(std::move(pin));
  // The parameter that it passed through is gone from the stack by now; what the caller still holds
  // was emptied by the move.
  EXPECT_TRUE(pin.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(secret.view(), "123456");
}

TEST(SecretTest, IsWipedWhenItGoes) {
  alignas(Secret) char memory[sizeof(Secret)] = {};
  Secret* secret = new (memory) Secret("12345678");
  secret->~Secret();
  // Read as volatile: to the compiler there is nothing there any more.
  std::string after;
  for (const volatile char& byte : memory) after.push_back(byte);
  EXPECT_EQ(after.find("1234"), std::string::npos);
}

TEST(SecretTest, AssignmentReplacesAndSelfAssignmentKeeps) {
  Secret secret("one");
  secret = Secret("another");
  EXPECT_EQ(secret.view(), "another");
  Secret& alias = secret;
  secret = std::move(alias);
  EXPECT_EQ(secret.view(), "another");
  Secret clone = secret.Clone();
  EXPECT_EQ(clone.view(), secret.view());
  EXPECT_NE(clone.view().data(), secret.view().data());
  EXPECT_EQ(Secret::CopyOf("abc").size(), 3u);
}

}  // namespace
}  // namespace forekey
