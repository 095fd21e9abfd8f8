// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/certificates.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr BootTime kForever = BootTime::InfiniteFuture();

absl::StatusOr<std::string> LeafBinding(const std::string& path, absl::string_view content) {
  absl::StatusOr<std::vector<Certificate>> chain = Certificate::ParseAll(content);
  if (!chain.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", chain.status().message()));
  }
  if (chain->empty())
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no certificate"));
  return chain->front().Fingerprint();
}

}  // namespace

struct AcceptedCertificates::Snapshot {
  struct Entry {
    std::string binding;
    BootTime until;
    std::string path;  // of a replaced one: where it was
  };
  std::vector<Entry> entries;
};

AcceptedCertificates::AcceptedCertificates(AcceptedCertificatesOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {}

AcceptedCertificates::~AcceptedCertificates() = default;

absl::StatusOr<std::unique_ptr<AcceptedCertificates>> AcceptedCertificates::New(
    AcceptedCertificatesOptions options, const Clock& clock) {
  auto certificates =
      std::unique_ptr<AcceptedCertificates>(new AcceptedCertificates(std::move(options), clock));
  FOREKEY_RETURN_IF_ERROR(certificates->Reload());
  if (certificates->Bindings(clock.BootNow()).empty()) {
    return absl::FailedPreconditionError(
        "no TLS certificate is accepted: every call would be refused. Set [tls] certificate");
  }
  return certificates;
}

bool AcceptedCertificates::Accepts(absl::string_view binding, BootTime now) const {
  const Snapshot* snapshot = current_.load(std::memory_order_acquire);
  for (const Snapshot::Entry& entry : snapshot->entries) {
    if (entry.binding == binding && now < entry.until) return true;
  }
  return false;
}

std::vector<std::string> AcceptedCertificates::Bindings(BootTime now) const {
  std::vector<std::string> bindings;
  for (const Snapshot::Entry& entry : current_.load(std::memory_order_acquire)->entries) {
    if (now < entry.until) bindings.push_back(entry.binding);
  }
  return bindings;
}

absl::StatusOr<AcceptedCertificates::File> AcceptedCertificates::Read(
    const std::string& path) const {
  FOREKEY_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  File file{.content_digest = Sha256(content), .binding = {}};
  if (auto known = by_path_.find(path);
      known != by_path_.end() && known->second.content_digest == file.content_digest) {
    return known->second;
  }
  FOREKEY_ASSIGN_OR_RETURN(file.binding, LeafBinding(path, content));
  return file;
}

absl::StatusOr<AcceptedCertificates::Files> AcceptedCertificates::ReadAll() const {
  Files by_path;
  for (const std::string& path : options_.own_files) {
    FOREKEY_ASSIGN_OR_RETURN(by_path[path], Read(path));
  }
  if (options_.folder.empty()) return by_path;
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> names, ListFiles(options_.folder));
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(options_.folder, "/", name);
    FOREKEY_ASSIGN_OR_RETURN(by_path[path], Read(path));
  }
  return by_path;
}

absl::Status AcceptedCertificates::Reload() {
  // Under the lock as a whole: two reloads that overlap must not put the older reading last.
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto by_path, ReadAll());
  const Snapshot* old = current_.load(std::memory_order_relaxed);
  if (old != nullptr && by_path == by_path_) return absl::OkStatus();

  const BootTime now = clock_.BootNow();
  auto snapshot = std::make_unique<Snapshot>();
  std::set<std::string> live;
  auto add_live = [&](const std::string& path) {
    auto found = by_path.find(path);
    if (found != by_path.end() && live.insert(found->second.binding).second) {
      snapshot->entries.push_back({found->second.binding, kForever, ""});
    }
  };
  for (const std::string& path : options_.own_files) add_live(path);
  for (const auto& [path, file] : by_path) add_live(path);

  std::set<std::string> removed;
  if (old != nullptr) {
    for (const auto& [path, file] : by_path_) {
      const std::string& binding = file.binding;
      auto found = by_path.find(path);
      if (found == by_path.end()) {
        removed.insert(binding);
      } else if (found->second.binding != binding && !live.contains(binding)) {
        snapshot->entries.push_back({binding, now + options_.replaced_lifetime, path});
        live.insert(binding);
      }
    }
    // Those replaced before go on until their own time.
    for (const Snapshot::Entry& entry : old->entries) {
      if (entry.until != kForever && entry.until > now && live.insert(entry.binding).second) {
        snapshot->entries.push_back(entry);
      }
    }
  }
  std::erase_if(snapshot->entries, [&](const Snapshot::Entry& entry) {
    return entry.until != kForever &&
           (removed.contains(entry.binding) || !by_path.contains(entry.path));
  });

  by_path_ = std::move(by_path);
  current_.store(snapshot.get(), std::memory_order_release);
  snapshots_.push_back(std::move(snapshot));
  return absl::OkStatus();
}

}  // namespace forekey
