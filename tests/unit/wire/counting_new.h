// SPDX-License-Identifier: Apache-2.0
// Linking counting_new.cc replaces operator new by one that counts.
#ifndef FOREKEY_TESTS_UNIT_WIRE_COUNTING_NEW_H_
#define FOREKEY_TESTS_UNIT_WIRE_COUNTING_NEW_H_

namespace forekey {
namespace testing {

int AllocationsOfThisThread();

}  // namespace testing
}  // namespace forekey

#endif  // FOREKEY_TESTS_UNIT_WIRE_COUNTING_NEW_H_
