// SPDX-License-Identifier: Apache-2.0
// A token in software: a Driver whose keys live as long as the FakeToken, so that an agent can be
// ended and started again over them.
#ifndef FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_TOKEN_H_
#define FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_TOKEN_H_

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "src/crypto/public_key.h"
#include "tests/unit/client/fakes/latch.h"

namespace forekey::testing {

class FakeToken {
 public:
  // For Agent::Options::drivers. The token outlives it.
  std::unique_ptr<Driver> MakeDriver();

  // Signatures over anything, the possession signature of an enrolment included.
  std::atomic<int> signatures{0};
  std::atomic<int> loads{0};
  // A signature waits until Release(), or until its caller's `cancelled`. `reference`: of that key
  // alone.
  void Hold(const std::string& reference = "");
  void Release();
  // That key's token is not there from now on.
  void Lose(const std::string& reference);
  void AwaitSigners(int count);  // until so many wait
  // Loaded keys that were asked to sign.
  void NoteSigner(const DeviceKey* key);
  size_t ForgetSigners();  // how many these were
  // What Load() and List() wait for.
  Latch loading, listing;
  std::atomic<int> devices{1};           // how many List() shows
  std::atomic<bool> wants_touch{false};  // for each signature, where somebody can be told
  std::atomic<bool> asks_pin{false};     // who has given none, where somebody can be asked
  std::atomic<bool> denies{false};       // says that its person said no
  // Keys stay on the token, at a place with the name of their reference.
  std::atomic<bool> keeps_keys{false};
  std::atomic<bool> begins_anew{true};  // its enrolments do, where they have to
  std::string NextReference();
  void Delete(const std::string& place);
  std::optional<FoundKey> KeyAt(const std::string& place);

  struct Key {
    SoftwareKey key;
    std::string password;
    std::string reference;
  };
  std::shared_ptr<Key> NewKey(std::string password, std::string* reference);
  std::shared_ptr<Key> Find(const std::string& reference);
  absl::StatusOr<DeviceSignature> Sign(const Key& key, absl::string_view password,
                                       absl::string_view statement, const SignOptions& options);

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Key>> keys_;
  bool held_ = false;
  std::string held_reference_;
  std::string lost_reference_;
  std::set<const DeviceKey*> signers_;
  std::set<std::string> deleted_;
  int waiting_ = 0;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_TOKEN_H_
