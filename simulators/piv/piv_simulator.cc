// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/piv_simulator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <winscard.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

namespace fs = std::filesystem;

constexpr DWORD kReaderTimeoutMs = 20'000;

// T=1. A YubiKey 5's and a YubiKey 4's own, by which stock tools know them; a plain card's says
// nothing.
constexpr char kYubiKey5Atr[] = "3bfd1300008131fe158073c021c057597562694b657940";
constexpr char kYubiKey4Atr[] = "3bf81300008131fe15597562696b657934d4";

std::string Atr(const PivConfig& config) {
  if (config.yubikey())
    return absl::HexStringToBytes(config.AtLeast(5, 0, 0) ? kYubiKey5Atr : kYubiKey4Atr);
  std::string atr = absl::HexStringToBytes("3b8a8001") + "Forekey1.0";
  char check = 0;
  for (size_t i = 1; i < atr.size(); ++i) check = static_cast<char>(check ^ atr[i]);
  return atr + check;
}

absl::StatusOr<std::string> TemporaryFolder() {
  const char* base = getenv("TMPDIR");
  std::string path = base != nullptr && *base == '/' ? base : "/tmp";
  // A unix socket's path has 108 bytes.
  if (path.size() > 60) path = "/tmp";
  path += "/forekey-piv-XXXXXX";
  if (mkdtemp(path.data()) == nullptr)
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make a folder like ", path));
  return path;
}

std::string PcscText(const char* call, LONG code) {
  return absl::StrCat(call, ": ", pcsc_stringify_error(code), " (0x",
                      absl::Hex(static_cast<uint32_t>(code)), ")");
}

}  // namespace

absl::Status WriteTrust(const PivState& state, const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (state.root_pem.empty()) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(directory + "/piv-root.pem", state.root_pem));
  if (state.intermediates_pem.empty()) return absl::OkStatus();
  fs::create_directories(directory + "/intermediates", error);
  const std::string kEnd = "-----END CERTIFICATE-----\n";
  int number = 0;
  for (absl::string_view rest = state.intermediates_pem; !rest.empty();) {
    const size_t size = std::min(rest.find(kEnd) + kEnd.size(), rest.size());
    FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(
        absl::StrCat(directory, "/intermediates/", ++number, ".pem"), rest.substr(0, size)));
    rest.remove_prefix(size);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PivSimulator>> PivSimulator::Start(
    const PivSimulatorConfig& config) {
  std::unique_ptr<PivSimulator> simulator(new PivSimulator);
  FOREKEY_RETURN_IF_ERROR(simulator->Begin(config));
  return simulator;
}

absl::Status PivSimulator::Begin(const PivSimulatorConfig& config) {
  FOREKEY_ASSIGN_OR_RETURN(temporary_, TemporaryFolder());
  state_ = config.state_directory.empty() ? temporary_ + "/state"
                                          : fs::absolute(config.state_directory).string();
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(state_));
  lock_.reset(open((state_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) return absl::ErrnoToStatus(errno, absl::StrCat("can't write in ", state_));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the card in ", state_, " is served already"));
  }
  auto state = PivState::Load(state_);
  if (absl::IsNotFound(state.status())) {
    state = ManufacturePiv(config.card);
    if (state.ok()) FOREKEY_RETURN_IF_ERROR(state->Save(state_));
  }
  if (!state.ok()) return state.status();
  trust_ = state_ + "/trust";
  FOREKEY_RETURN_IF_ERROR(WriteTrust(*state, trust_));

  CardServer::Options options;
  options.socket_path = temporary_ + "/card.sock";
  options.state_directory = state_;
  options.atr = Atr(state->config);
  options.auto_touch = config.auto_touch;
  options.touch_timeout = config.touch_timeout;
  options.reset_by_other = [this] { ResetSoon(); };
  const bool yubikey = state->config.yubikey();
  const std::string card_uri =
      state->config.AtLeast(5, 0, 0) ? absl::StrCat("piv:serial=", state->config.serial) : "piv:";
  PivMisbehaviour misbehaviour = config.misbehaviour;
  for (const std::string& name : config.misbehaviours) {
    FOREKEY_RETURN_IF_ERROR(AddMisbehaviour(name, &misbehaviour, &*state));
  }
  FOREKEY_ASSIGN_OR_RETURN(card_, CardServer::Start(*std::move(state), options));
  Misbehave(misbehaviour);

  socket_ = config.pcscd_socket;
  if (socket_.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(socket_, PcscdProcess::ProcessSocket());
  }
  const std::string name = !config.reader_name.empty() ? config.reader_name
                           : yubikey                   ? "Yubico Yubikey Simulated"
                                                       : "Simulated Smartcard Reader";
  reader_ = name + " 00 00";
  readers_ = {{name, options.socket_path}};
  FOREKEY_ASSIGN_OR_RETURN(pcscd_, PcscdProcess::Start(temporary_, socket_, readers_));
  uri_ = card_uri;
  return AwaitReader();
}

PivSimulator::~PivSimulator() {
  // pcscd first: a client that waits for a transaction to end, ends with it.
  pcscd_.reset();
  card_.reset();
  std::vector<std::thread> resets;
  {
    absl::MutexLock lock(&mutex_);
    resets.swap(resets_);
  }
  for (std::thread& thread : resets) thread.join();
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void PivSimulator::Misbehave(const PivMisbehaviour& misbehaviour) {
  card_->WithApplet([&](PivApplet& applet) { applet.misbehaviour() = misbehaviour; });
}

absl::Status PivSimulator::Unplug() {
  absl::MutexLock lock(&pcscd_mutex_);
  card_->Remove();
  return pcscd_->Restart({});
}

absl::Status PivSimulator::PlugIn() {
  absl::MutexLock lock(&pcscd_mutex_);
  card_->Insert();
  FOREKEY_RETURN_IF_ERROR(pcscd_->Restart(readers_));
  return AwaitReader();
}

absl::Status PivSimulator::RestartPcscd() {
  absl::MutexLock lock(&pcscd_mutex_);
  return pcscd_->Restart();
}

absl::Status PivSimulator::AwaitReader() {
  SCARDCONTEXT context = 0;
  LONG code = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context);
  if (code != SCARD_S_SUCCESS)
    return absl::UnavailableError(PcscText("SCardEstablishContext", code));
  SCARD_READERSTATE state{};
  state.szReader = reader_.c_str();
  const auto settled = [&] {
    if (!card_->present()) return (state.dwEventState & SCARD_STATE_EMPTY) != 0;
    return (state.dwEventState & SCARD_STATE_MUTE) != 0 ||
           ((state.dwEventState & SCARD_STATE_PRESENT) != 0 && state.cbAtr > 0);
  };
  // Unaware of its state, it is told at once; then at each change.
  code = SCardGetStatusChange(context, 0, &state, 1);
  while (code == SCARD_S_SUCCESS && !settled()) {
    state.dwCurrentState = state.dwEventState & ~static_cast<DWORD>(SCARD_STATE_CHANGED);
    code = SCardGetStatusChange(context, kReaderTimeoutMs, &state, 1);
  }
  SCardReleaseContext(context);
  if (code == SCARD_S_SUCCESS) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("pcscd does not see reader '", reader_,
                                             "': ", PcscText("SCardGetStatusChange", code)));
}

void PivSimulator::ResetSoon() {
  absl::MutexLock lock(&mutex_);
  resets_.emplace_back([this] { ResetByOther().IgnoreError(); });
}

absl::Status PivSimulator::ResetByOther() {
  SCARDCONTEXT context = 0;
  LONG code = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context);
  if (code != SCARD_S_SUCCESS)
    return absl::UnavailableError(PcscText("SCardEstablishContext", code));
  SCARDHANDLE card = 0;
  DWORD protocol = 0;
  const char* call = "SCardConnect";
  code = SCardConnect(context, reader_.c_str(), SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, &card,
                      &protocol);
  if (code == SCARD_S_SUCCESS) {
    call = "SCardReconnect";
    code = SCardReconnect(card, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, SCARD_RESET_CARD, &protocol);
    SCardDisconnect(card, SCARD_LEAVE_CARD);
  }
  SCardReleaseContext(context);
  return code == SCARD_S_SUCCESS ? absl::OkStatus() : absl::UnavailableError(PcscText(call, code));
}

}  // namespace forekey::piv
