// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/tpm_simulator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include <filesystem>
#include <map>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

// A unix socket's path has 108 bytes, and ".ctrl" comes behind.
constexpr size_t kMaxSocketPath = 100;

absl::StatusOr<std::string> MakeTemporaryDirectory() {
  const char* base = getenv("TMPDIR");
  std::string path = base != nullptr && *base == '/' ? base : "/tmp";
  if (path.size() > 60) path = "/tmp";
  path += "/forekey-sim-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make a folder like ", path));
  }
  return path;
}

void Remove(const std::string& path) {
  std::error_code ignored;
  if (!path.empty()) fs::remove_all(path, ignored);
}

// TPMs fresh from the factory, made when first asked for and removed at the process's end.
class Stock {
 public:
  ~Stock() {
    for (auto& [key, directory] : made_) Remove(directory);
  }

  absl::Status CopyTo(const TpmSimulatorConfig& config, const std::string& destination) {
    absl::MutexLock lock(&mutex_);
    const auto key = std::tuple(config.manufacture.ek_certificates, config.manufacture.intermediate,
                                config.identity);
    auto found = made_.find(key);
    if (found == made_.end()) {
      FOREKEY_ASSIGN_OR_RETURN(std::string directory, MakeTemporaryDirectory());
      found = made_.emplace(key, directory).first;
    }
    FOREKEY_RETURN_IF_ERROR(ManufactureTpm(found->second, config.manufacture));
    std::error_code error;
    fs::copy(found->second, destination,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    if (error) return absl::InternalError(absl::StrCat("can't copy a TPM: ", error.message()));
    return absl::OkStatus();
  }

 private:
  absl::Mutex mutex_;
  std::map<std::tuple<bool, bool, int>, std::string> made_;
};

Stock& FactoryStock() {
  static Stock stock;
  return stock;
}

// Two servers on one state would destroy it.
absl::StatusOr<UniqueFd> Lock(const std::string& directory) {
  UniqueFd fd(open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return absl::ErrnoToStatus(errno, absl::StrCat("can't write in ", directory));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the TPM in ", directory, " is served already by another process"));
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TpmSimulator>> TpmSimulator::Start(
    const TpmSimulatorConfig& config) {
  std::unique_ptr<TpmSimulator> tpm(new TpmSimulator);
  if (config.state_directory.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(tpm->temporary_, MakeTemporaryDirectory());
    tpm->state_ = tpm->temporary_;
    FOREKEY_RETURN_IF_ERROR(FactoryStock().CopyTo(config, tpm->state_));
  } else {
    tpm->state_ = fs::absolute(config.state_directory).string();
    FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(tpm->state_));
  }
  FOREKEY_ASSIGN_OR_RETURN(tpm->lock_, Lock(tpm->state_));
  FOREKEY_RETURN_IF_ERROR(ManufactureTpm(tpm->state_, config.manufacture));
  tpm->trust_ = tpm->state_ + "/trust";
  tpm->socket_ = tpm->state_ + "/tpm.sock";
  if (tpm->socket_.size() > kMaxSocketPath) {
    FOREKEY_ASSIGN_OR_RETURN(tpm->temporary_, MakeTemporaryDirectory());
    tpm->socket_ = tpm->temporary_ + "/tpm.sock";
  }
  tpm->tcti_ = absl::StrCat("swtpm:path=", tpm->socket_);
  tpm->uri_ = absl::StrCat("tpm:", tpm->tcti_);
  FOREKEY_ASSIGN_OR_RETURN(auto swtpm, SwtpmProcess::Start(tpm->state_));
  FOREKEY_ASSIGN_OR_RETURN(tpm->proxy_,
                           TpmProxy::Start(std::move(swtpm), tpm->socket_, config.misbehaviour));
  FOREKEY_RETURN_IF_ERROR(tpm->proxy_->SetLockedOut(config.locked_out));
  return tpm;
}

absl::Status TpmSimulator::Stop() {
  if (proxy_ == nullptr) return absl::OkStatus();
  absl::Status stopped = proxy_->Stop();
  proxy_.reset();
  return stopped;
}

TpmSimulator::~TpmSimulator() {
  Stop().IgnoreError();
  Remove(temporary_);
}

}  // namespace forekey
