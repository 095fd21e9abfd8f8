// SPDX-License-Identifier: Apache-2.0
#ifndef FOREKEY_SRC_CRYPTO_RANDOM_H_
#define FOREKEY_SRC_CRYPTO_RANDOM_H_

#include <string>

namespace forekey {

// `size` bytes of OpenSSL's generator. Ends the process when there is none: nothing that Forekey
// does is safe without it.
std::string RandomBytes(size_t size);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_RANDOM_H_
