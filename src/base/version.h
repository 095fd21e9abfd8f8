// SPDX-License-Identifier: Apache-2.0
// The version that the programs print and their services report. CMakeLists.txt reads it from here.
#ifndef FOREKEY_SRC_BASE_VERSION_H_
#define FOREKEY_SRC_BASE_VERSION_H_

namespace forekey {

inline constexpr char kForekeyVersion[] = "0.1.0";

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_VERSION_H_
