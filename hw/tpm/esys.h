// SPDX-License-Identifier: Apache-2.0
// Owners for what ESYS hands out, so that every path, the failing ones too, leaves nothing in the
// TPM. Private to hw/tpm. Nothing here is thread-safe: TpmDevice serialises.
#ifndef FOREKEY_HW_TPM_ESYS_H_
#define FOREKEY_HW_TPM_ESYS_H_

#include <tss2/tss2_esys.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/tpm/interruptible_tcti.h"
#include "hw/tpm/tcti.h"
#include "hw/tpm/tss_error.h"

namespace forekey {

struct EsysMemoryFree {
  void operator()(void* memory) const { Esys_Free(memory); }
};
template <typename T>
using EsysPtr = std::unique_ptr<T, EsysMemoryFree>;

// For ESYS out-parameters: Esys_X(..., Out(pointer)).
template <typename T>
class EsysOut {
 public:
  explicit EsysOut(EsysPtr<T>& target) : target_(target) {}
  ~EsysOut() { target_.reset(raw_); }
  operator T**() { return &raw_; }  // NOLINT: meant to convert

 private:
  EsysPtr<T>& target_;
  T* raw_ = nullptr;
};
template <typename T>
EsysOut<T> Out(EsysPtr<T>& target) {
  return EsysOut<T>(target);
}

// An open connection to a TPM.
class Esys {
 public:
  // `wait` and `lease`: see InterruptibleTcti.
  static absl::StatusOr<std::unique_ptr<Esys>> Open(const std::string& uri, TpmWait wait = {},
                                                    std::shared_ptr<const void> lease = nullptr);
  ~Esys();
  Esys(const Esys&) = delete;
  Esys& operator=(const Esys&) = delete;
  ESYS_CONTEXT* get() const { return context_; }
  // The connection broke where no error could be returned: while flushing. ESYS then answers every
  // further call with "bad sequence", which says nothing.
  const absl::Status& broken() const { return broken_; }
  void set_broken(absl::Status status) { broken_ = std::move(status); }
  const absl::Status& given_up() const { return tcti_->given_up(); }

 private:
  Esys() = default;
  absl::Status broken_;
  std::unique_ptr<InterruptibleTcti> tcti_;
  ESYS_CONTEXT* context_ = nullptr;
};

// A transient object or a session, flushed when it goes; or a persistent object or NV index, of
// which only ESYS's own record is dropped. Must not outlive its Esys.
class EsysHandle {
 public:
  EsysHandle() = default;
  static EsysHandle Flushed(Esys& esys, ESYS_TR handle) { return EsysHandle(&esys, handle, true); }
  static EsysHandle Kept(Esys& esys, ESYS_TR handle) { return EsysHandle(&esys, handle, false); }
  EsysHandle(EsysHandle&& other) noexcept { *this = std::move(other); }
  EsysHandle& operator=(EsysHandle&& other) noexcept;
  ~EsysHandle() { Reset(); }

  ESYS_TR get() const { return handle_; }
  explicit operator bool() const { return handle_ != ESYS_TR_NONE; }
  // Flushes now. A busy TPM is asked again for up to a second, so that nothing stays behind.
  void Reset();

 private:
  EsysHandle(Esys* esys, ESYS_TR handle, bool flush)
      : esys_(esys), handle_(handle), flush_(flush) {}
  Esys* esys_ = nullptr;
  ESYS_TR handle_ = ESYS_TR_NONE;
  bool flush_ = false;
};

// The Name of a loaded object, as ESYS computed it from the public area.
absl::StatusOr<std::string> NameOf(Esys& esys, ESYS_TR handle);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_ESYS_H_
